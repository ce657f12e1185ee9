"""Table of what nuisances that are fixed in the training maps do to the answer."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from cosmokeras.evaluation.nuisances import nuisances
from study.report.readings import symbol


def systematics(content: Mapping[str, Any]) -> tuple[list[str], list[list[str]]] | None:
    """Header and lines of shifts from fixed nuisances, of metrics/evaluate.json; None where they were not measured.

    Shifts are those of the published width of each, of one map and of a survey.
    """
    found = {name: one for name, one in content.get("systematics", {}).items() if isinstance(one, Mapping)}
    if not found:
        return None
    names = [key.removesuffix("_survey") for key in next(iter(found.values())) if key.endswith("_survey")]
    lines = []
    for nuisance, one in found.items():
        width = nuisances()[nuisance].width
        levels = [(one[key], one[f"{key}_error"]) for name in names for key in (name, f"{name}_survey")]
        shifts = [f"{width * shift:+.4f} ± {width * error:.4f}" for shift, error in levels]
        lines.append([symbol(nuisance), f"{width:g}", *shifts, escape(nuisances()[nuisance].citation)])
    header = [f"shift of {name}, {of}" for name in names for of in ("one map", "survey")]
    return ["fixed nuisance", "uncertainty", *header, "source of the uncertainty"], lines
