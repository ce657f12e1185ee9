"""What each result depends on: modules, entries of registries, parameters, content of files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from cosmokeras.common.code import ROOT
from cosmokeras.observation.masks import mask_file
from cosmokeras.observation.suite_mask import mask_path
from cosmokeras.params.config import Config
from cosmokeras.params.registry import CATALOGUE, SOURCES
from cosmokeras.params.survey import SURVEY_FOLDER
from cosmokeras.readers import array_files
from cosmokeras.redshifts.terms import Table
from cosmokeras.suites import arrays
from cosmokeras.surveys.download.manifest import MANIFEST, load_manifest

Files = dict[str, Path]
LITERATURE = "cosmokeras/report/published.yaml"
WIDTHS = "cosmokeras/evaluation/nuisances.yaml"


@dataclass(frozen=True)
class Result:
    """What a result depends on: modules, entries of registries, functions that give parameters and files."""

    code: tuple[str, ...]
    registered: tuple[str, ...]
    params: tuple[Callable[[Config], dict[str, Any]], ...]
    files: tuple[Callable[[Config], Files], ...]

    def __add__(self, other: Result) -> Result:
        """What depends on all that either depends on."""
        return Result(*(tuple(dict.fromkeys(a + b)) for a, b in zip(astuple(self), astuple(other), strict=True)))


def has_survey(cfg: Config) -> bool:
    """Whether maps are those of a survey, with noise and a mask of its preset."""
    return cfg.kind.observed == "survey"


def _words(cfg: Config) -> dict[str, Any]:
    """What a trained model says of its survey."""
    texts = {name: getattr(cfg.survey, name) for name in ("name", "title", "citation")} if has_survey(cfg) else {}
    return {"survey": texts} if texts else {}


def _evaluation(cfg: Config) -> dict[str, Any]:
    return {"evaluate": cfg.evaluate.model_dump(mode="json"), "train": {"backend": cfg.train.backend}}


def _inference(cfg: Config) -> dict[str, Any]:
    infer, evaluate = cfg.infer.model_dump(mode="json"), {"nuisance_maps": cfg.evaluate.nuisance_maps}
    real, train = {"max_masked": cfg.real.max_masked}, {"backend": cfg.train.backend}
    return {"infer": infer, "evaluate": evaluate, "real": real, "train": train}


def _redshift_files(cfg: Config) -> Files:
    """Tables of n(z)."""
    terms = [term for one in cfg.survey.bins for term in one.n_z] if has_survey(cfg) else []
    names = [term.file for term in terms if isinstance(term, Table)]
    return {_named(SURVEY_FOLDER / name): Path(cfg.root) / SURVEY_FOLDER / name for name in names}


def _masks(cfg: Config) -> Files:
    name = mask_file(cfg)
    return {} if name is None else {_named(name): Path(cfg.root) / name}


def _starting_weights(cfg: Config) -> Files:
    given = cfg.train.init_from
    return {} if given is None else {"train.init_from": Path(given) / "model.keras"}


def _sky_files(cfg: Config) -> Files:
    """The mock sky, or the user's own maps and mask; what is published has its checksums in the manifest."""
    found: Files = {}
    if cfg.real.source == "mock" and has_survey(cfg) and cfg.survey.mock is not None:
        found[_named(SURVEY_FOLDER / cfg.survey.mock)] = Path(cfg.root) / SURVEY_FOLDER / cfg.survey.mock
    paths = (cfg.real.path,) if isinstance(cfg.real.path, str) else cfg.real.path or ()
    if SOURCES[cfg.real.source].module == CATALOGUE:
        found |= _catalogue_files(cfg, paths)
        paths = ()
    for given in filter(None, (*paths, cfg.real.mask)):
        path = _found(cfg, given)
        try:
            inside = sorted(one for one in path.iterdir() if one.is_file())
        except OSError:  # a file, or what is not there or may not be read
            found[given] = path
        else:
            found |= {f"{given}/{one.name}": one for one in inside}
    return found


