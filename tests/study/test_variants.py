"""Each variant of the maps changes what it says and keeps the rest."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cosmokeras.observation.observe import observed_by
from cosmokeras.observation.ops.forward import Forward
from cosmokeras.params.config import Config
from cosmokeras.project import changed
from cosmokeras.simulators import lpt
from cosmokeras.theory import limber
from study import variants

THETA = np.array([[0.2], [0.4]])
COUNT, SEED = 48, 3
SMALL = {"data.size": 32, "lensing.pixel_arcmin": 10.0, "model.spectrum_bins": 6, "evaluate.spectrum_bins": 6}


@pytest.fixture(scope="module")
def sky(config: Callable[..., Config]) -> Config:
    """Lensing patches of 32 pixels."""
    return config(SMALL)


@pytest.fixture(scope="module")
def slabs(config: Callable[..., Config]) -> Config:
    """2lpt slabs of a small cube."""
    return config(SMALL | {
        "data.kind": "2lpt", "lpt.particles": 32, "lpt.box_mpc_h": 256.0, "lpt.slab_mpc_h": 64.0
    })  # fmt: skip


@pytest.fixture(scope="module")
def maps(sky: Config) -> np.ndarray:
    """Noise-free maps of the sky as the network knows them."""
    return variants.clean(sky, THETA, COUNT, SEED)


def skewness(maps: np.ndarray) -> np.ndarray:
    """Of the pixels of each channel, about each map's mean."""
    x = maps - maps.mean(axis=(1, 2), keepdims=True)
    return (x**3).mean(axis=(0, 1, 2)) / (x**2).mean(axis=(0, 1, 2)) ** 1.5


def power(maps: np.ndarray) -> np.ndarray:
    """Spectra of each map in three bands of wavenumber, (n, bands, channels)."""
    size = maps.shape[1]
    modes = np.abs(np.fft.fft2(maps, axes=(1, 2))) ** 2
    k = size * np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)[None])
    return np.stack([modes[:, (k >= a) & (k < b)].mean(axis=1) for a, b in ((1, 4), (4, 8), (8, 16))], axis=1)


