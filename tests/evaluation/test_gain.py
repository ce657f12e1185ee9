"""Ratios of errors with their uncertainty."""

from __future__ import annotations

import numpy as np
import pytest

from cosmokeras.evaluation.gain import gain, merit_gain

COSMOLOGIES, REALISATIONS = 200, 20


def errors(seed: int, shared: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Errors (n, 1) of a reference and of a network of half its error, and the maps' cosmologies.

    The part `shared` of either variance is common to all maps of a cosmology.
    """
    rng, n = np.random.default_rng(seed), COSMOLOGIES * REALISATIONS
    which = np.repeat(np.arange(COSMOLOGIES), REALISATIONS)
    common, own = rng.standard_normal((COSMOLOGIES, 2))[which], rng.standard_normal((n, 2))
    both = np.sqrt(shared) * common + np.sqrt(1 - shared) * own
    return 2 * both[:, :1], both[:, 1:], which


def scatter(shared: float) -> float:
    """Standard deviation of the ratio over many sets of maps."""
    ratios = [np.sqrt(np.mean(a**2) / np.mean(b**2)) for a, b, _ in (errors(100 + i, shared) for i in range(400))]
    return float(np.std(ratios))


@pytest.mark.parametrize("shared", [0.0, 0.8])
def test_ratio_and_its_error_are_those_of_many_sets_of_maps(shared: float) -> None:
    reference, network, which = errors(0, shared)
    ratio, std = gain(reference, network, which)
    assert ratio == pytest.approx([np.sqrt(np.mean(reference**2) / np.mean(network**2))])
    assert std == pytest.approx([scatter(shared)], rel=0.2)
    assert abs(ratio[0] - 2) < 4 * std[0]


def test_maps_of_one_cosmology_are_not_independent() -> None:
    """Drawn as if they were, they would promise a far smaller error than there is."""
    reference, network, which = errors(0, 0.8)
    as_maps = gain(reference, network, np.arange(len(which)))[1]
    assert as_maps < 0.5 * scatter(0.8)
    assert gain(reference, network, which)[1] > 0.8 * scatter(0.8)


def test_errors_that_rise_and_fall_together_leave_their_ratio_alone() -> None:
    """The same errors on another scale: the ratio is known exactly, the errors are not."""
    reference, _, which = errors(0, 0.8)
    ratio, std = gain(3 * reference, reference, which)
    assert ratio == pytest.approx([3])
    assert std == pytest.approx([0], abs=1e-12)


def test_columns_order_and_seed() -> None:
    """Each column by itself; order and names of the cosmologies do not count; a seed is a seed."""
    reference, network, which = errors(0, 0.8)
    both = gain(np.hstack([reference, network]), np.hstack([network, network]), which)
    assert both[0] == pytest.approx([gain(reference, network, which)[0][0], 1])
    order = np.random.default_rng(1).permutation(len(which))
    mixed = gain(reference[order], network[order], which[order] + 7)
    assert np.array(mixed) == pytest.approx(np.array(gain(reference, network, which)))
    assert gain(reference, network, which, seed=1)[1] != mixed[1]


@pytest.mark.parametrize("shared", [0.0, 0.8])
def test_figures_of_merit_have_the_error_of_many_sets_of_maps(shared: float) -> None:
    def pair(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        (a, b, which), (c, d, _) = errors(seed, shared), errors(seed + 10_000, shared)
        return np.hstack([a, 0.5 * a + c]), np.hstack([b, 0.5 * b + d]), which

    def merit(error: np.ndarray) -> float:
        return float(np.linalg.det(error.T @ error / len(error)) ** -0.5)

    reference, network, which = pair(0)
    ratio, std = merit_gain(reference, network, which)
    assert ratio == pytest.approx(merit(network) / merit(reference))
    scattered = np.std([merit(b) / merit(a) for a, b, _ in map(pair, range(1, 200))])
    assert std == pytest.approx(scattered, rel=0.2)
    assert abs(ratio - 4) < 4 * std  # half the errors of both


def test_a_resample_of_one_map_does_not_spoil_the_error() -> None:
    rng, few = np.random.default_rng(0), np.arange(3)
    ratio, std = merit_gain(rng.standard_normal((3, 2)), rng.standard_normal((3, 2)), few)
    assert np.isfinite([ratio, std]).all()
