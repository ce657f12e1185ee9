"""The sky through particle-mesh boxes: shells, cells along lines of sight, power."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cosmokeras.params.boxes import Box
from cosmokeras.params.config import Config
from cosmokeras.simulators.pm import mock, sky
from cosmokeras.simulators.sphere import FIDUCIAL, spectra_ratio
from cosmokeras.sky.pixels import full_lmax
from cosmokeras.theory.table import theory_table

NEAR, FAR = sky.BOXES
pytest.importorskip("healpy", reason="healpy is not installed: no sky is made")


def test_shells_fill_the_way_without_gaps() -> None:
    """All edges are shared, from the observer to z_max."""
    farthest = 4000.0
    edges = sorted(e for box in sky.BOXES for s in range(box.snapshots) for e in sky.shells(box, s, farthest))
    assert edges[0][0] == 0.0 and edges[-1][1] == farthest
    assert [near for near, _ in edges[1:]] == [far for _, far in edges[:-1]]
    assert all(far - near <= (NEAR.side if near < FAR.nearest else FAR.side) for near, far in edges)
    assert len(edges) == 8 + 12


def test_weights_sum_up_to_the_kernel(lensing: Config) -> None:
    """int q dchi of a shell within 0.5 %, and steps that see all waves of the pixels."""
    table, values = theory_table(lensing), lensing.cosmology([0.3])
    back = table.background(values)
    for nside in (64, 512):
        chi, weights, middle = sky.nodes(lensing, table, values, (1024.0, 1280.0), FAR, nside)
        assert middle == 1152.0
        assert np.diff(chi).max() <= np.pi * middle / full_lmax(nside)
        fine = np.linspace(1024, 1280, 2000)
        exact = np.trapezoid(sky.limber.kernel(lensing.survey, back, fine, values), fine)
        assert weights.sum(axis=1) == pytest.approx(exact, rel=0.02)  # growth is in the weights
        assert np.diff(weights[0] / sky.limber.kernel(lensing.survey, back, chi, values)[0])[:5].max() < 0


def test_a_line_of_sight_sees_the_nearest_cells() -> None:
    """Turned, moved and wrapped around, against sums by numpy."""
    rng = np.random.default_rng(4)
    field = rng.normal(size=(8, 8, 8)).astype(np.float32)
    directions = rng.normal(size=(3, 50)).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=0)
    turned = np.linalg.qr(rng.normal(size=(3, 3)))[0].astype(np.float32)
    shift, chi = rng.uniform(0, 8, 3).astype(np.float32), np.linspace(3, 40, 30, dtype=np.float32)
    weights = rng.uniform(size=(2, 30)).astype(np.float32)
    kappa = np.ones((2, 50), np.float32)
    sky._add(kappa, directions, field, turned, shift, chi, weights)
    at = (turned @ directions)[:, :, None] * chi + shift[:, None, None]
    cells = np.floor(at + np.float32(0.5)).astype(int) % 8
    seen = field[cells[0], cells[1], cells[2]]
    wrong = np.abs(1 + seen @ weights.T - kappa.T).max(axis=1) > 1e-4
    assert wrong.sum() <= 2  # a point on the border of two cells


def test_a_field_has_the_power_of_theory_and_the_pixels_window(lensing: Config) -> None:
    """Of points at random, whose power is white before: band powers within 5 %."""
    table, values, n = theory_table(lensing), lensing.cosmology([0.3]), 32
    box = Box(side=256.0, particles=n, nearest=1024.0, shells=8, early=3, beyond=True)
    x = np.random.default_rng(1).uniform(0, n, (3, n**3)).astype(np.float32)
    middle, nside = 1200.0, 512
    field = sky.shell_field(sky.density_modes(x, n, 2 * n), table, values, box, middle, nside)
    assert field.mean() == pytest.approx(0.0, abs=1e-6)
    modes, k = np.fft.rfftn(field), 2 * np.pi / box.side * np.sqrt(sky.squared_modes(2 * n))
    frequency = np.fft.fftfreq(2 * n)
    nearest = np.sinc(frequency)[:, None, None] * np.sinc(frequency)[None, :, None] * np.sinc(frequency[: n + 1])
    power = np.abs(modes * nearest) ** 2 * box.side**3 / (2 * n) ** 6
    z = float(table.background(values).z_of(np.array(middle)))
    for low, high in ((0.1, 0.2), (0.2, 0.3), (0.3, 0.38)):
        band = (k > low) & (k < high)
        theory = table.power(values)(k[band], np.full(band.sum(), z))
        window = sky.pixel_window(k[band] * middle, sky.healpix_side(nside)) ** 2
        assert power[band].mean() == pytest.approx((theory * window).mean(), rel=0.05)


def test_mass_is_painted_once() -> None:
    x = np.random.default_rng(2).uniform(-3, 20, (3, 16**3)).astype(np.float32)
    modes = sky.density_modes(x, 16, 32)
    assert modes.shape == (32, 32, 17)
    assert abs(modes[0, 0, 0]) < 1e-2 * 32**1.5


def test_the_mock_is_made_once_and_kept(
    config: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COSMOKERAS_WORK", str(tmp_path))
    made = []

    def few(cfg: Config, theta: np.ndarray, nside: int, rng: np.random.Generator) -> np.ndarray:
        made.append(cfg.cosmology(theta))
        return 0.01 * rng.standard_normal((4, 12 * nside**2)).astype(np.float32)

    monkeypatch.setattr(mock, "full_sky", few)
    mask = np.arange(12 * 32**2) % 3 == 0
    cfg = config({"real.mock": "pm", "theory.nonlinear": "hmcode2020", "prior.log_t_agn": 7.8})
    maps, truth = mock.noisy_sky(cfg, mask)
    again, _ = mock.noisy_sky(cfg, mask)
    assert (maps == again).all() and truth == FIDUCIAL
    assert len(made) == 1 and made[0]["log_t_agn"] is None and made[0]["omega_m"] == 0.27 and made[0]["a_ia"] == 0.0
    assert (maps[:, ~mask] == 0).all() and (maps[:, mask] != 0).all()
    path = next(tmp_path.glob("mock/*/sky.npz"))
    path.write_bytes(path.read_bytes()[:100])
    assert (mock.noisy_sky(cfg, mask)[0] == maps).all()
    assert len(made) == 2


@pytest.mark.slow
def test_spectra_of_the_sky_are_those_of_theory(config: Callable[..., Config]) -> None:
    """NSIDE 64: bands of 30 < ell < 128 within 10 % of CCL, all pairs of bins."""
    own = mock.of_the_mock(config())
    kappa = sky.full_sky(own, np.array([0.0]), 64, np.random.default_rng(3))
    ratio = spectra_ratio(kappa, FIDUCIAL, own.survey, np.array([30.0, 60.0, 128.0]))
    assert np.abs(ratio - 1).max() < 0.1
