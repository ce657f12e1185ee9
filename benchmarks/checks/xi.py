"""The forward model against the observed Universe: xi+ and xi- of simulated DES Y3 patches beside the published ones.

Shear of our lensing maps at the cosmology that DES Y3 found, with the shape noise of the survey and the holes of its
footprint, is correlated in the angles of the published data vector (Amon et al. 2022, PRD 105, 023514; Secco et al.
2022, PRD 105, 023515) by exact sums over all pairs of pixels, with Fourier transforms. (Tree codes may put a pair near
the edge of a bin of angles into either; on a grid many pairs have the same separation, and a bin wins or loses a tenth
of its pairs.) Neither pixels nor the Kaiser-Squires inversion matter here: shear is that of a periodic sky, sampled at
the places of its pixels.

Needs the files of data/manifest.yaml in COSMOKERAS_REAL_DATA, or beside the repository in ../shared/real.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from tqdm import tqdm

from study.requirements import required

if TYPE_CHECKING:
    from cosmokeras.params.config import Config

ROOT = Path(__file__).parents[2]
DATA, FOOTPRINT = "des_y3/DES-Y3_xipm_and_KiDS-1000_COSEBIs.fits", "des_y3/DESY3_Mask.fits"
OMEGA_M, S8 = 0.290, 0.759  # means of the posterior of DES Y3 cosmic shear, Amon et al. 2022, table 3
M_BIAS = (-0.0063, -0.0198, -0.0241, -0.0369)  # mean shear calibration, MacCrann et al. 2022, MNRAS 509, 3371
ANGLES = 10.0, 100.0  # [arcmin]
PIXEL, PATCH, ACROSS = 2.5, 128, 4  # [arcmin], pixels of a patch, patches along a side of a simulated square
SQUARES, SEED = 80, 41
EDGES = 2.5 * 10**0.6, 2.5 * 10**1.6  # of the ten angular bins between ANGLES [arcmin]; the published 20 begin at 2.5
DES_AREA = 4143.0  # [deg^2], Sevilla-Noarbe et al. 2021, ApJS 254, 24


class Observed(NamedTuple):
    """Published points (n,): both bins (n, 2) and the angular bin, from 0, whether xi+, angle [arcmin], value."""

    bins: np.ndarray
    number: np.ndarray
    plus: np.ndarray
    angle: np.ndarray
    value: np.ndarray
    covariance: np.ndarray  # (n, n)


def real_data() -> Path:
    """Folder of the observed files."""
    return Path(os.environ.get("COSMOKERAS_REAL_DATA") or ROOT.parent / "shared" / "real")


def check() -> tuple[dict[str, Any], bool]:
    """chi^2 of the published vector about that of simulated patches."""
    from cosmokeras.simulators import lensing

    if not (real_data() / DATA).exists():
        print(f"SKIP xi: {real_data() / DATA} is missing; set COSMOKERAS_REAL_DATA")
        return {"skipped": True}, True
    observed = read(real_data() / DATA)
    cfg, masks = _config(), holes(real_data() / FOOTPRINT)
    grid = lensing.prepare(cfg, padding=1)
    patches = []
    for number in tqdm(range(SQUARES), desc="squares of simulated sky"):
        patches += _square(cfg, grid, masks, observed, number)
    mean, error = np.mean(patches, axis=0), np.std(patches, axis=0, ddof=1) / np.sqrt(len(patches))
    area = len(patches) * (PATCH * PIXEL / 60) ** 2
    found: dict[str, Any] = {"patches": len(patches), "area_deg2": round(area), "points": len(mean)}
    # the published covariance as it is: simulated patches are as noisy as the survey, area for area, so that their mean
    # adds noise_of_simulations to the 1 that a perfect model has
    found["noise_of_simulations"] = round(DES_AREA / area, 3)
    for name, part in (("", observed.plus | True), ("_plus", observed.plus), ("_minus", ~observed.plus)):
        left = (observed.value - mean)[part]
        chi2 = left @ np.linalg.solve(observed.covariance[np.ix_(part, part)], left)
        found[f"chi2_per_point{name}"] = round(float(chi2 / part.sum()), 3)
    draw(ROOT / "plots" / "physics" / "xi_des_y3.png", observed, mean, error)
    good = required("xi+- of DES Y3 about simulated patches: chi^2 per point", found["chi2_per_point"], 0.7, 1.4)
    return found, good


def read(path: Path) -> Observed:
    """The points of DES Y3 between ANGLES, xi+ before xi-."""
    from astropy.io import fits

    with fits.open(path) as file:
        tables = [file[name].data for name in ("xip", "xim")]
        covariance = np.asarray(file["COVMAT"].data, dtype=float)
    columns = {name: np.concatenate([t[name] for t in tables]) for name in ("BIN1", "BIN2", "ANGBIN", "ANG", "VALUE")}
    used = (columns["ANG"] > ANGLES[0]) & (columns["ANG"] < ANGLES[1])
    where = np.flatnonzero(used)  # the covariance begins with these two tables
    bins = np.stack([columns["BIN1"], columns["BIN2"]], axis=1)[used].astype(int) - 1
    number = columns["ANGBIN"][used].astype(int)
    plus = (np.arange(len(used)) < len(tables[0]))[used]
    value, angle = (np.asarray(columns[name][used], dtype=float) for name in ("VALUE", "ANG"))
    return Observed(bins, number - number.min(), plus, angle, value, covariance[np.ix_(where, where)])


def holes(path: Path) -> np.ndarray:
    """Where patches that the true footprint fills to nine tenths are observed, (n, PATCH, PATCH) bool."""
    from cosmokeras.readers.healpix import read_healpix
    from cosmokeras.sky.patches import cut_patches

    footprint = read_healpix(path)[0].astype(bool)
    coverage = cut_patches(footprint.astype(np.float32), footprint, PATCH, PIXEL, 0.1).coverage
    return coverage >= 0.5


def _config() -> Config:
    from cosmokeras.project import load_params

    overrides: dict[str, Any] = {"prior.omega_m": [0.1, 0.5], "prior.sigma8": S8 / np.sqrt(OMEGA_M / 0.3)}
    overrides |= {"data.size": ACROSS * PATCH, "lensing.pixel_arcmin": PIXEL, "lensing.mask": "none"}
    overrides |= {"data.kind": "lensing", "lensing.survey": "des_y3", "data.targets": None, "real.source": "mock"}
    return load_params(ROOT / "params.yaml", overrides)


def _square(cfg: Config, grid: Any, masks: np.ndarray, observed: Observed, number: int) -> list[np.ndarray]:
    """Points (n,) of each patch of a periodic square of sky."""
    from cosmokeras.observation.observer import noise_sigma
    from cosmokeras.simulators import SPLITS, lensing, realisations
    from cosmokeras.sky.kaiser_squires import shear_from_kappa

    draw_of = realisations(SEED, SPLITS["user"], number)
    kappa = lensing.maps(cfg, grid, np.array([OMEGA_M]), draw_of, 1)[0].astype(float)
    shear = np.array(shear_from_kappa(np.moveaxis(kappa, -1, 0)))  # (2, bins, n, n)
    shear *= (1 + np.array(M_BIAS))[:, None, None]
    rng = np.random.default_rng([SEED, number])
    shear += noise_sigma(cfg)[:, None, None] * rng.standard_normal(shear.shape)
    found = []
    for i, j in np.ndindex(ACROSS, ACROSS):
        seen = masks[rng.integers(len(masks))]
        rows, columns = (slice(k * PATCH, (k + 1) * PATCH) for k in (i, j))
        found.append(correlate(shear[:, :, rows, columns], seen, observed))
    return found


def correlate(shear: np.ndarray, seen: np.ndarray, observed: Observed) -> np.ndarray:
    """xi+ and xi- of shear (2, bins, size, size) in the pixels that are seen, at the published points."""
    count = int(observed.number.max()) + 1
    out = np.empty(len(observed.value))
    field = shear[0] + 1j * shear[1]
    for a, b in np.unique(observed.bins, axis=0):
        plus, minus, pairs = pair_sums(field[a], field[b], seen, np.geomspace(*EDGES, count + 1) / PIXEL)
        for is_plus, sums in ((True, plus), (False, minus)):
            part = (observed.bins == (a, b)).all(axis=1) & (observed.plus == is_plus)
            out[part] = (sums / np.maximum(pairs, 1))[observed.number[part]]
    return out


def pair_sums(
    one: np.ndarray, two: np.ndarray, seen: np.ndarray, edges: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Exact sums over all pairs of seen pixels, the first in `one`, the second in `two`; each pair in both orders.

    Parameters
    ----------
    one, two : (ny, nx) complex shear g1 + i g2, x along columns and y along rows
    seen : (ny, nx) bool
    edges : (n + 1,) of the bins of separation [pixels], each from its lower edge to just below the upper

    Returns
    -------
    Sums (n,) of Re(g g'*) and of Re(g g' exp(-4 i phi)), phi the direction from one pixel to the other, and the number
    of pairs
    """
    shape = (2 * seen.shape[0], 2 * seen.shape[1])  # with as much empty sky around, nothing is periodic
    first, second, weight = (np.fft.fft2(np.where(seen, part, 0), shape) for part in (one, two, 1.0))
    mirrored = np.fft.fft2(np.where(seen, np.conj(one), 0), shape)
    # ifft2(F(a)* F(b)) at d is the sum over x of a(x)* b(x + d)
    plus, minus, pairs = (np.fft.ifft2(np.conj(a) * b) for a, b in ((first, second), (mirrored, second), 2 * (weight,)))
    y, x = (np.fft.fftfreq(n, 1 / n).round() for n in shape)
    apart = x[None, :] + 1j * y[:, None]
    square = np.abs(apart) ** 2
    turned = minus * (np.conj(apart) ** 2 / np.maximum(square, 1)) ** 2
    # squares of separations are whole numbers: just enough tolerance that those on an edge are above it
    number = np.searchsorted(np.asarray(edges) ** 2 * (1 - 1e-9), square.round().ravel(), side="right")
    plus, minus, pairs = (
        np.bincount(number, sums.real.ravel(), len(edges) + 1)[1:-1] for sums in (plus, turned, pairs.real.round())
    )
    return plus, minus, pairs


