"""The table of experiments: those that DVC knows, one a row, with the parameters in which they differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from study.report.facts import dvc_json, flat

HEADLINES = (".rmse", ".efficiency", ".gain", ".coverage_68", ".mean", ".std", "nll", "surprise_p")
FILES = ("metrics/evaluate.json", "metrics/infer.json")


def rows(shown: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any], str | None]]:
    """Name, data and error of each row of `dvc exp show --json`: workspace, commits, and the experiments below each."""
    for one in shown:
        yield one.get("name") or one["rev"][:7], one.get("data") or {}, _reason(one)
        for experiment in one.get("experiments") or []:
            first = experiment["revs"][0]
            name = experiment.get("name") or first.get("name") or first["rev"][:7]
            yield name, first.get("data") or {}, _reason(first)


def _reason(row: Mapping[str, Any]) -> str | None:
    error = row.get("error")
    return error.get("msg", "failed") if isinstance(error, Mapping) else error


def numbers(data: Mapping[str, Any]) -> dict[str, Any]:
    """Headline metrics of a row."""
    found = {}
    for file in FILES:
        content = (data.get("metrics", {}).get(file) or {}).get("data") or {}
        for key, value in flat(content):
            if key.endswith(HEADLINES) and not key.startswith("before_stretch"):
                found[key] = value
    return found


def table(shown: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """Header and rows; no rows if there is nothing beside the workspace and its commit."""
    listed = list(rows(shown))
    if not any(one.get("experiments") for one in shown):
        return [], []
    params = [dict(flat((data.get("params", {}).get("params.yaml") or {}).get("data") or {})) for _, data, _ in listed]
    known = [one for one in params if one]
    keys = list(dict.fromkeys(key for one in known for key in one))
    differing = [key for key in keys if any(one.get(key) != known[0].get(key) for one in known)]
    measured = [numbers(data) for _, data, _ in listed]
    columns = list(dict.fromkeys(key for one in measured for key in one))
    lines = []
    for (name, data, error), given, found in zip(listed, params, measured, strict=True):
        when = (data.get("timestamp") or "")[:16].replace("T", " ")
        cells = [given.get(key) if given else error or "" for key in differing]
        lines.append([name, when, *cells, *(found.get(key) for key in columns)])
    return ["experiment", "when", *differing, *columns], lines


def experiments(root: Path) -> tuple[list[str], list[list[Any]]] | None:
    """The table of the project at `root`; None if DVC cannot say."""
    shown = dvc_json(root, "exp", "show")
    return None if shown is None else table(shown)
