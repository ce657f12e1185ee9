"""What each result depends on: parameters, content of files, code; one statement for each, compared where it is read.

A statement is a mapping with `params` (what matters of params.yaml and of the survey preset), `files` (sha256 of every
file that either names) and `code` (digests of the modules that the result is made by, and of all that they import).
DVC runs a stage again where its statement has changed; work folders are named by the fingerprint of one; outputs keep
theirs, and who reads them holds it against today's.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

from cosmokeras import yaml12
from cosmokeras.code import code_digests
from cosmokeras.config import Config
from cosmokeras.errors import UserError
from cosmokeras.files import json_bytes, sha256
from cosmokeras.registry import KINDS
from cosmokeras.surveys import SOURCES
from cosmokeras.surveys.masks import mask_file
from cosmokeras.surveys.nz_terms import Table
from cosmokeras.surveys.presets import SURVEY_FOLDER

STAGES = ("generate", "fetch_real", "train", "evaluate", "infer")
FOLDER = Path("outputs/inputs")  # of the statements of all stages, for DVC
NOTE = "inputs.json"  # the statement in an output folder
SHOWN = 4  # differences in one line

Files = dict[str, Path]


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


def statement(cfg: Config, name: str) -> dict[str, Any]:
    """All that a result in RESULTS depends on: `params`, `files`, `code`; JSON-able.

    The digest of a file that is not there is None: who needs it says so.
    """
    result = RESULTS[name]
    if name in ("sky", "fetch_real") and _is_simulated_here(cfg):
        result += Result((), *SEEN)
    params: dict[str, Any] = {}
    for part in result.params:
        params = _merged(params, part(cfg))
    modules = list(result.code)
    for registry in result.registered:
        module, entry = _registered(cfg, registry)
        modules.append(module)
        params = _merged(params, {"registry": {registry: entry}})
    digests = {shown: _digest(path) for part in result.files for shown, path in part(cfg).items()}
    content = {"params": params, "files": dict(sorted(digests.items())), "code": code_digests(*modules)}
    plain: dict[str, Any] = json.loads(json.dumps(content))  # tuples are lists, as when it is read again
    return plain


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """In words what differs between two statements: parameters, then files, then code."""
    found = []
    before, after = dict(_flat(then.get("params", {}))), dict(_flat(now["params"]))
    for key in sorted({*before, *after}, key=lambda key: (key not in before or key not in after, key)):
        if key not in before:
            found.append(f"{key}={_short(after[key])}, not there then")
        elif key not in after:
            found.append(f"{key}={_short(before[key])}, no more used")
        elif before[key] != after[key]:
            found.append(f"{key}={_short(before[key])}, now {_short(after[key])}")
    for part, word in (("files", "content of "), ("code", "code of ")):
        old, new = then.get(part, {}), now[part]
        found += [f"{word}{name}" for name in sorted({*old, *new}) if old.get(name, "") != new.get(name, "")]
    return found


def listed(found: list[str]) -> str:
    """Differences on one line, the first few of them."""
    rest = len(found) - SHOWN
    return "; ".join(found[:SHOWN]) + (f"; and {rest} more" if rest > 0 else "")


def must_be_of_today(then: Any, cfg: Config, name: str, folder: Path, stage: str) -> None:
    """Refuse what was made with other inputs than today's.

    Parameters
    ----------
    then : the statement that was recorded with it
    name : in RESULTS
    folder, stage : where it is, and the stage that makes it again
    """
    remedy = f"run `dvc repro {stage}`"
    if not (isinstance(then, dict) and all(isinstance(then.get(part), dict) for part in ("params", "files", "code"))):
        raise UserError(f"{folder}: it is not recorded what this was made with; {remedy}")
    if found := differences(then, statement(cfg, name)):
        raise UserError(f"{folder} was made with other inputs: {listed(found)}; {remedy}")


def check_record(folder: Path, cfg: Config, name: str, stage: str) -> None:
    """Refuse an output folder that was made with other inputs than today's, or whose inputs nobody knows."""
    path = folder / NOTE
    try:
        then = json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run `dvc repro {stage}`") from None
    except (OSError, ValueError):
        raise UserError(f"{path} is damaged; delete it and run `dvc repro {stage}`") from None
    must_be_of_today(then, cfg, name, folder, stage)


