"""Suites opened from the files that params.yaml names.

This is the module of `data.kind: files`: it stands where simulators stand, and simulates nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from cosmokeras.common.errors import UserError
from cosmokeras.observation import suite_mask
from cosmokeras.params.config import Config
from cosmokeras.params.files import theory_known
from cosmokeras.readers import array_files
from cosmokeras.sky.resampling import ratio
from cosmokeras.suites import arrays, columns, groups, layout
from cosmokeras.suites.arrays import Stack
from cosmokeras.suites.layout import Layout, Wanted
from cosmokeras.suites.suite import Suite
from cosmokeras.suites.table import Table, read_table

LABELS = ("wavenumber", "power")


def open_suite(cfg: Config) -> Suite:
    """The suite of `cfg`, whose ranges and channels need not be known; opened once while its files are the same."""
    maps = arrays.listed(Path(cfg.root), cfg.files.maps or (), "files.maps")
    table, _ = _table_path(cfg)
    versions = tuple(arrays.version(path) for path in (*dict.fromkeys(path for path, _ in maps), table))
    mask = suite_mask.mask_path(cfg)
    return _opened(cfg.model_dump_json(), versions, None if mask is None or not mask.exists() else arrays.version(mask))


@lru_cache(maxsize=4)
def _opened(cfg_json: str, versions: tuple[arrays.Version, ...], mask: arrays.Version | None) -> Suite:
    cfg = Config.model_validate_json(cfg_json)
    files = cfg.files
    stack = Stack.open(arrays.listed(Path(cfg.root), files.maps or (), "files.maps"), files.bins)
    where = (
        str(stack.files[0][0]) if len(stack.files) == 1 else f"{len(stack.files)} files like {stack.files[0][0].name}"
    )
    table = read_table(*_table_path(cfg))
    rows = columns.parameters(table, files)
    found = layout.find(stack.shape, _wanted(cfg, table), files.layout, len(stack.files) > 1, where)
    times = _times(cfg, found)
    rows = rows.reshape(-1, rows.shape[-1])
    if np.isfinite(cfg.bounds).all():
        free = groups.cosmological_columns(cfg) if files.prior == "uniform" else []  # others are left out
        rows = columns.must_lie_within(rows, cfg, str(table.path), free)
    per_row = groups.of_rows(cfg, table, rows)
    labels = None
    if files.split is not None:
        labels = groups.split_labels(table, files.split)[found.row]
    group = groups.in_order(per_row[found.row])
    if files.slabs is not None and found.length("depth") % files.slabs:
        raise UserError(f"files.slabs={files.slabs}: must divide the {found.length('depth')} planes of {where}")
    return Suite(cfg, stack, found, rows[found.row], group, labels, times)


def _table_path(cfg: Config) -> tuple[Path, str | None]:
    path, key = array_files.split(arrays.found(Path(cfg.root), str(cfg.files.parameters)))
    arrays.must_exist(path, "files.parameters")
    return path, key


def _wanted(cfg: Config, table: Table) -> Wanted:
    """Lengths that the axes must have."""
    files, size = cfg.files, cfg.data.size
    if cfg.kind.observed == "survey":
        channels: int | None = cfg.channels
        own = files.pixel_arcmin or cfg.pixel_arcmin
        least = int(np.ceil(size * ratio(own, cfg.pixel_arcmin, "files.pixel_arcmin") - 1e-6))
    else:
        channels, least = files.channels or (len(files.bins) if files.bins else None), size
    footprint = suite_mask.footprint(cfg) if files.healpix is None else None
    mask = None if footprint is None else (footprint.mask.shape, int(footprint.mask.sum()))
    return Wanted(
        rows=table.shape, channels=channels, least=least, mask=mask, depth=files.slabs is not None,
        sphere=files.healpix is not None,
    )  # fmt: skip


def _times(cfg: Config, found: Layout) -> float:
    """Pixels of the files in one of training, along a side."""
    files, size = cfg.files, cfg.data.size
    if files.healpix is not None:
        return 1.0
    if cfg.kind.observed == "survey":
        return ratio(files.pixel_arcmin or cfg.pixel_arcmin, cfg.pixel_arcmin, "files.pixel_arcmin")
    whole = files.periodic or files.box_mpc_h is not None
    return found.length("y") / size if whole else 1.0


def complete(cfg: Config) -> Config:
    """The parameters with what only the files can tell: ranges that are left out, and channels of maps.

    With these in them a trained model can be used where the files are not.
    """
    files = cfg.files
    known = all(one.range is not None for one in files.columns.values())
    if known and (files.channels is not None or cfg.kind.observed == "survey"):
        return cfg
    suite = open_suite(cfg)
    found = columns.ranges(suite.rows)
    given = {}
    for (name, one), measured in zip(files.columns.items(), found, strict=True):
        column = suite.rows[:, cfg.parameter_names.index(name)]
        if np.ptp(column) == 0:
            raise UserError(
                f"files.columns.{name}: is {column[0]:g} in all rows of {files.parameters}; leave it out, and give "
                "it as a number in prior if it is one of cosmology"
            )
        given[name] = one if one.range is not None else one.model_copy(update={"range": measured})
    channels = None if cfg.kind.observed == "survey" else suite.layout.length("bin")
    filled = files.model_copy(update={"columns": given, "channels": channels})
    return Config.model_validate(cfg.model_dump() | {"files": filled.model_dump()})


def prepare(cfg: Config, progress: bool = False) -> Suite:
    """The suite, which is all that its maps need."""
    return open_suite(cfg)


def maps(cfg: Config, prepared: Any, theta: np.ndarray, rng_of: Callable[..., Any], count: int) -> NoReturn:
    """Nothing makes maps of files for other parameters than theirs."""
    raise UserError("data.kind=files: its maps are those of files.maps, and no others are simulated")


def spectrum(cfg: Config, theta: np.ndarray, k: np.ndarray) -> np.ndarray | None:
    """What the spectra of the maps should be, (n, channels, len(k)); None where theory does not know."""
    if not theory_known(cfg):
        return None
    from cosmokeras.suites import theory

    return theory.spectrum(cfg, theta, k)
