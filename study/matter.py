"""Parts of the physics check without lensing: Gaussian fields, perturbation theory, transfer functions."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cosmokeras.params.config import Config
from cosmokeras.simulators import grf, lpt, realisations
from cosmokeras.simulators.fields import wavenumbers
from cosmokeras.theory import matter
from cosmokeras.theory.bbks import bbks_transfer
from cosmokeras.theory.ccl import ccl_cosmology
from cosmokeras.theory.table import theory_table
from study import perturbation as pt
from study import pictures
from study.setting import MIDDLE, OMEGA_M, QUICK, Effort, Notes, config
from study.waves import band_centres, bands, wave_bands, wave_pairs

LARGE = 0.05  # wavenumbers below are large scales [h/Mpc]
RADII = (15.0, 20.0, 25.0, 30.0, 35.0, 40.0, 50.0)  # of top hats [Mpc/h]
QUIJOTE_BOX = 1000.0  # [Mpc/h]
CELL = QUIJOTE_BOX / 128  # of the cubes [Mpc/h]


def power_2d(maps: np.ndarray, side: float) -> np.ndarray:
    """|delta_k|^2 L^2 / N^4 of maps (n, N, N) in a periodic box of side L, averaged over the maps."""
    n = maps.shape[1]
    return np.mean(np.abs(np.fft.rfft2(maps)) ** 2, axis=0) * side**2 / n**4


def gaussian_fields(out: Path, effort: Effort, notes: Notes) -> None:
    """Spectra of grf maps against BBKS, every wave of 64^2 pixels."""
    cfg = config({"data.kind": "grf"})
    n, box = cfg.data.size, cfg.grf.box_mpc_h
    k = wavenumbers(n, box / n)
    edges = wave_bands(n, box)
    centre, inside = band_centres(k, edges), np.where(k > 0, k, 1.0)
    lines, worst, total = [], [], []
    for i, omega_m in enumerate(OMEGA_M):
        maps = grf.maps(cfg, grf.prepare(cfg), np.array([omega_m]), realisations(5, 3, i), effort.maps)[..., 0]
        ratio = power_2d(maps, box) / matter.bbks(cfg, np.array([[omega_m]]), inside.ravel())[0].reshape(k.shape)
        # an exponential variable of each pair of waves k, -k
        mean, error = bands(ratio, k, edges), 1 / np.sqrt(wave_pairs(k, edges) * effort.maps)
        worst.append(np.abs((mean - 1) / error).max())
        total.append(np.average(mean, weights=error**-2))
        curve = matter.bbks(cfg, np.array([[omega_m]]), centre)[0]
        lines.append(pictures.Curve(centre, mean, error, curve, rf"$\Omega_m$ = {omega_m}"))
        one = maps / maps.std(axis=(1, 2), keepdims=True)
        skew = np.mean(one**3, axis=(1, 2))
        notes.note(f"skewness_sigma_{omega_m:g}", skew.mean() / skew.std() * np.sqrt(len(skew)), -4, 4)
    notes.note("power_ratio", np.mean(total), 0.98, 1.02)
    notes.note("power_worst_sigma", np.max(worst), 0, 4.5)
    side = {"title": f"{effort.maps} maps of 64$^2$ pixels, 256 Mpc/h", "lines": lines, "x": "k [h/Mpc]"}
    side |= {"y": "P(k) [(Mpc/h)$^2$], unit amplitude", "wanted": "BBKS"}
    pictures.panels(out / "power_grf.png", "Gaussian fields: spectrum of maps", [side], (0.9, 1.1), 0.02)


def second_order(out: Path, effort: Effort, notes: Notes) -> None:
    """Power of cubes and of maps against linear theory, at sigma8 scaled down and in full."""
    n, box = effort.mesh, CELL * effort.mesh
    cfg = config({"data.kind": "2lpt", "prior.sigma8": [0.2, 1.6], "prior.omega_m": MIDDLE})
    cfg = cfg.model_copy(update={"lpt": cfg.lpt.model_copy(update={"particles": n, "box_mpc_h": box})})
    values = cfg.cosmology(np.array([0.8]))
    lines, flat = [], []
    for sigma8 in (0.25, 0.5, 0.8):
        power = pt.linear_power(values | {"sigma8": sigma8})
        bins, ratio = pt.growth(power, n, box, effort.cubes, 3, values["omega_m"])
        inside = bins.k < LARGE
        large = np.average(ratio.mean(axis=0)[inside], weights=bins.modes[inside])
        notes.note(f"power_ratio_sigma8_{sigma8:g}", large, *((0.98, 1.02) if sigma8 < 0.3 else (0.93, 1.02)))
        label = rf"$\sigma_8$ = {sigma8}"
        k, grown = _thinned(bins.k, ratio)
        error = grown.std(axis=0) / np.sqrt(effort.cubes)
        lines.append(pictures.Curve(k, grown.mean(axis=0), error, power(k), label))
        flat.append(_of_maps(cfg, sigma8, effort, label))
    low = flat[0]
    weight = low.error**-2.0 * (low.x < 0.15)
    # the error of the mean is 1 % or so: cubes are few
    notes.note("map_power_ratio_sigma8_0.25", np.average(low.ratio, weights=weight), 0.94, 1.06)
    halofit = pt.halofit_power(values)(bins.k) / power(bins.k)
    notes.note("k_10_percent_below_halofit", pt.departure(bins.k, ratio.mean(axis=0) / halofit), 0.05, 0.2)
    title = rf"{effort.cubes} cubes of {n}$^3$, {box:g} Mpc/h, z = 0"
    sides = [
        {"title": title, "lines": lines, "y": "P(k) [(Mpc/h)$^3$]", "wanted": "linear theory"},
        {"title": "maps: slabs of 62.5 Mpc/h", "lines": flat, "y": "P(k) [(Mpc/h)$^2$]", "wanted": "linear theory"},
    ]
    sides[0]["more"] = [(bins.k, halofit, r"halofit, $\sigma_8$ = 0.8")]
    for side in sides:
        side |= {"x": "k [h/Mpc]", "ratio": "measured / linear"}
    pictures.panels(out / "power_2lpt.png", r"2LPT at $\Omega_m$ = 0.3: power of matter", sides, (0.8, 1.3), 0.02)


def _thinned(k: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means over neighbouring bins, the more the shorter the waves; `values` (..., len(k))."""
    starts = np.unique(np.rint(np.geomspace(1, len(k) + 1, 24)).astype(int))[:-1] - 1
    count = np.diff([*starts, len(k)])
    return np.add.reduceat(k, starts) / count, np.add.reduceat(values, starts, axis=-1) / count


