"""A survey preset from a shear catalogue: number density, shape noise, footprint and n(z), measured and written down.

    python -m cosmokeras.surveys.catalogue.preset block.yaml --catalogue shear.fits --nz nz.fits --name mine

`block.yaml` holds the block `catalogue` of the preset (`cosmokeras.params.catalogue`), which says what columns mean.
Written are data/surveys/mine.yaml and mine_nz.txt; --masks adds training masks with the depth of the survey, and names
them in the preset.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from cosmokeras.common import cli, yaml12
from cosmokeras.common.errors import UserError
from cosmokeras.common.files import write_text
from cosmokeras.params.catalogue import Catalogue
from cosmokeras.params.survey import SURVEY_FOLDER, load_survey
from cosmokeras.redshifts.nz_files import NzFile, read_nz
from cosmokeras.sky.footprint import write_masks
from cosmokeras.sky.pixels import ARCMIN, healpix_side
from cosmokeras.sky.spherical_ks import checked_lmax
from cosmokeras.surveys.catalogue.density import chang
from cosmokeras.surveys.catalogue.depth import relative_noise
from cosmokeras.surveys.catalogue.healpix_shear import ShearField, shear_field
from cosmokeras.surveys.catalogue.tables import listed

OUTSIDE = 0.001  # of the footprint that a box of the preset leaves out on each side
GAP = 40.0  # [deg] of right ascension without galaxies that parts a footprint into boxes


def read_block(path: Path) -> tuple[dict[str, Any], Catalogue]:
    """The block `catalogue` in a file, as it stands and checked; the file may be a whole preset."""
    raw = yaml12.read(path)
    raw = raw.get("catalogue", raw) if isinstance(raw, dict) else raw
    try:
        return raw, Catalogue.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise UserError(f"{path}: {where}: {first['msg']} (got {first['input']!r})") from None


def measured(field: ShearField) -> list[dict[str, float]]:
    """For each bin: n_eff and sigma_e that give the noise of the pixels, and what definitions say.

    `sigma_e` is that of Heymans et al. (2012). `n_eff` makes sigma_e / sqrt(n_eff A) the rms noise of the pixels that
    galaxies of all bins lie in, and so is at most that of Heymans et al., which is `heymans`, from sums over the whole
    area; `noise` is that rms. `chang_n_eff` and `chang_sigma_e` are there if the catalogue has sigma_m.
    """
    area = (healpix_side(field.nside) / ARCMIN) ** 2
    square = np.mean(field.noise[:, field.seen] ** 2, axis=1)
    density = field.density
    bins = [
        {"n_eff": float(s**2 / (v * area)), "sigma_e": float(s), "heymans": float(n), "noise": float(np.sqrt(v))}
        for s, n, v in zip(density.sigma_e, density.n_eff, square, strict=True)
    ]
    if "w2mm" in field.moments:
        other = chang(field.moments, field.calibration, field.area)
        for one, n, s in zip(bins, other.n_eff, other.sigma_e, strict=True):
            one |= {"chang_n_eff": float(n), "chang_sigma_e": float(s)}
    return bins


def boxes(field: ShearField) -> list[list[float]]:
    """Boxes [RA from, to, Dec from, to] [deg] about the footprint, one for each part of it, RA from -180 up."""
    import healpy

    ra, dec = healpy.pix2ang(field.nside, field.pixels[field.seen], lonlat=True)
    ra = (ra + 180) % 360 - 180
    order = np.argsort(ra)
    parts = np.split(order, np.flatnonzero(np.diff(ra[order]) > GAP) + 1)
    found = []
    for part in parts:
        west, east = np.quantile(ra[part], [OUTSIDE, 1 - OUTSIDE])
        south, north = np.quantile(dec[part], [OUTSIDE, 1 - OUTSIDE])
        found.append(
            [round(float(one), 1) for one in (west - 0.1, east + 0.1, max(south - 0.1, -90), min(north + 0.1, 90))]
        )
    return found


def text_of(options: argparse.Namespace, block: dict[str, Any], field: ShearField, nz: NzFile, mask: str | None) -> str:
    """The preset, with what was measured in comments."""
    degrees = field.area / 3600
    galaxies = int(field.moments["n"].sum())
    lines = [
        f"# Measured by cosmokeras.surveys.catalogue.preset: {galaxies} galaxies,",
        f"# {degrees:.1f} deg^2 in pixels of NSIDE {field.nside} that have galaxies of all bins.",
        f"name: {options.name}",
        f"title: {_quoted(options.title or options.name)}",
        f"citation: {_quoted(options.citation)}",
        "made_from: healpix",
        f"nside: {field.nside}",
        f"lmax: {checked_lmax(None, field.nside)}",
        f"pixel_arcmin: {options.pixel:g}",
        f"sky: {boxes(field)}",
        f"mask: {mask or 'null'}",
        f"z_max: {options.z_max:g}",
        *yaml12.dumps({"catalogue": block}).splitlines(),
        "bins:",
    ]
    for i, one in enumerate(measured(field)):
        total, mean = float(nz.n_z[i].sum()), float((nz.n_z[i] * nz.z).sum() / nz.n_z[i].sum())
        lines += [
            f"  # sigma_e after Heymans et al. (2012), whose n_eff is {one['heymans']:.4g}; the n_eff here makes",
            f"  # sigma_e / sqrt(n_eff A) the rms noise of the pixels, {one['noise']:.4g}.",
        ]
        if "chang_n_eff" in one:
            lines.append(
                f"  # After Chang et al. (2013): n_eff {one['chang_n_eff']:.4g}, sigma_e {one['chang_sigma_e']:.4g}."
            )
        lines += [
            f"  - n_eff: {one['n_eff']:.4g}",
            f"    sigma_e: {one['sigma_e']:.4g}",
            f"    # mean z {mean:.3f}; the column adds up to {total:.4g}; z are {nz.words}",
            f"    n_z: [{{kind: table, file: {options.name}_nz.txt, z_column: 0, n_column: {i + 1}}}]",
        ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def main(arguments: list[str] | None = None) -> int:
    """Write a survey preset for a shear catalogue: n_eff, sigma_e, noise of pixels, footprint and n(z)."""
    parser = cli.Parser("cosmokeras.surveys.catalogue.preset", main.__doc__)
    parser.add_argument("block", type=Path, metavar="BLOCK.yaml", help="file with the block `catalogue` of the preset")
    parser.add_argument("--catalogue", nargs="+", metavar="FILE", help="files (default: catalogue.files of the block)")
    parser.add_argument("--nz", nargs="+", required=True, metavar="FILE", help="n(z): text, 2pt-FITS, SACC or HDF5")
    parser.add_argument("--z-is", choices=("centre", "low_edge", "edges"), help="what the z of --nz are")
    parser.add_argument("--name", required=True, metavar="NAME", help="of the preset")
    parser.add_argument("--title", help="of the preset")
    parser.add_argument("--citation", default="give one", help="whom to cite for the catalogue")
    parser.add_argument("--nside", type=cli.count, default=1024, help="HEALPix pixels of the shear maps")
    parser.add_argument("--z-max", type=cli.positive, default=3.0, help="z_max of the preset")
    parser.add_argument("--masks", type=cli.count, default=0, metavar="N", help="training masks with depth to write")
    parser.add_argument("--seed", type=cli.whole, default=0, help="of positions and orientations of masks")
    parser.add_argument("--folder", type=Path, default=SURVEY_FOLDER, help="of the preset")
    parser.add_patch(pixel=5.0, max_masked=0.1)
    options = parser.parse_args(arguments)
    out, table = options.folder / f"{options.name}.yaml", options.folder / f"{options.name}_nz.txt"
    if not options.name.isidentifier():
        raise UserError(f"--name {options.name}: letters, digits and underscores alone, as the name of a preset")
    cli.writable(out, table)
    block, layout = read_block(options.block)
    named = options.catalogue or layout.files
    if not named or isinstance(named, dict):
        raise UserError(f"{options.block}: files of tables must be named, in --catalogue or catalogue.files")
    nz = read_nz(options.nz, options.z_is, options.z_max)
    if len(nz.n_z) != layout.number:
        raise UserError(f"--nz {options.nz[0]}: n(z) of {len(nz.n_z)} bins, but catalogue.bins has {layout.number}")
    field = shear_field(layout, listed(Path(), list(named)), options.nside, rotations=0)
    if options.catalogue:
        block = {**block, "files": list(options.catalogue)}
    mask = _masks(options, field) if options.masks else None
    rows = "\n".join(" ".join(f"{one:.8g}" for one in row) for row in zip(nz.z, *nz.n_z, strict=True))
    write_text(table, f"# z (middles of steps), n(z) of {layout.number} bins; from {', '.join(options.nz)}\n{rows}\n")
    write_text(out, text_of(options, block, field, nz, mask))
    load_survey(options.name, options.folder)
    for i, one in enumerate(measured(field), start=1):
        print(f"bin {i}: n_eff {one['n_eff']:.4g} per arcmin^2, sigma_e {one['sigma_e']:.4g}, noise {one['noise']:.4g}")
    print(f"{out}: {field.area / 3600:.1f} deg^2; z of --nz are {nz.words}")
    return 0


def _masks(options: argparse.Namespace, field: ShearField) -> str:
    """Write training masks with depth; their name in the preset."""
    path = options.folder / f"../masks/{options.name}_{options.size}x{options.pixel:g}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    expected = np.array([one["noise"] for one in measured(field)])
    noise = np.ones(12 * field.nside**2)
    noise[field.pixels] = relative_noise(field.noise, expected, options.name)
    rng = np.random.default_rng(options.seed)
    write_masks(
        path, field.mask(), rng, options.masks, options.size, options.pixel, options.max_masked, noise=noise,
    )  # fmt: skip
    return f"../masks/{path.name}"


if __name__ == "__main__":
    cli.entry(main)
