"""What each number means, in a sentence: value, expected value, and whether one should look closer.

Marks: `good` within what is expected, `look` outside of it, empty where nothing is expected. Scatter of
a fraction p is counted with one map for each cosmology, 2 [p (1 - p) / n_cosmologies]^(1/2): maps of one cosmology are
not independent, and this is the most that they can scatter, at two standard deviations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import isfinite
from typing import Any

SYMBOLS = {
    "omega_m": "Ω<sub>m</sub>", "sigma8": "&sigma;<sub>8</sub>", "S8": "S<sub>8</sub>", "h": "h",
    "omega_b": "Ω<sub>b</sub>", "n_s": "n<sub>s</sub>", "w0": "w<sub>0</sub>", "a_ia": "A<sub>IA</sub>",
}  # fmt: skip
# name in metrics/evaluate.json -> words, from the worst answer to the best
LADDER = {
    "prior_rmse": "mean of the prior, without a map",
    "likelihood_rmse": "power spectra, likelihood",
    "spectrum_network_rmse": "power spectra, network",
    "higher_order_rmse": "power spectra and starlet l1-norm",
    "rmse": "this network",
    "limit_rmse": "exact posterior (the limit)",
}
FEW = 50  # test cosmologies, below which the scatter of fractions hides all but the grossest faults
TOO_FEW = "Too few test cosmologies to judge."
POWER = 0.02  # by which the power of maps may be off theory's
SMALL_P = 0.01  # below it a p-value is worth a look


@dataclass(frozen=True)
class Reading:
    """One row: all but `mark` is HTML."""

    name: str
    value: str
    against: str
    words: str
    mark: str = ""


def symbol(name: str) -> str:
    """Name of a parameter as papers print it, in HTML."""
    return SYMBOLS.get(name, escape(name.replace("_", " ")))


def percent(part: float) -> str:
    """A part of 1, with a space that does not break."""
    return f"{100 * part:.1f}&nbsp;%"


def targets(content: Mapping[str, Any], key: str) -> list[str]:
    """Parameters in metrics: entries that hold `key`."""
    return [name for name, one in content.items() if isinstance(one, Mapping) and key in one]


def mark(fine: bool) -> str:
    """Of a test."""
    return "good" if fine else "look"


def judged(name: str, value: str, against: str, words: str, fine: bool, n: int) -> Reading:
    """A row whose verdict rests on n cosmologies: with few of them only a bad one is given."""
    return Reading(name, value, against, TOO_FEW if fine and n < FEW else words, "" if fine and n < FEW else mark(fine))


def ladder(one: Mapping[str, float]) -> list[tuple[str, float, float, bool]]:
    """Words, rms error, part of the largest, and whether it is the network's, of all answers that are known."""
    known = [(key, words) for key, words in LADDER.items() if key in one]
    most = max(one[key] for key, _ in known)
    return [(words, one[key], one[key] / most, key == "rmse") for key, words in known]


def better(ratio: float, error: float, than: str) -> tuple[str, str]:
    """Words and mark for an error that is `ratio` +- `error` times smaller than that of others."""
    if abs(ratio - 1) <= 2 * error:
        return f"No measurable difference from {than}.", ""
    change = abs(1 - 1 / ratio)
    if ratio > 1:
        return f"The network's error is {percent(change)} smaller than that of {than}.", "good"
    return f"The network's error is {percent(change)} larger than that of {than}: it is not fully trained.", "look"


