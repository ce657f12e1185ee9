"""Every picture is drawn from made-up numbers: it is readable, colourful, and the same bytes each time."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.image import imread
from scipy.ndimage import gaussian_filter

from cosmokeras.report import evaluation, footprint, maps, posterior, sky_checks, spectra, training
from cosmokeras.surveys.pixel_histograms import pixel_histograms

NAMES = ("omega_m", "sigma8", "h")
BOUNDS = np.array([[0.1, 0.5], [0.6, 1.0], [0.5, 0.9]])
WIDTH = np.array([0.04, 0.03, 0.09])


def fake_maps(n: int, channels: int, size: int = 48) -> np.ndarray:
    """Smooth noise (n, size, size, channels) of the amplitude of convergence maps."""
    noise = np.random.default_rng(1).normal(size=(n, size, size, channels))
    return 0.05 * gaussian_filter(noise, (0, 1.5, 1.5, 0)) * (1 + np.arange(channels) / 2)


def fake_tests(p: int, n: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, mean and std of a calibrated network, each (n, p)."""
    rng = np.random.default_rng(2)
    truth = rng.uniform(*BOUNDS[:p].T, (n, p))
    std = np.broadcast_to(WIDTH[:p], (n, p)) * rng.uniform(0.7, 1.3, (n, 1))
    return truth, truth + std * rng.normal(size=(n, p)), std


def draw_example_maps(path: Path, p: int) -> None:
    titles = [rf"$\Omega_m$ = {value}" for value in (0.15, 0.3, 0.45)]
    maps.example_maps(path, fake_maps(3, {1: 1, 2: 4}[p]), titles, r"convergence $\kappa$")


def draw_spectra(path: Path, p: int) -> None:
    x = np.geomspace(100, 900 if p == 1 else 2000, 12)
    theory = 1e-5 * (x / 100) ** -1.2 * np.arange(1, p + 2)[:, None]
    error = 0.02 * theory
    measured = theory + error * np.random.default_rng(3).normal(size=theory.shape)
    measured[0, -1] *= 1.3  # outside the usual range of the ratio
    labels = [f"bin {i + 1}" for i in range(p + 1)]
    spectra.spectra(path, x, measured, error, theory, labels, r"multipole $\ell$", r"$C_\ell$")


def draw_training_curves(path: Path, p: int) -> None:
    epoch = np.arange(1, 2 if p == 1 else 21)
    rows = zip(epoch, -1 - 1 / epoch, 0.02 * (epoch - 12.0) ** 2 / 10 - 0.8, 2e-3 / epoch, strict=True)
    training.training_curves(path, [dict(zip(("epoch", "loss", "val_loss", "lr"), row, strict=True)) for row in rows])


def draw_predicted_true(path: Path, p: int) -> None:
    truth, mean, std = fake_tests(p)
    rmse = dict(zip(NAMES, WIDTH, strict=True))
    references = {"omega_m": {"prior": 0.115, "power spectrum": 0.05, "exact limit": 0.035}}
    evaluation.predicted_true(path, truth, mean, std, NAMES[:p], rmse, references)


def draw_residuals(path: Path, p: int) -> None:
    evaluation.residuals(path, *fake_tests(p), NAMES[:p])


