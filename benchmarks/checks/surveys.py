"""Skies of many patches at cosmologies from the prior, through the network of `make repro`.

Does the combined posterior of 4, 16 and 64 patches hold the truth as often as it says, and does a survey of 16 patches
raise an alarm when, and only when, its maps are of another kind? Non-Gaussianity fades with the signal: `ceiling` is
the power of the best linear test with the cosmology and the alternative given (Fisher 1936, Ann. Eugenics 7, 179).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import kstest
from tqdm import tqdm

from study.requirements import required

ROOT = Path(__file__).parents[2]
SKIES, PATCHES = 400, (4, 16, 64)
TOGETHER = 20  # skies simulated at once
SEED = 31_000_003
OF_PATCHES, LARGE = 16, 117  # patches of a survey; LARGE as many as the committed mock sky has
LIKE_TRAINING = {OF_PATCHES: 1000, LARGE: 200}  # surveys like those of training, whose p-values must be uniform
TESTED = 200  # surveys of each other kind
FAINT = 0.25  # Omega_m below which 16 patches of DES noise hardly constrain non-Gaussianity
COSMOLOGIES = 400  # of the maps that say how far apart Gaussian and lognormal maps are
LEVEL = 0.01
SPREAD = {0.05: 0.01, 0.01: 0.006}  # allowed deviations of false-positive rates


def check() -> tuple[dict[str, Any], bool]:
    """Coverage of combined posteriors, and rates of alarms."""
    from cosmokeras import Estimator, sample_prior
    from study import variants

    est = Estimator.load(ROOT / "outputs" / "model")
    theta = sample_prior(est.cfg, SKIES, SEED)
    found: dict[str, Any] = {}
    good = covered(est, theta, found)
    for count, number in LIKE_TRAINING.items():
        p = p_values(est, sample_prior(est.cfg, number, SEED + count), variants.as_trained, count)
        good += uniform(p, count, found)
    column = est.cfg.parameter_names.index("omega_m")
    bright = theta[:TESTED, column] > FAINT
    for name, variant in (("gaussian", variants.gaussian), ("noise", variants.noisier)):
        p = p_values(est, theta[:TESTED], variant, OF_PATCHES)
        found[name] = {f"alarms_{level}": round(float(np.mean(p < level)), 4) for level in (0.01, 0.05)}
        found[name]["alarms_0.01_bright"] = round(float(np.mean(p[bright] < 0.01)), 4)
    good.append(required("noise up by 20 %: alarms at 0.01", found["noise"]["alarms_0.01"], 0.9, 1))
    found["gaussian"]["ceiling"] = round(linear_power(est, variants.as_trained, variants.gaussian), 4)
    reason = f"the power of the best linear test is {found['gaussian']['ceiling']:.1%}"
    good.append(required("Gaussian shells: alarms at 0.01", found["gaussian"]["alarms_0.01"], 0.9, 1, reason))
    good.append(required(f"the same above Omega_m {FAINT}", found["gaussian"]["alarms_0.01_bright"], 0.9, 1))
    return found, all(good)


def covered(est: Any, theta: np.ndarray, found: dict[str, Any]) -> list[bool]:
    """Part of the skies whose truth lies in the central 68 % of the combined posterior, for each number of patches."""
    from cosmokeras.evaluation.diagnostics import coverage
    from study import variants

    columns, most = est.cfg.target_columns, max(PATCHES)
    pit: dict[int, list[np.ndarray]] = {count: [] for count in PATCHES}
    for first in tqdm(range(0, len(theta), TOGETHER), desc="skies"):
        rows = theta[first : first + TOGETHER]
        estimates = est.mean(variants.as_trained(est.cfg, rows, most, SEED + first)).reshape(len(rows), most, -1)
        for row, each in zip(rows, estimates, strict=True):
            for count in PATCHES:
                samples = est.response.posterior(each[:count], 2000, seed=0)[:, columns]
                pit[count].append(np.mean(samples < row[columns], axis=0))
    good = []
    for count, values in pit.items():
        inside = coverage(np.array(values), 0.68)
        found[f"coverage_68_of_{count}_patches"] = dict(zip(est.parameters, inside.round(4).tolist(), strict=True))
        good += [
            required(f"{count} patches, {p}: inside 68 %", x, 0.63, 0.73)
            for p, x in zip(est.parameters, inside, strict=True)
        ]
    return good


def uniform(p: np.ndarray, count: int, found: dict[str, Any]) -> list[bool]:
    """Rates of false alarms of surveys of `count` patches, and whether their p-values are uniform."""
    rates = {level: float(np.mean(p <= level)) for level in SPREAD}
    ks = float(kstest(p, "uniform").pvalue)
    found[f"home_{count}_patches"] = {"surveys": len(p), "ks_p": round(ks, 5)} | {
        f"alarms_{level}": round(rate, 4) for level, rate in rates.items()
    }
    words = f"{len(p)} surveys of {count} patches like those of training"
    good = [required(f"{words}: alarms at {level}", rate, level - SPREAD[level], level + SPREAD[level])
            for level, rate in rates.items()]  # fmt: skip
    return [*good, required(f"{words}: p-values uniform, Kolmogorov-Smirnov p", ks, 0.01, 1)]


def p_values(est: Any, theta: np.ndarray, variant: Any, patches: int) -> np.ndarray:
    """p-values of surveys of so many maps at theta (n, p)."""
    p = []
    for first in tqdm(range(0, len(theta), TOGETHER), desc=f"surveys of {patches}"):
        rows = theta[first : first + TOGETHER]
        maps = variant(est.cfg, rows, patches, SEED + 7 + first)
        p += [est.judge(sky).p for sky in maps.reshape(len(rows), patches, *maps.shape[1:])]
    return np.array(p)


def linear_power(est: Any, null: Any, alternative: Any) -> float:
    """Power at LEVEL, over the prior, of the best linear test of all features: Fisher's discriminant, one-sided.

    Cosmology and both kinds of maps are given. The squared Mahalanobis distance of their means comes from two halves of
    the cosmologies, so that the noise of the means does not add to it.
    """
    from scipy.stats import norm

    from cosmokeras import sample_prior
    from cosmokeras.inference import regression
    from cosmokeras.inference.feature_model import DEGREE

    cfg, degree = est.cfg, DEGREE.get(len(est.cfg.parameter_names), 2)
    theta = sample_prior(cfg, COSMOLOGIES, SEED + 1)
    features, others = (est.features(make(cfg, theta, OF_PATCHES, SEED + 9)) for make in (null, alternative))
    each = np.repeat(theta, OF_PATCHES, axis=0)
    halves = [np.arange(len(each)) // OF_PATCHES % 2 == i for i in (0, 1)]
    _, log_variance, standard = regression.fit(features, each, cfg.bounds, degree)
    inverse = np.linalg.inv(regression.shrunk(standard.T @ standard / len(standard), len(standard)))
    design = regression.polynomial(theta, cfg.bounds, degree)
    shift = [design @ regression.fit((features - others)[h], each[h], cfg.bounds, degree)[0] for h in halves]
    first, second = (one / regression.sigma(theta, cfg.bounds, log_variance) for one in shift)
    square = OF_PATCHES * np.einsum("ni,ij,nj->n", first, inverse, second)
    return float(np.mean(norm.cdf(np.sqrt(np.maximum(square, 0.0)) - norm.isf(LEVEL))))
