"""What a survey does to a map: noise against white noise on a real HEALPix sphere, masks, smoothing, seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import healpy
import numpy as np
import pytest
import yaml

from cosmokeras.common.errors import UserError
from cosmokeras.observation.masks import survey_masks
from cosmokeras.observation.observe import finished, observe, observed_by, survey_maps
from cosmokeras.observation.observer import Observer, noise_sigma, pixel_noise
from cosmokeras.observation.ops.blocks import in_blocks
from cosmokeras.observation.ops.counters import rows
from cosmokeras.observation.ops.forward import Forward
from cosmokeras.observation.ops.last_steps import LastSteps
from cosmokeras.observation.sphere import SphericalKaiserSquires
from cosmokeras.params import checked
from cosmokeras.params.config import Config
from cosmokeras.params.survey import load_survey
from cosmokeras.project import load_params
from cosmokeras.sky.patches import MARGIN, sub_points, tangent_grid
from cosmokeras.sky.pixels import ARCMIN, healpix_side, pixel_window
from cosmokeras.sky.spherical_ks import kaiser_squires_sphere, shear_sphere
from cosmokeras.surveys import cut_patches

NSIDE, LMAX = 1024, 2048
LAGS = ((0, 0), (0, 1), (1, 0), (1, 1))


def covariance(maps: np.ndarray) -> np.ndarray:
    """Mean product of pixels of maps (n, size, size) apart by each of LAGS."""
    size = maps.shape[1]
    return np.array([np.mean(maps[:, y:, x:] * maps[:, : size - y, : size - x]) for y, x in LAGS])


def cut_as_des(sky: np.ndarray) -> np.ndarray:
    """Patches (n, 64, 64) of a full sky, as real maps are cut."""
    ra, dec = healpy.pix2ang(NSIDE, np.arange(sky.size), lonlat=True)
    ra = (ra + 180) % 360 - 180
    boxes = load_survey("des_y3", Path(__file__).parents[2] / "data" / "surveys").sky
    mask = np.any([(ra > w) & (ra < e) & (dec > s) & (dec < n) for w, e, s, n in boxes], axis=0)
    patches = cut_patches(sky, mask, size=64, pixel_arcmin=5.0, max_masked=0.0)
    assert len(patches.maps) > 100
    return patches.maps[..., 0].astype(float)


@pytest.fixture(scope="module")
def noise_on_the_sphere() -> np.ndarray:
    """Patches of white noise of unit variance per HEALPix pixel."""
    return cut_as_des(np.random.default_rng(1).standard_normal(12 * NSIDE**2, dtype=np.float32))


class Coarse(NamedTuple):
    """Patches (n, 32, 32) of full skies of a quarter of NSIDE, of Kaiser-Squires' convergence as the cutter cuts it."""

    noise: np.ndarray  # of shear that is white noise of unit variance
    masked: np.ndarray  # of the same behind star holes
    signal: np.ndarray  # of the shear of a sky of long and short waves, behind star holes
    truth: np.ndarray  # that sky itself, in the centres of the flat pixels
    coverage: np.ndarray


@pytest.fixture(scope="module")
def through_shear() -> Coarse:
    """Holes are like those of `des_like_footprint`, four times as large, and many."""
    rng = np.random.default_rng(2)
    nside, lmax = NSIDE // 4, LMAX // 4
    mask = np.ones(12 * nside**2, bool)
    for centre in rng.choice(mask.size, 15_000):
        radius = 4 * rng.uniform(2, 8) * ARCMIN
        mask[healpy.query_disc(nside, healpy.pix2vec(nside, centre), radius)] = False
    ell = np.arange(lmax + 1.0)
    np.random.seed(3)  # noqa: NPY002  healpy draws from there
    alm = healpy.synalm(1e-4 / (ell + 20) ** 1.5, lmax=lmax, new=True)
    window = pixel_window(ell, healpix_side(nside))  # shear is a mean over pixels
    shear = shear_sphere(healpy.alm2map(healpy.almxfl(alm, window), nside, lmax=lmax, pixwin=False), lmax)
    white, everywhere = rng.standard_normal((2, mask.size)), np.ones_like(mask)
    cut = cut_patches(mask.astype(np.float32), mask, 32, 20.0, 0.3)
    places = list(zip(cut.ra, cut.dec, strict=True))

    def patches(field: Sequence[np.ndarray], seen: np.ndarray) -> np.ndarray:
        kappa, grid = kaiser_squires_sphere(*(g * seen for g in field), lmax)[0], tangent_grid(640 * ARCMIN, 128)
        found = []
        for place in places:
            below = sub_points(nside, grid, *place).reshape(32, 4, 32, 4)
            hits = seen[below].sum(axis=(1, 3))
            found.append((kappa * seen)[below].sum(axis=(1, 3)) / np.maximum(hits, 1) * (hits >= 8))
        return np.array(found)

    fine = healpy.alm2map(alm, NSIDE, lmax=lmax, pixwin=False)
    truth = np.array([fine[sub_points(NSIDE, tangent_grid(640 * ARCMIN, 32), *place)] for place in places])
    noise, masked, signal = patches(white, everywhere), patches(white, mask), patches(shear, mask)
    return Coarse(noise, masked, signal, truth.reshape(-1, 32, 32), cut.coverage)