def accuracy(name: str, one: Mapping[str, float], n: int) -> list[Reading]:
    """How far answers are from the truth, for one parameter of metrics/evaluate.json and n cosmologies."""
    s, rmse, scatter = symbol(name), one["rmse"], 2 * one["rmse"] / n**0.5
    rows = [
        Reading(
            f"rms error of {s}", f"{rmse:.4f}", f"without a map {one['prior_rmse']:.4f}",
            f"One map reduces the error of {s} by a factor of {one['prior_rmse'] / rmse:.1f}.",
            mark(rmse < one["prior_rmse"]),
        ),
        judged(
            "mean error", f"{one['bias']:+.4f}", f"0 ± {scatter:.4f}",
            "There is no significant bias." if abs(one["bias"]) <= scatter else "Estimates are biased.",
            abs(one["bias"]) <= scatter, n,
        ),
    ]  # fmt: skip
    if "efficiency" in one:
        words = f"The exact posterior's error is {percent(one['efficiency'])} of the network's."
        against = f"1, the exact posterior ({one['limit_rmse']:.4f})"
        rows.append(Reading("efficiency", f"{one['efficiency']:.3f}", against, words, mark(one["efficiency"] > 0.95)))
    others = {
        "gain": "the best analysis of power spectra",
        "gain_likelihood": "the standard likelihood of power spectra",
        "gain_higher_order": "power spectra and starlet l1-norm together",
    }
    for key, than in others.items():
        if key in one:
            error = one.get(f"{key}_std", 0.0)
            value = f"{one[key]:.3f} ± {error:.3f}"
            rows.append(Reading(f"gain over {than}", value, "1: no gain", *better(one[key], error, than)))
    return rows


def joint(content: Mapping[str, Any]) -> list[Reading]:
    """Figures of metrics/evaluate.json that concern two parameters: merit, and the score of the challenge."""
    rows = []
    for pair, one in content.get("figure_of_merit", {}).items():
        against = f"power spectra {one['baseline']:.4g}, with l1-norm {one['higher_order']:.4g}"
        ratio, error = one["gain_higher_order"], one["gain_higher_order_std"]
        words = f"It is {ratio:.3f} ± {error:.3f} times that of power spectra and l1-norm."
        verdict = "" if abs(ratio - 1) <= 2 * error else mark(ratio > 1)
        rows.append(Reading(f"figure of merit, {escape(pair)}", f"{one['network']:.4g}", against, words, verdict))
    if "fair_phase1" in content:
        one = content["fair_phase1"]
        against = f"power spectra {one['baseline']:.3f}, with l1-norm {one['higher_order']:.3f}"
        words = "Larger is better. Scores published by the challenge are for other maps."
        rows.append(Reading("FAIR-Universe phase-1 score", f"{one['network']:.3f}", against, words))
    return rows


def widths(name: str, one: Mapping[str, float], n: int) -> list[Reading]:
    """Whether error bars of one parameter are calibrated."""
    s, rows = symbol(name), []
    for level in (50, 68, 95, 99):
        if (found := one.get(f"coverage_{level}")) is None:
            continue
        p = level / 100
        scatter = 2 * (p * (1 - p) / n) ** 0.5
        verdict = "right" if abs(found - p) <= scatter else "too narrow" if found < p else "too wide"
        words = f"{percent(found)} of the truths lie inside the {level} % interval: error bars are {verdict}."
        against = f"{p:.2f} ± {scatter:.3f}"
        rows.append(judged(f"{s} inside {level} %", f"{found:.3f}", against, words, verdict == "right", n))
    if "sbc_p" in one:
        fine = one["sbc_p"] >= SMALL_P
        words = "Ranks of the truth are uniform." if fine else "Ranks of the truth are not uniform: see the coverage."
        rows.append(judged(f"ranks of {s} (SBC), p", f"{one['sbc_p']:.2g}", f"above {SMALL_P}", words, fine, n))
    if "sharpness" in one:
        words = f"Posteriors of single maps are {1 / one['sharpness']:.1f} times narrower than the prior."
        rows.append(Reading("width over the prior's", f"{one['sharpness']:.3f}", "small", words))
    return rows