def pulls(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Differences of the mean spectra of independent sets of maps of one cosmology in their errors."""
    a, b = power(a), power(b)
    error = np.sqrt((a.var(axis=0, ddof=1) + b.var(axis=0, ddof=1)) / len(a))
    return (a.mean(axis=0) - b.mean(axis=0)) / error


def test_gaussian_shells_have_the_spectrum_and_no_skewness(sky: Config, maps: np.ndarray) -> None:
    other = variants.clean(sky, THETA, COUNT, SEED + 1, variants.gaussian_maps)
    assert (skewness(maps) > 0.5).all()
    assert (np.abs(skewness(other)) < 0.15).all()
    for part in (slice(COUNT), slice(COUNT, None)):
        assert (np.abs(pulls(maps[part], other[part])) < 4).all()


def test_the_spectrum_would_tell_gaussian_shells_of_a_wrong_amplitude(sky: Config, maps: np.ndarray) -> None:
    """The Gaussian field inside the exponential itself has another spectrum: the test above is sharp enough to see."""
    other = 1.2 * variants.clean(sky, THETA, COUNT, SEED + 1, variants.gaussian_maps)
    assert (np.abs(pulls(maps[:COUNT], other[:COUNT])) > 4).any()


@pytest.mark.slow
def test_noise_is_stronger_by_a_fifth_and_the_signal_is_the_same(sky: Config) -> None:
    known, noisy = (make(sky, THETA, 16, SEED) for make in (variants.as_trained, variants.noisier))
    noise = (noisy - known) / (variants.NOISE - 1)
    used = np.abs(known) > 0
    # in units of the noise of a fully covered pixel, and masked maps are scaled up by their missing area
    assert noise[used].var() == pytest.approx(1.0, abs=0.12)
    assert noisy[used].var() - known[used].var() == pytest.approx(0.44 * noise[used].var(), rel=0.1)
    signal = observed_by(Forward(sky, 0.0), variants.clean(sky, THETA, 16, SEED), SEED)
    np.testing.assert_allclose(known - noise, signal, atol=2e-4)


@pytest.mark.slow
def test_without_a_mask_every_pixel_is_seen(sky: Config) -> None:
    known, whole = (make(sky, THETA, 16, SEED) for make in (variants.as_trained, variants.unmasked))
    assert (known == 0).mean() > 0.01
    assert (whole == 0).mean() == 0


@pytest.mark.slow
def test_alignments_change_spectra_as_theory_says(sky: Config) -> None:
    aligned = changed(sky, {"prior.a_ia": 1.0})
    count, theta, ell = 200, THETA[:1], np.array([400.0])
    before, after = (power(variants.clean(cfg, theta, count, SEED))[:, 1].mean(axis=0) for cfg in (sky, aligned))
    wanted = [np.einsum("bbl->b", limber.angular_cl(cfg, theta, ell)[0]) for cfg in (sky, aligned)]
    assert (np.abs(wanted[1] / wanted[0] - 1) > 0.02).any()  # of the nearest bin most
    np.testing.assert_allclose(after / before, wanted[1] / wanted[0], rtol=0.06)
    assert not np.array_equal(*(make(sky, theta, 2, SEED) for make in (variants.as_trained, variants.aligned)))


@pytest.mark.slow
def test_only_periodic_maps_wrap_around(sky: Config, maps: np.ndarray) -> None:
    def seam(maps: np.ndarray) -> float:
        across, beside = maps[:, 0] - maps[:, -1], maps[:, 1] - maps[:, 0]
        return float(np.sqrt(np.mean(across**2) / np.mean(beside**2)))

    wrapped = variants.clean(sky, THETA, COUNT, SEED, prepared=variants.lensing.prepare(sky, padding=1))
    assert seam(wrapped) == pytest.approx(1, abs=0.1)
    assert seam(maps) > 1.2
    assert not np.array_equal(*(make(sky, THETA, 2, SEED) for make in (variants.as_trained, variants.periodic)))


@pytest.mark.slow
def test_the_third_moment_is_that_of_simulations(sky: Config, maps: np.ndarray) -> None:
    skewed = variants.clean(changed(sky, {"lensing.third_moment": "bihalofit"}), THETA, COUNT, SEED)
    assert (skewness(skewed)[1:] > 1.1 * skewness(maps)[1:]).all()
    assert skewed.std() == pytest.approx(maps.std(), rel=0.05)  # at the same spectra
    assert not np.array_equal(*(make(sky, THETA, 2, SEED) for make in (variants.as_trained, variants.third_moment)))


@pytest.mark.slow
def test_nbody_maps_are_those_of_particle_mesh_boxes(sky: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def clean(cfg: Config, theta: np.ndarray, count: int, seed: int) -> np.ndarray:
        made.append(cfg.kind.module)
        return np.zeros((len(theta) * count, 32, 32, 4), np.float32)

    monkeypatch.setattr(variants, "clean", clean)
    assert variants.nbody(sky, THETA, 2, SEED).shape == (4, 32, 32, 4)
    assert made == ["cosmokeras.simulators.pm.light_cone"]


def test_zeldovich_slabs_are_less_skewed_and_alike_on_large_scales(slabs: Config) -> None:
    """From the same initial field: large scales agree map by map."""
    second, first = (make(slabs, THETA, COUNT, SEED) for make in (variants.as_trained, variants.zeldovich))
    assert 0 < skewness(first)[0] < 0.9 * skewness(second)[0]
    large = [power(maps)[:, 0, 0] for maps in (second, first)]
    assert np.corrcoef(*np.log(large))[0, 1] > 0.95
    assert large[1].mean() == pytest.approx(large[0].mean(), rel=0.1)


def test_zeldovich_slabs_of_the_second_order_are_those_of_the_simulator(
    slabs: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = lpt.density
    monkeypatch.setattr(lpt, "density", lambda delta, box, growth, order, omega: moved(delta, box, growth, 2, omega))
    second, composed = (make(slabs, THETA, 20, SEED) for make in (variants.as_trained, variants.zeldovich))
    np.testing.assert_allclose(composed, second, atol=1e-3 * second.std())


def test_maps_of_another_kind_are_as_strong_as_those_at_home(slabs: Config, config: Callable[..., Config]) -> None:
    gaussian_fields = config(SMALL | {"data.kind": "grf", "grf.box_mpc_h": 256.0})
    known = variants.as_trained(slabs, THETA, COUNT, SEED)
    foreign = variants.of_kind(gaussian_fields)(slabs, THETA, COUNT, SEED)
    for part in (slice(COUNT), slice(COUNT, None)):
        assert foreign[part].std() == pytest.approx(known[part].std(), rel=1e-4)
    assert skewness(known)[0] > 0.3
    assert abs(skewness(foreign)[0]) < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("variant", [variants.as_trained, variants.gaussian, variants.noisier, variants.periodic])
def test_the_same_seed_gives_the_same_maps(variant: variants.Variant, sky: Config) -> None:
    once, again, other = (variant(sky, THETA, 2, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(once, again)
    assert not np.array_equal(once, other)
