"""Convergence maps: C_ell of all pairs of bins against CCL, called directly and not through our own tables."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from scipy import fft

from cosmokeras.config import Config
from cosmokeras.cosmology import theory_table
from cosmokeras.pixels import ARCMIN
from cosmokeras.simulators import lensing as simulator
from cosmokeras.simulators import simulate
from cosmokeras.simulators.fields import map_rng, wavenumbers

N = 128  # pixels on a side of the whole periodic grid
MAPS = 300
BANDS = np.array([100.0, 220, 400, 700, 1100, 1500, 2000])
OMEGA_M = (0.15, 0.3, 0.45)


class Case:
    """Shells of one cosmology on the whole grid, and what CCL says about them."""

    def __init__(self, cfg: Config, omega_m: float, ccl_angular_cl: Callable[..., np.ndarray]) -> None:
        self.pixel = cfg.pixel_arcmin * ARCMIN
        self.ell = wavenumbers(N, self.pixel)
        self.planes = simulator.shells(cfg, theory_table(cfg), np.array([omega_m]), N)
        ell = np.geomspace(30, 3100, 150)
        log_cl = np.log(ccl_angular_cl(cfg, omega_m, ell))
        log_ell = np.log(self.ell.clip(30))
        self.ccl = self.bands(np.exp([[np.interp(log_ell, np.log(ell), pair) for pair in row] for row in log_cl]))

    def bands(self, power: np.ndarray) -> np.ndarray:
        """Means over the modes of each band, (..., bands), of something on the grid of rfft2."""
        # every mode of rfft2 stands for two, but those of the first and last column for one
        weight = np.full(self.ell.shape, 2.0)
        weight[:, [0, -1]] = 1.0
        inside = [(self.ell >= low) & (self.ell < high) for low, high in itertools.pairwise(BANDS)]
        return np.stack([(power * weight)[..., i].sum(-1) / weight[i].sum() for i in inside], axis=-1)

    def measured(self, maps: np.ndarray) -> np.ndarray:
        """Spectra of maps (bins, N, N), (bins, bins, bands)."""
        modes = fft.rfft2(maps) * (self.pixel / N)
        return self.bands((modes[:, None] * modes[None].conj()).real)

    def combined(self, shell_power: np.ndarray) -> np.ndarray:
        """Spectra of all bins from those of the shells (shells, N, N // 2 + 1)."""
        w = self.planes.weights.astype(float)
        return self.bands(np.einsum("as,bs,syx->abyx", w, w, shell_power))

    def expected_gaussian(self) -> np.ndarray:
        """Exact mean spectra of the sum over shells of weight times *Gaussian* field."""
        return self.combined(self.planes.amplitudes.astype(float) ** 2 * self.pixel**2 / N**2)

    def expected(self) -> np.ndarray:
        """Exact mean spectra of the maps: the correlation of exp(g - var/2) - 1 is exp(that of g) - 1."""
        xi = fft.irfft2(self.planes.amplitudes.astype(float) ** 2 / N**2, s=(N, N))
        return self.combined(fft.rfft2(np.expm1(xi)).real * self.pixel**2)


@pytest.fixture(scope="module", params=OMEGA_M)
def case(lensing: Config, ccl_angular_cl: Callable[..., np.ndarray], request: pytest.FixtureRequest) -> Case:
    return Case(lensing, request.param, ccl_angular_cl)


def test_mean_spectra_are_those_of_ccl(case: Case) -> None:
    """Without scatter: what the shells' amplitudes and weights amount to on average."""
    assert case.expected() == pytest.approx(case.ccl, rel=0.01)


def test_spectra_of_maps_are_those_of_ccl(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured on maps, within 3 %, 100 < ell < 2000, all pairs of bins.

    The scatter of 300 maps is above 1 % in the lowest band. The Gaussian fields from which a map is made have spectra
    of their own, which follow the same random numbers and whose mean is known exactly: what they are off by, times the
    regression slope, is taken away (a control variate), which leaves under 1.2 % there. That would hide fields of a
    wrong power, so the control itself must be where it should within its scatter (test_fields does this mode by mode).
    """
    fields: list[np.ndarray] = []
    draw = simulator.gaussian_field

    def recorded(rng: np.random.Generator, amplitude: np.ndarray) -> np.ndarray:
        fields.append(draw(rng, amplitude))
        return fields[-1]

    monkeypatch.setattr(simulator, "gaussian_field", recorded)
    spectra, control = [], []
    for i in range(MAPS):
        fields.clear()
        kappa = simulator._convergence(case.planes, N, map_rng(0, 9, 0, i))
        assert kappa.shape == (N, N, 4)
        spectra.append(case.measured(np.moveaxis(kappa, -1, 0)))
        control.append(case.measured(np.tensordot(case.planes.weights, np.stack(fields), 1)))
    spectra, control = np.array(spectra), np.array(control)
    d_spectra, d_control = spectra - spectra.mean(axis=0), control - control.mean(axis=0)
    slope = (d_spectra * d_control).mean(axis=0) / (d_control**2).mean(axis=0)
    corrected = spectra.mean(axis=0) - slope * (control.mean(axis=0) - case.expected_gaussian())
    error = (d_spectra - slope * d_control).std(axis=0) / np.sqrt(MAPS)
    assert (error / case.ccl).max() < 0.012
    assert np.abs((control.mean(axis=0) - case.expected_gaussian()) / control.std(axis=0)).max() < 4 / np.sqrt(MAPS)
    assert corrected == pytest.approx(case.ccl, rel=0.03)
    # and no further from their exact mean than the scatter allows: 60 numbers that move together
    assert np.abs((corrected - case.expected()) / error).max() < 4


@pytest.mark.parametrize("thickness", [50.0, 25.0, 10.0])
def test_finer_shells_have_the_same_spectra(
    config: Callable[..., Config], ccl_angular_cl: Callable[..., np.ndarray], thickness: float
) -> None:
    coarse = Case(config(), 0.3, ccl_angular_cl)
    fine = Case(config({"lensing.shell_mpc_h": thickness}), 0.3, ccl_angular_cl)
    assert np.isfinite(fine.planes.amplitudes).all()
    # distant shells that add nothing are left out
    assert fine.planes.weights.shape[1] > 0.6 * 100 / thickness * coarse.planes.weights.shape[1]
    assert fine.expected() == pytest.approx(coarse.expected(), rel=0.03)


@pytest.fixture(scope="module")
def maps(lensing: Config) -> np.ndarray:
    """40 maps of one cosmology, (40, 64, 64, 4)."""
    rngs = [map_rng(2, 0, 0, i) for i in range(40)]
    return simulator.maps(lensing, simulator.prepare(lensing), np.array([0.3]), rngs)


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
    planes = simulator.shells(lensing, theory_table(lensing), np.array([0.3]), N)
    assert (maps.min(axis=(0, 1, 2)) > -planes.weights.sum(axis=1)).all()
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
