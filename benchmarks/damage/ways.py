"""Ways in which a file is damaged: bytes in, other bytes out, or a folder in its place."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile, is_zipfile

import numpy as np

Spoil = Callable[[bytes, np.random.Generator], bytes]


def _truncated(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: rng.integers(1, max(2, len(content)))]


def _flipped(content: bytes, rng: np.random.Generator) -> bytes:
    """One to eight bytes are others; text stays text of the same length where it was one."""
    out = bytearray(content or b"x")
    for place in rng.integers(len(out), size=rng.integers(1, 9)):
        old = out[place]
        digit = 48 <= old < 58
        out[place] = 48 + (old - 48 + rng.integers(1, 10)) % 10 if digit else old ^ int(rng.integers(1, 256))
    return bytes(out)


def _not_utf8(content: bytes, rng: np.random.Generator) -> bytes:
    place = int(rng.integers(len(content) + 1))
    return content[:place] + b"\xff\xfe\xe9" + content[place:]


def _lacking(content: bytes, rng: np.random.Generator) -> bytes:
    """A key less of JSON, an entry less of an archive, a line less of other text."""
    if is_zipfile(io.BytesIO(content)):
        out = io.BytesIO()
        with ZipFile(io.BytesIO(content)) as old, ZipFile(out, "w") as new:
            left_out = rng.integers(max(1, len(old.namelist())))
            for number, name in enumerate(old.namelist()):
                if number != left_out:
                    new.writestr(name, old.read(name))
        return out.getvalue()
    try:
        parsed = json.loads(content)
        inner = [parsed]
        for node in inner:
            inner += [one for one in node.values() if isinstance(one, dict) and one]
        node = inner[rng.integers(len(inner))]
        del node[list(node)[rng.integers(len(node))]]
        return json.dumps(parsed).encode()
    except (ValueError, AttributeError, KeyError):
        lines = content.splitlines(keepends=True) or [b""]
        del lines[rng.integers(len(lines))]
        return b"".join(lines)


def _other_length(content: bytes, rng: np.random.Generator) -> bytes:
    """Arrays with a row less, text with a line twice, else bytes more."""
    if content.startswith(b"\x93NUMPY"):
        return _saved(np.load(io.BytesIO(content))[:-1])
    if is_zipfile(io.BytesIO(content)):
        out = io.BytesIO()
        with ZipFile(io.BytesIO(content)) as old, ZipFile(out, "w") as new:
            shorter = rng.integers(max(1, len(old.namelist())))
            for number, name in enumerate(old.namelist()):
                one = old.read(name)
                if number == shorter and name.endswith(".npy") and (array := np.load(io.BytesIO(one))).ndim:
                    one = _saved(array[:-1])
                new.writestr(name, one)
        return out.getvalue()
    lines = content.splitlines(keepends=True)
    if len(lines) > 1:
        lines.insert(int(rng.integers(len(lines))), lines[rng.integers(len(lines))])
        return b"".join(lines)
    return content + b"\0" * int(rng.integers(1, 100))


def _saved(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


SPOILS: dict[str, Spoil] = {
    "truncated": _truncated,
    "empty": lambda content, rng: b"",
    "flipped bytes": _flipped,
    "not UTF-8": _not_utf8,
    "an empty mapping": lambda content, rng: b"{}",
    "an empty list": lambda content, rng: b"[]",
    "a number": lambda content, rng: b"3",
    "a key less": _lacking,
    "another length": _other_length,
    "zeros": lambda content, rng: bytes(len(content)),
}
FOLDER = "a folder in its place"
WAYS = (*SPOILS, FOLDER)


def damage(path: Path, way: str, rng: np.random.Generator) -> bool:
    """Damage a file, never through a link; whether it is another one now."""
    content = path.read_bytes()
    spoiled = None if way == FOLDER else SPOILS[way](content, rng)
    if spoiled == content:
        return False
    path.unlink()
    if spoiled is None:
        path.mkdir()
    else:
        path.write_bytes(spoiled)
    return True


def remove(path: Path) -> None:
    """A file, a link or a folder, whichever is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