def draw(path: Path, observed: Observed, mean: np.ndarray, error: np.ndarray) -> None:
    """Published points with their errors beside those of simulated patches (n,), for each pair of bins."""
    from cosmokeras.report.style import BLUE, RUST, canvas

    sigma = np.sqrt(np.diag(observed.covariance))
    pairs = np.unique(observed.bins, axis=0)
    with canvas(path, 11, 7.5) as figure:
        for half, plus in zip(figure.subfigures(2, 1), (True, False), strict=True):
            panels = half.subplots(2, -(-len(pairs) // 2), sharex=True).ravel()
            for axes, pair in zip(panels, pairs, strict=False):
                part = (observed.bins == pair).all(axis=1) & (observed.plus == plus)
                x, unit = observed.angle[part], 1e4 * observed.angle[part]
                axes.axhline(0, color="0.8", lw=0.8)
                look = {"fmt": "o", "ms": 3, "lw": 1, "color": RUST}
                axes.errorbar(x, unit * observed.value[part], unit * sigma[part], label="DES Y3, observed", **look)
                axes.plot(x, unit * mean[part], color=BLUE, label="simulated patches")
                low, high = (unit * (mean + s * error)[part] for s in (-1, 1))
                axes.fill_between(x, low, high, color=BLUE, alpha=0.3, lw=0)
                axes.set(xscale="log", title=f"bins {pair[0] + 1} and {pair[1] + 1}")
                axes.set_xticks([10, 30, 100], ["10", "30", "100"])
                axes.minorticks_off()
            half.supylabel(rf"$10^4\,\theta\,\xi_{'+' if plus else '-'}$ [arcmin]", fontsize=11)
            half.supxlabel(r"$\theta$ [arcmin]", fontsize=11)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="upper right", ncols=2, bbox_to_anchor=(0.99, 0.54))
