"""Command that writes the training masks of the `hsc_y3_fair` preset."""

from __future__ import annotations

import numpy as np

from cosmokeras.common import cli
from cosmokeras.common.errors import UserError
from cosmokeras.common.files import atomic
from cosmokeras.sky.tiles import cut, greedy_corners, masked_fraction
from cosmokeras.surveys.download.fetch import fetch_file
from cosmokeras.surveys.sources.hsc_y3 import MASK, read_mask

STEP = 32  # pixels between the squares of the mask library


def mask_library(mask: np.ndarray, size: int, max_masked: float) -> np.ndarray:
    """Footprints (n, size, size) uint8: the tiles that `load` cuts, and more squares that overlap them."""
    good = masked_fraction(mask, size) <= max_masked
    regular = [(int(y) * STEP, int(x) * STEP) for y, x in np.argwhere(good[::STEP, ::STEP])]
    corners = list(dict.fromkeys([*greedy_corners(mask, size, max_masked), *regular]))
    return cut(mask.astype(np.uint8), corners, size)


def main(arguments: list[str] | None = None) -> int:
    """Command line: write the training masks of the `hsc_y3_fair` preset."""
    parser = cli.Parser("cosmokeras.surveys.hsc_y3", main.__doc__)
    parser.add_output("--mask")
    parser.add_argument("--footprint", metavar="FILE", help="mask of the survey (default: the published one)")
    parser.add_patch(max_masked=0.1)
    options = parser.parse_args(arguments)
    out = cli.output_file("--mask", options.mask)
    mask = read_mask(options.footprint or fetch_file(MASK))
    if options.size > min(mask.shape):
        raise UserError(f"--size {options.size}: the footprint is {mask.shape} pixels")
    library = mask_library(mask, options.size, options.max_masked)
    if len(library) == 0:
        raise UserError(f"--max-masked {options.max_masked}: no square is that well covered; raise it")
    with atomic(out) as handle:
        np.save(handle, library)
    print(f"{out}: {len(library)} masks of {options.size}^2 pixels, {np.mean(library == 0):.1%} masked")
    return 0


if __name__ == "__main__":
    cli.entry(main)
