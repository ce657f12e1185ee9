"""What the pages tell people to type: fenced blocks, and commands in code spans."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from cosmokeras import UserError
from cosmokeras.common import yaml12

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "DATA.md")] + sorted((ROOT / "docs").glob("*.md"))
FENCE = re.compile(r"^```(\w*)(?: +title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(`+)(.+?)\1")
PROGRAMS = ("dvc", "make", "python", "git", "cp", "pip", "mkdocs", "slurm/submit", "sbatch")
SHELL = ("sh", "bash", "")  # languages of blocks that hold commands
FILES = re.compile(r"\$\(cat ([^)]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block: language, title (the file that it is), text, and the heading above it."""

    language: str
    title: str
    text: str
    section: str


def blocks(page: Path, *language: str) -> list[Block]:
    """Fenced blocks of these languages, in order."""
    text = page.read_text()
    found = []
    for match in FENCE.finditer(text):
        headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text[: match.start()]), re.MULTILINE)
        found.append(Block(match[1], match[2] or "", match[3], headings[-1] if headings else ""))
    return [block for block in found if block.language in language]


def section(page: Path, heading: str) -> str:
    """Text under a heading, to the next one of the same or a higher level."""
    text = page.read_text()
    match = re.search(rf"^(#+) {re.escape(heading)}\n(.*?)(?=^#{{1,2}} |\Z)", text, re.MULTILINE | re.DOTALL)
    assert match, f"{page.name}: no heading {heading!r}"
    return match[2]


def spans(text: str) -> list[str]:
    """Code spans of a text without its fenced blocks."""
    return [match[2].strip() for match in SPAN.finditer(FENCE.sub("", text))]


def lines(block: Block) -> list[str]:
    """Commands of a shell block: continued lines joined, comments left out."""
    joined = block.text.replace("\\\n", " ").splitlines()
    return [line.split(" # ")[0].strip() for line in joined if line.strip() and not line.startswith("#")]


def commands(page: Path) -> list[str]:
    """Everything on a page that one is told to type."""
    typed = [line for block in blocks(page, *SHELL) for line in lines(block) if words(line)[0] in PROGRAMS]
    typed += [span for span in spans(page.read_text()) if span.startswith("-S ") or words(span)[0] in PROGRAMS]
    return [one for one in typed if len(one.split()) > 1]


def words(command: str) -> list[str]:
    """Words as the shell makes them, files put in for $(cat FILE), variables before the command and ... left out."""
    text = FILES.sub(lambda match: " ".join(map(shlex.quote, (ROOT / match[1]).read_text().split())), command)
    try:
        split = shlex.split(text)
    except ValueError:
        return [""]
    while split and re.match(r"^[A-Z_]+=", split[0]):
        split = split[1:]
    split = [word for word in split if word != "..."]
    return (split[:-1] if split[-1:] == ["-S"] else split) or [""]


def overrides(command: str) -> list[dict[str, object]]:
    """Parameters that `-S key=value`, or slurm/submit -- key=value, change; a mapping for each run of a sweep."""
    parts = words(command)
    # + puts in a key that the file has not
    pairs = [parts[i + 1].removeprefix("+").split("=", 1) for i, word in enumerate(parts[:-1]) if word == "-S"]
    if parts[0] == "slurm/submit" and "--" in parts:
        pairs = [word.split("=", 1) for word in parts[parts.index("--") + 1 :]]
    runs: list[dict[str, object]] = [{}]
    for key, text in pairs:
        values = [text] if text.startswith("[") else text.split(",")
        runs = [{**run, key: _value(value)} for run in runs for value in values]
    return runs


def _value(text: str) -> object:
    try:
        return yaml12.loads(text)
    except UserError:
        return text
