"""Convergence maps: C_ell of all pairs of bins against CCL, called directly and not through our own tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import fft

from cosmokeras.dataset.check import spectrum_check
from cosmokeras.dataset.shards import Split
from cosmokeras.params.config import Config
from cosmokeras.simulators import lensing as simulator
from cosmokeras.simulators import realisations, simulate
from cosmokeras.sky.pixels import ARCMIN
from cosmokeras.theory import kappa_skewness, limber
from study.setting import of_all_multipoles
from study.shells import Case

N = 128  # pixels on a side of the whole periodic grid
MAPS = 300
OMEGA_M = (0.15, 0.3, 0.45)


@pytest.fixture(scope="module", params=OMEGA_M)
def case(lensing: Config, request: pytest.FixtureRequest) -> Case:
    return Case(lensing, [request.param])


def test_mean_spectra_are_those_of_ccl(case: Case) -> None:
    """Without scatter: what the shells' amplitudes and weights amount to on average."""
    assert case.expected() == pytest.approx(case.ccl, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("omega_m", OMEGA_M)
def test_mean_spectra_with_alignments_are_those_of_ccl(config: Callable[..., Config], omega_m: float) -> None:
    """All pairs of bins within 2 % with A_IA = 1, which changes them by far more."""
    aligned = Case(config({"prior.a_ia": 1.0}), [omega_m])
    assert aligned.expected() == pytest.approx(aligned.ccl, rel=0.02)
    plain = Case(config(), [omega_m])
    assert np.abs(aligned.ccl / plain.ccl - 1).max() > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("nuisance", [{"prior.m_bias": 0.05}, {"prior.delta_z": 0.05}, {"prior.delta_z": -0.05}])
def test_shear_bias_and_redshift_shift_change_spectra_as_ccl_says(
    config: Callable[..., Config], nuisance: dict[str, float]
) -> None:
    """Within 1 % in all pairs of bins."""
    changed, plain = (Case(config(o), [0.3]) for o in (nuisance, {}))
    wanted = changed.ccl / plain.ccl
    assert changed.expected() / plain.expected() == pytest.approx(wanted, rel=0.01)
    assert np.abs(wanted - 1).min() > 0.01


@pytest.mark.slow
def test_spectra_of_maps_have_their_exact_mean(case: Case) -> None:
    """Measured on maps of the whole periodic grid, 100 < ell < 2000, all pairs of bins.

    Their mean is known exactly (and within 1 % of CCL, above), so that they are compared with it within their scatter:
    60 numbers that move together.
    """
    whole = case.cfg.model_copy(update={"data": case.cfg.data.model_copy(update={"size": N})})
    maps = simulator.maps(whole, case.grid, case.theta, realisations(0, 9, 0), MAPS)
    assert maps.shape == (MAPS, N, N, 4)
    spectra = np.array([case.measured(np.moveaxis(one, -1, 0)) for one in maps])
    error = spectra.std(axis=0) / np.sqrt(MAPS)
    assert (error / case.expected()).max() < 0.05
    assert np.abs((spectra.mean(axis=0) - case.expected()) / error).max() < 4
    # the lowest band has few modes; from 400 on the scatter is small enough to see 3 %
    assert spectra.mean(axis=0)[..., 2:] == pytest.approx(case.ccl[..., 2:], rel=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("thickness", [50.0, 25.0, 10.0])
def test_finer_shells_have_the_same_spectra_and_skewness(config: Callable[..., Config], thickness: float) -> None:
    coarse = Case(config(), [0.3])
    fine = Case(config({"lensing.shell_mpc_h": thickness}), [0.3])
    assert np.isfinite(fine.planes.amplitudes).all()
    # distant shells that add nothing are left out
    assert fine.planes.weights.shape[1] > 0.6 * 100 / thickness * coarse.planes.weights.shape[1]
    assert fine.expected() == pytest.approx(coarse.expected(), rel=0.03)
    assert fine.skewness() == pytest.approx(coarse.skewness(), rel=0.1)


@pytest.mark.slow
def test_without_shifts_finer_shells_would_be_more_skewed(
    lensing: Config, config: Callable[..., Config],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    coarse = Case(lensing, [0.3])
    monkeypatch.setattr(simulator, "third_moment_shift", lambda variance, thickness: np.ones_like(variance))
    fine = Case(config({"lensing.shell_mpc_h": 50.0}), [0.3])
    assert (fine.skewness() > 1.2 * coarse.skewness()).all()


def test_third_moment_does_not_depend_on_thickness() -> None:
    variance, thickness = np.array([0.1, 1.0, 5.0]), 100.0
    for finer in (1, 2, 10):
        v = variance * finer
        shift = simulator.third_moment_shift(v, thickness / finer)
        assert v / shift**3 + 3 / shift == pytest.approx(3 + variance)
    assert simulator.third_moment_shift(variance, 100.0) == pytest.approx(1.0)


@pytest.fixture(scope="module")
def maps(lensing: Config) -> np.ndarray:
    """40 maps of one cosmology, (40, 64, 64, 4)."""
    return simulator.maps(lensing, simulator.prepare(lensing), np.array([0.3]), realisations(2, 0, 0), 40)


def test_maps_are_cut_out_and_do_not_wrap_around(maps: np.ndarray) -> None:
    assert maps.shape == (40, 64, 64, 4)
    assert maps.dtype == np.float32
    for one in (maps, np.swapaxes(maps, 1, 2)):
        inside = np.mean(np.diff(one, axis=1) ** 2, axis=(0, 1, 2))
        across = np.mean((one[:, 0] - one[:, -1]) ** 2, axis=(0, 1))
        apart = np.mean((one[:, 0] - one[:, 32]) ** 2, axis=(0, 1))
        # opposite edges are no closer than pixels half a map apart
        assert (across > 1.5 * inside).all()
        assert (across > 0.8 * apart).all()


def test_one_point_distribution(lensing: Config, maps: np.ndarray) -> None:
    """Mean 0, no pixel emptier than empty space, and skewed to high density."""
    planes = simulator.shells(lensing, simulator.prepare(lensing), np.array([0.3]))
    assert (maps.min(axis=(0, 1, 2)) > -planes.weights @ planes.shift).all()
    per_map = maps.mean(axis=(1, 2))
    assert (np.abs(per_map.mean(axis=0)) < 4 * per_map.std(axis=0) / np.sqrt(40)).all()
    skewness = np.mean(maps**3, axis=(0, 1, 2)) / np.mean(maps**2, axis=(0, 1, 2)) ** 1.5
    # nearer sources see less of the Universe, and its clumps average out less
    assert (skewness > 0.5).all()
    assert (np.diff(skewness) < 0).all()


def test_bins_share_their_shells(maps: np.ndarray) -> None:
    correlation = np.corrcoef(maps.reshape(-1, 4).T)
    assert correlation[2, 3] > correlation[0, 3] > 0.3


def test_maps_follow_seed_and_place_alone(lensing: Config) -> None:
    theta = np.array([[0.2], [0.4]])
    first = simulate(lensing, theta, seed=3)
    assert (simulate(lensing, theta[:1], seed=3) == first[:1]).all()
    assert (simulate(lensing, theta, seed=4) != first).mean() > 0.99
    assert first[1].std() > first[0].std()


@pytest.mark.slow
def test_maps_of_pixel_averages_have_the_spectra_that_they_are_compared_with(config: Callable[..., Config]) -> None:
    """Coarse pixels average a third of the power of the shortest waves away, which is no fault of the maps."""
    cfg = config({"lensing.survey": "cosmos", "lensing.pixel_arcmin": 10.0, "lensing.mask": "none", "data.size": 32})
    theta = np.full((150, 1), 0.3)
    check = spectrum_check(cfg, Split([simulate(cfg, theta, seed=1)], np.array([0]), theta, np.arange(150)))
    assert check.ratio == pytest.approx(1, abs=0.05)
    k, measured, error, expected = check.curves
    assert (np.abs(measured / expected - 1) < 4.5 * error / expected + 0.03).all()
    pure = np.einsum("nbbl->nbl", limber.angular_cl(cfg, theta[:1], k[-1:]))[0, :, 0]
    assert (expected[:, -1] < 0.85 * pure).all()


@pytest.mark.slow
@pytest.mark.parametrize("omega_m", [0.12, 0.3, 0.48])
def test_skewness_is_that_of_bihalofit(config: Callable[..., Config], omega_m: float) -> None:
    """Exact skewness of smoothed maps: within 11 % at 5 and 10 arcmin in all bins, and with shift 1 not within 15 %."""
    found = {}
    for kind in ("shift", "bihalofit"):
        case = Case(of_all_multipoles(config({"lensing.third_moment": kind})), [omega_m])
        assert case.expected() == pytest.approx(case.ccl, rel=0.01)
        found[kind] = np.array([case.smoothed_skewness(smoothing) for smoothing in (5.0, 10.0)]).T
    wanted = kappa_skewness(case.cfg, np.array([omega_m]), np.array([5.0, 10.0]))[0]
    assert found["bihalofit"] == pytest.approx(wanted, rel=0.11)
    assert (found["shift"] < 0.85 * wanted).all()


@pytest.mark.slow
def test_skewness_falls_with_omega_m_as_that_of_bihalofit(config: Callable[..., Config]) -> None:
    """Of the most distant bin; with shift 1 it rises."""
    for kind, falls in (("bihalofit", True), ("shift", False)):
        cfg = config({"lensing.third_moment": kind})
        empty, dense = (Case(cfg, [omega_m]).smoothed_skewness(5.0)[3] for omega_m in (0.12, 0.48))
        assert (dense < 0.85 * empty) == falls
        assert (dense > empty) != falls


@pytest.mark.slow
def test_smoothed_maps_have_the_exact_skewness(config: Callable[..., Config]) -> None:
    """Of 100 maps of a wide smoothing, three distant bins together: within a quarter, three times their error."""
    case = Case(of_all_multipoles(config({"lensing.third_moment": "bihalofit"})), [0.3])
    whole = case.cfg.model_copy(update={"data": case.cfg.data.model_copy(update={"size": N})})
    maps = simulator.maps(whole, case.grid, case.theta, realisations(1, 9, 0), 100)
    window = np.exp(-((case.ell * 5.0 * ARCMIN) ** 2) / 2)
    smooth = fft.irfft2(fft.rfft2(np.moveaxis(maps, -1, 1)) * window, s=(N, N))
    found = np.mean(smooth**3, axis=(0, 2, 3)) / np.mean(smooth**2, axis=(0, 2, 3)) ** 1.5
    ratio = found / case.smoothed_skewness(5.0)
    assert ratio[1:].mean() == pytest.approx(1, abs=0.25)


@pytest.mark.slow
@pytest.mark.parametrize("thickness", [50.0, 20.0])
def test_thickness_of_shells_does_not_matter(config: Callable[..., Config], thickness: float) -> None:
    coarse, fine = (
        Case(config({"lensing.third_moment": "bihalofit", "lensing.shell_mpc_h": one}), [0.3])
        for one in (100.0, thickness)
    )
    assert fine.smoothed_skewness(7.0) == pytest.approx(coarse.smoothed_skewness(7.0), rel=0.03)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"lensing.survey": "lsst_y1", "lensing.mask": "none"},  # cut out of averages
        {"lensing.survey": "hsc_y3", "lensing.mask": "none"},  # averages of shear
        {"lensing.survey": "hsc_y3_fair", "lensing.mean": "removed_field", "lensing.field_deg": 4.0},
        {"prior.a_ia": 1.0, "prior.delta_z": 0.02, "prior.m_bias": 0.01, "prior.baryons": 1.0},
    ],
    ids=["cut", "shear", "field", "nuisances"],
)  # fmt: skip
def test_bihalofit_goes_with_all_that_maps_may_be(config: Callable[..., Config], changes: dict[str, Any]) -> None:
    """Spectra as with shift 1, within 0.5 %, and the skewness of BiHalofit within 10 %, that of the pixel included."""
    kinds = [changes | {"data.size": 32, "lensing.third_moment": kind} for kind in ("shift", "bihalofit")]
    cases = [Case(config(kind), [0.3]) for kind in kinds]
    assert cases[1].expected() == pytest.approx(cases[0].expected(), rel=5e-3)
    pixel = cases[1].cfg.pixel_arcmin
    smoothing = 1.45 * pixel
    wanted = kappa_skewness(cases[1].cfg, np.array([0.3]), np.array([np.hypot(smoothing, pixel / np.sqrt(12))]))[
        0, :, 0
    ]
    assert cases[1].smoothed_skewness(smoothing) == pytest.approx(wanted, rel=0.1)
    assert (cases[0].smoothed_skewness(smoothing) < 0.85 * wanted).all()
    maps = [simulator.maps(case.cfg, case.grid, case.theta, realisations(1, 9, 0), 4) for case in cases]
    assert np.isfinite(maps[1]).all()
    assert maps[1].std() == pytest.approx(maps[0].std(), rel=0.2)
    assert (maps[1] != maps[0]).mean() > 0.9
