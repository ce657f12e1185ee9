"""Training masks from a shear catalogue: its footprint and, with `--out NAME.npz`, the noise of each pixel.

    python -m cosmokeras.surveys.catalogue.masks --survey cosmos --out data/masks/cosmos_64x1.5.npy --pixel 1.5

writes the footprint of a field on a flat grid; of a catalogue on the sphere, patches of it at random positions. They go
onto simulated maps by `lensing.mask` in params.yaml, or `mask` in a preset.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from cosmokeras.common import cli
from cosmokeras.common.files import atomic
from cosmokeras.params.survey import Survey, load_survey
from cosmokeras.sky.footprint import write_masks
from cosmokeras.surveys.catalogue.depth import relative_noise
from cosmokeras.surveys.catalogue.files import catalogue_files, layout_of
from cosmokeras.surveys.catalogue.flat_field import flat_field, footprint, must_fit_on_grid
from cosmokeras.surveys.catalogue.galaxies import Files, read
from cosmokeras.surveys.catalogue.healpix_shear import shear_field


def write_flat(path: Path, survey: Survey, files: Files, size: int, pixel_arcmin: float) -> np.ndarray:
    """Write the footprint (1, size, size) of a field on one grid, uint8, with its noise if `path` is an .npz."""
    field = flat_field(layout_of(survey), read(layout_of(survey), files))
    must_fit_on_grid(field.galaxies, size, pixel_arcmin)
    mask = footprint(field.maps(size, pixel_arcmin))[None].astype(np.uint8)
    expected = survey.sigma_e / np.sqrt(survey.n_eff * pixel_arcmin**2)
    noise = field.noise(size, pixel_arcmin)
    relative = relative_noise(np.where(mask > 0, noise, np.inf), expected, survey.name)
    with atomic(path) as handle:
        if path.suffix == ".npz":
            np.savez(handle, coverage=mask, noise=relative[None].astype(np.float32))
        else:
            np.save(handle, mask)
    return mask


def write_sphere(path: Path, survey: Survey, files: Files, options: argparse.Namespace) -> np.ndarray:
    """Write patches of the footprint at random positions, as `sky.footprint.write_masks` does."""
    nside = survey.healpix_nside
    field = shear_field(layout_of(survey), files, nside, rotations=0)
    mask, noise = field.mask(), np.ones(12 * nside**2)
    relative = relative_noise(field.noise, survey.healpix_noise(nside), survey.name)
    noise[field.pixels] = relative
    return write_masks(
        path, mask, np.random.default_rng(options.seed), options.number, options.size, options.pixel,
        options.max_masked, noise=noise if path.suffix == ".npz" else None,
    )  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Write training masks from a shear catalogue: its footprint and the noise of each pixel."""
    parser = cli.Parser("cosmokeras.surveys.catalogue.masks", main.__doc__)
    parser.add_argument("--survey", required=True, metavar="NAME", help="preset in data/surveys with a block catalogue")
    parser.add_output("--out", "OUT.npz")
    help_files = "files of the catalogue (default: those of the preset)"
    parser.add_argument("--catalogue", nargs="+", metavar="FILE", help=help_files)
    parser.add_argument("--mirror", metavar="DIR", help="folder with published files (default: download)")
    parser.add_patch(pixel=5.0, max_masked=0.1)
    parser.add_argument("--number", type=cli.count, default=128, help="masks to write, of a catalogue on the sphere")
    parser.add_argument("--seed", type=cli.whole, default=0, help="of positions and orientations")
    options = parser.parse_args(arguments)
    out = cli.output_file("--out", options.out, ".npz" if options.out.suffix == ".npz" else ".npy")
    survey = load_survey(options.survey)
    layout_of(survey)
    named = None if options.catalogue is None else tuple(options.catalogue)
    files = catalogue_files(survey, named, mirror=options.mirror)
    if survey.made_from == "healpix":
        mask = write_sphere(out, survey, files, options)
    else:
        mask = write_flat(out, survey, files, options.size, options.pixel)
    print(f"{out}: {np.count_nonzero(mask >= 0.5)} of {mask.size} pixels observed, {len(mask)} masks")
    return 0


if __name__ == "__main__":
    cli.entry(main)
