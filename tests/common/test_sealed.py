"""What is kept is read as it was written, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cosmokeras.common import checksums, sealed
from cosmokeras.common.errors import UserError

ARRAYS = {"a": np.arange(6.0).reshape(2, 3), "b": np.array(["x", "yz"])}
SPOILS: dict[str, Callable[[bytes], bytes]] = {
    "half": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "seal alone": lambda content: content[-sealed.LENGTH :],
    "no seal": lambda content: content[: -sealed.LENGTH],
    "longer": lambda content: content + b"\n",
    "zeros": lambda content: bytes(len(content)),
    "first byte": lambda content: b"?" + content[1:],
    "digit of the seal": lambda content: content[:-2] + (b"0" if content[-2:-1] != b"0" else b"1") + b"\n",
}


def test_arrays_and_mappings_come_back_and_other_programs_read_them(tmp_path: Path) -> None:
    path = tmp_path / "new" / "kept.npz"
    assert sealed.read_arrays(path) is None and not sealed.is_whole(path)
    sealed.write_arrays(path, ARRAYS)
    found = sealed.read_arrays(path)
    assert found is not None and sealed.is_whole(path)
    with np.load(path) as plain:
        for name, array in ARRAYS.items():
            assert np.array_equal(found[name], array) and np.array_equal(plain[name], array)
    sealed.write_mapping(tmp_path / "note", {"a": [1, 2.5]})
    assert sealed.read_mapping(tmp_path / "note") == {"a": [1, 2.5]}


def test_an_array_with_a_seal_is_mapped_into_memory(tmp_path: Path) -> None:
    with sealed.sealed(tmp_path / "a.npy") as handle:
        np.save(handle, ARRAYS["a"])
    assert np.array_equal(np.load(tmp_path / "a.npy", mmap_mode="r"), ARRAYS["a"])


@pytest.mark.parametrize("spoil", SPOILS.values(), ids=SPOILS.keys())
def test_what_is_damaged_is_said_and_not_read(
    tmp_path: Path, spoil: Callable[[bytes], bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "kept.npz"
    sealed.write_arrays(path, ARRAYS)
    path.write_bytes(spoil(path.read_bytes()))
    assert sealed.read_arrays(path) is None and not sealed.is_whole(path)
    assert f"{path} is damaged: made again" in capsys.readouterr().out


def test_every_byte_counts(tmp_path: Path) -> None:
    path = tmp_path / "note"
    sealed.write_mapping(path, {"a": 1})
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert sealed.read_mapping(path) is None


def test_a_folder_in_its_place_is_damage(tmp_path: Path) -> None:
    (tmp_path / "kept.npz").mkdir()
    assert sealed.read_arrays(tmp_path / "kept.npz") is None


def test_checksums_name_the_file_that_is_another_one(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
    assert checksums.problem(tmp_path, ["one"]) == "checksums.json is missing"
    checksums.write_checksums(tmp_path, ["one", "two"])
    checksums.must_be_whole(tmp_path, ["one", "two"], "run")
    (tmp_path / "two").write_text("tvo")
    with pytest.raises(UserError, match=r"two is damaged: its checksum differs; run it again"):
        checksums.must_be_whole(tmp_path, ["one"], "run it again")
    (tmp_path / "two").unlink()
    assert checksums.problem(tmp_path, ["one"]) == "two is missing"
    (tmp_path / "two").mkdir()
    assert "two is damaged" in str(checksums.problem(tmp_path, ["one"]))
    for content in (b"", b"{}", b"[]", b"3", b"\xff", b'{"one": 3}', b'{"one": "\\u0000"}'):
        (tmp_path / "checksums.json").write_bytes(content)
        assert "damaged" in str(checksums.problem(tmp_path, ["one"]))
