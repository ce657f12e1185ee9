"""For the API page: `name : what it is` of our docstrings are words, not types, which stand in the signatures."""

from __future__ import annotations

import re
from typing import Any

import griffe

BODY = r"\n-+\n((?:(?!^\S[^\n]*\n-{3,}$).*\n?)*)"
SECTION = re.compile(rf"^(Parameters|Raises|Attributes){BODY}", re.MULTILINE)
RETURNS = re.compile(rf"^Returns{BODY}", re.MULTILINE)
ITEM = re.compile(r"^(\w[\w, *]*) : (.+)$", re.MULTILINE)


class Words(griffe.Extension):
    """Move what follows a colon, and what is said of returned values, into descriptions."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite one docstring; it is parsed later."""
        if obj.docstring:
            text = SECTION.sub(_described, obj.docstring.value)
            obj.docstring.value = RETURNS.sub(lambda match: _told(match, getattr(obj, "returns", None)), text)


def _described(match: re.Match[str]) -> str:
    rest = ITEM.sub(lambda item: f"{item[1]}\n    {item[2]}", match[2])
    return f"{match[1]}\n{'-' * len(match[1])}\n{rest}"


def _told(match: re.Match[str], annotation: Any) -> str:
    if ITEM.match(match[1]):
        words = ITEM.sub(lambda item: f"{item[1]}\n    {item[2]}", match[1])
    else:
        words = f"{annotation or 'value'}\n    " + " ".join(match[1].split())
    return f"Returns\n-------\n{words}\n"
