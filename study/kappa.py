"""Parts of the physics check about lensing: spectra against CCL, skewness, nuisances."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cosmokeras.config import Config
from cosmokeras.pixels import healpix_side, pixel_window
from cosmokeras.simulators import lensing, realisations
from cosmokeras.simulators.fields import wavenumbers
from study import pictures, shells
from study.setting import MIDDLE, OMEGA_M, Effort, Notes, config

SIZE = 128  # pixels on a side of the whole periodic grid
EDGES = np.geomspace(100, 2000, 11)  # of multipole bands
NSIDE = 256  # of the HEALPix pixels in which skewness is given
THICKNESS = (100.0, 50.0, 25.0, 10.0)  # of shells [Mpc/h]
AUTO = [(b, b) for b in range(4)]
CROSS = [(a, b) for a in range(4) for b in range(a + 1, 4)]
NUISANCES: dict[str, dict[str, Any]] = {
    r"alignments, $A_{IA}$ = 1": {"prior.a_ia": 1.0},
    "shear bias, m = 0.02": {"prior.m_bias": 0.02},
    r"redshifts, $\Delta z$ = 0.02": {"prior.delta_z": 0.02},
    "baryons, strength 1": {"prior.baryons": 1.0},
}


class Sky:
    """One cosmology on the whole periodic grid: maps without edges, and what they must be."""

    def __init__(self, overrides: dict[str, Any], omega_m: float) -> None:
        self.cfg: Config = config({"data.size": SIZE, **overrides})
        self.theta = np.array([omega_m])
        self.grid = lensing.prepare(self.cfg, padding=1)
        self.ell = wavenumbers(SIZE, self.cfg.pixel_side)

    def exact(self) -> np.ndarray:
        """Exact mean spectra, (bins, bins, bands)."""
        planes = lensing.shells(self.cfg, self.grid, self.theta)
        return shells.bands(shells.spectra(planes, self.cfg.pixel_side), self.ell, EDGES)

    def ccl(self) -> np.ndarray:
        """Spectra of CCL, (bins, bins, bands)."""
        return shells.ccl_bands(self.cfg, self.theta, self.ell, EDGES)

    def maps(self, count: int) -> np.ndarray:
        """Noise-free maps (count, SIZE, SIZE, bins)."""
        return lensing.maps(self.cfg, self.grid, self.theta, realisations(7, 3, 0), count)

    def measured(self, maps: np.ndarray) -> np.ndarray:
        """Spectra of each map, (count, bins, bins, bands)."""
        out = []
        for one in maps:
            modes = np.fft.rfft2(np.moveaxis(one, -1, 0)) * (self.cfg.pixel_side / SIZE)
            out.append(shells.bands((modes[:, None] * modes[None].conj()).real, self.ell, EDGES))
        return np.array(out)


def spectra(out: Path, effort: Effort, notes: Notes) -> None:
    """All ten pairs of bins against CCL, with and without intrinsic alignments; skewness of the pixels."""
    sides = []
    for a_ia, name in ((0.0, "plain"), (1.0, "a_ia_1")):
        sky = Sky({"prior.a_ia": a_ia}, MIDDLE)
        maps, exact, ccl = sky.maps(effort.maps), sky.exact(), sky.ccl()
        each = sky.measured(maps)
        mean, error = each.mean(axis=0), each.std(axis=0) / np.sqrt(effort.maps)
        scale = np.sqrt(np.einsum("aal->al", ccl))
        geometric = scale[:, None] * scale[None]  # where lensing and alignment cancel, ccl is close to 0
        notes.note(f"c_ell_shells_worst_{name}", np.abs((exact - ccl) / geometric).max(), 0, 0.02)
        autos = [mean[b, b] / ccl[b, b] for b, _ in AUTO]
        weights = [(ccl[b, b] / error[b, b]) ** 2 for b, _ in AUTO]
        notes.note(f"c_ell_maps_ratio_{name}", np.average(autos, weights=weights), 0.98, 1.02)
        notes.note(f"c_ell_maps_worst_sigma_{name}", np.abs((mean - exact) / error).max(), 0, 5)
        centre = shells.band_centres(sky.ell, EDGES)
        lines = [
            pictures.Curve(
                centre, mean[p] / ccl[p], error[p] / ccl[p], ccl[p], f"{p[0] + 1}{p[1] + 1}", exact[p] / ccl[p]
            )
            for p in (*AUTO, *CROSS)
        ]
        title = rf"$A_{{IA}}$ = {a_ia:g}, {effort.maps} maps"
        sides.append({"title": title, "auto": lines[:4], "cross": lines[4:]})
        if not a_ia:
            _skewness_of_pixels(sky, maps, notes)
    for omega_m in OMEGA_M:
        if omega_m != MIDDLE and effort.maps > 100:
            sky = Sky({}, omega_m)
            worst = np.abs(sky.exact() / sky.ccl() - 1).max()
            notes.note(f"c_ell_shells_worst_omega_m_{omega_m:g}", worst, 0, 0.02)
    pictures.tomography(out / "spectra_lensing.png", sides)


def _skewness_of_pixels(sky: Sky, maps: np.ndarray, notes: Notes) -> None:
    """Of the pixels as they are, against the exact one, and of HEALPix pixels of NSIDE."""
    planes = lensing.shells(sky.cfg, sky.grid, sky.theta)
    wanted = shells.skewness(planes)
    window = pixel_window(sky.ell, healpix_side(NSIDE))[None, :, :, None]
    coarse = np.fft.irfft2(np.fft.rfft2(maps, axes=(1, 2)) * window, s=(SIZE, SIZE), axes=(1, 2))
    for b in range(maps.shape[-1]):
        value, error = jackknife(maps[..., b])
        # a heavy tail: the error itself is uncertain
        slack = max(0.05, 5 * error / wanted[b])
        notes.note(f"skewness_maps_over_exact_bin_{b + 1}", value / wanted[b], 1 - slack, 1 + slack)
    for b in range(maps.shape[-1]):
        value, error = jackknife(coarse[..., b])
        notes.note(f"skewness_nside_{NSIDE}_bin_{b + 1}", value)
        notes.note(f"skewness_nside_{NSIDE}_error_bin_{b + 1}", error)
        notes.note(f"std_nside_{NSIDE}_bin_{b + 1}", coarse[..., b].std())


def jackknife(maps: np.ndarray) -> tuple[float, float]:
    """Skewness of all pixels of maps (n, N, N) of mean 0, and its error from leaving out one map at a time."""
    second, third = (np.mean(maps.astype(float) ** power, axis=(1, 2)) for power in (2, 3))
    n = len(maps)
    without = (third.sum() - third) / (n - 1) / ((second.sum() - second) / (n - 1)) ** 1.5
    return float(third.mean() / second.mean() ** 1.5), float(np.sqrt(n - 1) * without.std())


def thickness(out: Path, effort: Effort, notes: Notes) -> None:
    """Exact skewness of kappa for shells of several thicknesses, with the third-moment shift and without."""
    found = []
    for thick in THICKNESS:
        cfg = config({"lensing.shell_mpc_h": thick})
        planes = lensing.shells(cfg, lensing.prepare(cfg), np.array([MIDDLE]))
        found.append([shells.skewness(planes), shells.skewness(planes, shifted=False)])
    shifted, plain = np.array(found).swapaxes(0, 1)
    for b, value in enumerate(shifted[0]):
        notes.note(f"skewness_bin_{b + 1}", value)
    notes.note("thickness_worst", np.abs(shifted / shifted[0] - 1).max(), 0, 0.1)
    notes.note("thickness_worst_without_shift", np.abs(plain / plain[0] - 1).max(), 0.3, np.inf)
    title = rf"Skewness of $\kappa$ in pixels of {cfg.pixel_arcmin:g} arcmin, $\Omega_m$ = {MIDDLE}"
    pictures.thickness(out / "skewness_kappa.png", np.array(THICKNESS), shifted, plain, title)


def nuisances(out: Path, effort: Effort, notes: Notes) -> None:
    """What nuisance parameters do to spectra: exact means of the shells, and CCL."""
    pairs = [*AUTO, (0, 3)]
    plain = Sky({}, MIDDLE)
    exact, ccl, sides = plain.exact(), plain.ccl(), []
    for title, overrides in NUISANCES.items():
        sky = Sky(overrides, MIDDLE)
        ours, theirs = sky.exact() / exact, sky.ccl() / ccl
        # small where the cross spectrum of far bins nearly cancels: of the spectrum without
        notes.note(f"{next(iter(overrides)).split('.')[1]}_worst", np.abs(ours - theirs).max(), 0, 0.01)
        sides.append((title, *(np.array([one[p] for p in pairs]) for one in (ours, theirs))))
    labels = [f"{a + 1}{b + 1}" for a, b in pairs]
    pictures.nuisances(out / "nuisances.png", shells.band_centres(plain.ell, EDGES), sides, labels)
