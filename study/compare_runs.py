"""All runs side by side: what was changed in each, and what came out.

    python -m study.compare_runs

prints a row for the last commit, one for the files as they are here where they differ from it, and one for each
experiment of `dvc exp run`: its name, the parameters that differ from those of the commit, and for each target of its
network the rms error on held-out cosmologies, the gain over power spectra with its error, the truths inside 68 %
posteriors, and the posterior of its sky; then the minutes of its training.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cosmokeras.common import cli
from cosmokeras.common.errors import UserError

HEADINGS = ("run", "target", "rmse", "gain", "in 68 %", "posterior of the sky", "minutes", "what was changed")
WORKSPACE = "workspace"
SHOWN = 4  # changed parameters in a row, at most
MISSING = "-"


@dataclass(frozen=True)
class Run:
    """A run: its name, and the content of params.yaml and of the files in metrics/ by their names."""

    name: str
    params: dict[str, Any]
    metrics: dict[str, dict[str, Any]]

    @classmethod
    def read(cls, name: str, data: dict[str, Any] | None) -> Run:
        """From what `dvc exp show --json` says of a revision."""
        files = {kind: (data or {}).get(kind) or {} for kind in ("params", "metrics")}
        known = {kind: {path: one.get("data") or {} for path, one in group.items()} for kind, group in files.items()}
        metrics = {path.removeprefix("metrics/").removesuffix(".json"): one for path, one in known["metrics"].items()}
        return cls(name, flat(known["params"].get("params.yaml", {})), metrics)


def flat(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A mapping of sections by dotted keys.

    Examples
    --------
    >>> flat({"prior": {"omega_m": [0.1, 0.5]}, "seed": 1})
    {'prior.omega_m': [0.1, 0.5], 'seed': 1}
    """
    out: dict[str, Any] = {}
    for key, value in nested.items():
        out |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return out


def runs() -> list[Run]:
    """The last commit first, then the files here, then the experiments by their names."""
    done = subprocess.run([sys.executable, "-m", "dvc", "exp", "show", "--json"], text=True, capture_output=True)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UserError(f"dvc exp show failed: {said}")
    here, commit = json.loads(done.stdout)[:2]
    each = [one["revs"][0] for one in commit.get("experiments") or () if one.get("revs")]
    experiments = sorted((_run(one) for one in each), key=lambda run: run.name)
    return [_run(commit), _run(here), *experiments]


def _run(revision: dict[str, Any]) -> Run:
    return Run.read(revision.get("name") or revision["rev"][:7], revision.get("data"))


def changed(run: Run, base: Run) -> str:
    """What its parameters say otherwise than those of `base`."""
    keys = [key for key in sorted({*run.params, *base.params}) if run.params.get(key) != base.params.get(key)]
    words = [f"{key}={json.dumps(run.params.get(key))}".replace('"', "") for key in keys]
    return ", ".join(words[:SHOWN]) + (f" and {len(words) - SHOWN} more" if len(words) > SHOWN else "")


def rows(run: Run, base: Run) -> Iterator[tuple[str, ...]]:
    """A row for each target; one without numbers where the run has none."""
    evaluated, inferred, trained = (run.metrics.get(name) or {} for name in ("evaluate", "infer", "train"))
    targets = [name for name, one in evaluated.items() if isinstance(one, dict) and {"rmse", "coverage_68"} <= set(one)]
    minutes = f"{trained['seconds'] / 60:.1f}" if "seconds" in trained else MISSING
    words = changed(run, base) if run is not base else ""
    if not targets:
        yield (run.name, *[MISSING] * 5, minutes, words)
    for i, target in enumerate(targets):
        test, sky = evaluated[target], inferred.get(target)
        gain = f"{test['gain']:.3f} +- {test['gain_std']:.3f}" if "gain" in test else MISSING
        posterior = f"{sky['mean']:.4f} +- {sky['std']:.4f}" if isinstance(sky, dict) else MISSING
        numbers = (target, f"{test['rmse']:.4f}", gain, f"{test['coverage_68']:.3f}", posterior)
        yield (run.name, *numbers, minutes, words) if i == 0 else ("", *numbers, "", "")


def table(found: list[Run]) -> str:
    """All rows, in columns. The files here have none where they are those of the commit."""
    base, here, *others = found
    same = (here.params, here.metrics) == (base.params, base.metrics)
    kept = [base, *([] if same else [here]), *others]
    lines = [HEADINGS, *(row for run in kept for row in rows(run, base))]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    padded = ([f"{word:<{width}}" for word, width in zip(line, widths, strict=True)] for line in lines)
    return "\n".join("  ".join(line).rstrip() for line in padded)


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line."""
    cli.Parser("study.compare_runs", __doc__).parse_args(arguments)
    print(table(runs()))
    return 0


if __name__ == "__main__":
    cli.entry(main)
