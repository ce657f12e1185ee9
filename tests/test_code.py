"""The fingerprint of code sees what code does, not how it is explained; importing the package costs little."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import cosmokeras
from cosmokeras import code

PACKAGE = Path(cosmokeras.__file__).parent


def fingerprint_of(folder: Path, text: str, monkeypatch) -> str:
    (folder / "theory.py").write_text(text)
    monkeypatch.setattr(code, "__file__", str(folder / "code.py"))
    code.code_fingerprint.cache_clear()
    return code.code_fingerprint("theory.py")


def test_comments_do_not_count_and_numbers_do(tmp_path: Path, monkeypatch) -> None:
    shutil.copyfile(PACKAGE / "theory.py", tmp_path / "theory.py")
    text = (tmp_path / "theory.py").read_text()
    first = fingerprint_of(tmp_path, text, monkeypatch)
    assert fingerprint_of(tmp_path, text.replace("Limber", "limber") + "\n# a remark\n", monkeypatch) == first
    assert fingerprint_of(tmp_path, text.replace("2997.92458", "2997.9"), monkeypatch) != first
    code.code_fingerprint.cache_clear()


def test_every_named_module_exists() -> None:
    from cosmokeras.dataset.shards import CODE
    from stages.train import CODE as TRAIN_CODE

    assert all((PACKAGE / name).exists() for name in (*CODE, *TRAIN_CODE))


def test_import_is_fast_and_loads_no_network_library() -> None:
    heavy = ("tensorflow", "keras", "healpy")
    script = f"import sys, cosmokeras as ck; ck.load_params; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