def coarse(config: Callable[..., Config]) -> Config:
    """The observer of such maps."""
    cfg = whole(config, **{"data.size": 32, "lensing.pixel_arcmin": 20.0, "lensing.smoothing_arcmin": 0.0})
    coarser = {"nside": NSIDE // 4, "lmax": LMAX // 4, "sky": ((0.0, 360.0, -90.0, 90.0),)}
    vars(cfg)["survey"] = cfg.survey.model_copy(update=coarser)
    return cfg


def whole(config: Callable[..., Config], **more: object) -> Config:
    """DES Y3 without its mask."""
    return config({"lensing.mask": "none", **more})


def made_directly(cfg: Config) -> Config:
    """The same survey with maps that were not made of shear: white noise from pixel to pixel."""
    vars(cfg)["survey"] = cfg.survey.model_copy(update={"lmax": None})
    return cfg


def power(maps: np.ndarray) -> np.ndarray:
    """Mean power of maps (n, size, size) in 16 bins of |k| up to the corners."""
    k = np.hypot(*np.meshgrid(*2 * [np.fft.fftfreq(maps.shape[1])]))
    which = np.minimum(k * 16 / 0.708, 15).astype(int).ravel()
    mean = np.mean(np.abs(np.fft.fft2(maps)) ** 2, axis=0).ravel() / maps.shape[1] ** 2
    return np.bincount(which, mean) / np.bincount(which)


def observed_behind(cfg: Config, maps: np.ndarray, coverage: np.ndarray, noise: float, channels: int = 1) -> np.ndarray:
    """Maps (n, 32, 32) behind masks (n, 32, 32) as they come out, 0 where hidden, with `noise` of unit variance.

    With the noise of each of some `channels` (n channels, 32, 32).
    """
    observer = Observer(cfg)
    observer.sigma = np.full(cfg.channels, noise)
    # masks are few where they are all the same
    some = coverage[:1] if (coverage == coverage[:1]).all() else coverage
    observer.masks = np.pad(some, ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)), "symmetric").astype(np.float32)
    which = np.arange(len(maps)) % len(some)
    each = np.repeat(maps[..., None], cfg.channels, axis=-1).astype(np.float32)
    out = in_blocks(Forward(cfg, observer=observer).unfinished, (each, which.astype(np.int32), rows(0, 1, len(maps))))
    return np.concatenate([out[..., i].astype(float) * (coverage >= 0.5) for i in range(channels)])


