"""Figures of studies know what code made them, and are listed once it has changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from study import recorded

MODULE = "study.requirements"


def test_figures_are_listed_without_a_record_and_after_a_change_of_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "table.json"
    path.write_text(json.dumps({"old": 1}))
    (tmp_path / "evaluate.json").write_text(json.dumps({"rmse": 1}))  # of a stage: judged elsewhere
    recorded.write(path, {"old": 1, "new": 2}, MODULE, "new")
    assert json.loads(path.read_text()) == {"old": 1, "new": 2}
    ((file, entry, words),) = recorded.outdated(tmp_path)
    assert (file, entry) == ("table.json", "old") and "no record" in words

    recorded.write(path, {"old": 1, "new": 2}, MODULE)  # all of them
    assert recorded.outdated(tmp_path) == []
    monkeypatch.setattr(recorded, "code_fingerprint", lambda *modules: "another")
    listed = recorded.outdated(tmp_path)
    assert [entry for _, entry, _ in listed] == ["old", "new"]
    assert all(f"{MODULE}, or what it imports, changed after" in words for *_, words in listed)


def test_entries_that_went_have_no_record(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    recorded.write(path, {"a": 1, "b": 2}, MODULE)
    recorded.write(path, {"b": 2}, MODULE, "b")
    assert json.loads((tmp_path / recorded.RECORD).read_text())["table.json"].keys() == {"b"}


def test_every_module_of_the_committed_record_is_there() -> None:
    record = Path(recorded.ROOT, "metrics", recorded.RECORD)
    entries = json.loads(record.read_text()) if record.exists() else {}
    for made in (one for file in entries.values() for one in file.values()):
        assert Path(recorded.ROOT, *made["module"].split(".")).with_suffix(".py").is_file()


def test_the_list_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "table.json").write_text(json.dumps({"old": 1}))
    assert recorded.main(["--metrics", str(tmp_path)]) == 0
    first, last = capsys.readouterr().out.splitlines()
    assert first == "metrics/table.json, old: no record of the code that made it"
    assert last.startswith("1 figures")