def draw_coverage(path: Path, p: int) -> None:
    rng = np.random.default_rng(4)
    evaluation.coverage(path, rng.uniform(size=(400, p)), rng.uniform(size=400), np.arange(400) // 2, NAMES[:p])


def draw_saliency(path: Path, p: int) -> None:
    slopes = np.random.default_rng(5).normal(size=(p, 4, 8))
    evaluation.saliency(path, np.geomspace(70, 3000, 8), slopes, NAMES[:p], r"multipole $\ell$")


def draw_posterior(path: Path, p: int) -> None:
    rng = np.random.default_rng(5)
    truth = np.array([0.3, 0.8, 0.7])[:p]
    centres = rng.normal(truth, WIDTH[:p], (20, 1, p))
    patches = np.clip(rng.normal(centres, WIDTH[:p], (20, 1000, p)), *BOUNDS[:p].T)
    mixing = np.array([[1, -0.8, 0.2], [0, 0.6, 0.3], [0, 0, 1]])[:p, :p] * WIDTH[:p] / 4
    combined = truth + rng.normal(size=(4000, p)) @ mixing
    known = dict(zip(NAMES[:p], truth, strict=True)) if p == 2 else None
    posterior.posterior(path, patches, combined, NAMES[:p], BOUNDS[:p], known, "MOCK sky (simulated)")


def draw_gallery(path: Path, p: int) -> None:
    n = {1: 1, 2: 6}[p]
    seen = np.ones((n, 48, 48))
    seen[:, 5:12, 20:30] = 0
    maps.gallery(path, fake_maps(n, 4), seen, np.linspace(10, 95, n), np.linspace(-60, 4, n), "MOCK sky (simulated)")


def draw_surprise(path: Path, p: int) -> None:
    rng = np.random.default_rng(6)
    reference, real = rng.chisquare(8, 2000), rng.chisquare(8, {1: 3, 2: 40}[p]) * {1: 1, 2: 30}[p]
    sky_checks.surprise(path, reference, real, {1: 0.41, 2: 1e-4}[p], 0.01, "MOCK sky (simulated)")


def draw_footprint(path: Path, p: int) -> None:
    n, rng = {1: 3, 2: 60}[p], np.random.default_rng(8)
    places = rng.uniform(-30, 60, n) % 360, rng.uniform(-60, 0, n)
    if p == 1:
        places = np.full(n, np.nan), np.full(n, np.nan)
    footprint.footprint(path, places, rng.normal(size=n), rng.uniform(size=n), "omega_m", "MOCK sky (simulated)")


def draw_comparison(path: Path, p: int) -> None:
    ours = ("this work", 0.274, 0.012, 0.015)
    rows = {"omega_m": [ours]}
    if p == 2:
        theirs = ("DES Y3 3x2pt\nDES Collaboration 2022, PRD 105, 023520", 0.339, 0.031, 0.032)
        two = ("DES Y3 cosmic shear\nAmon et al. 2022, PRD 105, 023514;\nSecco et al. 2022", 0.759, 0.023, 0.025)
        rows = {"omega_m": [ours, theirs, ("Planck 2018\nA&A 641, A6", 0.3153, 0.0073, 0.0073)]}
        rows["S8"] = [("this work", 0.78, 0.02, 0.03), two]
    posterior.comparison(path, rows, {"omega_m": 0.25} if p == 1 else {}, "MOCK sky (simulated)")


def draw_null_tests(path: Path, p: int) -> None:
    n, channels = {1: (1, 1), 2: (30, 4)}[p]
    rng = np.random.default_rng(9)
    maps = rng.normal(0, 0.03, (n, 32, 32, channels))
    seen = np.ones((n, 32, 32))
    seen[:, :4] = rng.uniform(0, 1, (n, 1, 1))
    places = rng.uniform(-30, 60, n) % 360, rng.uniform(-60, 0, n)
    numbers = {"e_excess_sigma": 19.53, "b_excess_sigma": 1.97, "pixel_noise": 0.0255} if p == 1 else {}
    pixels = pixel_histograms(maps, seen, np.full(channels, 0.03))
    sky_checks.null_tests(path, pixels, 1 - seen.mean((1, 2)), places, numbers, "MOCK sky (simulated)")


PICTURES = (
    draw_example_maps,
    draw_spectra,
    draw_training_curves,
    draw_predicted_true,
    draw_residuals,
    draw_coverage,
    draw_saliency,
    draw_posterior,
    draw_gallery,
    draw_surprise,
    draw_footprint,
    draw_comparison,
    draw_null_tests,
)


@pytest.mark.slow
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("draw", PICTURES, ids=lambda draw: draw.__name__.removeprefix("draw_"))
def test_pictures_are_readable_and_stable(draw: Callable[[Path, int], None], p: int, tmp_path: Path) -> None:
    folder = Path(os.environ.get("COSMOKERAS_TEST_FIGURES", tmp_path))  # to look at them
    first, second = folder / f"{draw.__name__.removeprefix('draw_')}_{p}.png", tmp_path / "second.png"
    before = dict(mpl.rcParams)
    draw(first, p)
    draw(second, p)
    assert first.read_bytes() == second.read_bytes()
    assert b"Software" not in first.read_bytes()
    assert dict(mpl.rcParams) == before
    image = imread(first)
    assert 800 <= image.shape[1] <= 1200
    assert len(np.unique(image.reshape(-1, image.shape[-1]), axis=0)) > 20
    assert not list(tmp_path.glob(".*"))  # no temporary file is left


def test_user_settings_do_not_change_a_picture(tmp_path: Path) -> None:
    draw_coverage(tmp_path / "a.png", 1)
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        draw_coverage(tmp_path / "b.png", 1)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_point_estimates_have_no_widths(tmp_path: Path) -> None:
    truth, mean, std = fake_tests(1)
    for name, width in (("with", std), ("without", None)):
        evaluation.residuals(tmp_path / f"{name}.png", truth, mean, width, NAMES[:1])
    assert (tmp_path / "with.png").read_bytes() != (tmp_path / "without.png").read_bytes()


def test_nothing_is_written_when_drawing_fails(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        evaluation.predicted_true(tmp_path / "a.png", *fake_tests(1), NAMES[:1], {}, {})
    assert not list(tmp_path.iterdir())


def test_density_keeps_its_height_at_the_prior_edge() -> None:
    samples = np.random.default_rng(7).uniform(0.1, 0.5, 20000)
    _, height = posterior._density(samples, BOUNDS[0])
    assert height[[0, -1]] == pytest.approx(height.mean(), rel=0.1)  # a plain kernel estimate gives half of it


def test_curves_of_a_posterior_are_tables_for_other_programs(tmp_path: Path) -> None:
    samples = np.random.default_rng(7).normal([0.3, 0.8], [0.01, 0.05], (4000, 2))
    (tmp_path / "old.csv").write_text("of another run")
    posterior.curves(tmp_path, samples, NAMES[:2], BOUNDS[:2])
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{name}.csv" for name in sorted(NAMES[:2])]
    for name, (low, high), mean, std in zip(NAMES[:2], BOUNDS[:2], (0.3, 0.8), (0.01, 0.05), strict=True):
        value, density = np.loadtxt(tmp_path / f"{name}.csv", delimiter=",", skiprows=1, unpack=True)
        assert (np.diff(value) > 0).all() and low <= value[0] and value[-1] <= high
        assert value[-1] - value[0] > 0.98 * (high - low) and len(value) < 500
        assert density.max() == pytest.approx(1, abs=0.01)
        assert np.interp(mean + std, value, density) == pytest.approx(np.exp(-0.5), abs=0.08)


def test_null_tests_of_maps_without_noise_or_places(tmp_path: Path) -> None:
    nowhere = np.full(2, np.nan)
    pixels = pixel_histograms(fake_maps(2, 3), np.full((2, 48, 48), 0.6), None)
    sky_checks.null_tests(tmp_path / "a.png", pixels, np.full(2, 0.4), (nowhere, nowhere), {}, "toy")
    assert imread(tmp_path / "a.png").shape[1] >= 800


def test_comparison_draws_the_truth_and_each_published_value(tmp_path: Path) -> None:
    ours, theirs = ("this work", 0.3, 0.02, 0.02), ("paper", 0.35, 0.01, 0.01)
    sizes = {}
    for name, rows, truth in (("alone", [ours], {}), ("truth", [ours], {"h": 0.31}), ("other", [ours, theirs], {})):
        posterior.comparison(tmp_path / f"{name}.png", {"h": rows}, truth, "title")
        sizes[name] = imread(tmp_path / f"{name}.png").shape
    assert sizes["other"][0] > sizes["alone"][0]  # a row more
    assert (tmp_path / "alone.png").read_bytes() != (tmp_path / "truth.png").read_bytes()
