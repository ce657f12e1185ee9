"""Parts of the physics check about lensing: spectra against CCL, skewness, nuisances."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cosmokeras.simulators import lensing, realisations
from cosmokeras.sky.pixels import healpix_side, pixel_window
from study import pictures
from study.setting import MIDDLE, OMEGA_M, QUICK, Effort, Notes, config
from study.shells import Case
from study.waves import band_centres, bands

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


class Sky(Case):
    """One cosmology on the whole periodic grid, in finer bands."""

    def __init__(self, overrides: dict[str, Any], omega_m: float) -> None:
        super().__init__(config(overrides), [omega_m])

    def bands(self, power: np.ndarray) -> np.ndarray:
        """Means over the modes of each band, (..., bands)."""
        return bands(power, self.ell, EDGES)

    def maps(self, count: int) -> np.ndarray:
        """Noise-free maps without edges, (count, n, n, bins)."""
        whole = self.cfg.model_copy(update={"data": self.cfg.data.model_copy(update={"size": self.n})})
        return lensing.maps(whole, self.grid, self.theta, realisations(7, 3, 0), count)


def spectra(out: Path, effort: Effort, notes: Notes) -> None:
    """All ten pairs of bins against CCL, with and without intrinsic alignments; skewness of the pixels."""
    sides = []
    for a_ia, name in ((0.0, "plain"), (1.0, "a_ia_1")):
        sky = Sky({"prior.a_ia": a_ia}, MIDDLE)
        maps, exact, ccl = sky.maps(effort.maps), sky.expected(), sky.ccl
        each = np.array([sky.measured(np.moveaxis(one, -1, 0)) for one in maps])
        mean, error = each.mean(axis=0), each.std(axis=0) / np.sqrt(effort.maps)
        scale = np.sqrt(np.einsum("aal->al", ccl))
        geometric = scale[:, None] * scale[None]  # where lensing and alignment cancel, ccl is close to 0
        notes.note(f"c_ell_shells_worst_{name}", np.abs((exact - ccl) / geometric).max(), 0, 0.02)
        autos = [mean[b, b] / ccl[b, b] for b, _ in AUTO]
        weights = [(ccl[b, b] / error[b, b]) ** 2 for b, _ in AUTO]
        notes.note(f"c_ell_maps_ratio_{name}", np.average(autos, weights=weights), 0.98, 1.02)
        notes.note(f"c_ell_maps_worst_sigma_{name}", np.abs((mean - exact) / error).max(), 0, 5)
        centre = band_centres(sky.ell, EDGES)
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
        if omega_m != MIDDLE and effort != QUICK:
            sky = Sky({}, omega_m)
            worst = np.abs(sky.expected() / sky.ccl - 1).max()
            notes.note(f"c_ell_shells_worst_omega_m_{omega_m:g}", worst, 0, 0.02)
    pictures.tomography(out / "spectra_lensing.png", sides)


def _skewness_of_pixels(sky: Sky, maps: np.ndarray, notes: Notes) -> None:
    """Of the pixels as they are, against the exact one, and of HEALPix pixels of NSIDE."""
    wanted, n = sky.skewness(), sky.n
    window = pixel_window(sky.ell, healpix_side(NSIDE))[None, :, :, None]
    coarse = np.fft.irfft2(np.fft.rfft2(maps, axes=(1, 2)) * window, s=(n, n), axes=(1, 2))
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


def _unshifted(planes: lensing.Shells) -> np.ndarray:
    """Skewness of the pixels of each bin, (bins,), if shells of the same variance had the shift 1."""
    variance = planes.shift**2 * np.expm1(planes.variance)
    return (planes.weights**3 @ (variance**3 + 3 * variance**2)) / (planes.weights**2 @ variance) ** 1.5


def thickness(out: Path, effort: Effort, notes: Notes) -> None:
    """Exact skewness of kappa for shells of several thicknesses, with the third-moment shift and without."""
    found, thicknesses = [], THICKNESS[::3] if effort == QUICK else THICKNESS
    for thick in thicknesses:
        sky = Sky({"lensing.shell_mpc_h": thick}, MIDDLE)
        found.append([sky.skewness(), _unshifted(sky.planes)])
    shifted, plain = np.array(found).swapaxes(0, 1)
    for b, value in enumerate(shifted[0]):
        notes.note(f"skewness_bin_{b + 1}", value)
    notes.note("thickness_worst", np.abs(shifted / shifted[0] - 1).max(), 0, 0.1)
    notes.note("thickness_worst_without_shift", np.abs(plain / plain[0] - 1).max(), 0.3, np.inf)
    title = rf"Skewness of $\kappa$ in pixels of {sky.cfg.pixel_arcmin:g} arcmin, $\Omega_m$ = {MIDDLE}"
    pictures.thickness(out / "skewness_kappa.png", np.array(thicknesses), shifted, plain, title)


def nuisances(out: Path, effort: Effort, notes: Notes) -> None:
    """What nuisance parameters do to spectra: exact means of the shells, and CCL."""
    pairs = [*AUTO, (0, 3)]
    plain = Sky({}, MIDDLE)
    exact, ccl, sides = plain.expected(), plain.ccl, []
    for title, overrides in NUISANCES.items():
        sky = Sky(overrides, MIDDLE)
        ours, theirs = sky.expected() / exact, sky.ccl / ccl
        # small where the cross spectrum of far bins nearly cancels: of the spectrum without
        notes.note(f"{next(iter(overrides)).split('.')[1]}_worst", np.abs(ours - theirs).max(), 0, 0.01)
        sides.append((title, *(np.array([one[p] for p in pairs]) for one in (ours, theirs))))
    labels = [f"{a + 1}{b + 1}" for a, b in pairs]
    pictures.nuisances(out / "nuisances.png", band_centres(plain.ell, EDGES), sides, labels)
