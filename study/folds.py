"""Cross-validation of a suite with few cosmologies: the stages on every fold, and metrics over all of them.

    python -m study.folds [--folds 5]

runs generate, train and evaluate of params.yaml once for each value of `files.fold`, in the work folder, where what was
trained is kept. Test cosmologies of two folds have none in common, so that every estimate is by a network that has not
seen its cosmology, and all of them together say more than the few of one fold. Figures go to metrics/folds.json.

Maps of a cosmology are not independent: errors are those of a bootstrap over cosmologies (Efron 1979, Ann. Stat. 7, 1).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cosmokeras.common import cli, figure_data, yaml12
from cosmokeras.common.errors import UserError
from cosmokeras.common.files import work_folder, write_json
from cosmokeras.evaluation.challenge import LEAST_MAPS, figure_of_merit
from cosmokeras.evaluation.diagnostics import coverage, tarp_p_value
from cosmokeras.params.config import Config, fingerprint
from cosmokeras.project import load_params
from cosmokeras.provenance.statements import statement
from cosmokeras.suites import prior
from cosmokeras.suites.opening import open_suite
from study.runs import run_in

STAGES = ("generate", "train", "evaluate")
RESAMPLES = 1000
LEVELS = (68, 95)
RMS = ("prior_rmse", "baseline_rmse", "higher_order_rmse")


def run_folds(name: str, params: dict[str, Any], folds: Sequence[int]) -> list[Path]:
    """Folders in which the stages ran with `files.fold` of each of `folds`."""
    out = []
    for fold in folds:
        folder = work_folder("folds", f"{name}-{fold}").resolve()
        run_in(folder, params | {"files": params["files"] | {"fold": fold}}, STAGES)
        out.append(folder)
    return out


def pooled(folders: Sequence[Path]) -> dict[str, Any]:
    """Metrics of the test maps of all folds together.

    Returns
    -------
    for each target `rmse`, `bias`, `coverage_68`, `coverage_95`, each with its `_std`, and the errors that `evaluate`
    compares with; `tarp_ks_p` of all; `nll` and `fair_phase1`, means over maps; `figure_of_merit` of the network where
    there are two targets; `cosmologies`, `maps` and `folds`
    """
    metrics, kept = [], []
    for folder in folders:
        metrics.append(json.loads((folder / "metrics" / "evaluate.json").read_text()))
        with contextlib.chdir(folder):
            kept.append(figure_data.load("evaluate"))
    counts = [len(one["truth"]) for one in kept]
    numbers = [np.full(count, fold) for fold, count in enumerate(counts)]
    # a cosmology is tested in one fold; folds number theirs from 0
    pairs = np.stack([np.concatenate(numbers), np.concatenate([one["cosmology"] for one in kept])], axis=1)
    cosmology = np.unique(pairs, axis=0, return_inverse=True)[1].ravel()
    wrong = np.concatenate([one["mean"] - one["truth"] for one in kept])
    pit, credibility = (np.concatenate([one[name] for one in kept]) for name in ("pit", "credibility"))

    def average(values: Sequence[float]) -> float:
        return float(np.average(values, weights=counts))

    out: dict[str, Any] = {"folds": len(folders), "cosmologies": int(cosmology.max()) + 1, "maps": sum(counts)}
    for j, name in enumerate(kept[0]["names"]):
        out[name] = _parameter(wrong[:, j], pit[:, j], cosmology)
        out[name] |= {key: float(np.sqrt(average([one[name][key] ** 2 for one in metrics]))) for key in RMS}
    out["nll"] = average([one["nll"] for one in metrics])
    out["tarp_ks_p"] = tarp_p_value(credibility, cosmology)
    if wrong.shape[1] == 2 and len(wrong) >= LEAST_MAPS:
        out["figure_of_merit"] = figure_of_merit(wrong)
    if "fair_phase1" in metrics[0]:
        scores = [one["fair_phase1"] for one in metrics]
        out["fair_phase1"] = {way: average([one[way] for one in scores]) for way in scores[0]}
    return _rounded(out)


def _parameter(wrong: np.ndarray, pit: np.ndarray, cosmology: np.ndarray) -> dict[str, float]:
    """Error, bias and coverage of a parameter with their standard deviations; all (n,)."""
    rows = np.stack([wrong**2, wrong, *(np.abs(pit - 0.5) < level / 200 for level in LEVELS)], axis=1).astype(float)
    count = cosmology.max() + 1
    sums = np.zeros((count, rows.shape[1]))
    np.add.at(sums, cosmology, rows)
    size = np.bincount(cosmology)
    drawn = np.random.default_rng(0).integers(0, count, (RESAMPLES, count))
    samples = sums[drawn].sum(axis=1) / size[drawn].sum(axis=1)[:, None]
    samples[:, 0] = np.sqrt(samples[:, 0])
    names = ("rmse", "bias", *(f"coverage_{level}" for level in LEVELS))
    values = (np.sqrt(np.mean(wrong**2)), np.mean(wrong), *(coverage(pit[:, None], level / 100)[0] for level in LEVELS))
    out = dict(zip(names, map(float, values), strict=True))
    return out | {f"{name}_std": float(std) for name, std in zip(names, samples.std(axis=0), strict=True)}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return round(float(value), 6) if isinstance(value, float) else value


def anywhere(params: dict[str, Any], root: Path) -> dict[str, Any]:
    """Parameters whose files are those of a project in `root`, wherever they are read."""

    def moved(path: Any) -> Any:
        if isinstance(path, list):
            return [moved(one) for one in path]
        return str(root / path) if isinstance(path, str) and path else path

    files = params["files"]
    return params | {"files": files | {key: moved(files[key]) for key in ("maps", "parameters", "mask")}}


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = cli.Parser("study.folds", __doc__.splitlines()[0])
    parser.add_argument("--folds", type=cli.count, help="how many (default: all that the simulations make)")
    parser.add_argument("--metrics", type=Path, default=Path("metrics/folds.json"), help="file of the figures")
    options = parser.parse_args(arguments)
    cli.writable(options.metrics)
    cfg = load_params("params.yaml", {"files.fold": 0})
    most = folds_of(cfg)
    if (count := options.folds or most) > most:
        raise UserError(f"--folds {count}: the simulations make {most} folds of data.test={cfg.data.test}")
    params = anywhere(yaml12.read("params.yaml"), Path.cwd())
    folders = run_folds(fingerprint(statement(cfg, "maps"))[:12], params, range(count))
    found = pooled(folders)
    write_json(options.metrics, found)
    for name in cfg.targets:
        one = found[name]
        print(
            f"{name}: rmse {one['rmse']:.4f} +- {one['rmse_std']:.4f} (spectra {one['baseline_rmse']:.4f}), 68 % "
            f"interval covers {one['coverage_68']:.1%} +- {one['coverage_68_std']:.1%}, "
            f"{found['cosmologies']} cosmologies"
        )
    return 0


def folds_of(cfg: Config) -> int:
    """How many values `files.fold` has."""
    if not cfg.from_files:
        raise UserError(f"data.kind={cfg.data.kind}: folds are those of simulations in files; allowed: files")
    if cfg.files.split is not None:
        raise UserError(f"files.split={cfg.files.split}: the table names the splits; folds need files.split=null")
    suite = open_suite(cfg)
    return int(prior.inside(suite).sum() if cfg.files.prior == "uniform" else suite.group.max() + 1) // cfg.data.test


if __name__ == "__main__":
    cli.entry(main)
