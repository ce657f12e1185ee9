"""What pixels show, against finer maps that are averaged."""

from __future__ import annotations

from collections.abc import Callable

import healpy
import numpy as np
import pytest

from cosmokeras.params.config import Config
from cosmokeras.simulators import averaging, lensing, realisations
from cosmokeras.sky.pixels import ARCMIN
from cosmokeras.surveys import cut_patches

FINER = 4
THETA = np.array([0.3])


def pair(config: Callable[..., Config], survey: str, size: int = 32) -> tuple[Config, Config]:
    """A survey's maps, and those of a quarter of the pixel."""
    base = {"lensing.survey": survey, "real.source": "mock", "lensing.mask": "none", "prior.delta_z": 0.0}
    cfg = config(base | {"data.size": size, "model.spectrum_bins": 8})
    finer = {"data.size": FINER * size, "lensing.pixel_arcmin": cfg.pixel_arcmin / FINER}
    return cfg, config(base | finer | {"model.spectrum_bins": 8})


def whole_grid(quadrant: np.ndarray, n: int) -> np.ndarray:
    """(n, n) in fft2 order of a quadrant that the rest mirrors."""
    rows = np.minimum(np.arange(n), n - np.arange(n))
    return quadrant[:, rows][:, :, rows]


@pytest.mark.slow
@pytest.mark.parametrize("survey", ["hsc_y3_fair", "kids_1000", "cosmos"])
def test_power_is_that_of_finer_maps_averaged(config: Callable[..., Config], survey: str) -> None:
    """Exactly, mode by mode: finer waves times the window of the mean of 4 x 4, folded; 1 % in bands up to the corners.

    Averages of shear are made into convergence with the phases of the coarse grid.
    """
    cfg, fine_cfg = pair(config, survey)
    grid, fine = lensing.prepare(cfg), lensing.prepare(fine_cfg, pixels="kappa")
    planes, log_c = lensing.shells(cfg, grid, THETA), spectra(cfg, grid)
    log_fine = np.array([np.interp(np.log(fine.ell), np.log(grid.ell), row) for row in log_c])
    power, many = whole_grid(grid.power(log_c), grid.n), whole_grid(fine.power(log_fine), fine.n)
    k = np.fft.fftfreq(fine.n, 1 / fine.n)
    mean = np.abs(np.mean([np.exp(2j * np.pi * k * i / fine.n) for i in range(FINER)], axis=0)) ** 2
    many = many * np.outer(mean, mean)
    if cfg.survey.pixels == "shear":
        coarse = np.fft.fftfreq(grid.n, 1 / grid.n)
        base = np.arctan2(coarse[:, None], coarse)
        where = (k % grid.n).astype(int)
        many = many * np.cos(2 * (np.arctan2(k[:, None], k) - base[np.ix_(where, where)])) ** 2
    folded = _fold(many, grid.n)
    radius = np.hypot(*np.meshgrid(*2 * [np.fft.fftfreq(grid.n)])).ravel()
    bands = np.minimum(radius * 16 / 0.708, 15).astype(int)
    weight = planes.weights.shape[1]
    assert weight == len(log_c)
    for b in range(len(planes.weights)):
        total = np.einsum("s,syx->yx", planes.weights[b] ** 2, power).ravel()
        wanted = np.einsum("s,syx->yx", planes.weights[b] ** 2, folded).ravel()
        ratio = np.bincount(bands[1:], total[1:]) / np.bincount(bands[1:], wanted[1:])
        assert ratio == pytest.approx(np.ones(16), abs=0.01)


def _fold(power: np.ndarray, n: int) -> np.ndarray:
    """Power (fields, m, m) of waves sampled on n x n points only."""
    where = np.fft.fftfreq(power.shape[1], 1 / power.shape[1]).astype(int) % n
    out = np.zeros((len(power), n, n))
    np.add.at(out, (slice(None), where[:, None], where[None]), power)
    return out