def posteriors(content: Mapping[str, Any]) -> list[Reading]:
    """Figures of metrics/evaluate.json that concern all parameters together."""
    rows, n = [], content["n_cosmologies"]
    if "tarp_ks_p" in content:
        fine = content["tarp_ks_p"] >= SMALL_P
        words = (
            "Credible regions contain the truth as often as they should."
            if fine
            else "Credible regions are too small or too large."
        )
        rows.append(judged("regions (TARP), p", f"{content['tarp_ks_p']:.2g}", f"above {SMALL_P}", words, fine, n))
    if {"nll", "nll_gaussian"} <= set(content):
        gap = content["nll_gaussian"] - content["nll"]
        words = (
            f"Individual posteriors are better than one Gaussian error for all maps, by {gap:.3f} nats per map."
            if gap > 0
            else "Individual posteriors are no better than one Gaussian error for all maps."
        )
        against = f"Gaussian {content['nll_gaussian']:.3f}"
        rows.append(Reading("negative log likelihood", f"{content['nll']:.3f}", against, words, mark(gap > 0)))
    if "false_alarms" in content:
        found, scatter = content["false_alarms"], 2 * (0.05 * 0.95 / n) ** 0.5
        fine = abs(found - 0.05) <= scatter
        words = "The misspecification test has the right rate of false positives."
        words = words if fine else "The rate of false positives is wrong: do not rely on the p-value of the sky below."
        rows.append(judged("false positives at p < 0.05", f"{found:.3f}", f"0.05 ± {scatter:.3f}", words, fine, n))
    if "before_stretch" in content:
        words = "Widths were recalibrated on validation maps; the numbers here are after recalibration."
        rows.append(Reading("widths recalibrated", "yes", "no", words, "look"))
    return rows


def sky(content: Mapping[str, Any], threshold: float) -> list[Reading]:
    """Figures of metrics/infer.json; below `threshold` a sky is unlike the training maps."""
    rows, n = [], content["n_patches"]
    for name in targets(content, "mean"):
        m, s = content[name], symbol(name)
        words = f"68 % between {m['q16']:.4f} and {m['q84']:.4f}, from {n} patch{'es' if n > 1 else ''} together."
        against = "see the caveats" if "truth" not in m else f"truth {m['truth']:.4f}"
        rows.append(Reading(s, f"{m['mean']:.4f} ± {m['std']:.4f}", against, words))
        if (more := content.get("systematic", {}).get(name)) is not None:
            words = "Error from the uncertainty of fixed nuisances, in addition to the statistical error."
            against, fine = f"statistical {m['std']:.4f}", more["error"] <= m["std"]
            rows.append(Reading(f"{s}, systematic error", f"{more['error']:.4f}", against, words, mark(fine)))
        if "pull" in m:
            fine = abs(m["pull"]) < 2
            words = (
                "The result agrees with the truth." if fine else "The result is more than two errors from the truth."
            )
            rows.append(Reading(f"({s} - truth) / error", f"{m['pull']:+.2f}", "within ± 2", words, mark(fine)))
        if "jackknife_std" in m:
            fine = m["jackknife_std"] <= 1.5 * m["std"] and abs(m["jackknife_max_pull"]) < 3
            words = (
                f"Parts of the sky are left out in turn; the largest deviation of a part is "
                f"{abs(m['jackknife_max_pull']):.1f} standard deviations. "
                f"{'No part dominates the result.' if fine else 'One part may dominate the result.'}"
            )
            against = f"posterior {m['std']:.4f}"
            rows.append(Reading(f"{s}, jack-knife error", f"{m['jackknife_std']:.4f}", against, words, mark(fine)))
    likely = content["in_distribution"]
    words = "The sky passes the misspecification test."
    words = words if likely else "The sky fails the misspecification test: do not quote the posterior."
    value, against = f"{content['surprise_p']:.2g}", f"above {threshold:g}"
    rows.append(Reading("misspecification test of the sky, p", value, against, words, mark(likely)))
    return rows


