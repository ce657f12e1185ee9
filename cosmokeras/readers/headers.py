"""What headers of FITS files say of maps, compared with params.yaml: a contradiction is refused."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cosmokeras.common.errors import UserError

PIXEL_TOLERANCE = 0.01  # by which the pixels of a header may differ from those of params.yaml
CELESTIAL = ("", "C", "Q", "CEL", "CELESTIAL", "EQ", "EQU", "EQUATORIAL", "J2000", "FK5", "ICRS")
OTHER = {
    "G": "galactic",
    "GAL": "galactic",
    "GALACTIC": "galactic",
    "E": "ecliptic",
    "ECL": "ecliptic",
    "ECLIPTIC": "ecliptic",
}
OLD = ("FK4", "FK4-NO-E", "B1950")
NUMBERS = re.compile(r"(PIXEL|PIXELS|PIX|IPIX|HPIX|INDEX|HPX|HEALPIX|HEALPIX_?ID|PIXEL_?ID)(_?\d+)?")
# units that astropy reads as something else, but that are meant to be none
PLAIN = ("", "1", "NONE", "N/A", "KAPPA", "CONVERGENCE", "DIMENSIONLESS", "UNITLESS", "ADIMENSIONAL", "DELTA")


def nside(path: Path | str, header: Mapping[str, Any]) -> int | None:
    """NSIDE of a HEALPix header, also where it is written as text; None where there is none."""
    value = header.get("NSIDE")
    if value is None:
        return None
    try:
        number = float(str(value).strip())
    except ValueError:
        number = 0.5
    if number != int(number) or number < 1 or isinstance(value, bool):
        raise UserError(f"{path}: header NSIDE is {value!r}; it must be a whole number, 12 NSIDE^2 pixels make a map")
    return int(number)


def must_be_celestial(path: Path | str, header: Mapping[str, Any]) -> None:
    """Refuse HEALPix maps in coordinates that are not today's right ascension and declination."""
    system = str(header.get("COORDSYS") or "").strip().upper()
    for key in ("RADESYS", "RADECSYS"):
        if str(header.get(key) or "").strip().upper() in OLD:
            system = str(header[key]).strip().upper()
    if str(header.get("EQUINOX") or "").strip().lstrip("BJbj").split(".")[0] == "1950":
        system = "B1950"
    if system in CELESTIAL:
        return
    if system in OTHER:
        one = OTHER[system][0].upper()
        raise UserError(
            f"{path}: header COORDSYS is {system}, {OTHER[system]}; rotate the map to celestial coordinates (C) first: "
            f'healpy.Rotator(coord=["{one}", "C"]).rotate_map_alms, and rotate_map_pixel for its mask'
        )
    if system in OLD:
        raise UserError(f"{path}: header says coordinates of B1950 ({system}); make the map in J2000 or ICRS")
    raise UserError(
        f"{path}: header COORDSYS is {system}, which is not known; rotate the map to celestial coordinates (C) first, "
        "or correct the header (C: celestial, G: galactic, E: ecliptic)"
    )


def index_column(header: Mapping[str, Any], names: Sequence[str], whole: Sequence[bool], rows: int) -> int | None:
    """Place of the column of pixel numbers of a partial HEALPix map; None for a map of the full sky.

    Parameters
    ----------
    names : of the columns
    whole : whether each column holds whole numbers
    rows : of the table
    """
    scheme = str(header.get("INDXSCHM", "")).strip().upper()
    if scheme == "IMPLICIT":
        return None
    by_name = [i for i, name in enumerate(names) if NUMBERS.fullmatch(name.strip().upper())]
    if scheme == "EXPLICIT":
        return by_name[0] if by_name else 0
    if by_name and (len(names) > 1 or (whole[by_name[0]] and not _full(rows))):
        return by_name[0]
    return None


def _full(rows: int) -> bool:
    import healpy

    return bool(healpy.isnpixok(rows))


def must_have_no_unit(path: Path | str, unit: object, key: str) -> None:
    """Refuse maps whose header says a unit: convergence and density contrast are plain numbers."""
    from astropy import units

    text = str(unit or "").strip()
    if text.upper() in PLAIN:
        return
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore")
            unit_read = units.Unit(text)
    except (ValueError, TypeError):
        return  # words
    if unit_read == units.dimensionless_unscaled:
        return
    what = "is in per cent" if unit_read == units.percent else f"is in {text}"
    raise UserError(
        f"{path}: header {key} = {text!r} says that the map {what}; give it without a unit, "
        f"and remove {key} from the header if it is wrong"
    )


