"""Posterior of the real maps, after asking whether they look like the training set."""

from __future__ import annotations

import shutil
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cosmokeras import UserError, load_params
from cosmokeras.common import cli, figure_data
from cosmokeras.common.files import write_json, write_text
from cosmokeras.common.quiet import import_quietly
from cosmokeras.evaluation.jackknife import Jackknife, jackknife
from cosmokeras.evaluation.nuisances import FREED_BY
from cosmokeras.inference.derived import with_s8
from cosmokeras.models.backend import select_backend
from cosmokeras.provenance.statements import check_record
from cosmokeras.report import summary
from cosmokeras.report.published import compare
from cosmokeras.surveys.sky import label
from cosmokeras.surveys.stored_sky import StoredSky, read_sky

if TYPE_CHECKING:
    from cosmokeras.evaluation.systematics import Shifts
    from cosmokeras.inference.estimator import Estimator

SAMPLES, PATCH_SAMPLES = 4000, 1000  # of the posterior of all patches together, and of each in the picture
SHOWN = 12  # patches in the picture
CHAINS, TESTS = Path("outputs/chains"), Path("outputs/misspecification.json")


def main(args: Namespace) -> None:
    """Infer the parameters of outputs/real with outputs/model."""
    cfg = load_params(args.params)
    sky = read_sky(cli.REAL)
    check_record(cli.REAL, cfg, "sky", "fetch_real")
    title, truth = label(sky.note), sky.note["truth"]

    with cli.steps("infer", 3) as begin:
        begin("loading the network")
        check_record(cli.MODEL, cfg, "model", "train")
        select_backend(cfg.train.backend)
        import_quietly(cfg.train.backend)
        from cosmokeras.inference.estimator import Estimator

        est = Estimator.load(cli.MODEL)
        begin("preparing patches")
        obs = est.prepare(sky.maps, sky.coverage)
        begin("comparing patches with training maps")
        verdict, p_patch = est.judge(obs), est.surprise(obs)
    off = dict(verdict.worst(est.feature_names))
    likely = bool(verdict.p >= cfg.infer.threshold)
    if not likely:
        warn_of_unlikely(f"{title} does not look like the training set", verdict.p, cfg.infer, off)
    warn_of_other_values(sky.note, est)

    with cli.steps("infer", 2) as begin:
        begin("posteriors")
        posterior, combined = est.posterior(obs), est.combine(obs, SAMPLES, seed=0)
        begin("leaving out parts of the sky in turn")
        result = summary.summary(est.parameters, combined, truth, spread_of_means(est, posterior.mean(), sky))

    metrics = result | {
        "source": sky.note["source"],
        "observed": sky.note["observed"],
        "n_patches": len(obs),
        "surprise_p": round(verdict.p, 6),
        "in_distribution": likely,
    }
    # apart: metrics of runs are compared key by key, and these have the names of one run
    why = {
        "surprise_tests": {name: round(p, 6) for name, p in verdict.tests.items()},
        "surprise_features": {name: round(pull, 2) for name, pull in off.items()},
    }
    shifts = nuisance_shifts(est, obs, cfg.evaluate.nuisance_maps if sky.note["observed"] else 0)
    if sky.note["observed"]:
        metrics["compared"] = compare(result)
    if shifts.survey:
        metrics["systematic"] = shifts.errors()
    write_json(cli.METRICS / "infer.json", metrics)
    write_json(TESTS, why)
    table = summary.patch_table(est.parameters, posterior, combined, (sky.ra, sky.dec), p_patch, verdict.p)
    write_text("outputs/posterior.csv", table)
    write_chains(est, obs)
    figure_data.save(
        "infer", title=title, names=est.parameters, bounds=np.asarray(est.bounds), unit=est.cfg.kind.unit,
        patch_samples=drawn_samples(posterior, len(est.parameters)), combined=combined, maps=sky.maps[:SHOWN],
        coverage=sky.coverage[:SHOWN], ra=sky.ra, dec=sky.dec, reference=est.reference.distances,
        distances=est.distance(obs), patch_mean=posterior.mean(), patch_std=posterior.std(), patch_p=p_patch,
        surprise_p=verdict.p, threshold=cfg.infer.threshold, result=result,
        metrics=metrics | why, note=sky.note, real=sky.note["metrics"], assumed=summary.assumptions(est.cfg),
        max_masked=cfg.real.max_masked,
    )  # fmt: skip
    for name, m in result.items():
        pull = f", truth {m['truth']:.4f}, pull {m['pull']:+.2f}" if "truth" in m else ""
        print(f"{title}: {name} = {m['mean']:.4f} +- {m['std']:.4f} from {len(obs)} patches{pull}")
    for line in shifts.words():
        print(line)
    if shifts.survey:
        print(f"these errors add to the statistical ones; `{FREED_BY}` marginalises over the nuisances instead")


def write_chains(est: Estimator, obs: np.ndarray) -> None:
    """Samples of the posterior of all patches, and of each, in files that GetDist reads."""
    from cosmokeras.inference.chains import map_chains

    shutil.rmtree(CHAINS, ignore_errors=True)  # there may have been more patches
    est.chain(obs, SAMPLES, seed=0).write(CHAINS / "combined")
    for i, one in enumerate(map_chains(est, obs, PATCH_SAMPLES, seed=0)):
        one.write(CHAINS / f"patch_{i:04d}")


def warn_of_unlikely(words: str, p: float, settings: Any, off: dict[str, float]) -> None:
    """Say that the sky is not like the training maps, and which features are off; stop there with infer.refuse."""
    listed = ", ".join(f"{name} ({pull:+.1f} sigma)" for name, pull in off.items())
    warning = f"{words}: p = {p:.2g} < {settings.threshold}; largest deviations: {listed}"
    if settings.refuse:
        raise UserError(f"infer.refuse=true: {warning}; see outputs/real and the survey preset")
    print(f"WARNING: {warning}; treat the posterior with caution")


def warn_of_other_values(note: dict[str, Any], est: Estimator) -> None:
    """Say where a simulated sky has other values than those that the network takes for fixed."""
    for name, value in (note["truth"] or {}).items():
        assumed = getattr(est.cfg.prior, name, None)  # None: one of several bins, and free
        if isinstance(assumed, float) and name in est.cfg.kind.parameters and assumed != value:
            whose = "the mock has" if note["source"] == "mock" else "the maps have"
            print(f"WARNING: {whose} {name} = {value}, the network was trained with {name} = {assumed}")


def nuisance_shifts(est: Estimator, obs: np.ndarray, maps: int) -> Shifts:
    """What fixed nuisances do to the answers of a sky, which no test of its maps can see; nothing from no maps."""
    from cosmokeras.evaluation import systematics

    return systematics.of_sky(est, obs, maps)


def spread_of_means(est: Estimator, means: np.ndarray, sky: StoredSky) -> Jackknife | None:
    """Jack-knife of the combined posterior's mean, S8 with it, over blocks of neighbouring patches."""

    def together(some: np.ndarray) -> np.ndarray:
        return with_s8(est.parameters, est.combine_means(means[some], SAMPLES, seed=0)).mean(axis=0)

    return jackknife(together, sky.ra, sky.dec)


def drawn_samples(posterior: Any, parameters: int) -> np.ndarray:
    """Samples (n_patches, n, 1) of each patch's posterior; none where it is not drawn, of several parameters."""
    return posterior.sample(PATCH_SAMPLES, seed=0) if parameters == 1 else np.empty((0, 0, parameters))


if __name__ == "__main__":
    cli.run(main)
