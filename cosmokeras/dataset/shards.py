"""Simulated maps on disk: which shards a run has, and the maps of a split opened after all checks.

A shard is one `.npy` array of maps (n, size, size, channels) with a `.json` beside it that holds its checksum.
`cosmokeras.dataset.generation` makes them.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cosmokeras.common.errors import UNREADABLE, UserError
from cosmokeras.common.files import read_own_json, sha256, work_folder
from cosmokeras.params.config import Config, fingerprint
from cosmokeras.params.prior import sample_prior
from cosmokeras.provenance.statements import must_be_of_today, statement
from cosmokeras.simulators import SPLITS, simulator

FORMAT = 2  # of the folder
NOTE = "simulation.json"
COSMOLOGIES = "cosmologies.csv"
SHARD_BYTES = 16 * 2**20  # of a shard, at most
SHARDS = 32  # of a split, at least, where it has so many cosmologies: slow simulators keep many cores busy to the end


@dataclass(frozen=True)
class Shard:
    """Maps of the cosmologies `start` to `stop` of a split."""

    split: str
    number: int
    start: int
    stop: int

    @property
    def name(self) -> str:
        """Path below the simulation folder, without ending."""
        return f"{self.split}/shard-{self.number:05d}"


def split_sizes(cfg: Config) -> dict[str, int]:
    """Cosmologies in each split; of maps in files, maps."""
    if cfg.from_files:
        return {split: len(indices) for split, indices in own_maps(cfg).items()}
    data = cfg.data
    sizes = {"train": data.n_cosmologies, "validation": data.validation, "test": data.test}
    return sizes | ({"calibration": data.calibration} if data.calibration else {})


def maps_each(cfg: Config) -> int:
    """Maps of each entry of `split_sizes`."""
    return 1 if cfg.from_files else cfg.data.realisations


def split_theta(cfg: Config, split: str) -> np.ndarray:
    """Free parameters of a split's cosmologies, (n, p); each split has its own random draw from the prior.

    Of maps in files they are those of each map.
    """
    if cfg.from_files:
        return np.asarray(simulator(cfg.data.kind).prepare(cfg).theta(own_maps(cfg)[split]))
    seed = np.random.SeedSequence([cfg.data.seed, SPLITS[split]]).generate_state(1)[0]
    return sample_prior(cfg, split_sizes(cfg)[split], int(seed))


def own_maps(cfg: Config) -> dict[str, np.ndarray]:
    """Maps in files of each split, by number."""
    return dict(simulator(cfg.data.kind).prepare(cfg).chosen)


def is_referred(cfg: Config) -> bool:
    """Whether maps are read where the user has them, and no shards are made."""
    return cfg.from_files and bool(simulator(cfg.data.kind).prepare(cfg).referred)


def plan(cfg: Config) -> list[Shard]:
    """All shards: at most about 16 MiB each, and many enough to keep the cores busy to the end."""
    if is_referred(cfg):
        return []
    map_bytes = cfg.data.size**2 * cfg.channels * np.dtype(cfg.data.dtype).itemsize * maps_each(cfg)
    out = []
    for split, count in split_sizes(cfg).items():
        per_shard = max(1, min(SHARD_BYTES // map_bytes, -(-count // SHARDS)))
        starts = range(0, count, per_shard)
        out += [
            Shard(split=split, number=i, start=start, stop=min(start + per_shard, count))
            for i, start in enumerate(starts)
        ]
    return out


def shard_note(maps: int, digest: str, inputs: str) -> dict[str, Any]:
    """What stands beside a shard: how many maps, sha256 of the file, fingerprint of what they were made with."""
    return {"maps": maps, "sha256": digest, "inputs": inputs}


def made_with(path: Path) -> str | None:
    """Fingerprint of what a shard was made with; None where it is not there, or its bytes are not those written."""
    try:
        note = read_own_json(path.with_suffix(".json"))
        if note["sha256"] != sha256(path):
            return None
        inputs, maps = str(note["inputs"]), len(np.load(path, mmap_mode="r", allow_pickle=False))
        return inputs if note == shard_note(maps, note["sha256"], inputs) else None
    except UNREADABLE:
        return None


def simulation_folder(cfg: Config) -> Path:
    """Work folder in which the maps are made, named by the fingerprint of all that they depend on."""
    return work_folder("generate", fingerprint(statement(cfg, "maps")))


@dataclass(frozen=True)
class Split:
    """The maps of one split, memory-mapped: `maps[i]` in shard order; `theta` (n, p), `cosmology` (n,).

    `masks` (n,): the number of the mask that each map is behind, of maps in files that have one; else any will do.
    """

    arrays: Sequence[Maps]
    offsets: np.ndarray
    theta: np.ndarray
    cosmology: np.ndarray
    masks: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.theta)

    def head(self, count: int) -> Split:
        """The first `count` maps."""
        masks = None if self.masks is None else self.masks[:count]
        return replace(self, theta=self.theta[:count], cosmology=self.cosmology[:count], masks=masks)

    def read(self, indices: np.ndarray) -> np.ndarray:
        """Maps by index, float32."""
        return self.stored(indices).astype(np.float32, copy=False)

    def stored(self, indices: np.ndarray) -> np.ndarray:
        """Maps by index, of the type that they are stored in."""
        which = np.searchsorted(self.offsets, indices, side="right") - 1
        first = self.arrays[0]
        out = np.empty((len(indices), *first.shape[1:]), first.dtype)
        for place, (s, i) in enumerate(zip(which, indices - self.offsets[which], strict=True)):
            out[place] = self.arrays[s][i]
        return out


@dataclass(frozen=True)
class Referred:
    """Maps where the user has them, as an array (n, size, size, channels) of the type that shards would have."""

    suite: Any
    numbers: np.ndarray
    dtype: np.dtype[Any]

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        cfg = self.suite.cfg
        return (len(self.numbers), cfg.data.size, cfg.data.size, cfg.channels)

    def __getitem__(self, which: Any) -> np.ndarray:
        maps = self.suite.read(np.atleast_1d(self.numbers[which]))
        with np.errstate(over="ignore"):  # what does not fit was refused when the maps were looked at
            maps = maps.astype(self.dtype, copy=False)
        return maps[0] if np.ndim(self.numbers[which]) == 0 else maps


Maps = np.ndarray | Referred
REFERRED = 1024  # maps of an array of `Referred`


def open_split(cfg: Config, folder: Path, split: str) -> Split:
    """Open the maps of a split after checking that they are those of `cfg`, and every shard against its checksum.

    Parameters of the maps are those that were written with them.
    """
    note, arrays, per = _note(cfg, folder), list[Maps](), maps_each(cfg)
    for shard in (s for s in plan(cfg) if s.split == split):
        path = folder / f"{shard.name}.npy"
        if not path.exists():
            raise UserError(f"{path} is missing; run `dvc repro generate`")
        if (inputs := made_with(path)) is None:
            raise UserError(f"{path} is damaged (its checksum differs); delete it and run `dvc repro generate`")
        if note is not None and inputs != note["fingerprint"]:
            raise UserError(f"{path} is of another run; delete {folder} and run `dvc repro generate`")
        arrays.append(np.load(path, mmap_mode="r", allow_pickle=False))
    if note is None:
        raise UserError(f"{folder / NOTE} is missing; run `dvc repro generate`")
    theta = _written_theta(cfg, folder, split, note)
    if cfg.from_files:
        suite, numbers = simulator(cfg.data.kind).prepare(cfg), own_maps(cfg)[split]
        if suite.referred:
            parts = [numbers[start : start + REFERRED] for start in range(0, len(numbers), REFERRED)]
            arrays = [Referred(suite, part, np.dtype(cfg.data.dtype)) for part in parts]
        group = np.unique(suite.group[suite.stored(numbers)], return_inverse=True)[1]
        masks = suite.masks(numbers)
        return Split(arrays, _offsets(arrays), theta, group, masks)
    offsets = _offsets(arrays)
    return Split(
        arrays=arrays,
        offsets=offsets,
        theta=np.repeat(theta, per, axis=0),
        cosmology=np.repeat(np.arange(len(theta)), per),
    )


def _offsets(arrays: Sequence[Maps]) -> np.ndarray:
    return np.cumsum([0] + [len(a) for a in arrays])[:-1]


def _note(cfg: Config, folder: Path) -> dict[str, Any] | None:
    """What the folder says that it holds, which must be what `cfg` asks for; None where it says nothing."""
    path, remedy = folder / NOTE, "run `dvc repro generate`"
    try:
        note = read_own_json(path)
        supported = note["format"] == FORMAT and {"fingerprint", "cosmologies"} <= note.keys()
    except FileNotFoundError:
        return None
    except UNREADABLE:
        raise UserError(f"{path} is damaged; delete {folder} and {remedy}") from None
    if not supported:
        raise UserError(f"{folder} was made by another version of this program; {remedy}")
    must_be_of_today(note, cfg, "maps", folder, "generate")
    return dict(note)


def _written_theta(cfg: Config, folder: Path, split: str, note: dict[str, Any]) -> np.ndarray:
    """Free parameters (n, p) of a split's cosmologies, as they were written with the maps."""
    path, remedy = folder / COSMOLOGIES, "run `dvc repro generate`"
    if not path.exists():
        raise UserError(f"{path} is missing; {remedy}")
    if not path.is_file() or sha256(path) != note["cosmologies"]:
        raise UserError(f"{path} is damaged or of another run (its checksum differs); delete {folder} and {remedy}")
    with path.open(newline="") as handle:
        rows = [row for row in csv.DictReader(handle) if row["split"] == split]
    return np.array([[float(row[name]) for name in cfg.parameter_names] for row in rows])
