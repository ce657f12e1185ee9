"""Who imports whom in this project, from its files alone, and the picture of it in `architecture.md`.

    python -m docs.imports

draws `docs/assets/imports.svg` again; a test asserts that it is the picture of today's imports.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Packages from the bottom to the top: each imports those before it only. `project` is a module.
LAYERS = (
    "common", "readers", "sky", "redshifts", "params", "theory", "observation", "project", "simulators", "surveys",
    "provenance", "dataset", "models", "training", "inference", "evaluation", "report",
)  # fmt: skip


def layer(name: str) -> str:
    """The package, or the module at the top, that a module is in."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def module_graph(root: Path, *packages: str) -> dict[str, set[str]]:
    """Module -> modules of the same packages that it imports, anywhere in it but for what a type checker alone reads.

    `from package import name` counts as the module of that name, or as the package where there is none.
    """
    files = {_name(path.relative_to(root)): path for package in packages for path in (root / package).rglob("*.py")}
    return {name: set(_imported(name, path, files)) for name, path in sorted(files.items())}


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of modules that reach each other by imports (Tarjan 1972, SIAM J. Comput. 1, 146), sorted."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        number[name] = low[name] = len(number)
        stack.append(name)
        for other in graph[name]:
            if other not in number:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], number[other])
        if low[name] == number[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                found.append(sorted(group))

    for name in graph:
        if name not in number:
            visit(name)
    return sorted(found)


def _name(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def _imported(name: str, path: Path, files: Mapping[str, Path]) -> Iterator[str]:
    for node in _run(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in files)
        elif isinstance(node, ast.ImportFrom) and node.module is not None and not node.level:
            for alias in node.names:
                member = f"{node.module}.{alias.name}"
                yield from (one for one in (member if member in files else node.module,) if one in files)


def _run(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those below `if TYPE_CHECKING`."""
    todo = [tree]
    while todo:
        node = todo.pop()
        yield node
        typed = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        todo += node.orelse if typed else ast.iter_child_nodes(node)  # type: ignore[attr-defined]