def stale(cfg: Config, root: Path) -> dict[str, list[str]]:
    """Stages whose results, as dvc.lock has them, are not of today's inputs, and what differs.

    A stage that works with the output of another one is stale too where that one is, or was made again after it.
    """
    lock = yaml12.read(root / "dvc.lock") if (root / "dvc.lock").exists() else None
    stages: dict[str, Any] = (lock or {}).get("stages", {})
    made = {one["path"]: (name, one.get("md5")) for name in STAGES for one in stages.get(name, {}).get("outs", [])}
    found: dict[str, list[str]] = {}
    for stage in STAGES:
        name = (FOLDER / f"{stage}.json").as_posix()
        used = {one["path"]: one.get("md5") for one in stages.get(stage, {}).get("deps", [])}
        if name not in used:
            found[stage] = ["not recorded in dvc.lock"]
            continue
        now, reasons = statement(cfg, stage), []
        if used[name] != _md5(json_bytes(now)):
            then = _recorded(root, name, used[name])
            reasons = ["other inputs"] if then is None else differences(then, now)
        for path, (maker, md5) in made.items():
            if path in used and (maker in found or md5 != used[path]):
                reasons.append(f"{path} is stale" if maker in found else f"{path} was made again")
        if reasons:
            found[stage] = reasons
    return found


def _recorded(root: Path, name: str, md5: str) -> dict[str, Any] | None:
    """The statement of this MD5: the file here, or the committed one; None if neither is it."""
    here = (root / name).read_bytes() if (root / name).exists() else b""
    command = ["git", "show", f"HEAD:./{name}"]
    try:
        committed = subprocess.run(command, cwd=root, capture_output=True, check=False).stdout
    except OSError:
        committed = b""
    for content in (here, committed):
        if _md5(content) == md5:
            return dict(json.loads(content))
    return None


