"""Command that writes the training mask of the `cosmos` preset."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cosmokeras.common import cli
from cosmokeras.common.files import atomic
from cosmokeras.sky.shear_catalogue import bin_shear, coverage
from cosmokeras.surveys.sources.cosmos import fetch_catalogue, must_fit_on_grid


def write_mask(path: Path | str, size: int, pixel_arcmin: float, mirror: Path | str | None = None) -> np.ndarray:
    """Write the footprint on the grid, (1, size, size) uint8, for the survey preset; returns it."""
    catalogue = fetch_catalogue(mirror)
    must_fit_on_grid(catalogue, size, pixel_arcmin)
    mask = coverage(bin_shear(catalogue, size, pixel_arcmin).counts)[None].astype(np.uint8)
    with atomic(path) as handle:
        np.save(handle, mask)
    return mask


def main(arguments: list[str] | None = None) -> int:
    """Command line: write the training mask of the `cosmos` preset."""
    parser = cli.Parser("cosmokeras.surveys.cosmos", main.__doc__)
    parser.add_output("--mask")
    parser.add_argument("--mirror", metavar="DIR", help="folder with cosmos/*.fits (default: download)")
    parser.add_patch(pixel=1.5)
    options = parser.parse_args(arguments)
    out = cli.output_file("--mask", options.mask)
    mask = write_mask(out, options.size, options.pixel, options.mirror)
    print(f"{out}: {int(mask.sum())} of {mask.size} pixels observed")
    return 0


if __name__ == "__main__":
    cli.entry(main)
