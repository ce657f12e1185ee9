"""The fingerprint of code sees what code does, not how it is explained; importing the package costs little."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cosmokeras.common import code
from cosmokeras.common.code import code_digests, essence


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the code that a test may change."""
    for name in code.LOCAL:
        shutil.copytree(code.ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code, "ROOT", tmp_path)
    code.forget()
    yield tmp_path
    code.forget()


def changed(path: Path, old: str, new: str) -> set[str]:
    """Files whose digests a change of one file changes, among those that the maps are made by."""
    roots = ("cosmokeras.dataset.generation", "cosmokeras.simulators.lensing")
    before = code_digests(*roots)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    code.forget()
    after = code_digests(*roots)
    return {name for name in {*before, *after} if before.get(name) != after.get(name)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("theory/limber.py", "PIVOT = 0.62", "PIVOT = 0.6"),
        ("theory/halofit.py", "return ", "return 2 * "),
        ("theory/ccl.py", "0.98", "0.97"),
        ("theory/table.py", "0.05", "0.1"),
        ("simulators/lensing.py", "BATCH = 8", "BATCH = 9"),
        ("params/registry.py", '"sigma8": (0.2, 1.6)', '"sigma8": (0.2, 1.7)'),
    ],
)
def test_code_counts_wherever_it_is(copied: Path, name: str, old: str, new: str) -> None:
    assert changed(copied / "cosmokeras" / name, old, new) == {f"cosmokeras/{name}"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("theory/limber.py", "Limber", "limber"),  # in docstrings
        ("theory/limber.py", "\nNODES", "\n\n\n# a remark\nNODES"),
        ("theory/limber.py", "NODES = 400  # of", "NODES = 400  # OF"),
        ("report/style.py", "dpi", "DPI"),  # pictures are not what maps are made by
        ("params/registry.py", '"grf": Kind(', '"toy": Kind("cosmokeras.models", (), "plain", 1, "x"), "grf": Kind('),
        ("params/registry.py", '"cosmos": Source(', '"toy": Source("cosmokeras.models"), "cosmos": Source('),
        ("provenance/statements.py", "SHOWN = 4", "SHOWN = 5"),
    ],
)  # fmt: skip
def test_words_and_the_code_of_others_do_not_count(copied: Path, name: str, old: str, new: str) -> None:
    assert changed(copied / "cosmokeras" / name, old, new) == set()


@pytest.mark.slow
def test_a_new_import_counts_with_all_that_comes_with_it(copied: Path) -> None:
    (copied / "cosmokeras" / "more.py").write_text("from cosmokeras.simulators import mesh\n")
    path = copied / "cosmokeras" / "theory/limber.py"
    found = changed(path, "\nHUBBLE", "\n\ndef late():\n    from cosmokeras import more\n\n    return more\n\n\nHUBBLE")
    assert found == {"cosmokeras/theory/limber.py", "cosmokeras/more.py", "cosmokeras/simulators/mesh.py"}


@pytest.mark.slow
def test_names_that_the_package_loads_late_are_followed(copied: Path) -> None:
    (copied / "stages" / "probe.py").write_text("from cosmokeras import load_params, theory\n")
    assert {"cosmokeras/params/config.py", "cosmokeras/theory/limber.py", "cosmokeras/theory/halofit.py"} <= set(
        code_digests("stages.probe")
    )
    assert not any("inference" in name for name in code_digests("stages.probe"))


def test_a_module_of_the_users_own_counts_with_what_lies_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "toy_field.py").write_text("import numpy\nimport toy_helper\nfrom cosmokeras.sky import pixels\n")
    (tmp_path / "toy_helper.py").write_text("NUMBER = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = code_digests("toy_field")
    assert {"toy_field", "toy_helper", "cosmokeras/sky/pixels.py"} <= set(found)
    assert not any("numpy" in name for name in found)
    code.forget()
    (tmp_path / "toy_helper.py").write_text("NUMBER = 2\n")
    after = code_digests("toy_field")
    assert {name for name in found if found[name] != after[name]} == {"toy_helper"}


def test_the_essence_of_code_is_the_code() -> None:
    text = '"""Module."""\n\nx = "# not a remark"  # a remark\n\n\n'
    text += 'def f():\n    """é: say."""\n    return "é", f"{x} #"  # é\n'
    assert essence(text) == 'x = "# not a remark"\ndef f():\n    return "é", f"{x} #"'
    assert essence('class A:\n    """Only\n    words."""\n') == "class A:"


def test_import_is_fast_and_loads_no_network_library() -> None:
    heavy = ("tensorflow", "keras", "healpy")
    script = f"import sys, cosmokeras as ck; ck.load_params; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