def _of_maps(cfg: Config, sigma8: float, effort: Effort, label: str) -> pictures.Curve:
    """Spectra of slabs; points follow the same fields at each sigma8."""
    theta = np.array([sigma8])
    slabs = 3 * lpt.slab_count(cfg)
    maps = lpt.maps(cfg, lpt.prepare(cfg), theta, realisations(6, 3, 0), effort.cubes * slabs)[..., 0]
    size, box = cfg.data.size, cfg.lpt.box_mpc_h
    k = wavenumbers(size, box / size)
    edges = wave_bands(size, box)
    centre = band_centres(k, edges)
    wanted = lpt.spectrum(cfg, theta[None], np.where(k > 0, k, 1.0).ravel())[0, 0].reshape(k.shape)
    measured = np.array([bands(power_2d(part, box) / wanted, k, edges) for part in np.split(maps, effort.cubes)])
    error = 1 / np.sqrt(wave_pairs(k, edges) * len(maps))
    return pictures.Curve(centre, measured.mean(axis=0), error, bands(wanted, k, edges), label)


def quijote(out: Path, effort: Effort, notes: Notes) -> None:
    """2LPT, linear theory and halofit over the N-body spectra of three Quijote simulations at z = 0, where given."""
    sides = []
    for number in range(3):
        stored = pt.quijote_spectrum(number)
        if stored is None:
            print(f"skip Quijote: no spectra in {pt.REAL / 'quijote'}; set COSMOKERAS_REAL_DATA")
            return
        values, k, theirs = stored
        power = pt.linear_power(values)
        inside = (k > 0.01) & (k < 0.4)
        bins, growth = pt.growth(power, effort.mesh, CELL * effort.mesh, effort.cubes, 2, values["omega_m"])
        mine = power(k) * np.interp(k, bins.k, growth.mean(axis=0))
        halofit = pt.halofit_power(values)(k)
        # the number in a bin goes as box^2, as the bin's width goes as 1 / box
        waves = np.interp(k, bins.k, bins.modes * (QUIJOTE_BOX / (CELL * effort.mesh)) ** 2)
        low = (k > 0.02) & (k < 0.07)
        ratio = np.average((mine / theirs)[low], weights=waves[low])
        # one simulation: the number of its waves makes the average uncertain; second order itself is some % low
        chance = np.sqrt(2 / waves[low].sum())
        notes.note(f"lh_{number}_ratio", ratio, 0.95 - 2 * chance, 1.05 + 2 * chance)
        notes.note(f"lh_{number}_k_10_percent", pt.departure(k, mine / theirs))
        show = inside & (k < 0.999 * np.pi / CELL)
        lines = {"2LPT": mine, "linear theory": power(k), "halofit": halofit}
        title = rf"LH {number}: $\Omega_m$ = {values['omega_m']:.3f}, $\sigma_8$ = {values['sigma8']:.3f}"
        sides.append(
            (title, k[show], np.sqrt(2 / waves[show]), {name: (one / theirs)[show] for name, one in lines.items()})
        )
    pictures.against_simulations(out / "power_quijote.png", sides)


