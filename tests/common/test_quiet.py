"""Imports are silent, but for what one should read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cosmokeras.common.quiet import import_quietly


def test_notes_of_an_import_are_dropped_and_warnings_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = ["I0000 00:00:1.2 3 port.cc:153] a note", "W0000 00:00:1.2 3 x.cc:1] a warning", "Traceback of someone"]
    absl = "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR"
    said = "\n".join([absl, *lines, ""]).encode()
    (tmp_path / "chatty.py").write_text(f"import os\nos.write(2, {said!r})\n")
    (tmp_path / "broken.py").write_text("import os\nos.write(2, b'why it broke\\n')\nraise ImportError('no')\n")
    monkeypatch.syspath_prepend(tmp_path)
    import_quietly("chatty")
    assert capfd.readouterr().err.splitlines() == lines[1:]
    with pytest.raises(ImportError, match="no"):
        import_quietly("broken")
    assert capfd.readouterr().err == "why it broke\n"
    sys.stderr.write("as before\n")
    assert capfd.readouterr().err == "as before\n"


@pytest.mark.slow
def test_names_of_the_package_are_imported_in_silence() -> None:
    code = "import cosmokeras as ck; ck.Estimator; import keras; keras.ops.ones(2) + 1"
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True)
    assert done.stdout == done.stderr == ""