def spectra(cfg: Config, grid: lensing.Grid) -> np.ndarray:
    """ln C_ell of the shells at the grid's nodes."""
    kept: list[np.ndarray] = []
    original = lensing._lognormal
    try:
        lensing._lognormal = lambda c, g, w, log_c, *more: kept.append(log_c) or original(c, g, w, log_c, *more)  # type: ignore
        lensing.shells(cfg, grid, THETA)
    finally:
        lensing._lognormal = original
    return kept[0]


@pytest.mark.slow
def test_structure_of_patches_cut_from_healpix_averages() -> None:
    """Mean squared differences of pixels of a Gaussian sky of NSIDE 1024, averaged to 256 and cut; within 2.5 %.

    Half of the waves of that sky are shorter than two flat pixels; without what folds in it would be 5 % and more.
    """
    fine, lmax, nside, size, pixel = 1024, 1536, 256, 32, 20.0

    def c_ell(ell: np.ndarray) -> np.ndarray:
        return 1e-4 / (ell + 20) ** 1.8 * (ell <= lmax)

    np.random.seed(5)  # noqa: NPY002  healpy draws from there
    sky = healpy.synfast(c_ell(np.arange(lmax + 1.0)), fine, lmax=lmax, pixwin=False)
    sky = healpy.ud_grade(sky, nside)
    maps = cut_patches(sky.astype(np.float32), np.ones(sky.size, bool), size, pixel, 0.0).maps[..., 0]
    n = 4 * size
    average = averaging.cut_average(n, pixel * ARCMIN, nside, ((0.0, 360.0, -90.0, 90.0),), 1.0)
    quadrant = (average.power @ c_ell(average.ell)).reshape(1, n // 2 + 1, -1)
    quadrant[0, 0, 0] = 0.0
    xi = np.fft.ifft2(whole_grid(quadrant, n)[0]).real / (pixel * ARCMIN) ** 2
    for y, x in ((0, 1), (1, 0), (1, 1), (0, 2)):
        found = np.mean((maps[:, y:, x:] - maps[:, : size - y, : size - x]) ** 2)
        assert found == pytest.approx(2 * (xi[0, 0] - xi[y, x]), rel=0.025)


@pytest.mark.parametrize("spread", [0.3, 2.0])
def test_shift_gives_the_third_moment_of_averages(spread: float) -> None:
    """Of a lognormal field of four correlated places in a pixel, drawn directly."""
    rng = np.random.default_rng(0)
    places = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    lag = np.hypot(*(places[:, None] - places).transpose(2, 0, 1))
    covariance = spread * np.exp(-lag / 2)
    gaussian = rng.multivariate_normal(np.zeros(4), np.log1p(covariance), 400_000)
    density = np.expm1(gaussian - np.log1p(spread) / 2).mean(axis=1)
    variance = covariance.mean()
    shift = averaging.averaged_shift(covariance[None], np.array([variance]), np.ones(1))[0]
    third = 3 * variance**2 / shift + variance**3 / shift**3
    assert density.var() == pytest.approx(variance, rel=0.03)
    assert np.mean(density**3) == pytest.approx(third, rel=0.1 if spread < 1 else 0.3)
    assert shift < 1


@pytest.mark.slow
@pytest.mark.parametrize(("survey", "third"), [("hsc_y3_fair", 0.15)])
def test_moments_are_those_of_finer_maps_averaged(config: Callable[..., Config], survey: str, third: float) -> None:
    cfg, fine_cfg = pair(config, survey, size=16)
    count = 600
    ours = lensing.maps(cfg, lensing.prepare(cfg, padding=2), THETA, realisations(1, 0, 0), count)
    fine = lensing.prepare(fine_cfg, padding=2, pixels="kappa")
    finer = lensing.maps(fine_cfg, fine, THETA, realisations(2, 0, 0), count)
    finer = finer.reshape(count, 16, FINER, 16, FINER, -1).mean(axis=(2, 4))
    for order, tolerance in ((2, 0.05), (3, third)):
        assert np.mean(ours**order) == pytest.approx(np.mean(finer**order), rel=tolerance)
