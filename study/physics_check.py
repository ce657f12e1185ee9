"""Comparison of all simulators with theory: figures, and the numbers behind them.

    python -m study.physics_check

draws maps, spectra against theory, one-point distributions, transfer functions, skewness and nuisances of all
simulators into plots/physics and writes the measured numbers, beside what is required of them, into
metrics/physics.json. It reads no output of the pipeline. Exit status 1 if a requirement is missed; docs/physics.md
explains.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from cosmokeras.common import cli
from cosmokeras.common.files import read_json
from cosmokeras.simulators import grf, lensing, lpt, realisations
from cosmokeras.theory.table import theory_table
from study import kappa, matter, pictures, recorded
from study.options import parser as study_parser
from study.setting import FULL, MIDDLE, OMEGA_M, QUICK, Effort, Notes, config

SEED = 11  # of the maps shown
COLUMNS = [rf"$\Omega_m$ = {value}" for value in OMEGA_M]


def examples(out: Path, effort: Effort, notes: Notes) -> None:
    """Maps of each kind at three Omega_m, the same random numbers in all."""
    size, points = effort.mesh // 2, effort.mesh
    thetas = [np.array([value]) for value in OMEGA_M]
    draw = realisations(SEED, 3, 0)

    cfg = config({"data.kind": "grf", "data.size": size})
    prepared = grf.prepare(cfg)
    fields = np.array([grf.maps(cfg, prepared, theta, draw, 1)[0, ..., 0] for theta in thetas])
    fields /= fields.std(axis=(1, 2), keepdims=True)
    words = {"title": "Gaussian fields with a BBKS spectrum", "x": "[Mpc/h]", "unit": "density contrast / its rms"}
    pictures.maps(out / "maps_grf.png", fields[None], cfg.grf.box_mpc_h, [""], COLUMNS, words)

    box = points * matter.CELL
    cfg = config({"data.kind": "2lpt", "data.size": size, "lpt.particles": points, "lpt.box_mpc_h": box})
    prepared = lpt.prepare(cfg)
    fields = np.array([lpt.maps(cfg, prepared, theta, draw, 1)[0, ..., 0] for theta in thetas])
    title = f"Second-order perturbation theory: slabs of {cfg.lpt.slab_mpc_h:g} Mpc/h, z = 0"
    words = {"title": title, "x": "[Mpc/h]", "unit": "mean overdensity of the slab"}
    pictures.maps(out / "maps_2lpt.png", fields[None], box, [""], COLUMNS, words)

    cfg = config({"data.size": size})
    prepared = lensing.prepare(cfg)
    fields = np.array([np.moveaxis(lensing.maps(cfg, prepared, theta, draw, 1)[0], -1, 0) for theta in thetas])
    words = {"title": "Convergence without noise, four bins of DES Y3", "x": "[deg]", "unit": r"$\kappa$"}
    bins = [f"bin {b + 1}" for b in range(cfg.channels)]
    pictures.maps(out / "maps_lensing.png", fields, size * cfg.pixel_arcmin / 60, COLUMNS, bins, words)


def one_point(out: Path, effort: Effort, notes: Notes) -> None:
    """Distributions of pixels of each kind."""
    draw, count, sides = realisations(SEED, 3, 1), effort.maps // 2, []
    labels = [rf"$\Omega_m$ = {value}" for value in OMEGA_M]
    for kind, module, title in (("grf", grf, "grf"), ("2lpt", lpt, "2lpt, slabs of 62.5 Mpc/h")):
        cfg = config({"data.kind": kind})
        prepared = module.prepare(cfg)
        samples = [module.maps(cfg, prepared, np.array([value]), draw, count) for value in OMEGA_M]
        sides.append({"title": title, "samples": samples, "labels": labels})
    cfg = config({})
    maps = lensing.maps(cfg, lensing.prepare(cfg), np.array([MIDDLE]), draw, count)
    samples = [maps[..., b] for b in range(maps.shape[-1])]
    title = rf"lensing, {cfg.pixel_arcmin:g} arcmin, $\Omega_m$ = {MIDDLE}"
    sides.append({"title": title, "samples": samples, "labels": [f"bin {b + 1}" for b in range(len(samples))]})
    for side in sides:
        kind, sample = side["title"].split(",")[0], side["samples"][1].astype(float)
        which = "bin_2" if kind == "lensing" else f"omega_m_{MIDDLE}"
        notes.note(f"skewness_{kind}_{which}", np.mean((sample - sample.mean()) ** 3) / sample.std() ** 3)
    pictures.distributions(out / "one_point.png", "One-point distribution of pixels, without noise", sides)


PARTS: dict[str, Callable[[Path, Effort, Notes], None]] = {
    "maps": examples,
    "grf": matter.gaussian_fields,
    "2lpt": matter.second_order,
    "quijote": matter.quijote,
    "skewness": matter.skewness,
    "transfer": matter.transfer,
    "lensing": kappa.spectra,
    "shells": kappa.thickness,
    "nuisances": kappa.nuisances,
    "one_point": one_point,
}


def check(out: Path, metrics: Path, effort: Effort, parts: list[str]) -> bool:
    """Draw and measure; True if all requirements are met. Parts that are not asked for keep their earlier figures."""
    result = read_json(metrics)
    theory_table(config({}), progress=True)
    passed = True
    for name in (progress := tqdm(parts, unit="part")):
        progress.set_description(name)
        notes, start = Notes(name), time.perf_counter()
        PARTS[name](out, effort, notes)
        tqdm.write(f"{name}: {time.perf_counter() - start:.1f} s", file=sys.stderr)
        if notes.found:
            result[name] = notes.summary()
        passed &= not notes.missed
        ordered = {part: result[part] for part in PARTS if part in result}
        recorded.write(metrics, ordered, "study.physics_check", name)
    return passed


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = study_parser(
        "study.physics_check", __doc__, "plots/physics", "metrics/physics.json", "folder of the pictures"
    )
    parser.add_subset("parts", "part", list(PARTS))
    options = parser.parse_args(arguments)
    cli.writable(options.metrics, options.out / "picture.png")
    good = check(options.out, options.metrics, QUICK if options.quick else FULL, options.parts)
    return 0 if good else 1


if __name__ == "__main__":
    cli.entry(main)
