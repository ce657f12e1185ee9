"""Leaving out blocks of patches: the textbook's answer for a mean, an outlier that is found, neighbours that are so."""

from __future__ import annotations

import numpy as np
import pytest

from cosmokeras.evaluation.jackknife import BLOCKS, MIN_PATCHES, blocks_of, jackknife
from cosmokeras.sky.positions import unwrapped


def sky(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Places across RA = 0 [deg]."""
    rng = np.random.default_rng(seed)
    return rng.uniform(-40, 60, n) % 360, rng.uniform(-60, 0, n)


def test_of_a_mean_of_single_patches_it_is_the_standard_error() -> None:
    """With one patch in a block the formula is that of the textbook, to rounding."""
    x = np.random.default_rng(1).normal(0.3, 0.05, (BLOCKS, 2)) * [1, 3]
    found = jackknife(lambda some: x[some].mean(axis=0), *sky(BLOCKS))
    assert found is not None
    assert found.std == pytest.approx(x.std(axis=0, ddof=1) / np.sqrt(BLOCKS), rel=1e-12)


@pytest.mark.parametrize("n", [8, 40, 117])
def test_blocks_of_unequal_size_give_the_standard_error_on_average(n: int) -> None:
    """Gaussian patches: the mean over many skies of the squared error, good to 2 sqrt(2 / (blocks - 1) / skies)."""
    rng, skies, ra_dec = np.random.default_rng(n), 400, sky(n)
    x = rng.normal(0.3, 0.05, (n, skies))
    found = jackknife(lambda some: x[some].mean(axis=0), *ra_dec)
    assert found is not None
    expected = 0.05**2 / n
    tolerance = 3 * np.sqrt(2 / (min(n, BLOCKS) - 1) / skies)
    assert np.mean(found.std**2) == pytest.approx(expected, rel=tolerance)


def test_scatter_that_neighbours_share_is_seen() -> None:
    """A systematic that changes over the sky: the error from single patches is too small, the jack-knife is not."""
    n, rng = 100, np.random.default_rng(2)
    places = sky(n)
    ratio = []
    for _ in range(60):
        x = rng.normal(0, 0.2, n)
        for block in blocks_of(*places):
            x[block] += rng.normal()
        found = jackknife(lambda some, x=x: x[some].mean(keepdims=True), *places)
        assert found is not None
        ratio.append((found.std[0] ** 2, x.var(ddof=1) / n))
    by_blocks, naive = np.mean(ratio, axis=0)
    assert by_blocks == pytest.approx((1 + 0.2**2 / 5) / BLOCKS, rel=0.25)
    assert naive < 0.4 * by_blocks


@pytest.mark.parametrize("sign", [-1, 1])
def test_one_bad_block_is_found_with_its_sign(sign: int) -> None:
    n, rng = 100, np.random.default_rng(3)
    places = sky(n)
    x = rng.normal(0.3, 0.05, (n, 1))
    calm = jackknife(lambda some: x[some].mean(axis=0), *places)
    bad = 13
    x[blocks_of(*places)[bad]] += sign * 0.3
    found = jackknife(lambda some: x[some].mean(axis=0), *places)
    assert calm is not None and found is not None
    assert abs(calm.max_pull[0]) < 4
    assert found.block[0] == bad
    assert sign * found.max_pull[0] > 8  # it does not hide behind the scatter that it makes
    assert found.std[0] > 1.5 * calm.std[0]


def test_pulls_are_those_of_student() -> None:
    """The largest of 20 pulls of Gaussian patches is above 3 in 20 x 0.0077 = 14 % of skies (t, 18 degrees)."""
    n, skies = 100, 2000
    x = np.random.default_rng(4).normal(size=(n, skies))
    found = jackknife(lambda some: x[some].mean(axis=0), *sky(n))
    assert found is not None
    assert np.mean(np.abs(found.max_pull) > 3) == pytest.approx(0.14, abs=0.03)


def test_few_patches_give_none() -> None:
    assert jackknife(lambda some: np.zeros(1), *sky(MIN_PATCHES - 1)) is None
    assert jackknife(lambda some: np.ones(1), *sky(MIN_PATCHES)).max_pull == 0


@pytest.mark.parametrize("n", [8, 19, 20, 21, 117])
def test_blocks_hold_every_patch_once(n: int) -> None:
    blocks = blocks_of(*sky(n))
    sizes = [len(block) for block in blocks]
    assert len(blocks) == min(n, BLOCKS)
    assert max(sizes) - min(sizes) <= 1
    assert sorted(np.concatenate(blocks)) == list(range(n))


def test_blocks_are_of_neighbours() -> None:
    """Across RA = 0 too: places in a block are as close as the block's part of the sky allows."""
    ra, dec = sky(400)
    x = np.stack([unwrapped(ra) / 100, dec / 60], axis=1)  # the footprint as a unit square
    assert np.ptp(x, axis=0) == pytest.approx([1, 1], abs=0.05)
    spread = [x[block].std(axis=0) for block in blocks_of(ra, dec)]
    # four strips of five blocks: sides 1/5 and 1/4, over sqrt(12)
    assert np.mean(spread, axis=0) == pytest.approx([0.2 / np.sqrt(12), 0.25 / np.sqrt(12)], rel=0.15)


def test_patches_without_places_stay_in_order() -> None:
    nowhere = np.full(40, np.nan)
    assert (np.concatenate(blocks_of(nowhere, nowhere)) == np.arange(40)).all()
