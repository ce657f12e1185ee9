"""Tables of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from study.report.readings import Reading

MARKS = {"good": "fine", "look": "look closer", "": ""}
# those who have no mouse scroll a table by its focus
TABLE = "<div class='scroll' tabindex='0' role='group' aria-label='table'><table class='plain'>"


def reading_table(rows: Sequence[Reading]) -> str:
    """Figures with what is expected of them and what they mean."""
    lines = [
        f"<tr class='{row.mark}'><th scope='row'>{row.name}</th><td class='number'>{row.value}</td>"
        f"<td class='against'>{row.against}</td>"
        f"<td class='words'><span class='mark'>{MARKS[row.mark]}</span>{row.words}</td></tr>"
        for row in rows
    ]
    head = "<tr><th>quantity</th><th>value</th><th>expected</th><th>meaning</th></tr>"
    return f"<table class='readings'><thead>{head}</thead><tbody>{''.join(lines)}</tbody></table>"


def pairs(content: Mapping[str, str]) -> str:
    """Names and values."""
    return f"<dl>{''.join(f'<dt>{escape(k)}</dt><dd>{escape(str(v))}</dd>' for k, v in content.items() if v)}</dl>"


def plain_table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Cells of HTML in a table that scrolls by itself where it is too wide."""
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in line)}</tr>" for line in lines)
    return f"{TABLE}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
