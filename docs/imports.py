"""Who imports whom in this project, from its files alone, and the picture of it in `architecture.md`.

    python -m docs.imports

draws `docs/assets/imports.svg` again; a test asserts that it is the picture of today's imports.
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from cosmokeras.common.code import executed_nodes

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "assets" / "imports.svg"
# Packages from the bottom to the top: each imports those before it only. `project` is a module.
LAYERS = (
    "common", "readers", "sky", "redshifts", "params", "theory", "observation", "project", "simulators", "surveys",
    "suites", "provenance", "dataset", "models", "training", "inference", "evaluation", "report",
)  # fmt: skip
# of the picture, from the bottom to the top
ROWS = (*LAYERS, "stages")
LEFT, TOP, STEP_X, STEP_Y, BOX_X, BOX_Y = 16, 4, 28, 29, 236, 22  # of the picture [pixel]
NOTE = (
    "Follow the line of a package to the left:",
    "each dot on it is an import, of the package",
    "at the foot of the dot's column.",
)
# Colours are those of the site where it shows the picture, and the reader's choice of light or dark elsewhere.
HEAD = """\
<svg class="imports" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"
  width="{width}" height="{height}" role="img">
<title>Which package imports which</title>
<style>
.imports {{ --ink: var(--md-default-fg-color, #1f2328); --soft: var(--md-default-fg-color--light, #59636e);
  --line: var(--md-default-fg-color--lighter, #a0a8b0); --paper: var(--md-default-bg-color, #ffffff);
  --box: var(--md-code-bg-color, #f0f2f5); --mark: var(--md-typeset-a-color, #4051b5);
  font: 12px system-ui, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; }}
@media (prefers-color-scheme: dark) {{ .imports {{ --ink: var(--md-default-fg-color, #e6edf3);
  --soft: var(--md-default-fg-color--light, #9aa4ae); --line: var(--md-default-fg-color--lighter, #5c6570);
  --paper: var(--md-default-bg-color, #0d1117); --box: var(--md-code-bg-color, #21262d);
  --mark: var(--md-typeset-a-color, #8ea2ff); }} }}
.imports .paper {{ fill: var(--paper); }} .imports .box {{ fill: var(--box); stroke: var(--line); }}
.imports .line {{ fill: none; stroke: var(--line); }} .imports .head {{ fill: var(--line); }}
.imports circle {{ fill: var(--mark); }} .imports text {{ fill: var(--ink); }} .imports .name {{ font-weight: 600; }}
.imports .size, .imports .note {{ fill: var(--soft); font-size: 11px; }} .imports .size {{ text-anchor: end; }}
.imports g:hover :is(.line, .box) {{ stroke: var(--mark); stroke-width: 2; }}
</style>
<rect class="paper" width="{width}" height="{height}"/>"""


def main(arguments: list[str] | None = None) -> None:
    """Draw the picture again."""
    description = "Draw which package imports which, from the code as it stands: docs/assets/imports.svg."
    argparse.ArgumentParser(prog="python -m docs.imports", description=description).parse_args(arguments)
    PICTURE.write_text(drawing(ROOT))


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


def package_graph(root: Path) -> dict[str, set[str]]:
    """Package -> packages that its modules import, from the bottom to the top; `stages` is the top."""
    found: dict[str, set[str]] = {name: set() for name in ROWS}
    for name, imported in module_graph(root, "cosmokeras", "stages").items():
        if name != "cosmokeras":  # it loads what is asked for
            found[_row(name)] |= {_row(other) for other in imported if other != "cosmokeras"} - {_row(name)}
    return found


def drawing(root: Path) -> str:
    """The picture, SVG: packages as a staircase, imports as lines to the left and then down."""
    graph = package_graph(root)
    height = TOP + STEP_Y * len(ROWS)
    column = {name: LEFT + STEP_X * place for place, name in enumerate(ROWS)}
    middle = {name: height - STEP_Y * place - STEP_Y // 2 for place, name in enumerate(ROWS)}
    width = column[ROWS[-1]] + BOX_X + LEFT
    parts = [HEAD.format(width=width, height=height)]
    for name in ROWS:
        importers = [other for other in ROWS if name in graph[other]]
        if importers:
            x, y = column[name], middle[name] - BOX_Y // 2
            parts.append(f'<path class="line" d="M{x} {middle[importers[-1]]}V{y - 5}"/>')
            parts.append(f'<path class="head" d="M{x - 4} {y - 7}h8l-4 7z"/>')
    for name in ROWS:
        imported = [other for other in ROWS if other in graph[name]]
        parts.append(_package(name, imported, column, middle, _size(root, name)))
    for i, line in enumerate(NOTE):
        parts.append(f'<text class="note" x="{width - 280}" y="{height - 60 + 17 * i}">{line}</text>')
    return "\n".join((*parts, "</svg>\n"))


def _package(name: str, imported: list[str], column: Mapping[str, int], middle: Mapping[str, int], size: str) -> str:
    x, y = column[name] - STEP_X // 2 + 3, middle[name]
    says = f"{name} imports {', '.join(reversed(imported)) or 'nothing of the project'}"
    line = f'<path class="line" d="M{x} {y}H{column[imported[0]]}"/>' if imported else ""
    dots = "".join(f'<circle cx="{column[other]}" cy="{y}" r="3.5"/>' for other in imported)
    box = f'<rect class="box" x="{x}" y="{y - BOX_Y // 2}" width="{BOX_X}" height="{BOX_Y}" rx="4"/>'
    text = f'<text class="name" x="{x + 10}" y="{y + 4}">{name}</text>'
    note = f'<text class="size" x="{x + BOX_X - 10}" y="{y + 4}">{size}</text>'
    return f"<g><title>{says}</title>{line}{dots}{box}{text}{note}</g>"


def _row(name: str) -> str:
    return "stages" if name.split(".")[0] == "stages" else layer(name)


def _size(root: Path, name: str) -> str:
    """Modules and lines of a package; lines to the nearest hundred, so that the picture rarely changes."""
    folder = root / "stages" if name == "stages" else root / "cosmokeras" / name
    files = sorted(folder.rglob("*.py")) or [folder.with_suffix(".py")]
    lines = sum(len(path.read_text().splitlines()) for path in files)
    return f"{len(files)} module{'s' * (len(files) > 1)}, {max(100, round(lines, -2)):,} lines"


def _name(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def _imported(name: str, path: Path, files: Mapping[str, Path]) -> Iterator[str]:
    for node in executed_nodes(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in files)
        elif isinstance(node, ast.ImportFrom) and node.module is not None and not node.level:
            for alias in node.names:
                member = f"{node.module}.{alias.name}"
                yield from (one for one in (member if member in files else node.module,) if one in files)


if __name__ == "__main__":
    main()
