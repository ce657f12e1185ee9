"""A sky on disk, as `fetch_real` writes it and `infer` reads it: patches, their positions, and where all is from."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cosmokeras.common.checksums import forget_checksums, must_be_whole, write_checksums
from cosmokeras.common.cli import read
from cosmokeras.common.errors import UserError
from cosmokeras.common.files import atomic, write_json, write_text
from cosmokeras.surveys.sky import RealSky

FILES = PATCHES, POSITIONS, ORIGIN = "patches.npz", "positions.csv", "provenance.json"


@dataclass(frozen=True)
class StoredSky:
    """Maps (n, size, size, channels), coverage (n, size, size), RA and Dec (n,) [deg], and the note of their origin."""

    note: dict[str, Any]
    maps: np.ndarray
    coverage: np.ndarray
    ra: np.ndarray
    dec: np.ndarray


def write_sky(
    folder: Path, sky: RealSky, provenance: dict[str, Any], metrics: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Write all files of a sky; returns its note: source, whether observed, truth, `provenance` and `metrics`."""
    forget_checksums(folder)
    with atomic(folder / PATCHES) as handle:
        np.savez(handle, maps=sky.maps, coverage=sky.coverage)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["patch", "ra_deg", "dec_deg"])
    table.writerows([i, f"{x:.6f}", f"{y:.6f}"] for i, (x, y) in enumerate(zip(sky.ra, sky.dec, strict=True)))
    write_text(folder / POSITIONS, text.getvalue())
    note = {"source": sky.name, "observed": sky.observed, "truth": sky.truth, "provenance": provenance}
    note["metrics"] = metrics or {}
    write_json(folder / ORIGIN, note)
    write_checksums(folder, FILES)
    return note


def read_sky(folder: Path) -> StoredSky:
    """What `write_sky` wrote.

    Raises
    ------
    UserError : a file is missing or damaged, or there are no patches
    """
    remedy = "run `dvc repro fetch_real`"
    must_be_whole(folder, FILES, remedy)
    note = read(folder / ORIGIN, lambda path: json.loads(path.read_text()), "fetch_real")
    maps, coverage = read(folder / PATCHES, _patches, "fetch_real")
    ra, dec = read(folder / POSITIONS, _positions, "fetch_real")
    if not len(maps) == len(coverage) == len(ra) > 0:
        counts = f"{len(maps)} maps, {len(coverage)} masks and {len(ra)} positions"
        raise UserError(f"{folder}: {counts}, where there must be as many of each, and one at least; {remedy}")
    return StoredSky(note, maps, coverage, ra, dec)


def _patches(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with np.load(path, allow_pickle=False) as stored:
        return stored["maps"], stored["coverage"]


def _positions(path: Path) -> np.ndarray:
    with path.open(newline="", encoding="utf-8") as handle:
        rows = list(csv.reader(handle))[1:]
    return np.array([(float(ra), float(dec)) for _, ra, dec in rows]).reshape(-1, 2).T
