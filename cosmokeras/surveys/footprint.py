"""Footprints: the masks that simulated maps get from a true one, and an invented one for mock skies, about that of DES.

    python -m cosmokeras.surveys.footprint --healpix MASK.fits --size 64 --pixel 5 --out data/masks/NAME.npy

writes the masks of patches at random positions of the footprint in MASK.fits. They go onto simulated maps with
`lensing.mask: data/masks/NAME.npy` in params.yaml, or with `mask: ../masks/NAME.npy` in a survey preset. With
`--noise NOISE.fits`, a HEALPix map of the noise of each pixel over the survey's, they go with that: `--out NAME.npz`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cosmokeras.common import cli
from cosmokeras.common.errors import UserError
from cosmokeras.observation.masks import MEDIAN_NOISE_FACTOR
from cosmokeras.readers.healpix import read_healpix
from cosmokeras.sky.footprint import write_masks
from cosmokeras.sky.patches import MARGIN
from cosmokeras.surveys.healpix_files import read_mask


def read_noise(path: Path, mask: np.ndarray) -> np.ndarray:
    """Noise of each pixel over the survey's, from the first column of a HEALPix map on the grid of `mask`."""
    import healpy as hp

    try:
        noise = read_healpix(path, fields=0)[0].astype(np.float64)  # whatever the header says is believed
    except UserError as error:
        raise UserError(f"--noise {error}") from None
    if noise.shape != mask.shape:
        has, wants = hp.npix2nside(noise.size), hp.npix2nside(mask.size)
        raise UserError(f"--noise {path}: has NSIDE {has}, the footprint {wants}; must be the same")
    good = np.isfinite(noise) & (noise > 0)
    if not good[mask].all():
        bad = int(np.count_nonzero(~good & mask))
        raise UserError(f"--noise {path}: not above 0 in {bad} observed pixels; must be the noise over the survey's")
    typical = float(np.median(noise[mask]))
    if not 1 / MEDIAN_NOISE_FACTOR <= typical <= MEDIAN_NOISE_FACTOR:
        raise UserError(
            f"--noise {path}: {typical:.3g} in most observed pixels; must be the noise over the survey's, 1 where it "
            "is sigma_e / sqrt(n_eff A): divide it by that"
        )
    return np.where(good, noise, 1.0)


def main(arguments: list[str] | None = None) -> int:
    """Write masks for simulated maps: the footprint of a HEALPix mask at random positions."""
    parser = cli.Parser("cosmokeras.surveys.footprint", main.__doc__)
    parser.add_argument("--healpix", required=True, type=Path, metavar="MASK.fits", help="footprint, 1 where observed")
    parser.add_output("--out")
    parser.add_argument("--noise", type=Path, metavar="NOISE.fits", help="noise of each pixel over the survey's")
    parser.add_patch(pixel=5.0, max_masked=0.1)
    parser.add_argument("--number", type=cli.count, default=128, help="masks to write")
    parser.add_argument("--seed", type=cli.whole, default=0, help="of positions and orientations")
    options = parser.parse_args(arguments)
    out = cli.output_file("--out", options.out, ".npy" if options.noise is None else ".npz")
    mask, rng = read_mask(options.healpix), np.random.default_rng(options.seed)
    noise = None if options.noise is None else read_noise(options.noise, mask)
    masks = write_masks(out, mask, rng, options.number, options.size, options.pixel, options.max_masked, noise=noise)
    inner = masks[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
    holes = float(np.mean(inner < 0.5))
    print(f"{out}: {len(masks)} masks of {options.size}^2 pixels and {MARGIN} around, {holes:.1%} masked")
    return 0


if __name__ == "__main__":
    cli.entry(main)
