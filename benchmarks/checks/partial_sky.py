"""Memory and time of four maps of NSIDE 4096 in a FITS file of their pixels alone, from the file to patches.

The footprint is a cap of the area of DES; a full sky would be 0.8 GB a map, 201 million pixels.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from cosmokeras.params.survey import load_survey
from cosmokeras.sky.pixels import ARCMIN
from cosmokeras.surveys.sources import healpix as source
from study.requirements import required

ROOT = Path(__file__).parents[2]
NSIDE, FRACTION = 4096, 0.12
GB = 2.0
SIDE, PIXEL = 64, 5.0  # patches
CODE = "import sys; from benchmarks.checks import partial_sky as one; one.report(sys.argv[1])"


def check() -> tuple[dict[str, Any], bool]:
    """Peak memory [GB] and seconds of the reading process."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), FRACTION)
        figures = measured(Path(folder))
    return figures, required("NSIDE 4096, a partial sky: peak memory [GB]", figures["gb"], 0, GB)


def measured(folder: Path) -> dict[str, Any]:
    """Read the maps in a process of their own."""
    begun = time.perf_counter()
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    said = subprocess.run(
        [sys.executable, "-c", CODE, str(folder)], cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE, check=True
    ).stdout.split()
    seconds = round(time.perf_counter() - begun, 1)
    return {"gb": round(float(said[1]), 2), "seconds": seconds, "patches": int(said[0])}


def write(folder: Path, fraction: float) -> None:
    """White noise of DES Y3 in maps.fits and the footprint in mask.fits, both of pixel numbers and values alone."""
    from astropy.io import fits

    npix = 12 * NSIDE**2
    pixels = np.arange(int(fraction * npix))  # RING begins at the north pole
    noise = survey().kappa_noise(NSIDE)
    rng = np.random.default_rng(1)
    for name, bins in (("mask", 0), ("maps", len(noise))):
        table = np.empty(pixels.size, [("PIXEL", ">i8"), *((f"BIN{i + 1}", ">f4") for i in range(bins))])
        table["PIXEL"] = pixels
        for column, sigma in zip(table.dtype.names[1:], noise, strict=False):
            table[column] = sigma * rng.standard_normal(pixels.size, np.float32)
        hdu = fits.BinTableHDU(table)
        words = {"PIXTYPE": "HEALPIX", "ORDERING": "RING", "COORDSYS": "C", "NSIDE": NSIDE, "INDXSCHM": "EXPLICIT"}
        hdu.header.update(words)
        hdu.writeto(folder / f"{name}.fits")


def survey() -> Any:
    """DES Y3 with maps of NSIDE 4096 and white noise."""
    return load_survey("des_y3", ROOT / "data" / "surveys").model_copy(update={"nside": NSIDE, "lmax": None})


def patches(folder: Path) -> int:
    """How many patches there are, after all checks and null tests."""
    real = {"source": "healpix", "path": "maps.fits", "mask": "mask.fits", "missing": None, "max_masked": 0.1,
            "observed": False, "truth": None}  # fmt: skip
    cfg: Any = SimpleNamespace(
        survey=survey(), real=SimpleNamespace(**real), data=SimpleNamespace(size=SIDE), root=str(folder),
        pixel_arcmin=PIXEL, pixel_side=PIXEL * ARCMIN, parameter_names=("omega_m",),
    )  # fmt: skip
    return len(source.load(cfg).maps)


def report(folder: str) -> None:
    """Print the number of patches and the peak memory of this process [GB]."""
    from cosmokeras.simulators.sphere import peak_gb

    print(patches(Path(folder)), peak_gb())