def skewness(out: Path, effort: Effort, notes: Notes) -> None:
    """S3 of 2LPT and of Zel'dovich's approximation in top hats, sigma8 = 0.25."""
    n, box = effort.mesh, CELL * effort.mesh * (1.5 if effort == QUICK else 1)
    radii = RADII[2:5:2] if effort == QUICK else RADII
    values = pt.FIDUCIAL | {"sigma8": 0.25}
    power, lines = pt.linear_power(values), []
    for order, name in ((2, "2LPT"), (1, "Zel'dovich")):
        fields = pt.cubes(power, n, box, effort.cubes, 1)
        s3 = np.array([pt.skewness(field, box, radii, order) for field in fields])
        wanted = pt.leading_skewness(power, n, box, radii, order)
        lines.append((name, s3.mean(axis=0), s3.std(axis=0) / np.sqrt(effort.cubes), wanted))
        for i, radius in enumerate(radii):
            if radius in (25.0, 35.0):
                notes.note(f"s3_ratio_order{order}_r{radius:g}", s3.mean(axis=0)[i] / wanted[i], 0.9, 1.1)
    title = f"Skewness of matter in top hats: {effort.cubes} pairs of cubes of {n}$^3$,\n{box:g} Mpc/h, "
    pictures.three_d_skewness(out / "skewness_2lpt.png", np.array(radii), lines, title + r"$\sigma_8$ = 0.25")


def transfer(out: Path, effort: Effort, notes: Notes) -> None:
    """The BBKS formula, without and with its usual correction for baryons, against CAMB."""
    cfg, k = config({}), np.geomspace(2e-4, 10, 400)
    table, lines = theory_table(cfg), []
    for omega_m in OMEGA_M:
        values = cfg.cosmology(np.array([omega_m]))
        power = table.linear_at(values, k)
        shape = power / k ** values["n_s"]
        camb = np.sqrt(shape / shape[0]) * bbks_transfer(k[0] / (omega_m * values["h"]))
        # Sugiyama 1995, ApJS 100, 281: baryons make the shape parameter smaller
        less = np.exp(-values["omega_b"] * (1 + np.sqrt(2 * values["h"]) / omega_m))
        plain, baryons = (bbks_transfer(k / (omega_m * values["h"] * factor)) for factor in (1.0, less))
        lines.append((rf"$\Omega_m$ = {omega_m}", camb, plain, baryons))
        within = (k > 0.001) & (k < 1)
        notes.note(f"bbks_worst_{omega_m:g}", np.abs(plain / camb - 1)[within].max())
        notes.note(f"bbks_with_baryons_worst_{omega_m:g}", np.abs(baryons / camb - 1)[within].max(), 0, 0.2)
        if omega_m == MIDDLE:
            cosmo = ccl_cosmology(values)
            direct = cosmo.linear_matter_power(k * values["h"], 1.0) * values["h"] ** 3
            notes.note("table_worst", np.abs(power / direct - 1).max(), 0, 0.01)
    pictures.transfer(out / "transfer.png", k, lines, 0.02)
