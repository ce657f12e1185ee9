"""Posterior of the real maps, after asking whether they look like the training set."""

from __future__ import annotations

import json
from argparse import Namespace

import numpy as np

from cosmokeras import UserError, cli, figures, load_params
from cosmokeras.backend import select_backend
from cosmokeras.files import write_json, write_text

SAMPLES = 4000


def main(args: Namespace) -> None:
    """Infer the parameters of outputs/real with outputs/model."""
    cfg = load_params(args.params)
    note = json.loads((cli.REAL / "provenance.json").read_text())
    with np.load(cli.REAL / "patches.npz", allow_pickle=False) as stored:
        maps, coverage = stored["maps"], stored["coverage"]
    ra, dec = np.loadtxt(cli.REAL / "positions.csv", delimiter=",", skiprows=1, usecols=(1, 2), ndmin=2).T

    select_backend(cfg.train.backend)
    from cosmokeras.inference.estimator import Estimator

    est = Estimator.load(cli.MODEL)
    obs = est.prepare(maps, coverage)
    verdict, p_patch = est.judge(obs), est.surprise(obs)
    p_survey, likely = verdict.p, verdict.p >= cfg.infer.threshold
    label = f"{note['source']} (observed)" if note["observed"] else "MOCK sky (simulated, not observed)"
    if not likely:
        off = ", ".join(f"{name} ({pull:+.1f} sigma)" for name, pull in verdict.worst(est.feature_names))
        warning = f"{label} does not look like the training set: p = {p_survey:.2g} < {cfg.infer.threshold}; off: {off}"
        if cfg.infer.refuse:
            raise UserError(f"infer.refuse=true: {warning}; see outputs/real and the survey preset")
        print(f"WARNING: {warning}; take the posterior with care")

    for name, value in (note["truth"] or {}).items():
        assumed = getattr(est.cfg.prior, name, None)  # None: one of several bins, and free
        if isinstance(assumed, float) and name in est.cfg.kind.parameters and assumed != value:
            print(f"WARNING: the mock has {name} = {value}, the network was trained with {name} = {assumed}")

    posterior, combined = est.posterior(obs), est.combine(obs, SAMPLES, seed=0)
    metrics = summary(est.parameters, combined, note["truth"])
    metrics |= {"source": note["source"], "observed": note["observed"], "n_patches": len(obs)}
    metrics |= {"surprise_p": round(p_survey, 6), "in_distribution": bool(likely)}
    metrics["surprise_tests"] = {name: round(p, 6) for name, p in verdict.tests.items()}
    metrics["surprise_features"] = {name: round(pull, 2) for name, pull in verdict.worst(est.feature_names)}
    write_json(cli.METRICS / "infer.json", metrics)
    write_text("outputs/posterior.csv", table(est.parameters, posterior, combined, ra, dec, p_patch, p_survey))

    samples = posterior.sample(1000, seed=0)
    figures.posterior(cli.PLOTS / "posterior.png", samples, combined, est.parameters, est.bounds, note["truth"], label)
    figures.gallery(cli.PLOTS / "real_maps.png", maps, coverage, ra, dec, label, est.cfg.kind.unit)
    reference, found = est.reference.distances, est.distance(obs)
    figures.surprise(cli.PLOTS / "surprise.png", reference, found, p_survey, cfg.infer.threshold, label)
    for p in est.parameters:
        m = metrics[p]
        pull = f", truth {m['truth']:.4f}, pull {m['pull']:+.2f}" if "truth" in m else ""
        answer = f"{label}: {p} = {m['mean']:.4f} +- {m['std']:.4f} from {len(obs)} patches"
        print(f"{answer}{pull}; see {cli.PLOTS}/posterior.png")


def summary(names: tuple[str, ...], samples: np.ndarray, truth: dict[str, float] | None) -> dict:
    """Mean, standard deviation and 68 % interval of each parameter; for mocks the truth and the pull."""
    out = {}
    for name, column in zip(names, samples.T, strict=True):
        mean, std = column.mean(), column.std()
        values = {"mean": mean, "std": std, "q16": np.quantile(column, 0.16), "q84": np.quantile(column, 0.84)}
        if truth is not None:
            values |= {"truth": truth[name], "pull": (mean - truth[name]) / std}
        out[name] = {key: round(float(value), 6) for key, value in values.items()}
    return out


def table(names, posterior, combined, ra, dec, p_patch, p_survey) -> str:
    """One line for each patch, and one for all together."""
    q16, q84 = posterior.quantile(0.16), posterior.quantile(0.84)
    columns = [part for name in names for part in (f"{name}_mean", f"{name}_std", f"{name}_q16", f"{name}_q84")]
    lines = [",".join(["patch", "ra_deg", "dec_deg", *columns, "surprise_p"])]

    def line(label: object, place: tuple[float, float], numbers: np.ndarray, p: float) -> str:
        return ",".join([str(label), *(f"{x:.6f}" for x in (*place, *numbers.ravel(), p))])

    each = np.stack([posterior.mean(), posterior.std(), q16, q84], axis=-1)
    lines += [line(i, (ra[i], dec[i]), each[i], p_patch[i]) for i in range(len(each))]
    quantiles = np.quantile(combined, [0.16, 0.84], axis=0)
    together = np.stack([combined.mean(axis=0), combined.std(axis=0), *quantiles], axis=-1)
    lines.append(line("combined", (np.nan, np.nan), together, p_survey))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    cli.run(main)
