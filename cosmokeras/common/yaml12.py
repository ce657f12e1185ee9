"""YAML 1.2, as DVC reads and writes it: `on` and `off` are texts, `1e-5` is a number.

PyYAML reads YAML 1.1, where `on` is true and `1e-5` a text; what `dvc exp run -S` writes would be another value when
read. The reader here is that of DVC, ruamel.yaml (https://yaml.dev/doc/ruamel.yaml), restricted to plain values.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from cosmokeras.common.errors import UserError


def loads(text: str, origin: str = "YAML") -> Any:
    """What a text says: mappings, lists, texts, numbers, true or false, null.

    Parameters
    ----------
    text : one document
    origin : name of the file, for the error

    Raises
    ------
    UserError : not YAML, or a key is given twice; one line with the place
    """
    try:
        content = YAML(typ="safe", pure=True).load(text)
    except DuplicateKeyError as error:
        # its words are 'found duplicate key "lr" with value "..." (original value: "...")'
        key = str(error.problem).partition('"')[2].partition('"')[0]
        raise UserError(f"{origin}: {key}: given twice{_place(error)}; keep one of them") from None
    except YAMLError as error:
        words = error.problem or error.context if isinstance(error, MarkedYAMLError) else error
        raise UserError(f"{origin}: not valid YAML: {' '.join(str(words).split())}{_place(error)}") from None
    except (ValueError, TypeError, RecursionError) as error:  # a date that does not exist, a list as a key
        raise UserError(f"{origin}: not valid YAML: {' '.join(str(error).split())}") from None
    if _holds_itself(content):
        raise UserError(f"{origin}: not valid YAML: an alias refers to a node that contains it")
    return content


def read(path: Path | str) -> Any:
    """What a file says; see `loads`.

    Raises
    ------
    FileNotFoundError : there is no such file; what to do about it is for the caller to say
    UserError : a folder, not readable, not text, or not YAML
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")  # a byte-order mark of some editors is no part of the text
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not valid YAML: not UTF-8 text") from None
    return loads(text, str(path))


def dumps(content: Any) -> str:
    """A text that `loads` reads back as the same, keys in their order."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.allow_unicode = True
    stream = io.StringIO()
    yaml.dump(content, stream)
    return stream.getvalue()


def _holds_itself(content: Any) -> bool:
    """Whether a mapping or list is part of itself, which an alias within its own anchor makes."""
    above: set[int] = set()
    done: set[int] = set()

    def contains_itself(node: Any) -> bool:
        if not isinstance(node, dict | list) or id(node) in done:
            return False
        if id(node) in above:
            return True
        above.add(id(node))
        if any(contains_itself(part) for part in (node.values() if isinstance(node, dict) else node)):
            return True
        above.remove(id(node))
        done.add(id(node))
        return False

    return contains_itself(content)


def _place(error: Exception) -> str:
    mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
    return f" (line {mark.line + 1}, column {mark.column + 1})" if mark is not None else ""
