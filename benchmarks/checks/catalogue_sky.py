"""From galaxies to a posterior: a GLASS sky at the density of DES Y3, written as a METACAL catalogue, and inferred.

About 90 million galaxies with responses and leakage of the PSF in a FITS table of 4 GB, read as `real.source=catalogue`
reads it with the preset `des_y3`, and answered by the network of `make repro`. Half an hour, 5 GB of disk.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from tqdm import tqdm

from cosmokeras.params.catalogue import Catalogue
from cosmokeras.params.survey import Survey, load_survey
from cosmokeras.simulators.sphere import FIDUCIAL, full_sky_kappa, peak_gb
from cosmokeras.sky.footprint import des_like_footprint
from cosmokeras.sky.pixels import ARCMIN
from cosmokeras.sky.spherical_ks import shear_sphere
from cosmokeras.surveys.sources import catalogue as source
from study.requirements import required

ROOT = Path(__file__).parents[2]
SEED, FINE, PIECE = 41_000, 64, 1_000_000
LEAK = 0.03  # alpha of the PSF, whose ellipticity scatters by 0.03
PULL = 3.0
NAMES = {"RA": ">f8", "DEC": ">f8", **dict.fromkeys(("E1", "E2", "R11", "R22", "PSF1", "PSF2"), ">f4"), "BIN": ">i2"}
LAYOUT = Catalogue.model_validate({
    "columns": {"ra": "RA", "dec": "DEC", "e1": "E1", "e2": "E2", "psf_e1": "PSF1", "psf_e2": "PSF2"}, "signs": (1, -1),
    "bins": {"column": "BIN", "values": (1, 2, 3, 4)}, "psf_leakage": "measured", "rotations": 2,
    "calibration": {"method": "metacal", "r11": "R11", "r22": "R22"},
})  # fmt: skip


def check() -> tuple[dict[str, Any], bool]:
    """The pull of Omega_m, what it took, and the null tests."""
    from cosmokeras import Estimator

    survey = load_survey("des_y3", ROOT / "data" / "surveys").model_copy(update={"catalogue": LAYOUT})
    est = Estimator.load(ROOT / "outputs" / "model")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shear.fits"
        rows = write(path, survey)
        size = path.stat().st_size
        begun = time.perf_counter()
        sky = source.load(configuration(survey, path, est.cfg.data.size))
        seconds = time.perf_counter() - begun
    obs = est.prepare(sky.maps, sky.coverage)
    samples = est.combine(obs, 4000, seed=0)[:, est.parameters.index("omega_m")]
    pull = float((samples.mean() - FIDUCIAL["omega_m"]) / samples.std())
    found = {
        "galaxies": rows, "file_gb": round(size / 1e9, 2), "seconds": round(seconds, 1), "peak_gb": round(peak_gb(), 2),
        "patches": len(sky.maps), "truth": FIDUCIAL["omega_m"], "mean": round(float(samples.mean()), 5),
        "std": round(float(samples.std()), 5), "pull": round(pull, 3),
        "surprise_p": round(float(est.survey_surprise(obs)), 4), "calibration": sky.provenance["calibration"],
        "null_tests": {name: round(float(value), 4) for name, value in sky.null_tests.items()},
    }  # fmt: skip
    return found, required("Omega_m of a sky from its catalogue: |pull|", abs(pull), 0, PULL)


def configuration(survey: Survey, path: Path, size: int) -> Any:
    """What a source reads of a Config."""
    real = {"source": "catalogue", "path": str(path), "mask": None, "mirror": None, "offline": True, "max_masked": 0.1,
            "observed": False, "truth": {"omega_m": FIDUCIAL["omega_m"]}}  # fmt: skip
    return SimpleNamespace(
        survey=survey, real=SimpleNamespace(**real), data=SimpleNamespace(size=size), root=str(ROOT),
        pixel_arcmin=survey.pixel_arcmin, pixel_side=survey.pixel_arcmin * ARCMIN,
    )  # fmt: skip


def write(path: Path, survey: Survey) -> int:
    """Write the catalogue; returns its rows. Shapes scatter by sigma_e; n_eff is the number, as weights are alike."""
    import healpy
    from astropy.io import fits

    nside = survey.healpix_nside
    rngs = [np.random.default_rng(s) for s in np.random.SeedSequence(SEED).spawn(3)]
    seen = np.flatnonzero(des_like_footprint(nside, rngs[1]))
    kappa = full_sky_kappa(FIDUCIAL, survey, nside, None, rngs[0])
    area, rng = healpy.nside2pixarea(nside) / ARCMIN**2, rngs[2]
    dtype, rows = np.dtype(list(NAMES.items())), 0
    header = fits.BinTableHDU(np.zeros(1, dtype)).header
    with path.open("wb") as file:
        file.write(fits.PrimaryHDU().header.tostring().encode())
        place = file.tell()
        file.write(header.tostring().encode())
        for i, (one, n_eff, sigma_e) in enumerate(zip(kappa, survey.n_eff, survey.sigma_e, strict=True), start=1):
            shear = np.array(shear_sphere(one, survey.lmax))[:, seen].astype(np.float32)
            counts = rng.poisson(n_eff * area, seen.size)
            whose = np.repeat(np.arange(seen.size, dtype=np.int32), counts)
            for start in tqdm(range(0, whose.size, PIECE), desc=f"galaxies of bin {i}", leave=False):
                number = whose[start : start + PIECE]
                file.write(_block(dtype, seen[number], shear[:, number], nside, float(sigma_e), i, rng).tobytes())
            rows += whose.size
        file.write(b"\0" * (-rows * dtype.itemsize % 2880))
        header["NAXIS2"] = rows
        file.seek(place)
        file.write(header.tostring().encode())
    return rows


def _block(
    dtype: np.dtype[Any], pixel: np.ndarray, shear: np.ndarray, nside: int, sigma_e: float, number: int,
    rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """Rows of galaxies in pixels, of true shear with x to the east; that of the catalogue is to the west."""
    import healpy

    nested = healpy.ring2nest(nside, pixel) * FINE**2 + rng.integers(FINE**2, size=pixel.size)
    ra, dec = healpy.pix2ang(nside * FINE, nested, nest=True, lonlat=True)
    response = rng.uniform(0.65, 0.75, (2, pixel.size))
    psf = 0.02 * np.stack([np.sin(np.radians(30 * ra)), np.cos(np.radians(40 * dec))])
    psf = psf + 0.02 * rng.standard_normal((2, pixel.size))
    e = response * (shear + sigma_e * rng.standard_normal((2, pixel.size))) + LEAK * psf
    block = np.empty(pixel.size, dtype)
    for name, column in zip(NAMES, (ra, dec, e[0], -e[1], *response, psf[0], -psf[1]), strict=False):
        block[name] = column
    block["BIN"] = number
    return block
