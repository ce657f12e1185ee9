"""Files of mock skies: a partial-sky HEALPix table of one convergence per bin, noise included."""

from __future__ import annotations

import gzip
import io
import textwrap
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from cosmokeras.common.errors import UNREADABLE, UserError
from cosmokeras.common.files import atomic

STEPS = 8  # steps of the stored numbers per noise sigma: rounding adds 1 / (12 STEPS^2) = 0.13 % to the noise variance
PARAMETERS = ("omega_m", "sigma8", "h", "omega_b", "n_s", "w0")
CITATION = "GLASS: Tessore, Loureiro, Joachimi, von Wietersheim-Kramsta & Jeffrey 2023, OJAp 6, 11, arXiv:2302.01942"
WORDS = "A SIMULATION, not an observation: GLASS lognormal matter shells with white shape noise and an invented mask"


def _command(header: Mapping[str, Any]) -> str:
    """Command that makes the mock of this header again."""
    cosmology = " ".join(f"--{name} {header[name.upper()]}" for name in PARAMETERS)
    numbers = f"--nside {header['NSIDE']} --lmax {header['LMAX']} --seed {header['SEED']} --survey {header['SURVEY']}"
    return f"python -m cosmokeras.simulators.sphere {numbers} {cosmology} --out data/mock"


def write_mock(
    path: Path, kappa: np.ndarray, mask: np.ndarray, sigma: np.ndarray, survey: str, truth: dict[str, float]
) -> None:
    """Write a mock sky; the same input gives the same bytes.

    Parameters
    ----------
    path : of the .fits.gz
    kappa : (bins, 12 nside^2) float32, RING, noise included
    mask : (12 nside^2,) bool, True where observed; only these pixels are written
    sigma : (bins,) noise of a pixel, sets the step of the stored numbers
    survey : name of the preset
    truth : omega_m, sigma8, h, omega_b, n_s, w0, seed, lmax
    """
    import healpy as hp
    from astropy.io import fits

    columns = [fits.Column("PIXEL", "J", array=np.flatnonzero(mask).astype(np.int32))]
    for number, (row, one) in enumerate(zip(kappa, sigma, strict=True), start=1):
        stored = np.round(row[mask] * (STEPS / one)) + 128  # FITS bytes are unsigned: TZERO takes the 128 off again
        if stored.min() < 0 or stored.max() > 255:
            raise UserError(f"{path}: KAPPA_{number} goes beyond 127 steps of sigma / {STEPS}; the noise is too small")
        columns.append(fits.Column(f"KAPPA_{number}", "B", array=stored.astype(np.uint8)))
    table = fits.BinTableHDU.from_columns(columns, name="MOCK")
    header = table.header
    for number, one in enumerate(sigma, start=2):
        step = float(f"{one / STEPS:.8g}")
        header[f"TSCAL{number}"] = (step, f"pixel noise / {STEPS}")
        header[f"TZERO{number}"] = -128 * step
    cards: dict[str, Any] = {"PIXTYPE": "HEALPIX", "ORDERING": "RING", "COORDSYS": "C"}
    cards |= {"INDXSCHM": "EXPLICIT", "OBJECT": "PARTIAL"}
    cards |= {"NSIDE": hp.npix2nside(len(mask)), "MOCK": True, "SURVEY": survey}
    cards |= {name.upper(): value for name, value in truth.items()}
    cards["GLASSVER"] = version("glass")
    header.update(cards)
    header["COMMAND"] = _command(header)
    for line in textwrap.wrap(WORDS, 72):
        header["COMMENT"] = line
    raw = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(raw)
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=packed, mtime=0) as stream:
        stream.write(raw.getvalue())
    with atomic(path) as handle:
        handle.write(packed.getvalue())


def read_mock(path: Path | str) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Read a mock sky.

    Returns
    -------
    maps : (bins, 12 nside^2) float32, RING, 0 outside the footprint
    mask : (12 nside^2,) bool, True where observed
    header : FITS header of the table
    """
    from astropy.io import fits

    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: the mock sky is missing; run `dvc pull data.dvc`")
    try:
        with fits.open(io.BytesIO(gzip.decompress(path.read_bytes())), memmap=False) as file:
            header, table = dict(file[1].header), file[1].data
            nside, ordering = int(header["NSIDE"]), header["ORDERING"]
            pixels = np.asarray(table["PIXEL"], dtype=np.int64)
            names = [name for name in table.names if name.startswith("KAPPA_")]
            values = np.stack([np.asarray(table[name], dtype=np.float32) for name in names])
            missing = [name.upper() for name in (*PARAMETERS, "command", "survey") if name.upper() not in header]
            if ordering != "RING" or not header["MOCK"] or missing:
                raise ValueError(f"ORDERING {ordering}, MOCK {header['MOCK']}, missing {missing}")
            maps = np.zeros((len(names), 12 * nside**2), dtype=np.float32)
            maps[:, pixels] = values
    except (*UNREADABLE, fits.VerifyError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: damaged or no mock sky ({reason}); remove it and run `dvc pull data.dvc`") from None
    mask = np.zeros(maps.shape[1], dtype=bool)
    mask[pixels] = True
    return maps, mask, header
