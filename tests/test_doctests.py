"""Examples in docstrings are true."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import cosmokeras

PACKAGE = Path(cosmokeras.__file__).parent
# by their text: what has no examples is not imported
TEXTS = {path: text for path in sorted(PACKAGE.rglob("*.py")) if ">>>" in (text := path.read_text())}
MODULES = [".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in TEXTS]


def test_there_are_examples() -> None:
    assert sum(len(doctest.DocTestParser().get_examples(text)) for text in TEXTS.values()) >= 6


@pytest.mark.parametrize("module", MODULES)
def test_examples_are_true(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PACKAGE.parent)  # where params.yaml is
    result = doctest.testmod(import_module(module))
    assert result.attempted > 0
    assert result.failed == 0
