"""The stages in dvc.yaml depend on exactly the modules and parameter sections that they use."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def module_file(name: str) -> Path | None:
    """File of a module of the package, or None for other packages."""
    if name.split(".")[0] != "cosmokeras":
        return None
    base = ROOT / Path(*name.split("."))
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if path.exists():
            return path
    return None


# The registry of sources is only looked into by the stage that fetches them.
NOT_FOLLOWED = {("cosmokeras/surveys/__init__.py", stage) for stage in STAGES if stage != "fetch_real"}


def imported(path: Path, stage: str) -> set[Path]:
    """Files of the package that a file imports anywhere, names in registries included."""
    found: set[Path] = set()
    tree = ast.parse(path.read_text())
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    # registries name modules in strings; so do the lazy attributes of the package, but what uses them imports them
    here = str(path.relative_to(ROOT))
    if here != "cosmokeras/__init__.py" and (here, stage) not in NOT_FOLLOWED:
        names += [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    for name in names:
        if (file := module_file(name)) is not None:
            found.add(file)
            parents = [p for p in file.parents if p != ROOT and ROOT in p.parents]
            found |= {p / "__init__.py" for p in parents if (p / "__init__.py").exists()}
    return found


def closure(stage: str) -> set[Path]:
    """All files of the package that running a stage may import."""
    seen, todo = set(), {ROOT / "stages" / f"{stage}.py"}
    while todo:
        path = todo.pop()
        seen.add(path)
        todo |= imported(path, stage) - seen
    return seen


@pytest.mark.parametrize("stage", STAGES)
def test_code_dependencies_are_complete_and_needed(stage: str) -> None:
    listed = [ROOT / dep for dep in STAGES[stage]["deps"] if dep.startswith(("stages/", "cosmokeras"))]
    used = closure(stage)
    missing = [str(p.relative_to(ROOT)) for p in used if not any(d == p or d in p.parents for d in listed)]
    needless = [str(d.relative_to(ROOT)) for d in listed if not any(d == p or d in p.parents for p in used)]
    assert not missing, f"add to deps of {stage}: {sorted(missing)}"
    assert not needless, f"remove from deps of {stage}: {needless}"


@pytest.mark.parametrize("stage", STAGES)
def test_parameters_that_the_code_reads_are_listed(stage: str) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    listed = set(STAGES[stage]["params"])
    text = (ROOT / "stages" / f"{stage}.py").read_text()
    read = {(s, k) for s in params for k in re.findall(rf"(?<![.\w])cfg\.{s}\.(\w+)", text)}
    missing = {f"{s}.{k}" for s, k in read if not {s, f"{s}.{k}"} & listed}
    assert not missing, f"add to params of {stage}: {sorted(missing)}"
    known = set(params) | {f"{s}.{k}" for s, keys in params.items() for k in keys}
    assert listed <= known