def pixel_arcmin(path: Path | str, header: Mapping[str, Any]) -> float | None:
    """Pixel side [arcmin] in the header of a flat map; None where there is none."""
    from astropy.wcs import WCS
    from astropy.wcs.utils import proj_plane_pixel_scales

    frame = [str(header.get(f"CTYPE{axis}", "")).strip().upper() for axis in (1, 2)]
    unit = [str(header.get(f"CUNIT{axis}", "")).strip().lower() for axis in (1, 2)]
    sky = any(name.startswith(("RA", "DEC", "GLON", "GLAT", "ELON", "ELAT")) for name in frame)
    has = any(key in header for key in ("CDELT1", "CD1_1", "CD1_2"))
    if not has or not (sky or all(unit)):
        return None  # CDELT without a unit may be anything
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore")
            wcs = WCS(header, naxis=2)
            scales = proj_plane_pixel_scales(wcs)  # in wcs.wcs.cunit, degrees on the sky
            # axes without a name on the sky keep their own unit
            sides = [
                float((s * u).to_value("arcmin")) if str(u) else float(s * 60)
                for s, u in zip(scales, wcs.wcs.cunit, strict=True)
            ]
    except (ValueError, TypeError, KeyError, RuntimeError, MemoryError):
        return None  # of a header that says nothing about angles
    if not np.isfinite(sides).all() or min(sides) <= 0:
        return None
    if abs(sides[0] / sides[1] - 1) > PIXEL_TOLERANCE:
        raise UserError(
            f"{path}: header says pixels of {sides[0]:.4g} x {sides[1]:.4g} arcmin; give maps with square pixels"
        )
    return sides[0]


def corners(header: Mapping[str, Any], height: int, width: int) -> np.ndarray | None:
    """Unit vectors (3, 3) to the first, the last and the upper left pixel of a flat map; None without coordinates."""
    from astropy.wcs import WCS

    if not str(header.get("CTYPE1", "")).strip() or "CRVAL1" not in header:
        return None
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore")
            wcs = WCS(header, naxis=2)
            if not wcs.has_celestial:
                return None
            sky = wcs.pixel_to_world([0, width - 1, 0], [0, height - 1, height - 1]).icrs
    except (ValueError, TypeError, KeyError, RuntimeError, MemoryError, AttributeError):
        return None
    vectors = np.asarray(sky.cartesian.xyz.value).T
    return vectors if np.isfinite(vectors).all() else None


def must_have_pixel(path: Path | str, header: Mapping[str, Any], expected: float) -> None:
    """Refuse flat maps whose header has another pixel than `expected` [arcmin], that of real.pixel_arcmin."""
    side = pixel_arcmin(path, header)
    if side is not None and abs(side / expected - 1) > PIXEL_TOLERANCE:
        raise UserError(
            f"{path}: header says pixels of {side:.4g} arcmin, but real.pixel_arcmin={expected:g}; "
            "correct one of the two"
        )


def chosen_columns(path: Path | str, names: list[str], fields: int | str | Sequence[int | str] | None) -> list[str]:
    """Those of the columns of maps that are asked for by name, in any case as FITS wants, or by number; default all."""
    if fields is None:
        return names
    asked = [fields] if isinstance(fields, int | str) else list(fields)
    return [_column(path, names, field) for field in asked]


def _column(path: Path | str, names: list[str], field: int | str) -> str:
    if isinstance(field, int) and 0 <= field < len(names):
        return names[field]
    for name in names:
        if name.lower() == str(field).lower():
            return name
    raise UserError(f"{path}: no map {field!r}; it has {', '.join(names)} (or 0 to {len(names) - 1})")


def choose(path: Path, names: Sequence[str], numbers: Sequence[int], key: str | None, what: str) -> int:
    """Number of the extension that `key` (a name or a number) asks for, or of the only one.

    Parameters
    ----------
    names, numbers : of the extensions that could be meant; names may be empty
    what : they are, for messages
    """
    listed = [f"{number} {name}".strip() for name, number in zip(names, numbers, strict=True)]
    if key is None:
        if len(numbers) == 1:
            return numbers[0]
        example = next((name for name in names if name and names.count(name) == 1), str(numbers[-1]))
        raise UserError(
            f"{path}: holds {len(numbers)} {what} (HDUs {', '.join(listed)}); say which, e.g. {path}[{example}]"
        )
    if key.isdigit() and int(key) in numbers:
        return int(key)
    named = [number for name, number in zip(names, numbers, strict=True) if name.upper() == key.upper()]
    if len(named) == 1:
        return named[0]
    many = f"{len(named)} of its {what} have the name {key}" if named else f"[{key}] is none of its {what}"
    raise UserError(f"{path}: {many}; it has HDUs {', '.join(listed)}")