def _md5(content: bytes) -> str:
    """As DVC names files."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _survey(cfg: Config) -> bool:
    return cfg.kind.observed == "survey"


def _is_simulated_here(cfg: Config) -> bool:
    """Whether the sky is made by the simulator of the training maps (see `surveys.mock`)."""
    return cfg.real.source == "mock" and not (_survey(cfg) and cfg.survey.mock is not None)


def _words(cfg: Config) -> dict[str, Any]:
    """What a trained model says of its survey."""
    texts = {name: getattr(cfg.survey, name) for name in ("name", "title", "citation")} if _survey(cfg) else {}
    return {"survey": texts} if texts else {}


def _evaluation(cfg: Config) -> dict[str, Any]:
    return {"evaluate": cfg.evaluate.model_dump(mode="json"), "train": {"backend": cfg.train.backend}}


def _inference(cfg: Config) -> dict[str, Any]:
    infer = cfg.infer.model_dump(mode="json")
    return {"infer": infer, "real": {"max_masked": cfg.real.max_masked}, "train": {"backend": cfg.train.backend}}


def _redshift_files(cfg: Config) -> Files:
    """Tables of n(z)."""
    terms = [term for one in cfg.survey.bins for term in one.n_z] if _survey(cfg) else []
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
    if cfg.real.source == "mock" and _survey(cfg) and cfg.survey.mock is not None:
        found[_named(SURVEY_FOLDER / cfg.survey.mock)] = Path(cfg.root) / SURVEY_FOLDER / cfg.survey.mock
    paths = (cfg.real.path,) if isinstance(cfg.real.path, str) else cfg.real.path or ()
    for given in filter(None, (*paths, cfg.real.mask)):
        path = _found(cfg, given)
        try:
            inside = sorted(one for one in path.iterdir() if one.is_file())
        except OSError:  # a file, or what is not there or may not be read
            found[given] = path
        else:
            found |= {f"{given}/{one.name}": one for one in inside}
    return found


def _published(cfg: Config) -> dict[str, Any]:
    """What the manifest says of the files of the source."""
    from cosmokeras.surveys.manifest import MANIFEST, load_manifest

    path, group = Path(cfg.root) / MANIFEST, f"{cfg.real.source}/"
    if SOURCES[cfg.real.source].module == "cosmokeras.surveys.mock" or not path.exists():
        return {}
    entries = {name: entry for name, entry in load_manifest(path).items() if name.startswith(group)}
    return {"manifest": entries} if entries else {}


def _found(cfg: Config, given: str) -> Path:
    """The file that a key names, which may say behind its name which part of it is meant: `[HDU]`, `:KEY`."""
    names = (given, re.sub(r"\[[^\[\]]*\]$", "", given), given.rpartition(":")[0])
    # who reads it takes `~` for the home folder
    places = [folder / Path(name).expanduser() for name in names if name for folder in (Path(cfg.root), Path())]
    return next((path for path in places if path.exists()), Path(given))


def _named(path: Path) -> str:
    return os.path.normpath(path)


def _digest(path: Path) -> str | None:
    try:
        return sha256(path)
    except OSError:
        return None


def _registered(cfg: Config, registry: str) -> tuple[str, dict[str, Any]]:
    """Module and entry that the parameters choose of a registry."""
    if registry == "kind":
        kind = KINDS[cfg.data.kind]
        return kind.module, asdict(kind)
    if registry == "source":
        source = SOURCES[cfg.real.source]
        return source.module, asdict(source)
    from cosmokeras.models import REGISTRY

    module = REGISTRY[cfg.model.name]
    return module, {"module": module}


def _merged(one: dict[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Two nested mappings together; lists of mappings (the bins of a survey) element by element."""
    out = dict(one)
    for key, value in other.items():
        before = out.get(key)
        if isinstance(before, dict) and isinstance(value, Mapping):
            out[key] = _merged(before, value)
        elif isinstance(before, list) and isinstance(value, list) and before and isinstance(before[0], dict):
            out[key] = [_merged(a, b) for a, b in zip(before, value, strict=True)]
        else:
            out[key] = value
    return out


def _flat(node: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values; places in lists of mappings are counted from 1, as bins are."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _flat(value, f"{name}.{key}" if name else str(key))
    elif isinstance(node, list) and node and isinstance(node[0], Mapping):
        for number, value in enumerate(node, start=1):
            yield from _flat(value, f"{name}.{number}")
    else:
        yield name, node


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 40 else f"{text[:36]} ..."


MAPS = ("kind",), (Config.simulation_key,), (_redshift_files,)
SEEN = ("kind",), (Config.simulation_key, Config.observation_key), (_redshift_files, _masks)
TRAINED = ("kind", "model"), (*SEEN[1], Config.training_key), (*SEEN[2], _starting_weights)
SKY = ("source",), (Config.sky_key, _published), (_masks, _sky_files)

# Stages have all that they import; what is kept of them has the code that its numbers come from, without pictures.
RESULTS = {
    "maps": Result(("cosmokeras.dataset.shards",), *MAPS),
    "generate": Result(("stages.generate",), *MAPS),
    "sky": Result(("cosmokeras.surveys", "cosmokeras.config"), *SKY),
    "fetch_real": Result(("stages.fetch_real",), *SKY),
    "weights": Result(("cosmokeras.training.loop",), *TRAINED),
    "model": Result(
        ("cosmokeras.training.loop", "cosmokeras.inference.calibrate"), TRAINED[0], (*TRAINED[1], _words), TRAINED[2]
    ),
    "train": Result(("stages.train",), TRAINED[0], (*TRAINED[1], _words), TRAINED[2]),
    "evaluate": Result(("stages.evaluate",), ("kind", "model"), (_evaluation,), ()),
    "infer": Result(("stages.infer",), ("kind", "model"), (_inference,), ()),
}
