"""Which module imports which: no circle, and packages import only those below them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.imports import LAYERS, PICTURE, circles, drawing, layer, module_graph

ROOT = Path(__file__).parents[1]
GRAPH = module_graph(ROOT, "cosmokeras")


def test_every_module_is_in_a_layer() -> None:
    assert {layer(name) for name in GRAPH} == {*LAYERS, "cosmokeras"}


def test_no_module_imports_itself_by_way_of_others() -> None:
    assert circles(GRAPH) == []


@pytest.mark.parametrize("name", GRAPH)
def test_imports_point_down(name: str) -> None:
    """Imports inside functions count, those that only a type checker reads do not."""
    if name == "cosmokeras":  # it loads what is asked for
        return
    order = {one: place for place, one in enumerate(LAYERS)}
    up = [other for other in GRAPH[name] if other != "cosmokeras" and order[layer(other)] > order[layer(name)]]
    assert not up


@pytest.mark.slow
def test_the_package_does_not_import_scripts_nor_studies_the_slow_checks() -> None:
    graph = module_graph(ROOT, "cosmokeras", "stages", "study", "benchmarks")
    for name, imported in graph.items():
        below = {
            "cosmokeras": set(),
            "stages": {"cosmokeras"},
            "study": {"cosmokeras"},
            "benchmarks": {"cosmokeras", "study"},
        }
        top = name.split(".")[0]
        assert {other.split(".")[0] for other in imported} <= {top, *below[top]}, name


@pytest.mark.slow
def test_the_picture_is_that_of_the_imports_of_today() -> None:
    """But for numbers of lines, which change all the time."""
    then, now = (re.sub(r"[\d,]+ lines", "lines", text) for text in (PICTURE.read_text(), drawing(ROOT)))
    assert then == now, "draw it again: python -m docs.imports"


def test_a_circle_and_an_arrow_upwards_are_seen(tmp_path: Path) -> None:
    (tmp_path / "cosmokeras" / "sky").mkdir(parents=True)
    for name in ("__init__", "sky/__init__"):
        (tmp_path / "cosmokeras" / f"{name}.py").write_text("")
    (tmp_path / "cosmokeras/sky/one.py").write_text("def late():\n    from cosmokeras.sky import two\n")
    (tmp_path / "cosmokeras/sky/two.py").write_text("import cosmokeras.sky.one\n")
    typed = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from cosmokeras.sky import one\n"
    (tmp_path / "cosmokeras/sky/three.py").write_text(typed)
    graph = module_graph(tmp_path, "cosmokeras")
    assert circles(graph) == [["cosmokeras.sky.one", "cosmokeras.sky.two"]]
    assert graph["cosmokeras.sky.three"] == set()
