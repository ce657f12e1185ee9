"""The table of experiments: those that DVC knows, one a row, with the parameters in which they differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from study.report.facts import flat, shown

HEADLINES = (".rmse", ".efficiency", ".gain", ".coverage_68", ".mean", ".std", "nll", "surprise_p")
FILES = ("metrics/evaluate.json", "metrics/infer.json")


def rows(listed: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any], str | None]]:
    """Name, data and error of each row of `dvc exp show --json`: workspace, commits, and the experiments below each."""
    for one in listed:
        yield _name(one, {}), one.get("data") or {}, _reason(one)
        for experiment in one.get("experiments") or []:
            first = experiment["revs"][0]
            yield _name(experiment, first), first.get("data") or {}, _reason(first)


def _name(row: Mapping[str, Any], first: Mapping[str, Any]) -> str:
    rev = row.get("rev") or first.get("rev", "")
    return row.get("name") or first.get("name") or (rev if rev == "workspace" else rev[:7])


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


def table(listed: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of text; no rows if there is nothing beside the workspace and its commit."""
    if not any(one.get("experiments") for one in listed):
        return [], []
    found = list(rows(listed))
    params = [dict(flat((data.get("params", {}).get("params.yaml") or {}).get("data") or {})) for _, data, _ in found]
    measured = [numbers(data) for _, data, _ in found]
    known = [one for one in params if one]
    keys = list(dict.fromkeys(key for one in known for key in one))
    differing = [key for key in keys if any(one.get(key) != known[0].get(key) for one in known)]
    columns = list(dict.fromkeys(key for one in measured for key in one))
    lines = []
    for (name, data, error), given, figures in zip(found, params, measured, strict=True):
        when = error or (data.get("timestamp") or "")[:16].replace("T", " ")
        first = [f"{figures[key]:.4g}" if key in figures else "" for key in columns]
        lines.append([name, when, *first, *(shown(given[key]) if key in given else "" for key in differing)])
    return ["experiment", "when", *columns, *differing], lines
