"""Which maps are of one simulation, and how simulations are divided: no simulation is ever in two splits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from cosmokeras.common.errors import UserError
from cosmokeras.params.config import Config
from cosmokeras.params.registry import COSMOLOGY
from cosmokeras.suites import columns
from cosmokeras.suites.table import Table

if TYPE_CHECKING:
    from cosmokeras.suites.suite import Suite

# Parameters that make a cosmology: maps that share them are of one simulation, whatever their nuisances are
COSMOLOGICAL = {*COSMOLOGY, "S8", "A_s", "m_nu", "w_a", "omega_k", "f_NL"}
SPLITS = {
    "train": "train", "training": "train", "0": "train", "validation": "validation", "valid": "validation",
    "val": "validation", "1": "validation", "test": "test", "testing": "test", "2": "test",
}  # fmt: skip


def of_rows(cfg: Config, table: Table, theta: np.ndarray) -> np.ndarray:
    """For each row of a table, with parameters theta (rows, p), the number of the simulation that it is of."""
    asked = cfg.files.group
    if asked is None:
        return _equal(cosmologies(cfg, theta))
    keys = []
    for name in (asked,) if isinstance(asked, str) else asked:
        if name in cfg.parameter_names:
            keys.append(theta[:, cfg.parameter_names.index(name)])
        else:
            keys.append(np.unique(columns.labels(table, name, "files.group").ravel(), return_inverse=True)[1])
    return _equal(np.stack(keys, axis=1))


def cosmological_columns(cfg: Config) -> list[int]:
    """Columns of theta that make a cosmology; all of them where none has such a name."""
    some = [i for i, name in enumerate(cfg.parameter_names) if name in COSMOLOGICAL]
    return some or list(range(len(cfg.parameter_names)))


def cosmologies(cfg: Config, theta: np.ndarray) -> np.ndarray:
    """These columns of theta (n, p)."""
    return theta[:, cosmological_columns(cfg)]


def _equal(rows: np.ndarray) -> np.ndarray:
    return np.unique(rows, axis=0, return_inverse=True)[1].ravel()


def in_order(group: np.ndarray) -> np.ndarray:
    """The same groups, numbered from 0 in the order in which they first come."""
    _, first, inverse = np.unique(group, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse.ravel()]


def split_labels(table: Table, column: str) -> np.ndarray:
    """Split of each row, by its name here."""
    words = columns.labels(table, column, "files.split").ravel()
    unknown = sorted({str(word) for word in words if str(word).lower() not in SPLITS})
    if unknown:
        raise UserError(
            f"files.split={column}: {unknown[0]!r} in {table.path} is no split; allowed: train, validation, test"
        )
    return np.array([SPLITS[str(word).lower()] for word in words])


def chosen(suite: Suite, allowed: np.ndarray) -> dict[str, np.ndarray]:
    """Maps of each split, by number: whole simulations of those `allowed` (groups,), at most data.realisations of each.

    Drawn by data.seed, or in the order of the files where the table names the splits. No two splits share a simulation,
    nor a cosmology. The test splits of two values of files.fold share none either.
    """
    data = suite.cfg.data
    sizes = {"train": data.n_cosmologies, "validation": data.validation, "test": data.test}
    some = np.flatnonzero(allowed)
    count = len(some)
    if suite.labels is None:
        if sum(sizes.values()) > count:
            _too_few(suite, sizes, count)
        if (fold := suite.cfg.files.fold) >= count // data.test:
            raise UserError(
                f"files.fold={fold}: {count} simulations have {count // data.test} parts of data.test={data.test}, "
                f"0 to {count // data.test - 1}"
            )
        order = some[np.roll(np.random.default_rng(data.seed).permutation(count), -fold * data.test)]
        test, train, validation = np.split(order, np.cumsum([data.test, data.n_cosmologies]))
        divided = {"train": train, "validation": validation[: data.validation], "test": test}
    else:
        divided = _named(suite, sizes, allowed)
    out = {split: np.concatenate([_some(suite, int(one)) for one in part]) for split, part in divided.items()}
    _must_not_share(suite, out)
    return out


def _some(suite: Suite, group: int) -> np.ndarray:
    """Maps of a simulation, data.realisations of them at most, in the order of the files."""
    members, most = suite.members(group), suite.cfg.data.realisations
    if len(members) <= most:
        return members
    rng = np.random.default_rng(np.random.SeedSequence([suite.cfg.data.seed, group]))
    return np.sort(rng.permutation(members)[:most])


def _named(suite: Suite, sizes: Mapping[str, int], allowed: np.ndarray) -> dict[str, np.ndarray]:
    """Simulations of the splits that the table names."""
    labels, first = np.asarray(suite.labels), np.unique(suite.group, return_index=True)[1]
    of_group = labels[first]
    other = np.flatnonzero(labels != of_group[suite.group])
    if len(other):
        one = int(suite.group[other[0]])
        raise UserError(
            f"files.split={suite.cfg.files.split}: the simulation of {suite.name(int(first[one]))} is in "
            f"{of_group[one]} and in {labels[other[0]]}; a simulation belongs to one split"
        )
    found = {split: np.flatnonzero((of_group == split) & allowed) for split in sizes}
    for split, some in found.items():
        if len(some) < sizes[split]:
            key = "n_cosmologies" if split == "train" else split
            raise UserError(
                f"files.split={suite.cfg.files.split}: names {len(some)} simulations for {split}, but data.{key}="
                f"{sizes[split]}; set data.{key}={len(some)}"
            )
    return {split: some[: sizes[split]] for split, some in found.items()}


def _too_few(suite: Suite, sizes: Mapping[str, int], count: int) -> None:
    held = max(2, count // 6)
    raise UserError(
        f"files.maps: {count} simulations, but data.n_cosmologies + validation + test = {sum(sizes.values())}; set "
        f"e.g. data.n_cosmologies={max(count - 2 * held, 1)}, data.validation={held} and data.test={held}"
    )


def _must_not_share(suite: Suite, splits: Mapping[str, np.ndarray]) -> None:
    """Refuse splits that share a cosmology, by which a network that remembers it would be rewarded."""
    seen: dict[bytes, str] = {}
    for split, indices in splits.items():
        rows = np.unique(cosmologies(suite.cfg, suite.theta(indices)), axis=0)
        for row in rows:
            before = seen.setdefault(row.tobytes(), split)
            if before != split:
                listed = ", ".join(f"{x:.6g}" for x in row)
                raise UserError(
                    f"files: the cosmology ({listed}) is in {before} and in {split}; set files.group and files.split "
                    "so that it is in one of them, or to null"
                )
