"""Files appear whole or not at all."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from cosmokeras.common.errors import UserError
from cosmokeras.common.files import (
    atomic,
    copy,
    link_or_copy,
    locked,
    read_own_json,
    remove_unfinished,
    sha256,
    work_folder,
    write_json,
)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"old": 1})
    with pytest.raises(RuntimeError), atomic(tmp_path / "a.json") as handle:
        handle.write(b"half")
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    assert "old" in (tmp_path / "a.json").read_text()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_is_one_line_that_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"cannot write .*b\.json: No space left") as error:
        write_json(tmp_path / "b.json", {})
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_link_or_copy_replaces_and_may_be_repeated(tmp_path: Path) -> None:
    source, target = tmp_path / "work" / "x", tmp_path / "out" / "x"
    source.parent.mkdir()
    source.write_bytes(b"new")
    for _ in range(3):
        link_or_copy(source, target)
    assert [p.name for p in target.parent.iterdir()] == ["x"]
    assert sha256(target) == sha256(source)


def test_a_folder_is_free_again_when_its_holder_is_killed(tmp_path: Path) -> None:
    code = f"""
    import os, signal
    from pathlib import Path
    from cosmokeras.common.files import locked
    with locked(Path({str(tmp_path)!r})):
        os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code).replace("os.kill(os.getpid(), signal.SIGKILL)", "print('held')")],
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert "held" in done.stdout


def test_locks_are_held_alone_or_shared(tmp_path: Path) -> None:
    def free(shared: bool) -> bool:
        with open(tmp_path / ".lock") as handle:
            try:
                fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True

    with locked(tmp_path):
        assert (free(shared=True), free(shared=False)) == (False, False)
    with locked(tmp_path, shared=True), locked(tmp_path, shared=True):
        assert (free(shared=True), free(shared=False)) == (True, False)
    with locked(tmp_path, "another"):
        assert free(shared=False)


def test_json_holds_null_where_a_number_is_not_finite(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    values = [float("nan"), float("inf"), -float("inf"), np.float64("nan"), 1.5, 2, True, None, "NaN"]
    write_json(path, {"a": {"r2": -float("inf"), "rows": values, "pair": (np.float64("inf"), 1)}, "b": float("nan")})

    def no(constant: str) -> None:
        raise AssertionError(f"not JSON: {constant}")

    found = json.loads(path.read_text(), parse_constant=no)
    assert found == {
        "a": {"r2": None, "rows": [None, None, None, None, 1.5, 2, True, None, "NaN"], "pair": [None, 1]}, "b": None,
    }  # fmt: skip


def test_committed_metrics_are_json() -> None:
    def no(constant: str) -> None:
        raise AssertionError(f"not JSON: {constant}")

    files = list((Path(__file__).parents[2] / "metrics").glob("*.json"))
    assert files
    for path in files:
        json.loads(path.read_text(), parse_constant=no)


@pytest.mark.parametrize("place", ["file/a.json", "/proc/none/a.json", "folder"])
def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="cannot write ") as error:
        write_json(tmp_path / place, {})
    assert str(tmp_path / place) in str(error.value)
    assert "\n" not in str(error.value)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["file", "folder"]
    assert list((tmp_path / "folder").iterdir()) == []


def test_a_work_folder_that_cannot_be_made_names_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    for where in (tmp_path / "file", Path("/proc/none")):
        monkeypatch.setenv("COSMOKERAS_WORK", str(where))
        with pytest.raises(UserError, match=f"COSMOKERAS_WORK={where}: cannot make"):
            work_folder("simulate", "key")


def test_what_killed_processes_left_is_removed_and_what_living_ones_write_is_not(tmp_path: Path) -> None:
    """By whoever writes there next."""
    code = f"""
    import os, signal, sys, time
    from pathlib import Path
    from cosmokeras.common.files import atomic
    with atomic(Path({str(tmp_path)!r}) / sys.argv[1]) as handle:
        handle.write(b"half")
        handle.flush()
        if sys.argv[1] == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        print("writing", flush=True)
        time.sleep(60)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    subprocess.run([*command, "killed"], check=False)
    (killed,) = tmp_path.iterdir()
    with subprocess.Popen([*command, "living"], stdout=subprocess.PIPE, text=True) as living:
        assert living.stdout is not None and living.stdout.readline() == "writing\n"
        assert not killed.exists()
        remove_unfinished.cache_clear()
        write_json(tmp_path / "a.json", {})
        left = [path.name for path in tmp_path.iterdir() if path.name != "a.json"]
        assert len(left) == 1 and left[0].endswith("-living")
        living.kill()


def test_a_file_is_never_written_through_a_link(tmp_path: Path) -> None:
    """Outputs may be links into a cache of DVC, which must stay what it is."""
    (tmp_path / "cache").write_text("kept")
    (tmp_path / "source").write_text("new")
    for link, write in itertools.product((os.symlink, os.link), (copy, link_or_copy)):
        out = tmp_path / f"{link.__name__}-{write.__name__}"
        link(tmp_path / "cache", out)
        write(tmp_path / "source", out)
        assert (out.read_text(), (tmp_path / "cache").read_text()) == ("new", "kept")
        assert not out.is_symlink()


def test_a_lock_in_a_closed_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write .*\.lock: "), locked(tmp_path / "file" / "folder"):
        pass


def test_own_notes_are_read_as_they_were_written_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "note.json"
    write_json(path, {"a": [1, 2.5, None], "b": {"c": "é"}})
    assert read_own_json(path) == {"a": [1, 2.5, None], "b": {"c": "é"}}
    for content in (path.read_bytes() + b"\n", path.read_bytes().replace(b"2.5", b"2.50"), b"[]", b"3", b"\xff", b""):
        path.write_bytes(content)
        with pytest.raises(ValueError):
            read_own_json(path)
