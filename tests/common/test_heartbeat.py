"""Lines in a log that say what a program is doing."""

from __future__ import annotations

import sys
import time

import pytest

from cosmokeras.common import heartbeat as module
from cosmokeras.common.heartbeat import doing, heartbeat


def test_a_log_has_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(module, "EVERY", 0.05)
    with heartbeat("train"):
        doing("epoch 2 of 20")
        time.sleep(0.3)
    time.sleep(0.1)
    lines = capsys.readouterr().err.splitlines()
    assert 2 <= len(lines) <= 6  # and none after the end
    assert set(lines) == {"train, 0:00: epoch 2 of 20"}


def test_a_terminal_has_bars_instead(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(module, "EVERY", 0.02)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with heartbeat("train"):
        time.sleep(0.1)
    assert capsys.readouterr().err == ""


def test_it_ends_with_an_error_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EVERY", 0.02)
    with pytest.raises(ValueError, match="wrong"), heartbeat("train"):
        raise ValueError("wrong")
    assert "heartbeat" not in {thread.name for thread in module.threading.enumerate()}