def _catalogue_files(cfg: Config, named: tuple[str, ...]) -> Files:
    """Files of a shear catalogue, those of patterns too; what is published has its checksums in the manifest."""
    root, published = Path(cfg.root), Path(cfg.root) / MANIFEST
    names = named or _named_by_preset(cfg)
    known = set(load_manifest(published)) if published.exists() else set()
    found: Files = {}
    for name in names:
        if name not in known:
            path = root / Path(name).expanduser()
            found |= {_named(one): one for one in sorted(path.parent.glob(path.name)) or [path]}
    return found


def _named_by_preset(cfg: Config) -> tuple[str, ...]:
    """Files of the preset's catalogue."""
    given = None if cfg.survey.catalogue is None else cfg.survey.catalogue.files
    return tuple(given.values()) if isinstance(given, dict) else given or ()


def _suite_files(cfg: Config) -> Files:
    """Maps, parameters and mask in files of the user."""
    if not cfg.from_files or cfg.files.maps is None or cfg.files.parameters is None:
        return {}
    root = Path(cfg.root)
    table, mask = array_files.split(arrays.found(root, cfg.files.parameters))[0], mask_path(cfg)
    found = [*(path for path, _ in arrays.listed(root, cfg.files.maps, "files.maps")), table]
    found += [] if mask is None else [mask]
    return {_named(path.relative_to(root) if path.is_relative_to(root) else path): path for path in found}


def _literature(cfg: Config) -> Files:
    """Values that results are compared with."""
    return {LITERATURE: ROOT / LITERATURE}


def _widths(cfg: Config) -> Files:
    """How well nuisances are known."""
    return {WIDTHS: ROOT / WIDTHS}


def _manifest_entries(cfg: Config) -> dict[str, Any]:
    """What the manifest says of the files of the source."""
    path, group = Path(cfg.root) / MANIFEST, f"{cfg.real.source}/"
    if SOURCES[cfg.real.source].module == "cosmokeras.surveys.sources.mock" or not path.exists():
        return {}
    own = _named_by_preset(cfg) if SOURCES[cfg.real.source].module == CATALOGUE else ()
    entries = {name: entry for name, entry in load_manifest(path).items() if name.startswith(group) or name in own}
    return {"manifest": entries} if entries else {}


def _found(cfg: Config, given: str) -> Path:
    """The file that a key names, which may say behind its name which part of it is meant: `[HDU]`, `:KEY`."""
    names = (given, re.sub(r"\[[^\[\]]*\]$", "", given), given.rpartition(":")[0])
    # who reads it takes `~` for the home folder
    places = [folder / Path(name).expanduser() for name in names if name for folder in (Path(cfg.root), Path())]
    return next((path for path in places if path.exists()), Path(given))


def _named(path: Path) -> str:
    return os.path.normpath(path)


MAPS = ("kind",), (Config.simulation_key,), (_redshift_files, _suite_files)
SEEN = ("kind",), (Config.simulation_key, Config.observation_key), (_redshift_files, _suite_files, _masks)
TRAINED = ("kind", "model"), (*SEEN[1], Config.training_key), (*SEEN[2], _starting_weights)
SKY = ("source",), (Config.sky_key, _manifest_entries), (_masks, _sky_files)
# Stages have all that they import, and none but `plots` imports what draws.
RESULTS = {
    "maps": Result(("cosmokeras.dataset.generation",), *MAPS),
    "generate": Result(("stages.generate",), *MAPS),
    "sky": Result(("cosmokeras.surveys", "cosmokeras.params.config"), *SKY),
    "fetch_real": Result(("stages.fetch_real",), *SKY),
    "weights": Result(("cosmokeras.training.loop",), *TRAINED),
    "model": Result(
        ("cosmokeras.training.loop", "cosmokeras.inference.calibrate"), TRAINED[0], (*TRAINED[1], _words), TRAINED[2]
    ),
    "train": Result(("stages.train",), TRAINED[0], (*TRAINED[1], _words), TRAINED[2]),
    "evaluate": Result(("stages.evaluate",), ("kind", "model"), (_evaluation,), (_widths,)),
    "infer": Result(("stages.infer",), ("kind", "model"), (_inference,), (_literature, _widths)),
    "plots": Result(("stages.plots",), (), (), (_literature, _widths)),
}
