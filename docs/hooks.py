"""What `make docs` does beside MkDocs: pictures of the repository, links out of docs/, formulas without a script.

Drawings (`docs/assets/*.svg`) are put into their page, where they take its colours.
"""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
OUTSIDE = re.compile(r"(!?)\[([^\]]*)\]\(\.\./([^)#]+)(#[^)]*)?\)")
DRAWING = re.compile(r'<p><img[^>]* src="(assets/[^"]+\.svg)"[^>]*></p>')
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)


def on_files(files: Files, config: Any) -> Files:
    """Add the tracked pictures of plots/, under the same names."""
    for path in sorted((ROOT / "plots").rglob("*.png")):
        name = path.relative_to(ROOT).as_posix()
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Pictures come along; other files of the repository are named in words, since they are not part of the site."""

    def inside(match: re.Match[str]) -> str:
        picture, label, path, _ = match.groups()
        if not (ROOT / path).exists():
            msg = f"{page.file.src_uri}: a link to ../{path}, which does not exist"
            raise FileNotFoundError(msg)
        return f"![{label}]({path})" if picture else label

    return OUTSIDE.sub(inside, markdown)


def on_page_content(content: str, page: Any, config: Any, files: Files) -> str:
    """LaTeX becomes MathML, which browsers draw by themselves; drawings come into the page."""

    def mathml(match: re.Match[str]) -> str:
        display = "block" if match[2] == "[" else "inline"
        return convert(html.unescape(match[3]).strip(), display=display)

    content = DRAWING.sub(lambda match: (ROOT / "docs" / match[1]).read_text(), content)
    return FORMULA.sub(mathml, content)
