"""Scores that other groups publish: the figure of merit, and both scores of the FAIR-Universe weak-lensing challenge.

White paper of the challenge: Dai et al. 2026, arXiv:2604.14451. The formulas are those of its public repository,
FAIR-Universe/Cosmology_Challenge: phase 1 of `pages/evaluation.md` (commit 1ec8a21d), phase 2 of
`scoring_program/score.py` (commit 9694b008). A score here is a score of the challenge on its own maps only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from cosmokeras.common import arguments
from cosmokeras.common.errors import UserError
from cosmokeras.evaluation.gain import merit_gain

PENALTY = 1000.0  # lambda of phase 1, the weight of squared errors
FALSE_POSITIVE_RATES = np.geomspace(1e-3, 5e-2, 100)  # of phase 2
PHASE_1 = ("omega_m", "S8")
LEAST_STD = 1e-6  # of a posterior; a network that claims no error at all still gets a number
LEAST_MAPS = 3  # fewer errors of two parameters have no covariance
# Of the metrics: an analysis, and the ways in which it was done, the better of which counts
ANALYSES = {
    "network": ("posterior",),
    "baseline": ("likelihood", "network"),
    "higher_order": ("higher_order_likelihood", "higher_order_network"),
}


@dataclass(frozen=True)
class Estimates:
    """Posterior means and standard deviations of maps, both (n, q); None: not known."""

    mean: np.ndarray
    std: np.ndarray | None = None


def phase1_score(mean: np.ndarray, std: np.ndarray, truth: np.ndarray) -> float:
    """Score of phase 1, larger is better: minus the mean over maps of

        sum_j (mean_j - truth_j)^2 / std_j^2 + ln std_j^2 + 1000 (mean_j - truth_j)^2

    Parameters
    ----------
    mean, std, truth : (n, q) posterior means and standard deviations, and true values; of the challenge Omega_m and S8
    """
    mean, std, truth = (arguments.finite(*pair) for pair in (("mean", mean), ("std", std), ("truth", truth)))
    if not mean.shape == std.shape == truth.shape or mean.ndim != 2 or not mean.size:
        raise UserError(f"mean, std and truth of shapes {mean.shape}, {std.shape}, {truth.shape}: must all be (n, q)")
    if std.min() <= 0:
        raise UserError(f"std={std.min():g}: standard deviations must be above 0")
    square = (mean - truth) ** 2
    return float(-np.mean(np.sum(square / std**2 + 2 * np.log(std) + PENALTY * square, axis=1)))


def phase2_score(ordinary: np.ndarray, other: np.ndarray) -> float:
    """Score of phase 2, 0 to 1: mean true-positive rate over 100 log-spaced false-positive rates from 1e-3 to 5e-2.

    No separation gives the mean of these rates, 0.0128. The receiver operating characteristic is that of all
    thresholds, equal scores crossed at once, with straight lines between (Fawcett 2006, Pattern Recognit. Lett. 27,
    861). With fewer than 1000 ordinary maps the lowest rates lie on its first line.

    Parameters
    ----------
    ordinary, other : (n,), (m,) scores of single maps that are like the training maps, and of maps that are not:
        larger is less like them; infinities are scores like others
    """
    sets = []
    for name, values in (("ordinary", ordinary), ("other", other)):
        scores = arguments.real(name, values).astype(float)
        if scores.ndim != 1 or not scores.size:
            raise UserError(f"{name} of shape {scores.shape}: must be (n,), scores of one map or more")
        if np.isnan(scores).any():
            raise UserError(f"{name}: {int(np.isnan(scores).sum())} of {scores.size} scores are NaN; must be numbers")
        sets.append(np.sort(scores))
    thresholds = np.unique(np.concatenate(sets))[::-1]
    false, true = (np.append(0.0, 1 - np.searchsorted(scores, thresholds) / len(scores)) for scores in sets)
    return float(np.mean(np.interp(FALSE_POSITIVE_RATES, false, true)))


def figure_of_merit(errors: np.ndarray) -> float:
    """1 / sqrt(det C) for the mean products C (2, 2) of the errors (n, 2) of the estimates of two parameters.

    C is their covariance about the truth, so that a bias counts. Of calibrated posteriors it is the mean posterior
    covariance (law of total covariance): then the figure is that of a typical map of the prior.
    """
    errors = arguments.finite("errors", errors)
    if errors.ndim != 2 or errors.shape[1] != 2 or len(errors) < 2:
        raise UserError(f"errors of shape {errors.shape}: must be (n, 2), of two maps or more")
    determinant = float(np.linalg.det(errors.T @ errors / len(errors)))
    if determinant <= 0:
        raise UserError("errors: those of the two parameters are proportional; their figure of merit is infinite")
    return determinant**-0.5


def challenge_metrics(
    names: tuple[str, ...], found: Mapping[str, Estimates], truth: np.ndarray, cosmology: np.ndarray, targets: int
) -> dict[str, Any]:
    """Figures of merit of each two targets, and of Omega_m and S8; the phase-1 score where both are there.

    Parameters
    ----------
    names : of the columns, the targets and S8 where it follows from them
    found : `posterior`, that of the network; `likelihood` and so on of `baseline_estimates`
    truth : (n, q)
    cosmology : (n,) whose map it is
    targets : how many of the columns are targets
    """
    pairs = [list(pair) for pair in combinations(range(targets), 2)]
    both = [names.index(name) for name in PHASE_1] if set(PHASE_1) <= set(names) else []
    if both:
        pairs = [both, *(pair for pair in pairs if set(pair) != set(both))]
    metrics: dict[str, Any] = {}
    if pairs and len(truth) >= LEAST_MAPS:
        errors = {way: one.mean - truth for way, one in found.items()}
        metrics["figure_of_merit"] = {
            "_".join(names[j] for j in pair): _merits({way: e[:, pair] for way, e in errors.items()}, cosmology)
            for pair in pairs
        }
    if both:
        known = {way: (one.mean[:, both], one.std[:, both]) for way, one in found.items() if one.std is not None}
        scores = {way: phase1_score(m, np.maximum(s, LEAST_STD), truth[:, both]) for way, (m, s) in known.items()}
        best = {name: max(scores[way] for way in ways) for name, ways in ANALYSES.items()}
        metrics["fair_phase1"] = {name: round(score, 6) for name, score in best.items()}
    return metrics


def _merits(errors: Mapping[str, np.ndarray], cosmology: np.ndarray) -> dict[str, float]:
    """Figure of merit of each analysis, and the network's over those of the others, from errors (n, 2)."""
    each = {way: figure_of_merit(part) for way, part in errors.items()}
    best = {name: max(ways, key=lambda way: each[way]) for name, ways in ANALYSES.items()}
    out = {name: each[way] for name, way in best.items()}
    if "limit" in each:
        out["limit"] = each["limit"]
    for key, name in (("gain", "baseline"), ("gain_higher_order", "higher_order")):
        out[key], out[f"{key}_std"] = merit_gain(errors[best[name]], errors[best["network"]], cosmology)
    return {key: round(float(value), 6) for key, value in out.items()}


def words(metrics: Mapping[str, Any]) -> list[str]:
    """The same metrics in words, a line for each pair and one for the score; none where there are none."""
    lines = [
        f"{pair}: figure of merit {one['network']:.4g} (power spectrum {one['baseline']:.4g}, with l1-norm "
        f"{one['higher_order']:.4g}; {one['gain_higher_order']:.3f} +- {one['gain_higher_order_std']:.3f} times that)"
        for pair, one in metrics.get("figure_of_merit", {}).items()
    ]
    if "fair_phase1" in metrics:
        score = metrics["fair_phase1"]
        lines.append(
            f"FAIR-Universe phase-1 score {score['network']:.3f} (power spectrum {score['baseline']:.3f}, with l1-norm "
            f"{score['higher_order']:.3f})"
        )
    return lines