def sky_summary(content: Mapping[str, Any]) -> list[str]:
    """What the sky says, in a sentence for each parameter, and whether to believe it."""
    what = {True: "the observed sky", False: "the simulated sky", None: "maps of the user"}[content["observed"]]
    said = []
    for name in targets(content, "mean"):
        m = content[name]
        truth = f" (truth {m['truth']:.4f}, {abs(m['pull']):.1f} errors away)" if "truth" in m else ""
        patches = f"{content['n_patches']} patches" if content["n_patches"] > 1 else "one patch"
        said.append(f"From {patches} of {what}: {symbol(name)} = {m['mean']:.4f} ± {m['std']:.4f}{truth}.")
    if not content["in_distribution"]:
        said.append("<strong>The sky fails the misspecification test: the result should not be quoted.</strong>")
    return said


def run(generate: Mapping[str, Any], train: Mapping[str, Any], real: Mapping[str, Any] | None) -> list[Reading]:
    """Figures of the maps, of training and of the sky's patches."""
    rows = [Reading("maps simulated", f"{generate['maps']:,}", "", f"{generate['bytes'] / 1e6:,.0f} MB on disk.")]
    if (ratio := generate.get("spectrum_ratio")) is not None:
        error = generate.get("spectrum_ratio_error", 0.0)  # runs of before it was measured have none
        known = error is not None and isfinite(error)
        few = not known or error > POWER / 2
        fine = abs(ratio - 1) <= POWER + 2 * (error if known else 0.0)
        words = (
            "Too few maps to measure their power to 2 %." if few and fine
            else "The power of the test maps agrees with theory to 2 %." if fine
            else "The power of the test maps differs from theory by more than 2 %."
        )  # fmt: skip
        value = f"{ratio:.3f}" + (f" ± {error:.3f}" if known and error else "")
        rows.append(Reading("their power / theory", value, "1 ± 0.02", words, "" if few and fine else mark(fine)))
    late = train["best_epoch"] == train["epochs"]
    words = "The last epoch was the best: longer training may give more." if late else "Later epochs were no better."
    rows.append(Reading("best epoch", f"{train['best_epoch']} of {train['epochs']}", "", words, "" if late else "good"))
    error = train["rmse"]
    value = (
        ", ".join(f"{symbol(k)} {v:.4f}" for k, v in error.items()) if isinstance(error, Mapping) else f"{error:.4f}"
    )
    rows.append(
        Reading(
            "rms error on validation maps",
            value,
            "",
            "Validation maps were used to choose the epoch; test maps were not.",
        )
    )
    if real is not None:
        words = f"{percent(real['masked_fraction'])} of their pixels are masked."
        rows.append(Reading(f"patches of {escape(str(real['source']))}", f"{real['patches']}", "", words))
        for name, value in real.get("null_tests", {}).items():
            rows.append(Reading(f"null test {escape(name)}", f"{value:.3g}", "", "See the figure of null tests."))
    return rows


def summary(content: Mapping[str, Any], size: int, channels: str) -> list[str]:
    """The judgement in a sentence or two for each parameter."""
    said = []
    for name in targets(content, "rmse"):
        one, s = content[name], symbol(name)
        text = (
            f"From one map of {size} &times; {size} pixels{channels} the network infers {s} with an rms error of "
            f"<strong>{one['rmse']:.4f}</strong>; without a map the error is {one['prior_rmse']:.4f}."
        )
        if "gain" in one:
            text += f" {better(one['gain'], one.get('gain_std', 0.0), 'the best analysis of power spectra')[0]}"
        if "gain_higher_order" in one:
            than = "power spectra and starlet l1-norm together"
            text += f" {better(one['gain_higher_order'], one.get('gain_higher_order_std', 0.0), than)[0]}"
        if "efficiency" in one:
            text += f" The exact posterior's error is {percent(one['efficiency'])} of this."
        said.append(text)
    return said


def closer(rows: Sequence[Reading]) -> list[Reading]:
    """Rows that one should look at."""
    return [row for row in rows if row.mark == "look"]
