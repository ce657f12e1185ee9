"""Shear catalogues of 30 million galaxies in five conventions: is the shear what was put in, and what does it take?

Galaxies are simulated with known biases, responses, leakage of the PSF and depth (`study.shear_catalogues`), read as a
survey's are, and compared with the shear they were given; again with a part of each calibration left out, which must
show. Then a FITS table of 100 million rows, of four bins on 5,000 deg^2, is brought to NSIDE 1024 by a process of its
own whose time and largest memory are noted.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cosmokeras.params.catalogue import Catalogue
from cosmokeras.surveys.catalogue.galaxies import Galaxies, galaxies_of
from cosmokeras.surveys.catalogue.healpix_shear import ShearField, field_of, shear_field
from study import shear_catalogues as mock
from study.requirements import required

NUMBER, PIECE, NSIDE, SEED = 30_000_000, 1_000_000, 64, 7
EXACT = 0.002  # of the ratio
ROWS, FINE = 100_000_000, 1024
LIMIT_S, LIMIT_GB = 600.0, 4.0
LEFT_OUT: dict[str, dict[str, Any]] = {
    "metacal": {"calibration": {"method": "metacal", "r11": "R11", "r22": "R22"}},
    "lensfit": {"calibration": {"method": "lensfit", "m": (0, 0), "c": mock.C}},
    "regauss": {"calibration": {"method": "regauss", "e_rms": "RMS", "c1": "C1", "c2": "C2"}},
    "anacal": {"calibration": {"method": "anacal", "r11": "R11", "r22": "R22"}},
    "none": {"psf_leakage": None},
}


def check() -> tuple[dict[str, Any], bool]:
    """Ratios of measured to true shear by method, with all of the calibration and without a part; time and memory."""
    found: dict[str, Any] = {"galaxies": NUMBER}
    good = []
    sky = mock.sky(NSIDE, np.random.default_rng(SEED))
    for method in mock.METHODS:
        found[method] = {}
        for name, change in (("ratio", {}), ("left_out", LEFT_OUT[method])):
            layout = mock.layout(method, **change)
            field = field_of(layout, pieces(method, layout, sky), NSIDE, 0)
            found[method][name] = [round(one, 5) for one in ratios(field, sky)]
            if method == "none" and name == "left_out":
                alpha, error = field.calibration.alpha, field.calibration.alpha_error
                assert alpha is not None and error is not None
                found[method]["alpha"], found[method]["alpha_error"] = alpha.round(5).tolist(), error.round(5).tolist()
                good.append(
                    required(
                        "PSF leakage left in: smallest |alpha| / error", float((abs(alpha) / error).min()), 10, 1e9
                    )
                )
            elif name == "ratio":
                good += [required(f"{method}: bin {i + 1}, shear over truth", one, 1 - EXACT, 1 + EXACT)
                         for i, one in enumerate(found[method][name])]  # fmt: skip
            else:
                off = min(abs(one - 1) for one in found[method][name])
                good.append(
                    required(f"{method}: a part of the calibration left out, shear over truth off by", off, 0.02, 2)
                )
    found["speed"] = speed()
    good.append(required("seconds for 100 million rows", found["speed"]["seconds"], 0, LIMIT_S))
    good.append(required("largest memory [GB]", found["speed"]["memory_gb"], 0, LIMIT_GB))
    return found, all(good)


def pieces(method: str, layout: Catalogue, sky: mock.Sky) -> Iterator[Galaxies]:
    """The same galaxies each time it is called."""
    for i in range(NUMBER // PIECE):
        columns = mock.columns(method, sky, PIECE, np.random.default_rng([SEED, i]))
        yield galaxies_of(layout, columns, f"simulated {method}")


def ratios(field: ShearField, sky: mock.Sky) -> list[float]:
    """Slope of measured over true shear, of each bin."""
    pairs = zip(field.shear, sky.shear, field.weight, strict=True)
    return [mock.ratio(one, truth[:, field.pixels], weight) for one, truth, weight in pairs]


def speed() -> dict[str, Any]:
    """Time and memory of a process that reads a table of ROWS rows."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shear.fits"
        write_table(path)
        command = [sys.executable, "-c", f"from benchmarks.checks import catalogue; catalogue.measured({str(path)!r})"]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2])
        noted = json.loads(done.stdout.splitlines()[-1])
        size = path.stat().st_size
    return noted | {"rows": ROWS, "file_gb": round(size / 1e9, 2)}


def measured(path: str) -> None:
    """Print seconds and the largest memory of this process as JSON; responses and four rotations included."""
    layout = Catalogue.model_validate({
        "columns": {"ra": "RA", "dec": "DEC", "e1": "E1", "e2": "E2", "weight": "W"}, "signs": (1, -1),
        "bins": {"column": "BIN", "values": (1, 2, 3, 4)},
        "calibration": {"method": "metacal", "r11": "R11", "r22": "R22"},
    })  # fmt: skip
    begun = time.perf_counter()
    field = shear_field(layout, [Path(path)], FINE)
    seconds = time.perf_counter() - begun
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    n_eff = [float(f"{one:.4g}") for one in field.density.n_eff]
    print(json.dumps({"seconds": round(seconds, 1), "memory_gb": round(memory / 1e9, 2), "pixels": field.pixels.size,
                      "n_eff": n_eff}))  # fmt: skip


def write_table(path: Path) -> None:
    """A FITS table of galaxies on 5,000 deg^2, with the columns of a METACAL catalogue, a million rows at a time."""
    from astropy.io import fits

    names = {"RA": ">f8", "DEC": ">f8", "E1": ">f4", "E2": ">f4", "W": ">f4", "R11": ">f4", "R22": ">f4", "BIN": ">i2"}
    dtype = np.dtype(list(names.items()))
    header = fits.BinTableHDU(np.zeros(1, dtype)).header
    header["NAXIS2"] = ROWS
    rng = np.random.default_rng(SEED)
    with path.open("wb") as file:
        file.write(fits.PrimaryHDU().header.tostring().encode())
        file.write(header.tostring().encode())
        for _ in range(ROWS // PIECE):
            block = np.empty(PIECE, dtype)
            block["RA"] = rng.uniform(0, 100, PIECE)
            block["DEC"] = np.degrees(np.arcsin(rng.uniform(-0.9, -0.027, PIECE)))
            for name in ("E1", "E2"):
                block[name] = rng.normal(0, 0.25, PIECE)
            for name in ("W", "R11", "R22"):
                block[name] = rng.uniform(0.6, 0.8, PIECE)
            block["BIN"] = rng.integers(1, 5, PIECE)
            file.write(block.tobytes())
        file.write(b"\0" * (-ROWS * dtype.itemsize % 2880))