@pytest.mark.slow
def test_noise_through_shear_is_that_of_kaiser_squires_on_the_sphere(
    config: Callable[..., Config], through_shear: Coarse
) -> None:
    """Covariance of neighbours and power, in units of sigma_e^2 / (n_eff A) of the pixel; next to none above lmax."""
    sphere = through_shear.noise * np.sqrt(400.0 / (healpy.nside2pixarea(NSIDE // 4, degrees=True) * 3600))
    cfg = coarse(config)
    zero = np.zeros((1500, 32, 32))
    ours = observed_behind(cfg, zero, zero + 1, 1.0, channels=4)
    near, there = covariance(ours), covariance(sphere)
    assert near[0] == pytest.approx(there[0], rel=0.01)
    assert near[0] == pytest.approx(np.mean(pixel_noise(cfg) ** 2 / noise_sigma(cfg) ** 2), rel=0.01)
    assert near[0] < 0.75 * np.mean(pixel_noise(made_directly(cfg)) ** 2 / noise_sigma(cfg) ** 2)
    assert near / near[0] == pytest.approx(there / there[0], abs=0.015)
    assert near[1] / near[0] > 0.3, "neighbours share their noise; of white noise it is 0.13"
    assert power(ours)[:10] == pytest.approx(power(sphere)[:10], rel=0.06)
    for one in (ours, sphere):
        assert power(one)[14:].max() < 0.02, "beyond lmax only what the cutter scatters there"


@pytest.mark.slow
def test_next_to_star_holes_shear_is_missing_and_so_are_noise_and_signal(
    config: Callable[..., Config], through_shear: Coarse
) -> None:
    """Power behind masks, beside the sphere's, and the part of the true signal that is left."""
    cfg, coverage = coarse(config), through_shear.coverage
    seen = coverage >= 0.5
    assert 0.1 < 1 - seen.mean() < 0.2
    unit = np.sqrt(400.0 / (healpy.nside2pixarea(NSIDE // 4, degrees=True) * 3600))
    zero = np.zeros_like(coverage)
    noise = observed_behind(cfg, zero, coverage, 1.0)
    assert power(noise)[:10] == pytest.approx(power(through_shear.masked * unit)[:10], rel=0.1)
    assert np.mean(noise**2) / seen.mean() < 0.97 * np.mean(observed_behind(cfg, zero, zero + 1, 1.0) ** 2)
    signal = observed_behind(cfg, through_shear.truth, coverage, 0.0)
    there = through_shear.signal

    def left(maps: np.ndarray, where: np.ndarray) -> float:
        return float(np.sum((maps * through_shear.truth)[where]) / np.sum((through_shear.truth**2)[where]))

    for where in (coverage == 1, seen & (coverage < 1)):
        assert left(signal, where) == pytest.approx(left(there, where), abs=0.015)
    assert left(there, seen) < 0.93
    assert power(signal)[:8] == pytest.approx(power(there)[:8], rel=0.06)


@pytest.mark.slow
def test_healpix_noise_is_that_of_noise_cut_from_a_sphere(
    config: Callable[..., Config], noise_on_the_sphere: np.ndarray
) -> None:
    """Variance and correlation of neighbours, in units of sigma_e^2 / (n_eff A) of the flat pixel."""
    area = 25.0 / (healpy.nside2pixarea(NSIDE, degrees=True) * 3600)  # of a flat pixel, in HEALPix pixels
    sphere = covariance(noise_on_the_sphere) * area
    cfg = made_directly(whole(config))
    observer = Observer(cfg)
    maps = observe(cfg, np.zeros((150, 64, 64, 4), np.float32), seed=0)
    for b in range(4):
        ours = covariance(maps[..., b].astype(float)) / (observer.scale[b] * noise_sigma(cfg)[b]) ** 2
        assert ours[0] == pytest.approx(sphere[0], rel=0.03)
        assert ours[0] == pytest.approx(0.618, rel=0.03)
        # correlations of neighbours
        assert ours[1:] / ours[0] == pytest.approx(sphere[1:] / sphere[0], abs=0.02)
        assert 0.11 < ours[1] / ours[0] < 0.14
        assert 0.13 < ours[2] / ours[0] < 0.17


@pytest.mark.slow
def test_healpix_noise_has_the_moire_pattern_of_the_sphere(
    config: Callable[..., Config], noise_on_the_sphere: np.ndarray
) -> None:
    """The variance differs from pixel to pixel by a tenth: sums of unlike Gaussians have an excess kurtosis.

    Noise of the same spectrum without the pattern has none, and a network that was trained with it takes them for
    signal.
    """

    def excess(maps: np.ndarray) -> np.ndarray:
        maps = maps.astype(float)
        return np.mean(maps**4, axis=(0, 1, 2)) / np.mean(maps**2, axis=(0, 1, 2)) ** 2 - 3

    sphere = excess(noise_on_the_sphere[..., None])
    ours = excess(observe(made_directly(whole(config)), np.zeros((300, 64, 64, 4), np.float32), seed=0)).mean()
    assert ours == pytest.approx(0.031, abs=0.01)
    assert ours == pytest.approx(sphere[0], abs=0.03)


@pytest.mark.parametrize("missing", ["nside", "lmax"])
def test_a_survey_without_what_its_mass_mapping_needs_is_refused(config: Callable[..., Config], missing: str) -> None:
    cfg = whole(config)
    cfg = cfg.model_copy(update={"survey": cfg.survey.model_copy(update={missing: None})})
    with pytest.raises(UserError, match=f"^survey des_y3: {missing} is missing"):
        SphericalKaiserSquires(cfg)


def test_noise_sigma_is_that_of_the_galaxies_in_a_pixel(config: Callable[..., Config]) -> None:
    sigma = noise_sigma(whole(config))
    assert sigma == pytest.approx(
        np.array([0.243, 0.262, 0.259, 0.301]) / np.sqrt(25 * np.array([1.476, 1.479, 1.484, 1.461]))
    )
    assert noise_sigma(whole(config, **{"lensing.pixel_arcmin": 10.0})) == pytest.approx(sigma / 2)


@pytest.mark.slow
def test_observed_noise_has_unit_deviation_and_bins_are_independent(config: Callable[..., Config]) -> None:
    for smoothing in (0.0, 8.0):
        cfg = whole(config, **{"lensing.smoothing_arcmin": smoothing})
        maps = observe(cfg, np.zeros((60, 64, 64, 4), np.float32), seed=1)
        assert maps.std(axis=(0, 1, 2)) == pytest.approx(1, rel=0.03)
        assert np.abs(np.corrcoef(maps.reshape(-1, 4).T) - np.eye(4)).max() < 0.05


@pytest.mark.slow
def test_noise_is_fresh_in_every_map_of_every_batch(config: Callable[..., Config]) -> None:
    cfg = whole(config)
    maps = observe(cfg, np.zeros((6, 64, 64, 4), np.float32), seed=1, batch=2).reshape(6, -1)
    assert np.abs(np.corrcoef(maps) - np.eye(6)).max() < 0.05


@pytest.mark.slow
def test_seed_decides_every_byte(config: Callable[..., Config]) -> None:
    kappa = 0.01 * np.random.default_rng(0).standard_normal((5, 64, 64, 4)).astype(np.float32)
    first = observe(config(), kappa, seed=7)
    assert first.dtype == np.float32
    assert observe(config(), kappa, seed=7).tobytes() == first.tobytes()
    assert (observe(config(), kappa, seed=8) == first).mean() < 0.3  # masked pixels are 0 in both


@pytest.mark.slow
def test_masked_pixels_are_0_and_partly_covered_ones_noisier(config: Callable[..., Config]) -> None:
    cfg = made_directly(config({"lensing.smoothing_arcmin": 0.0}))
    observer = Observer(cfg)
    masks = survey_masks(cfg)
    assert (masks < 0.5).any(axis=(1, 2)).mean() > 0.5
    observer.masks = masks[:1]
    coverage = masks[0]
    maps = observed_by(Forward(cfg, observer=observer), np.ones((400, 64, 64, 4), np.float32), 0)
    assert (maps[:, coverage < 0.5] == 0).all()
    assert (maps[:, coverage >= 0.5] != 0).all()
    variance = maps.var(axis=0).mean(axis=-1) * np.mean(coverage >= 0.5)
    partly = (coverage >= 0.5) & (coverage < 0.9)
    assert partly.sum() > 20
    boost = observer.mass_mapping.boost[(coverage[partly] * 16).astype(int)]
    assert boost.min() > 1.05
    assert np.mean(variance[partly] / boost**2) == pytest.approx(1, rel=0.03)
    assert variance[coverage == 1].mean() == pytest.approx(1, rel=0.03)


@pytest.mark.slow
def test_shear_that_is_missing_around_a_patch_is_missed_in_it(config: Callable[..., Config]) -> None:
    """At the edge of a survey the convergence of a patch that is whole is fainter, the more so the nearer the edge."""
    cfg = coarse(config)
    whole_sky = np.ones((1, 32 + 2 * MARGIN, 32 + 2 * MARGIN), np.float32)
    edge = whole_sky.copy()
    edge[:, :, :MARGIN] = 0.0
    maps = np.zeros((400, 32, 32, 4), np.float32)
    variance = []
    for masks in (whole_sky, edge):
        observer = Observer(cfg)
        observer.masks = masks
        coverage, seen = survey_maps(Forward(cfg, observer=observer), maps, 0)
        assert coverage.shape == (400, 32, 32) and (coverage == 1).all()
        variance.append(seen.astype(float).var(axis=(0, 1, 3)))
    part = variance[1] / variance[0]
    assert part[0] < 0.8 and part[:2].mean() < part[2:6].mean() < 1
    assert part[16:].mean() == pytest.approx(1, abs=0.01)


def test_power_does_not_depend_on_how_much_is_masked(config: Callable[..., Config]) -> None:
    last = LastSteps(Observer(config({"lensing.smoothing_arcmin": 0.0})))
    coverage = np.ones((200, 64, 64), np.float32)
    coverage[100:, :, :16] = 0.2
    white = np.random.default_rng(0).standard_normal((200, 64, 64, 4)).astype(np.float32)
    power = np.mean(finished(last, white, coverage).astype(float) ** 2, axis=(1, 2))
    assert power[100:].mean(axis=0) == pytest.approx(power[:100].mean(axis=0), rel=0.01)
    assert np.isfinite(finished(last, white[:1], 0 * coverage[:1])).all()


@pytest.mark.slow
def test_masks_of_the_survey_are_all_drawn(config: Callable[..., Config]) -> None:
    cfg = config()
    holes = {one.tobytes() for one in observe(cfg, np.ones((400, 64, 64, 4), np.float32), 3)[..., 0] == 0}
    distinct = {one.tobytes() for one in survey_masks(cfg) < 0.5}
    assert holes <= distinct
    assert len(holes) > 0.9 * len(distinct)


def noiseless(cfg: Config, maps: np.ndarray) -> np.ndarray:
    """Maps without noise, in the units of the map, with the mask of ones."""
    observer = Observer(cfg)
    observer.scale = np.ones_like(observer.scale)
    observer.masks = np.ones((1, *2 * [cfg.data.size + 2 * observer.mass_mapping.margin]), np.float32)
    return observed_by(Forward(cfg, noise=0.0, observer=observer), maps, 0)


def smooth_map(size: int, channels: int) -> np.ndarray:
    """A few long periodic waves, that pixel windows hardly touch, plus a constant; (1, size, size, channels)."""
    y, x = 2 * np.pi * np.indices((size, size)) / size
    wave = 0.02 * np.cos(x + 2 * y + 0.3) + 0.01 * np.sin(2 * x - y) + 0.005 * np.cos(y)
    return np.repeat((wave + 0.01)[None, ..., None], channels, axis=-1).astype(np.float32)


def test_map_made_from_shear_is_recovered_up_to_its_mean(config: Callable[..., Config]) -> None:
    cfg = config({"lensing.survey": "cosmos", "real.source": "cosmos", "lensing.smoothing_arcmin": 0.0})
    kappa = smooth_map(64, 1)
    out = noiseless(cfg, kappa)
    assert np.abs(out.mean()) < 1e-6
    assert kappa.mean() == pytest.approx(0.01, rel=1e-4)
    # 1 % of the largest value, which is what the finite kernels of the pixel windows leave open
    inside = np.s_[0, 4:-4, 4:-4, 0]
    assert (out - (kappa - kappa.mean()))[inside] == pytest.approx(0, abs=4e-4)
    assert out[inside].std() > 0.01


def test_shear_noise_is_white(config: Callable[..., Config]) -> None:
    cfg = config({"lensing.survey": "cosmos", "real.source": "cosmos", "lensing.mask": "none"})
    cfg_maps = observe(cfg, np.zeros((200, 64, 64, 1), np.float32), seed=1)[..., 0].astype(float)
    found = covariance(cfg_maps)
    # one mode of 4096, the mean, is lost
    assert found[0] == pytest.approx(1, rel=0.01)
    assert np.abs(found[1:]).max() < 0.01


def test_map_cut_from_healpix_keeps_its_mean_and_loses_little(config: Callable[..., Config]) -> None:
    cfg = whole(config, **{"lensing.smoothing_arcmin": 0.0})
    kappa = smooth_map(64, 4)
    out = noiseless(cfg, kappa)
    inside = np.s_[:, 5:-5, 5:-5]
    assert (out - kappa)[inside] == pytest.approx(0, abs=4e-4)


FLAT = {"lensing.survey": "hsc_y3_fair", "real.source": "mock", "lensing.mask": "none", "lensing.smoothing_arcmin": 0.0}


def test_flat_noise_is_white_and_of_the_galaxies_in_a_pixel(config: Callable[..., Config]) -> None:
    """Variance and correlation of neighbours; the challenge of hsc_y3_fair states 0.4 / sqrt(2 n A)."""
    cfg = config(FLAT)
    assert noise_sigma(cfg) == pytest.approx([0.4 / np.sqrt(2 * 30 * 4)], rel=1e-4)
    observer = Observer(cfg)
    assert observer.scale * noise_sigma(cfg) == pytest.approx([1.0], rel=1e-6)
    zero = np.zeros((200, 64, 64, 1), np.float32)
    coverage, maps = survey_maps(Forward(cfg), zero, 0)
    assert (coverage == 1).all()
    found = covariance(maps[..., 0].astype(float)) / noise_sigma(cfg)[0] ** 2
    assert found[0] == pytest.approx(1, rel=0.01)
    assert np.abs(found[1:]).max() < 0.01
    # the mean of a map is as noisy as that of 4096 pixels: nothing was taken off, as Kaiser-Squires takes it
    assert maps.mean(axis=(1, 2, 3)).std() == pytest.approx(noise_sigma(cfg)[0] / 64, rel=0.15)


def test_flat_signal_stays_as_it_is_with_its_mean(config: Callable[..., Config]) -> None:
    cfg = config(FLAT)
    kappa = smooth_map(64, 1)
    out = noiseless(cfg, kappa)
    inside = np.s_[:, 5:-5, 5:-5]
    assert (out - kappa)[inside] == pytest.approx(0, abs=4e-4)


def test_flat_maps_are_0_under_the_mask_and_noisier_where_partly_covered(config: Callable[..., Config]) -> None:
    cfg = config(FLAT)
    observer = Observer(cfg)
    coverage = np.ones((1, 64, 64), np.float32)
    coverage[0, :16], coverage[0, 16:32] = 0.0, 0.64
    observer.masks = coverage
    zero = np.zeros((100, 64, 64, 1), np.float32)
    out = observed_by(Forward(cfg, observer=observer), zero, 0)[..., 0] * np.sqrt(0.75)
    assert (out[:, :16] == 0).all()
    assert out[:, 16:32].std() == pytest.approx(1.25, rel=0.02)
    assert out[:, 32:].std() == pytest.approx(1, rel=0.02)


def test_the_signal_goes_through_the_pixel_window(config: Callable[..., Config]) -> None:
    """Of maps that show the sky in pixel centres: HEALPix averages, squares within 3 %; below half of Nyquist."""
    smoothing = {"lensing.smoothing_arcmin": 0.0}
    cfg = config({"lensing.mask": "none", **smoothing})
    n = 64
    point = np.zeros((1, n, n, cfg.channels), np.float32)
    point[0, 32, 32] = 1.0
    found = np.abs(np.fft.fft2(noiseless(cfg, point)[0, ..., 0]))
    side = cfg.pixel_arcmin * ARCMIN
    k = 2 * np.pi * np.fft.fftfreq(n, side)
    ky, kx = np.meshgrid(k, k, indexing="ij")
    expected = np.sinc(ky * side / 2 / np.pi) * np.sinc(kx * side / 2 / np.pi)
    expected = expected * pixel_window(np.hypot(ky, kx), np.sqrt(4 * np.pi / 12) / NSIDE) ** 2
    low = (np.hypot(ky, kx) < np.pi / side / 2) & (np.hypot(ky, kx) > 0)
    assert found[low] == pytest.approx(expected[low], rel=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("survey", ["lsst_y1", "cosmos", "hsc_y3_fair", "kids_1000"])
def test_maps_of_pixel_averages_are_not_averaged_again(config: Callable[..., Config], survey: str) -> None:
    """But for their mean, which shear does not know, and rounding."""
    cfg = config({"lensing.survey": survey, "real.source": "mock", "lensing.mask": "none"})
    maps = np.random.default_rng(0).standard_normal((2, 64, 64, cfg.channels)).astype(np.float32)
    maps -= maps.mean(axis=(1, 2), keepdims=True)
    assert noiseless(cfg, maps) == pytest.approx(maps, abs=1e-4)


MEANS = {"lensing.survey": "hsc_y3_fair", "real.source": "mock", "lensing.mask": "none"}


def test_a_removed_mean_is_that_of_the_observed_pixels(config: Callable[..., Config]) -> None:
    """Of simulated and of real maps, by the last steps that they share; a constant added to either changes nothing."""
    removed = LastSteps(Observer(config({**MEANS, "lensing.mean": "removed_patch"})))
    kept = LastSteps(Observer(config(MEANS)))
    rng = np.random.default_rng(0)
    maps = rng.standard_normal((3, 64, 64, 1)).astype(np.float32) + 0.5
    coverage = np.ones((3, 64, 64), np.float32)
    coverage[0, :20] = 0.0
    out = finished(removed, maps, coverage)
    assert (out[0, :20] == 0).all()
    for one, seen in zip(out[..., 0], coverage > 0.5, strict=True):
        assert one[seen].mean() == pytest.approx(0, abs=1e-4)
    assert finished(removed, maps + 1, coverage) == pytest.approx(out, abs=1e-3)
    assert np.abs(finished(kept, maps + 1, coverage) - finished(kept, maps, coverage)).max() > 0.5


@pytest.mark.slow
def test_depth_is_the_noise_of_a_pixel_over_the_surveys(params: Path) -> None:
    """Masks with depth, in one file; half of the map has twice the noise, whatever way maps are made."""
    noise = np.ones((1, 96, 96), np.float32)
    noise[:, 48:] = 2.0
    np.savez(params.parent / "deep.npz", coverage=np.ones_like(noise), noise=noise)
    for survey in ("hsc_y3_fair", "kids_1000", "des_y3", "lsst_y1"):
        cfg = load_params(params, {"lensing.survey": survey, "real.source": "mock", "lensing.mask": "deep.npz"})
        zero = np.zeros((60, 64, 64, cfg.channels), np.float32)
        seen = survey_maps(Forward(cfg), zero, 0)[1]
        assert seen[:, 36:].std() / seen[:, :28].std() == pytest.approx(2.0, rel=0.05)


@pytest.mark.parametrize(
    ("noise", "line"),
    [
        (0.0258, "`noise` of 0.0258 in most pixels; .* divide it by the survey's"),  # not over the survey's
        (20.0, "`noise` of 20 in most pixels"),  # galaxies
        (np.nan, "not above 0 in observed pixels"),
        (1 + 1j, "`noise` of complex"),
        ("1", "`noise` of <U1"),
    ],
)
def test_depth_that_is_no_relative_noise(params: Path, noise: Any, line: str) -> None:
    coverage = np.ones((1, 96, 96), np.float32)
    np.savez(params.parent / "deep.npz", coverage=coverage, noise=np.full(coverage.shape, noise))
    with pytest.raises(UserError, match=f"lensing.mask=deep.npz: .*{line}"):
        load_params(params, {"lensing.survey": "lsst_y1", "real.source": "mock", "lensing.mask": "deep.npz"})


@pytest.mark.slow
def test_inversion_of_a_field_keeps_long_waves(config: Callable[..., Config], params: Path) -> None:
    """Tiles of a wider Kaiser-Squires map have their mean; patches inverted by themselves have not."""
    wave = 0.1 + smooth_map(64, 1)
    for inversion, kept in (("patch", 0.0), ("field", 1.0)):
        cfg = config({"lensing.survey": "cosmos", "real.source": "mock", "lensing.mask": "none"})
        vars(cfg)["survey"] = cfg.survey.model_copy(update={"inversion": inversion})
        out = noiseless(cfg, wave)
        assert out.mean() == pytest.approx(kept * wave.mean(), abs=2e-4)
        assert out - out.mean() == pytest.approx(wave - wave.mean(), abs=1e-3)


def test_smoothing_is_a_sigma_and_not_a_width(config: Callable[..., Config]) -> None:
    """Second moment of the response to a point."""
    cfg = whole(config, **{"lensing.smoothing_arcmin": 12.0})
    point = np.zeros((1, 64, 64, 4), np.float32)
    point[0, 32, 32] = 1.0
    observer = Observer(cfg)
    observer.scale = np.ones_like(observer.scale)
    out = finished(LastSteps(observer), point, np.ones((1, 64, 64), np.float32))[0].astype(float)
    y, x = (np.indices((64, 64)) - 32.0) * cfg.pixel_arcmin
    for b in range(4):
        assert out[..., b].sum() == pytest.approx(1, rel=1e-4)
        for axis in (x, y):
            assert np.sqrt((out[..., b] * axis**2).sum()) == pytest.approx(12.0, rel=0.01)


def test_real_maps_go_the_last_steps_of_simulated_ones(config: Callable[..., Config]) -> None:
    cfg = config({"lensing.smoothing_arcmin": 8.0})
    last = LastSteps(Observer(cfg))
    coverage = survey_masks(cfg)[:3]
    maps = np.random.default_rng(1).standard_normal((3, 64, 64, 4)).astype(np.float32)
    out = finished(last, maps, coverage)
    assert (out[coverage < 0.5] == 0).all()
    # what lies under the mask has no influence
    spoiled = np.where(coverage[..., None] < 0.5, np.float32(1e3), maps)
    assert (finished(last, spoiled, coverage) == out).all()
    assert finished(last, 2 * maps, coverage) == pytest.approx(2 * out, rel=1e-5)


def test_grf_maps_have_unit_deviation_each(config: Callable[..., Config]) -> None:
    cfg = config({"data.kind": "grf", "data.size": 32, "model.spectrum_bins": 6})
    maps = np.random.default_rng(0).standard_normal((20, 32, 32, 1)) * np.logspace(-12, 6, 20)[:, None, None, None]
    out = observe(cfg, maps, seed=0)
    assert out.std(axis=(1, 2, 3)) == pytest.approx(1, rel=1e-5)
    assert out[3] / maps[3] == pytest.approx(np.full((32, 32, 1), 1 / maps[3].std()), rel=1e-4)
    # nothing random happens to them
    assert (observe(cfg, maps, seed=1) == out).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pixels_that_are_no_numbers_are_refused(lensing: Config, value: float) -> None:
    maps = np.zeros((5, 64, 64, 4), np.float32)
    maps[3, 10, 10, 2] = value
    with pytest.raises(UserError, match="^maps: NaN or infinite pixels in map 3 .1 maps in all.$") as caught:
        observe(lensing, maps, seed=0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(5, 64, 64), (5, 64, 64, 1), (5, 32, 32, 4), (64, 64, 4)])
def test_maps_of_another_shape_are_refused(lensing: Config, shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match=r"must be \(n, 64, 64, 4\)") as caught:
        observe(lensing, np.zeros(shape, np.float32), seed=0)
    assert str(shape) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_maps_become_single_precision(lensing: Config) -> None:
    assert checked.maps(lensing, np.zeros((1, 64, 64, 4), np.float64)).dtype == np.float32


def test_survey_smoothing_of_the_preset_is_used(params: Path) -> None:
    preset = params.parent / "data" / "surveys" / "des_y3.yaml"
    raw = yaml.safe_load(preset.read_text())
    raw["smoothing_arcmin"] = 9.0
    masks = (params.parent / "data").resolve() / "masks"
    (params.parent / "data").unlink()
    (params.parent / "data" / "surveys").mkdir(parents=True)
    (params.parent / "data" / "masks").symlink_to(masks)
    preset.write_text(yaml.safe_dump(raw))
    assert Observer(load_params(params)).beam is not None
    assert Observer(load_params(params, {"lensing.smoothing_arcmin": 0.0})).beam is None
