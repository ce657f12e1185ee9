"""Where a run comes from: commit, parameters, hashes, versions, and whether the numbers are of the files here."""

from __future__ import annotations

from html import escape
from pathlib import Path

from study.report import facts
from study.report.tables import pairs, plain_table


def provenance(root: Path, commit: facts.Commit | None) -> str:
    """The section of the page."""
    trained = facts.read_json(root / "outputs" / "model" / "estimator.json")
    parts = [state(commit, facts.stale(root)), parameter_table(facts.parameters(root)), "<h3>Data</h3>"]
    sizes = [[code(path), code(md5), f"{size:,}"] for path, md5, size in facts.hashes(root)]
    parts.append(plain_table(["path", "MD5 in dvc.lock", "bytes"], sizes))
    parts.append("<h3>Versions</h3><p class='note'>Installed where this page was written</p>")
    parts.append(pairs(facts.versions()))
    if trained is not None:
        parts.append("<p class='note'>The network was trained with</p>" + pairs(trained["versions"]))
    return "".join(parts)


def code(text: str) -> str:
    """Text as it is typed."""
    return f"<code>{escape(text)}</code>"


def state(commit: facts.Commit | None, old: dict[str, list[str]] | None) -> str:
    """The commit, and the stages whose numbers are `old`."""
    parts = []
    if commit is not None:
        changed = ", ".join(commit.changed[:12]) + (" ..." if len(commit.changed) > 12 else "")
        tree = f"{len(commit.changed)} files differ: {changed}" if commit.changed else "clean"
        parts.append(pairs({"commit": commit.name, "of": f"{commit.when}: {commit.subject}", "working tree": tree}))
    if old is None:
        parts.append("<p class='absent'>DVC could not tell whether the numbers belong to the present files.</p>")
    elif old:
        listed = "; ".join(f"{stage} ({', '.join(names[:4])})" for stage, names in old.items())
        words = (
            f"Changed since the numbers were computed: {escape(listed)}. <code>dvc repro</code> computes them again."
        )
        parts.append(f"<p class='warn'>{words}</p>")
    else:
        words = "Numbers, code, data and parameters are consistent, according to <code>dvc status</code>."
        parts.append(f"<p>{words}</p>")
    return "".join(parts)


def parameter_table(given: list[facts.Parameter]) -> str:
    """Parameters that differ from what is known elsewhere, and all of them, folded."""
    differing = [one for one in given if one.default or one.committed or one.run]
    parts = ["<h3>Parameters</h3>"]
    if differing:
        places = {"default of the code": "default", "in the commit": "committed", "in the run": "run"}
        used = {words: name for words, name in places.items() if any(getattr(one, name) for one in differing)}
        lines = [
            [code(one.key), escape(one.value), *(escape(getattr(one, name) or "") for name in used.values())]
            for one in differing
        ]
        parts.append(plain_table(["parameter", "value", *used], lines))
    else:
        parts.append("<p>All are as in the commit, in the run of dvc.lock and in the defaults of the code.</p>")
    parts.append("<p class='note'>Required keys of params.yaml have no default in the code.</p>")
    listed = "".join(f"<div>{code(one.key)} <span>{escape(one.value)}</span></div>" for one in given)
    parts.append(f"<details><summary>all {len(given)}</summary><div class='keys'>{listed}</div></details>")
    return "".join(parts)
