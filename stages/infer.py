"""Posterior of the real maps, after asking whether they look like the training set."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import numpy as np

from cosmokeras import UserError, load_params
from cosmokeras.common import cli
from cosmokeras.common.files import write_json, write_text
from cosmokeras.evaluation.jackknife import jackknife
from cosmokeras.inference.derived import with_s8
from cosmokeras.models.backend import select_backend
from cosmokeras.provenance.statements import check_record
from cosmokeras.report import figures, page, sky_figures
from cosmokeras.report.published import compare
from cosmokeras.surveys.sky import label

SAMPLES = 4000


def main(args: Namespace) -> None:
    """Infer the parameters of outputs/real with outputs/model."""
    cfg = load_params(args.params)
    notes = (cli.REAL / "provenance.json", cli.METRICS / "real.json")
    note, real = (cli.read(path, lambda path: json.loads(path.read_text()), "fetch_real") for path in notes)
    maps, coverage = cli.read(cli.REAL / "patches.npz", patches, "fetch_real")
    ra, dec = cli.read(cli.REAL / "positions.csv", positions, "fetch_real")
    check_record(cli.REAL, cfg, "sky", "fetch_real")

    with cli.steps("infer", 3) as begin:
        begin("loading the network")
        check_record(cli.MODEL, cfg, "model", "train")
        select_backend(cfg.train.backend)
        cli.import_quietly("tensorflow")
        from cosmokeras.inference.estimator import Estimator

        est, title = Estimator.load(cli.MODEL), label(note)
        begin("preparing patches")
        obs = est.prepare(maps, coverage)
        begin("comparing patches with training maps")
        verdict, p_patch = est.judge(obs), est.surprise(obs)
    p_survey, likely = verdict.p, verdict.p >= cfg.infer.threshold
    if not likely:
        off = ", ".join(f"{name} ({pull:+.1f} sigma)" for name, pull in verdict.worst(est.feature_names))
        warning = f"{title} does not look like the training set: p = {p_survey:.2g} < {cfg.infer.threshold}; off: {off}"
        if cfg.infer.refuse:
            raise UserError(f"infer.refuse=true: {warning}; see outputs/real and the survey preset")
        print(f"WARNING: {warning}; take the posterior with care")

    for name, value in (note["truth"] or {}).items():
        assumed = getattr(est.cfg.prior, name, None)  # None: one of several bins, and free
        if isinstance(assumed, float) and name in est.cfg.kind.parameters and assumed != value:
            whose = "the mock has" if note["source"] == "mock" else "the maps have"
            print(f"WARNING: {whose} {name} = {value}, the network was trained with {name} = {assumed}")

    with cli.steps("infer", 2) as begin:
        begin("posteriors")
        posterior, combined = est.posterior(obs), est.combine(obs, SAMPLES, seed=0)
        means = posterior.mean()

        def together(some: np.ndarray) -> np.ndarray:
            return with_s8(est.parameters, est.combine_means(means[some], SAMPLES, seed=0)).mean(axis=0)

        begin("leaving out parts of the sky in turn")
        result = page.summary(est.parameters, combined, note["truth"], jackknife(together, ra, dec))

    metrics = result | {"source": note["source"], "observed": note["observed"], "n_patches": len(obs)}
    metrics |= {"surprise_p": round(p_survey, 6), "in_distribution": bool(likely)}
    metrics["surprise_tests"] = {name: round(p, 6) for name, p in verdict.tests.items()}
    metrics["surprise_features"] = {name: round(pull, 2) for name, pull in verdict.worst(est.feature_names)}
    if note["observed"]:
        metrics["compared"] = compare(result)
    write_json(cli.METRICS / "infer.json", metrics)
    write_text("outputs/posterior.csv", page.table(est.parameters, posterior, combined, ra, dec, p_patch, p_survey))
    known, limits = page.assumptions(est.cfg), (cfg.real.max_masked, cfg.infer.threshold)
    write_text("outputs/inference.md", page.text(note, metrics, known, real, *limits))

    samples = posterior.sample(1000, seed=0)
    figures.posterior(cli.PLOTS / "posterior.png", samples, combined, est.parameters, est.bounds, note["truth"], title)
    figures.gallery(cli.PLOTS / "real_maps.png", maps, coverage, ra, dec, title, est.cfg.kind.unit)
    reference, found = est.reference.distances, est.distance(obs)
    figures.surprise(cli.PLOTS / "surprise.png", reference, found, p_survey, cfg.infer.threshold, title)
    truth = {name: m["truth"] for name, m in result.items() if "truth" in m}
    sky_figures.comparison(cli.PLOTS / "comparison.png", page.beside(result, note["observed"]), truth, title)
    for name, m in result.items():
        pull = f", truth {m['truth']:.4f}, pull {m['pull']:+.2f}" if "truth" in m else ""
        answer = f"{title}: {name} = {m['mean']:.4f} +- {m['std']:.4f} from {len(obs)} patches"
        print(f"{answer}{pull}; see {cli.PLOTS}/posterior.png and outputs/inference.md")


def patches(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Maps and coverage of the patches."""
    with np.load(path, allow_pickle=False) as stored:
        return stored["maps"], stored["coverage"]


def positions(path: Path) -> np.ndarray:
    """Right ascension and declination of the patches, (2, n) [deg]."""
    return np.loadtxt(path, delimiter=",", skiprows=1, usecols=(1, 2), ndmin=2).T


if __name__ == "__main__":
    cli.run(main)
