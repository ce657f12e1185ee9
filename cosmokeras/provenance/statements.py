"""What each result depends on: parameters, content of files, code; one statement for each, compared where it is read.

A statement is a mapping with `params` (what matters of params.yaml and of the survey preset), `files` (sha256 of every
file that either names) and `code` (digests of the modules that the result is made by, and of all that they import).
DVC runs a stage again where its statement has changed; work folders are named by the fingerprint of one; outputs keep
theirs, and who reads them holds it against today's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cosmokeras.common.code import code_digests
from cosmokeras.common.errors import UNREADABLE, UserError
from cosmokeras.common.files import read_own_json
from cosmokeras.params.config import Config
from cosmokeras.params.registry import KINDS, MODELS, PM_MOCK, SOURCES
from cosmokeras.provenance.digests import digests_of
from cosmokeras.provenance.results import RESULTS, SEEN, Result, has_survey

STAGES = ("generate", "fetch_real", "train", "evaluate", "infer", "plots")
FOLDER = Path("outputs/inputs")  # of the statements of all stages, for DVC
NOTE = "inputs.json"  # the statement in an output folder
SHOWN = 4  # differences in one line


def statement(cfg: Config, name: str) -> dict[str, Any]:
    """All that a result in RESULTS depends on: `params`, `files`, `code`; JSON-able.

    The digest of a file that is not there is None: who needs it says so.
    """
    result = RESULTS[name]
    if name in ("sky", "fetch_real") and _is_simulated_here(cfg):
        result += Result((), *SEEN)
    if name in ("sky", "fetch_real") and cfg.real.mock == "pm":
        result += Result((PM_MOCK,), (), (), ())
    params: dict[str, Any] = {}
    for part in result.params:
        params = _merged(params, part(cfg))
    modules = list(result.code)
    for registry in result.registered:
        module, entry = _registered(cfg, registry)
        modules.append(module)
        params = _merged(params, {"registry": {registry: entry}})
    digests = {shown: digest for part in result.files for shown, digest in digests_of(part(cfg)).items()}
    content = {"params": params, "files": dict(sorted(digests.items())), "code": code_digests(*modules)}
    plain: dict[str, Any] = json.loads(json.dumps(content))  # tuples are lists, as when it is read again
    return plain


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """In words what differs between two statements: parameters, then files, then code."""
    found = []
    before, after = dict(_flat(then.get("params", {}))), dict(_flat(now["params"]))
    for key in sorted({*before, *after}, key=lambda key: (key not in before or key not in after, key)):
        if key not in before:
            found.append(f"{key}={_short(after[key])}, not set then")
        elif key not in after:
            found.append(f"{key}={_short(before[key])}, no longer used")
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
        raise UserError(f"{folder}: its inputs are not recorded; {remedy}")
    if found := differences(then, statement(cfg, name)):
        raise UserError(f"{folder} was made with other inputs: {listed(found)}; {remedy}")


def check_record(folder: Path, cfg: Config, name: str, stage: str) -> None:
    """Refuse an output folder that was made with other inputs than today's, or whose inputs nobody knows."""
    path = folder / NOTE
    try:
        then = read_own_json(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run `dvc repro {stage}`") from None
    except UNREADABLE:
        raise UserError(f"{path} is damaged; delete it and run `dvc repro {stage}`") from None
    must_be_of_today(then, cfg, name, folder, stage)


def _is_simulated_here(cfg: Config) -> bool:
    """Whether the sky is made by the simulator of the training maps (see `surveys.mock`)."""
    return cfg.real.source == "mock" and not (has_survey(cfg) and cfg.survey.mock is not None)


def _registered(cfg: Config, registry: str) -> tuple[str, dict[str, Any]]:
    """Module and entry that the parameters choose of a registry."""
    if registry == "kind":
        return cfg.kind.module, asdict(KINDS[cfg.data.kind])
    if registry == "source":
        source = SOURCES[cfg.real.source]
        return source.module, asdict(source)
    module = MODELS[cfg.model.name]
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
