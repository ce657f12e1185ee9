"""The page itself: sections of HTML out of facts, readings and pictures, put into `page.html`."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory
from typing import Any

from markdown_it import MarkdownIt

from cosmokeras.params.config import Config
from cosmokeras.project import load_params
from cosmokeras.report.inference_text import caveats
from cosmokeras.report.summary import assumptions
from study.report import facts, overlay, readings
from study.report.downloads import files
from study.report.experiments import table
from study.report.pictures import Picture, gallery, pictures
from study.report.provenance import provenance
from study.report.readings import percent, symbol, targets
from study.report.systematics import systematics
from study.report.tables import TABLE, pairs, plain_table, reading_table

# by `observed` of metrics/infer.json: a name, and what it is
SKIES = {
    True: ("the observed sky", "an observation"),
    False: ("a simulated sky", "a simulated sky: it tests the method, not the universe"),
    None: ("maps of the user", "maps given by the user, who has not stated whether they are observed"),
}
# section -> the page of docs/ that explains it
EXPLAINED = {
    "accuracy": "judgement.md", "widths": "judgement.md", "sky": "judgement.md", "run": "training.md",
    "experiments": "quick_reference.md",
}  # fmt: skip
# nothing that a browser would load, or go to by itself, whatever the text says
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["image", "link", "autolink"])
KINDS = {"lensing": "weak-lensing maps", "2lpt": "maps of matter", "grf": "Gaussian fields"}


def page(root: Path) -> str:
    """The whole page for the project at `root`.

    Raises
    ------
    UserError : metrics or pictures that it cannot do without are missing; names the file and the command that makes it
    """
    cfg, metrics = load_params(root / "params.yaml"), facts.metrics(root)
    commit, shown = facts.commit(root), pictures(root / "plots")
    inference = root / "outputs" / "inference.md"
    told = inference.read_text(encoding="utf-8") if inference.exists() else None
    sections = {
        "accuracy": ("Accuracy of the network", accuracy(metrics["evaluate"], shown["accuracy"])),
        "widths": ("Are the error bars right", widths(metrics["evaluate"], shown["widths"])),
        "sky": ("The result for the sky", sky(root, cfg, metrics.get("infer"), told, shown["sky"])),
        "run": ("Maps and training", run(metrics, shown["run"])),
        "experiments": ("Experiments", experiments(root)),
        "studies": ("Studies of the simulators and networks", studies(shown["studies"])),
        "provenance": ("Provenance", provenance(root, commit)),
    }
    text = Template((Path(__file__).parent / "page.html").read_text())
    return text.substitute(
        title=f"{title(cfg, markup=False)}: report",
        heading=title(cfg),
        byline=byline(cfg, commit, metrics["train"]),
        cards="".join(cards(metrics)),
        summary="".join(f"<p>{line}</p>" for line in judgement(cfg, metrics)),
        contents="".join(f"<li><a href='#{key}'>{name}</a></li>" for key, (name, _) in sections.items()),
        sections="".join(
            f"<section id='{key}'><h2>{name}</h2>{explained(key)}{content}</section>"
            for key, (name, content) in sections.items()
        ),
    )


def explained(section: str) -> str:
    """The page of docs/ that explains what a section shows."""
    page = EXPLAINED.get(section)
    return f"<p class='note'>Explained in <code>docs/{page}</code>.</p>" if page else ""


def title(cfg: Config, markup: bool = True) -> str:
    """What was inferred from what."""
    names = [symbol(name) if markup else name for name in cfg.targets]
    listed = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    return f"{listed} from {escape(KINDS.get(cfg.data.kind, cfg.data.kind))}"


def byline(cfg: Config, commit: facts.Commit | None, train: Mapping[str, Any]) -> str:
    """Survey, commit, state of the checkout and devices, in two lines."""
    survey = f"{escape(cfg.survey.title)}<br>" if cfg.kind.observed == "survey" else ""
    where = "outside of git"
    if commit is not None:
        state = f"{len(commit.changed)} files changed since" if commit.changed else "clean"
        where = f"commit <code>{commit.name[:10]}</code> of {commit.when[:10]}, {state}"
    names = ", ".join(escape(name) for name in dict.fromkeys(train.get("device_names", []))) or "device not recorded"
    return (
        f"{survey}{where} · {escape(train['backend'])} on {train['devices']} &times; {names} · written {facts.today()}"
    )


def cards(metrics: Mapping[str, Any]) -> list[str]:
    """The figures that matter most, large."""
    evaluated, infer, made = metrics["evaluate"], metrics.get("infer"), []  # the answer first, then how good it is

    def card(value: str, words: str) -> None:
        made.append(f"<div class='card'><div class='big'>{value}</div><div>{words}</div></div>")

    for name in targets(infer or {}, "mean"):
        m, what = infer[name], SKIES[infer["observed"]][0]
        truth = f", whose truth is {m['truth']:.4f}" if "truth" in m else ""
        card(f"{m['mean']:.4f} <small>± {m['std']:.4f}</small>", f"{symbol(name)} of {what}{truth}")
    for name in targets(evaluated, "rmse"):
        one, s = evaluated[name], symbol(name)
        card(f"{one['rmse']:.4f}", f"rms error of {s} from one map; without a map {one['prior_rmse']:.4f}")
        if "efficiency" in one:
            card(f"{percent(one['efficiency'])}", f"error of the exact posterior over the network's, for {s}")
        elif "gain" in one:
            words = f"error of the best analysis of power spectra over the network's, for {s}"
            card(f"{one['gain']:.3f} <small>± {one.get('gain_std', 0.0):.3f}</small>", words)
        if "coverage_68" in one:
            card(f"{percent(one['coverage_68'])}", f"of the truths inside the 68&nbsp;% interval of {s}")
    return made


def judgement(cfg: Config, metrics: Mapping[str, Any]) -> list[str]:
    """A few sentences for those who read nothing else."""
    evaluated, infer = metrics["evaluate"], metrics.get("infer")
    channels = f" in {cfg.channels} redshift bins" if cfg.channels > 1 else ""
    lines, n = readings.summary(evaluated, cfg.data.size, channels), evaluated["n_cosmologies"]
    lines.append(
        f"These errors are measured on {evaluated['n_maps']:,} maps of {n:,} cosmologies held out of training."
    )
    if infer is None:
        lines.append("No sky has been analysed yet: run <code>dvc repro infer</code>.")
    else:
        lines += readings.sky_summary(infer)
    rows = [row for name in targets(evaluated, "rmse") for row in readings.accuracy(name, evaluated[name], n)]
    rows += [row for name in targets(evaluated, "rmse") for row in readings.widths(name, evaluated[name], n)]
    rows += readings.joint(evaluated) + readings.posteriors(evaluated)
    rows += readings.sky(infer, cfg.infer.threshold) if infer else []
    rows += readings.run(metrics["generate"], metrics["train"], metrics.get("real"))
    off = [row.name for row in readings.closer(rows)]
    judged = sum(bool(row.mark) for row in rows)
    rest = f"; look closer at: {', '.join(off)}." if off else "."
    lines.append(f"Of {judged} numbers with an expected value, {judged - len(off)} are as expected{rest}")
    return lines


def accuracy(evaluated: Mapping[str, Any], some: list[Picture]) -> str:
    """Errors of all answers as bars, then figure by figure."""
    parts = []
    for name in targets(evaluated, "rmse"):
        bars = "".join(
            f"<div class='bar{' ours' if ours else ''}'><span>{words}</span><span class='track'>"
            f"<span style='width:{100 * part:.1f}%'></span></span><span class='number'>{error:.4f}</span></div>"
            for words, error, part, ours in readings.ladder(evaluated[name])
        )
        note = f"rms error of {symbol(name)} from one map; shorter is better"
        parts.append(f"<div class='ladder'><p class='note'>{note}</p>{bars}</div>")
        parts.append(reading_table(readings.accuracy(name, evaluated[name], evaluated["n_cosmologies"])))
    if pairs := readings.joint(evaluated):
        parts.append(reading_table(pairs))
    return "".join(parts) + gallery(some)


def widths(evaluated: Mapping[str, Any], some: list[Picture]) -> str:
    """Coverage and what else tests posteriors."""
    n = evaluated["n_cosmologies"]
    rows = [row for name in targets(evaluated, "rmse") for row in readings.widths(name, evaluated[name], n)]
    return reading_table([*rows, *readings.posteriors(evaluated)]) + gallery(some) + nuisance_table(evaluated)


def nuisance_table(evaluated: Mapping[str, Any]) -> str:
    """What error bars leave out: shifts by nuisances that are fixed in the training maps."""
    found = systematics(evaluated)
    if found is None:
        return ""
    note = (
        "Error bars do not include lensing nuisances that are fixed in the training maps, and no test of the maps can "
        "detect them. The table gives the shift of the result if a nuisance differs from its fixed value by its "
        "published uncertainty; <code>experiments/nuisances.txt</code> frees them."
    )
    return f"<p class='note'>{note}</p>{plain_table(*found)}"


def sky(root: Path, cfg: Config, infer: Mapping[str, Any] | None, told: str | None, some: list[Picture]) -> str:
    """The posterior of the sky, and the half page of plain words about it, or at least its caveats."""
    if infer is None:
        return "<p class='absent'>Not run yet: <code>dvc repro infer</code> makes <code>metrics/infer.json</code>.</p>"
    first = f"<p>Source <code>{escape(str(infer['source']))}</code>, {SKIES[infer['observed']][1]}.</p>"
    if told is None:
        lines = caveats({"observed": infer["observed"]}, infer, assumptions(cfg))
        told = "# Caveats\n\n" + "\n".join(f"- {line}" for line in lines)
        told += "\n\nMore is in `outputs/inference.md`, which is missing: `dvc repro plots` writes it."
    html = _MARKDOWN.render(told)
    for old, new in (("h2>", "h4>"), ("h1>", "h3>"), ("<table>", TABLE), ("</table>", "</table></div>")):
        html = html.replace(old, new)
    rows = reading_table(readings.sky(infer, cfg.infer.threshold))
    return f"{first}{rows}{files(root)}{gallery(some)}<div class='told'>{html}</div>"


def run(metrics: Mapping[str, Any], some: list[Picture]) -> str:
    """Maps, training, and their cost."""
    train, generate = metrics["train"], metrics["generate"]
    rows = reading_table(readings.run(generate, train, metrics.get("real")))
    cost = {
        "training": f"{train['seconds'] / 60:.1f} minutes, {train['maps_per_second']:,.0f} maps a second",
        "simulation": f"{generate['maps_per_second']:,.0f} maps a second",
        "network": f"{train['weights']:,} weights",
        "precision": train.get("precision", "not recorded"),
        "peak memory": ", ".join(f"{name} {mb:,} MB" for name, mb in (train.get("peak_memory_mb") or {}).items()),
    }
    return rows + pairs(cost) + gallery(some)


def experiments(root: Path) -> str:
    """What `dvc exp show` has: a table, and the runs over each other."""
    listed = facts.dvc_json(root, "exp", "show")
    if listed is None:
        return "<p class='absent'>DVC could not list experiments here: no git repository, or no DVC.</p>"
    header, lines = table(listed)
    if not lines:
        return (
            "<p class='absent'>No experiments are recorded in this checkout. "
            "<code>dvc exp run --temp -n NAME -S train.lr=1e-3</code> makes one.</p>"
        )
    note = "<p class='note'>First the results, then the parameters in which the runs differ.</p>"
    return note + plain_table(header, [list(map(escape, line)) for line in lines]) + overlaid(root, listed)


def overlaid(root: Path, listed: list[Mapping[str, Any]]) -> str:
    """The picture of runs over each other; nothing where there is no second one with curves."""
    some = overlay.runs(root, listed)
    if len(some) < 2:
        return ""
    which = "Runs"
    if len(some) > overlay.MOST:
        which = f"The latest {overlay.MOST - 1} of {len(some) - 1} experiments and this folder"
    words = f"{which} over each other: do posteriors of one sky agree, and has every training converged?"
    with TemporaryDirectory() as folder:
        path = Path(folder) / "runs.png"
        overlay.draw(path, some)
        return gallery([Picture(path, None, words)])


def studies(some: list[Picture]) -> str:
    """Pictures that are not of this run."""
    if not some:
        return "<p class='absent'>Not run yet: <code>make physics</code>, <code>make domain-gap</code>.</p>"
    first = "<p>These studies have their own parameters, independent of this run; <code>docs/</code> explains them.</p>"
    return f"{first}<details><summary>{len(some)} pictures</summary>{gallery(some)}</details>"
