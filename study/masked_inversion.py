"""What star holes do to the noise of Kaiser-Squires maps: measures two constants of `cosmokeras.observation`.

`COVERAGE_EXPONENT`: flat pixels that are observed in part. Shear noise is drawn on the sphere, masked, inverted by
Kaiser & Squires (1993, ApJ 404, 441) in spherical harmonics and cut into flat patches, as real maps are; beside it
stands the flat-sky model with the same masks. Printed: variance of the model over that of the sphere, minus 1.

`MARGIN`: how far away a hole matters. Printed: rms change of the noise of a patch by holes that lie further away than
so many pixels, over its rms.

    python -m study.masked_inversion --skies 24

All at a quarter of the survey's NSIDE and lmax, with pixels and holes four times as large: the geometry is the same.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import NamedTuple

import healpy
import numpy as np

from cosmokeras.common import cli
from cosmokeras.observation.observer import Observer
from cosmokeras.observation.ops.blocks import in_blocks
from cosmokeras.observation.ops.counters import rows
from cosmokeras.observation.ops.forward import Forward
from cosmokeras.params.config import Config
from cosmokeras.project import load_params
from cosmokeras.sky.footprint import SMALL, covered
from cosmokeras.sky.kaiser_squires import spin2_phase
from cosmokeras.sky.patches import MARGIN, cut_patches
from cosmokeras.sky.pixels import ARCMIN, USED
from cosmokeras.sky.spherical_ks import kaiser_squires_sphere

ROOT = Path(__file__).parents[1]
COARSER = 4
NSIDE, LMAX, PIXEL, SIZE = 1024 // COARSER, 2048 // COARSER, 5.0 * COARSER, 32
HOLES, MAX_MASKED = 15_000, 0.3
EXPONENTS = (0.0, 0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5)
BANDS = np.linspace(0.0, 0.35, 6)  # of |k| in cycles per pixel; lmax lies at 0.47
MARGINS = (0, 2, 4, 8, 12, 16, 24, 32)


class Patches(NamedTuple):
    """Noise of flat patches (n, SIZE, SIZE), 0 where hidden, and what is seen of them."""

    noise: np.ndarray
    coverage: np.ndarray


def footprint(rng: np.random.Generator) -> np.ndarray:
    """A sky with star holes at random, (npix,) bool."""
    mask = np.ones(12 * NSIDE**2, bool)
    for centre in rng.choice(mask.size, HOLES):
        radius = COARSER * rng.uniform(*SMALL) * ARCMIN
        mask[healpy.query_disc(NSIDE, healpy.pix2vec(NSIDE, centre), radius)] = False
    return mask


def on_the_sphere(mask: np.ndarray, skies: int, rng: np.random.Generator) -> Patches:
    """Patches of `skies` skies, in units of the shape noise of a flat pixel."""
    unit = np.sqrt(PIXEL**2 / (healpy.nside2pixarea(NSIDE, degrees=True) * 3600))
    found, cut = [], None
    for _ in range(skies):
        g1, g2 = rng.standard_normal((2, mask.size)) * mask
        cut = cut_patches(kaiser_squires_sphere(g1, g2, LMAX)[0], mask, SIZE, PIXEL, MAX_MASKED)
        found.append(cut.maps[..., 0] * unit)
    coverage = cut.coverage if cut is not None else np.zeros((0, SIZE, SIZE))
    return Patches(np.concatenate(found), np.tile(coverage, (skies, 1, 1)))


def coarse_config() -> Config:
    """DES Y3 at a quarter of its resolution."""
    changes = {"data.size": SIZE, "lensing.pixel_arcmin": PIXEL, "lensing.smoothing_arcmin": 0.0}
    bins = {"model.spectrum_bins": 8, "evaluate.spectrum_bins": 8, "lensing.mask": "none"}
    cfg = load_params(ROOT / "params.yaml", {**changes, **bins})
    coarse = {"nside": NSIDE, "lmax": LMAX, "sky": ((0.0, 360.0, -90.0, 90.0),)}
    return cfg.model_copy(update={"survey": cfg.survey.model_copy(update=coarse)})


def by_the_model(wide: np.ndarray, exponent: float, skies: int) -> Patches:
    """Patches of the flat-sky model behind masks (n, wide, wide), `skies` times each."""
    cfg = coarse_config()
    observer = Observer(cfg)
    observer.masks, observer.depth = wide.astype(np.float32), None
    observer.mass_mapping.coverage_exponent = exponent
    forward = Forward(cfg, observer=observer)
    coverage = wide[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
    which, found = np.arange(len(wide)), []
    zero = np.zeros((*coverage.shape, cfg.channels), np.float32)
    for i in range(skies):
        maps = in_blocks(forward.unfinished, (zero, which, rows(i, 1, len(wide))))
        found.append(maps[..., 0] / observer.sigma[0] * (coverage >= USED))
    return Patches(np.concatenate(found), np.tile(coverage, (skies, 1, 1)))


def variances(patches: Patches) -> np.ndarray:
    """Mean square of pixels seen in part (half to 3/4, 3/4 to all), of whole ones, of all; power in bands."""
    squares, coverage = patches.noise.astype(float) ** 2, patches.coverage
    some = [(coverage >= low) & (coverage < high) for low, high in ((USED, 0.75), (0.75, 1.0), (1.0, 2.0), (USED, 2.0))]
    k = np.hypot(*np.meshgrid(*2 * [np.fft.fftfreq(SIZE)]))
    power = np.mean(np.abs(np.fft.fft2(patches.noise)) ** 2, axis=0)
    bands = [power[(k >= low) & (k < high)].mean() for low, high in itertools.pairwise(BANDS)]
    return np.array([squares[where].mean() for where in some] + bands)


def beyond_margins(mask: np.ndarray, rng: np.random.Generator, patches: int = 64) -> np.ndarray:
    """Rms change of the noise of patches by holes beyond each of MARGINS, over the rms of the noise, on the plane."""
    margin = 2 * max(MARGINS)
    wide = SIZE + 2 * margin
    inner = slice(margin, margin + SIZE)
    phase = np.conj(spin2_phase((wide, wide)))
    k = np.hypot(*np.meshgrid(*2 * [2 * np.pi * np.fft.fftfreq(wide, PIXEL * ARCMIN)]))
    changed, total = np.zeros(len(MARGINS)), 0.0
    for _ in range(patches):
        ra, dec = rng.uniform(0, 360), np.degrees(np.arcsin(rng.uniform(-0.9, 0.9)))
        seen = covered(mask, ra, dec, wide, PIXEL)
        shear = rng.standard_normal((wide, wide)) + 1j * rng.standard_normal((wide, wide))

        def kappa(coverage: np.ndarray, shear: np.ndarray = shear) -> np.ndarray:
            return np.fft.ifft2(np.fft.fft2(shear * coverage) * phase * (k <= LMAX)).real[inner, inner]

        right = kappa(seen)
        total += np.mean(right**2)
        for i, near in enumerate(MARGINS):
            kept = np.ones_like(seen)
            known = slice(margin - near, margin + SIZE + near)
            kept[known, known] = seen[known, known]
            changed[i] += np.mean((kappa(kept) - right) ** 2)
    return np.sqrt(changed / total)


def main() -> None:
    """Print both tables."""
    parser = cli.Parser("study.masked_inversion", __doc__)
    parser.add_argument("--skies", type=cli.count, default=24, help="skies of noise (default 24)")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    mask = footprint(rng)
    sphere = on_the_sphere(mask, options.skies, rng)
    there = variances(sphere)
    cut = cut_patches(mask.astype(np.float32), mask, SIZE, PIXEL, MAX_MASKED)
    wide = np.stack([covered(mask, ra, dec, SIZE + 2 * MARGIN, PIXEL) for ra, dec in zip(cut.ra, cut.dec, strict=True)])
    hidden = 1 - np.mean(cut.coverage >= USED)
    print(f"{len(sphere.noise)} patches, {hidden:.1%} hidden; model / sphere - 1 of the variance [%]")
    names = ["half", "3/4", "whole", "all"] + [f"k<{high:.2f}" for high in BANDS[1:]]
    print("exponent " + " ".join(f"{name:>7}" for name in names))
    for exponent in EXPONENTS:
        ratio = variances(by_the_model(wide, exponent, 2 * options.skies)) / there - 1
        print(f"{exponent:8.2f} " + " ".join(f"{100 * one:7.2f}" for one in ratio), flush=True)
    print("holes beyond [pixels]: rms change of the noise inside / rms [%]")
    for margin, change in zip(MARGINS, beyond_margins(mask, rng), strict=True):
        print(f"{margin:4d}: {100 * change:.2f}")


if __name__ == "__main__":
    cli.entry(main)
