"""Recipes for containers, hooks and continuous integration name what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


def copied(name: str) -> list[str]:
    """Files of the project that a recipe copies."""
    text = (ROOT / "containers" / name).read_text()
    if name == "Dockerfile":
        return [word for line in re.findall(r"^COPY (.*) \S+$", text, re.MULTILINE) for word in line.split()]
    section = text.split("%files\n")[1].split("%post")[0]
    return [line.split()[0] for line in section.splitlines() if line.strip()]


@pytest.mark.parametrize("name", ["Dockerfile", "cosmokeras.def"])
def test_containers_hold_the_package_in_its_pinned_versions(name: str) -> None:
    files = copied(name)
    assert {"pyproject.toml", "constraints.txt", "cosmokeras"} <= set(files)
    assert all((ROOT / file).exists() for file in files)
    text = (ROOT / "containers" / name).read_text()
    assert "-c constraints.txt" in text
    assert "python:3.11-slim" in text


def test_both_containers_copy_the_same() -> None:
    assert sorted(copied("Dockerfile")) == sorted(copied("cosmokeras.def"))


def test_continuous_integration_runs_the_gate() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())["jobs"]
    steps = [step.get("run") for job in jobs.values() for step in job["steps"]]
    assert ".ci/run" in steps
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_hooks_are_those_of_make_lint() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    asked = {hook["entry"].removeprefix(".venv/bin/python -m ").replace(" --force-exclude", "") for hook in hooks}
    lint = (ROOT / "Makefile").read_text().split("\nlint:")[1].split("\n\n")[0]
    assert asked == set(re.findall(r"-m (.*)$", lint, re.MULTILINE))
