"""Fingerprints of code: kept work is only as good as the code that made it.

What counts of a module is its text without comments, docstrings and blank lines, and the same of all modules of this
project that it imports, anywhere in it. Tables that name modules (the registries) do not count as a whole: a new
simulator is no reason to make the maps of another one again. Who uses an entry says which.
"""

from __future__ import annotations

import ast
import hashlib
import io
import tokenize
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCAL = ("cosmokeras", "stages")
# they say what counts, and no result is made by them
NOT_FOLLOWED = ("cosmokeras.common.code", "cosmokeras.provenance")


def forget() -> None:
    """Read all code anew, which is otherwise read once in a process."""
    for function in (code_digests, digest, _imports):
        function.cache_clear()


def code_fingerprint(*modules: str) -> str:
    """Sixteen hex digits of modules (`cosmokeras.theory.limber`) and of all that they import from this project."""
    listed = "".join(f"{name} {digest}\n" for name, digest in code_digests(*modules).items())
    return hashlib.sha256(listed.encode()).hexdigest()[:16]


@cache
def code_digests(*modules: str) -> dict[str, str]:
    """Name of the file below the project's folder -> digest, for modules and all that they import from this project.

    Modules of the user's own are named as they are imported.
    """
    found, todo = {}, list(modules)
    while todo:
        name = todo.pop()
        path = module_file(name)
        if name in found or path is None or name.startswith(NOT_FOLLOWED):
            continue
        found[name] = path
        todo += _imports(name, path)
    shown = {
        path.relative_to(ROOT).as_posix() if _top(name) in LOCAL else name: digest(path) for name, path in found.items()
    }
    return dict(sorted(shown.items()))


def module_file(name: str) -> Path | None:
    """File of a module of this project, or of the user's own; None for what is installed or built in."""
    if _top(name) in LOCAL:
        return _file_below(ROOT, name)
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return None
    path = Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None
    own = path is not None and path.suffix == ".py" and not _installed(path)
    return path if own else None


@cache
def digest(path: Path) -> str:
    """Sixteen hex digits of what a module does; how it is explained does not count."""
    return hashlib.sha256(essence(path.read_text()).encode()).hexdigest()[:16]


def essence(text: str) -> str:
    """Code without comments, docstrings, blank lines and registries; the same for every version of Python."""
    tree, lines = ast.parse(text), text.splitlines(keepends=True)
    parts: list[ast.stmt | ast.expr] = [*_docstrings(tree), *_registries(tree)]
    cuts = [_place(lines, part) for part in parts]
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            cuts.append((*token.start, *token.end))
    for first, start, last, end in sorted(cuts, reverse=True):
        kept = lines[first - 1][:start] + lines[last - 1][end:]
        lines[first - 1 : last] = [kept] + [""] * (last - first)
    return "\n".join(line.rstrip() for line in "".join(lines).splitlines() if line.strip())


def _place(lines: list[str], node: ast.stmt | ast.expr) -> tuple[int, int, int, int]:
    """First line and column, last line and column of a part of the syntax tree, which counts bytes."""

    def column(line: int, offset: int) -> int:
        return len(lines[line - 1].encode()[:offset].decode())

    last, end = node.end_lineno or node.lineno, node.end_col_offset or node.col_offset
    return node.lineno, column(node.lineno, node.col_offset), last, column(last, end)


def _docstrings(tree: ast.Module) -> Iterator[ast.stmt]:
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(tree):
        if isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None:
            yield node.body[0]


def _registries(tree: ast.Module) -> Iterator[ast.Dict]:
    """Tables at the top of a module that name modules of this project."""
    for node in tree.body:
        table = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        if isinstance(table, ast.Dict) and any(map(_named_module, table.values)):
            yield table


def _named_module(node: ast.AST) -> str | None:
    """The module of this project that an entry of a registry names."""
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str) and part.value.startswith("cosmokeras."):
            return part.value if _file_below(ROOT, part.value) is not None else None
    return None


@cache
def _imports(name: str, path: Path) -> list[str]:
    """Modules that a module imports, with the packages that they are in; installed ones among them."""
    found = [name.rpartition(".")[0]]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in executed_nodes(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            found += [base, *(_member(base, alias.name) for alias in node.names)]
        elif isinstance(node, ast.Call) and "import_module" in ast.dump(node.func):
            found += [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    return [one for one in found if one and (_top(one) in LOCAL or _beside(one, name, path))]


def _member(package: str, name: str) -> str:
    """The module that `from package import name` loads: a module of that name, or the one a table says it is in."""
    path = _file_below(ROOT, package) if _top(package) in LOCAL else None
    if path is None or _file_below(ROOT, f"{package}.{name}") is not None:
        return f"{package}.{name}"
    for table in _registries(ast.parse(path.read_text())):
        for key, value in zip(table.keys, table.values, strict=True):
            if isinstance(key, ast.Constant) and key.value == name and (module := _named_module(value)):
                return module
    return package


def executed_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only a type checker reads."""
    todo = [tree]
    while todo:
        node = todo.pop()
        yield node
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        todo += node.orelse if typing_only else ast.iter_child_nodes(node)  # type: ignore[attr-defined]


def _beside(name: str, importer: str, path: Path) -> bool:
    """Whether a module is the user's own: in the same package as the one that imports it, or in the same folder."""
    if _top(importer) in LOCAL:
        return False
    return _top(name) == _top(importer) or _file_below(path.parent, _top(name)) is not None


def _file_below(folder: Path, name: str) -> Path | None:
    base = folder.joinpath(*name.split("."))
    return next((path for path in (base / "__init__.py", base.with_suffix(".py")) if path.is_file()), None)


def _top(name: str) -> str:
    return name.split(".")[0]


def _installed(path: Path) -> bool:
    return bool({"site-packages", "dist-packages"} & set(path.parts)) or path.is_relative_to(Path(ast.__file__).parent)
