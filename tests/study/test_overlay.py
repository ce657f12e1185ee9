"""Runs over each other in the report: curves out of git, and a picture of them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from study.report import facts, overlay, page, pictures


def git(folder: Path, *words: str) -> str:
    """What git prints."""
    name = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    return subprocess.run(["git", *name, *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def write(folder: Path, centre: float, losses: list[float]) -> None:
    """The tables of a run."""
    (folder / "plots/posterior").mkdir(parents=True, exist_ok=True)
    (folder / "plots/training").mkdir(exist_ok=True)
    x = np.linspace(0.1, 0.5, 60)
    lines = [f"{a:.6g},{b:.4f}" for a, b in zip(x, np.exp(-0.5 * ((x - centre) / 0.02) ** 2), strict=True)]
    (folder / "plots/posterior/omega_m.csv").write_text("\n".join(["value,density", *lines, ""]))
    lines = [f"{epoch}\t{loss}" for epoch, loss in enumerate(losses, start=1)]
    (folder / "plots/training/val_loss.tsv").write_text("\n".join(["step\tval_loss", *lines, ""]))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository whose folder differs from its two commits, which stand for experiments `a` and `b`."""
    git(tmp_path, "init", "--quiet")
    for centre, losses in ((0.2, [3.0, 2.0]), (0.4, [3.0, 1.0, 0.5])):
        write(tmp_path, centre, losses)
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "--quiet", "-m", "run")
    write(tmp_path, 0.3, [2.0, 1.5])
    return tmp_path


def listed(project: Path, more: int = 0) -> list[dict[str, Any]]:
    """What `dvc exp show --json` says: both, `b` the later one, and one that failed and has no commit."""
    revs = [git(project, "rev-parse", name) for name in ("HEAD~1", "HEAD", *["HEAD"] * more)]
    below = [
        {"name": name, "revs": [{"rev": rev, "name": name, "data": {"timestamp": f"2026-01-{day + 1:02}T00:00:00"}}]}
        for day, (name, rev) in enumerate(zip("abcdefghij", revs, strict=False))
    ]
    return [{"rev": "workspace"}, {"rev": revs[1], "experiments": [*below, {"name": None, "revs": [{"rev": None}]}]}]


def test_curves_are_those_of_each_run(project: Path) -> None:
    here, latest, first = overlay.runs(project, listed(project))
    assert [one.name for one in (here, latest, first)] == [overlay.HERE, "b", "a"]
    for one, centre, losses in ((here, 0.3, 2), (latest, 0.4, 3), (first, 0.2, 2)):
        x, y = one.posteriors["omega_m"]
        assert x[y.argmax()] == pytest.approx(centre, abs=0.004)
        assert one.loss is not None
        assert one.loss[0].tolist() == list(range(1, losses + 1))


def test_what_is_no_table_is_left_out(project: Path) -> None:
    (project / "plots/posterior/omega_m.csv").write_text("value,density\n0.1,many\n")
    (project / "plots/training/val_loss.tsv").unlink()
    assert [one.name for one in overlay.runs(project, listed(project))] == ["b", "a"]
    assert overlay.read(None, ",") is None
    assert overlay.read("value,density\n", ",") is None


def test_the_page_has_the_picture_where_there_is_a_second_run(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "dvc_json", lambda *_: listed(project))
    shown = page.overlaid(project, listed(project))
    assert "Runs over each other" in shown
    assert "data:image/png;base64," in shown
    assert "<code>plots/" not in shown, "it is in no file"
    assert page.overlaid(project, [{"rev": "workspace"}]) == ""
    many = page.overlaid(project, listed(project, more=7))
    assert "The latest 6 of 9 experiments" in many


def test_curves_are_drawn_and_stay_the_same(project: Path, tmp_path: Path) -> None:
    some = overlay.runs(project, listed(project))
    overlay.draw(tmp_path / "one.png", some)
    overlay.draw(tmp_path / "again.png", some)
    one = (tmp_path / "one.png").read_bytes()
    assert pictures.size(one, tmp_path) == (1500, 600)
    assert one == (tmp_path / "again.png").read_bytes()
    overlay.draw(tmp_path / "fewer.png", some[:2])
    assert one != (tmp_path / "fewer.png").read_bytes()
