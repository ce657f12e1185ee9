"""outputs/inference.md: what was inferred from a sky, in half a page of plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cosmokeras.evaluation.nuisances import FREED_BY, nuisances
from cosmokeras.params.registry import NUISANCES
from cosmokeras.report.published import published_values
from cosmokeras.surveys.sky import label, nature

FIELDS = {
    "lensing": "lognormal shells of matter, with the right power spectra and approximate higher moments and peaks",
    "2lpt": "second-order perturbation theory, accurate on large scales and without collapsed haloes",
    "grf": "Gaussian fields, which are defined by their power spectrum alone",
}


def text(
    note: Mapping[str, Any], metrics: Mapping[str, Any], assumed: Mapping[str, Any], real: Mapping[str, Any],
    max_masked: float, threshold: float,
) -> str:  # fmt: skip
    """Half a page of Markdown that can be read without the program.

    Parameters
    ----------
    note : outputs/real/provenance.json
    metrics : metrics/infer.json
    assumed : see `summary.assumptions`
    real : metrics/real.json
    max_masked : largest part of a patch that may be masked
    threshold : p-value below which maps do not look like the training set
    """
    names = [name for name in dict.fromkeys((*assumed["targets"], "S8")) if name in metrics]  # S8 may be a target
    parts = [
        f"# Parameters from {label(note)}",
        _bullets([_result(name, metrics) for name in names]),
        "## The maps",
        _bullets(_maps(note, metrics, real, max_masked)),
        "## What was assumed",
        _bullets(_assumed(assumed)),
        "## Do the maps look like the training set?",
        _verdict(metrics, threshold),
        "## Do other checks pass?",
        _bullets([*_null_tests(real), *_stability(names, metrics)]),
        "## Comparison with other values",
        _comparison(names, metrics),
        "## Caveats",
        _bullets(caveats(note, metrics, assumed)),
    ]
    return "\n\n".join(parts) + "\n"


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _result(name: str, metrics: Mapping[str, Any]) -> str:
    m, more = metrics[name], metrics.get("systematic", {}).get(name)
    systematic = "" if more is None else f" (statistical) +- {more['error']:.4f} (fixed nuisances)"
    truth = f"; the simulation's truth is {m['truth']:.4f}, {m['pull']:+.2f} sigma away" if "truth" in m else ""
    value = f"**{name} = {m['mean']:.4f} +- {m['std']:.4f}{systematic}**"
    return f"{value}, 68 % between {m['q16']:.4f} and {m['q84']:.4f}{truth}"


def _maps(note: Mapping[str, Any], metrics: Mapping[str, Any], real: Mapping[str, Any], max_masked: float) -> list[str]:
    origin = note["provenance"]
    n = metrics["n_patches"]
    lines = [
        f"Source `{note['source']}`, {nature(note)}: {n} patch{'es' if n > 1 else ''}, "
        f"{real['masked_fraction']:.1%} masked"
    ]
    if "statement" in origin:
        lines.append(f"Statement of the source: {origin['statement']}")
    if origin.get("files"):
        lines.append("Files: " + ", ".join(f"`{name}`" for name in origin["files"]))
    if "citation" in origin:
        lines.append(f"Please cite: {origin['citation']}")
    if "mean" in origin:
        lines.append(f"Mean of the maps: {origin['mean']} (`lensing.mean`)")
    lines.append(
        f"Cuts: patches of a larger map are left out if more than {max_masked:.0%} is masked (`real.max_masked`)"
    )
    if origin.get("steps"):
        lines.append("Processing: " + "; ".join(origin["steps"]))
    return lines


def _assumed(assumed: Mapping[str, Any]) -> list[str]:
    def listed(some: Mapping[str, Any]) -> str:
        return ", ".join(f"{name} = {value:g}" for name, value in some.items())

    free, targets = assumed["free"], assumed["targets"]
    boxes = {name: f"{name} in [{low:g}, {high:g}]" for name, (low, high) in free.items()}
    # nuisances that differ by bin are targets under the names of their bins
    wanted = [box for name, box in boxes.items() if any(t == name or t.startswith(f"{name}_") for t in targets)]
    others = [box for box in boxes.values() if box not in wanted]
    prior = "the prior of the simulations" if assumed["kind"] == "files" else "a uniform prior"
    lines = [
        f"Training maps `{assumed['kind']}`, {assumed['pixels']}: {FIELDS.get(assumed['kind'], assumed['unit'])}",
        f"Inferred, with {prior}: " + ", ".join(wanted),
        f"Marginalised, with {prior}: " + (", ".join(others) or "nothing"),
        "Fixed: " + (listed(assumed["fixed"]) or "nothing"),
    ]
    if assumed.get("power") is not None:
        lines.append(f"Non-linear power of matter: {assumed['power']}")
    return lines if assumed["survey"] is None else [lines[0], f"Survey {assumed['survey']}", *lines[1:]]


def _verdict(metrics: Mapping[str, Any], threshold: float) -> str:
    yes = metrics["in_distribution"]
    verdict = "Yes, they pass the misspecification test" if yes else "**No: the posterior above should not be quoted**"
    tests = ", ".join(f"{name} {p:.2g}" for name, p in metrics["surprise_tests"].items())
    off = "; ".join(f"{name} ({pull:+.1f} sigma)" for name, pull in metrics["surprise_features"].items())
    lines = [
        f"{verdict}: p = {metrics['surprise_p']:.2g}, {'above' if yes else 'below'} the threshold {threshold:g}",
        f"p-value of each test: {tests}",
        f"Features with the largest deviations: {off}",
    ]
    return _bullets(lines if off else lines[:2])


def _null_tests(real: Mapping[str, Any]) -> list[str]:
    # null in the file: the number is not finite
    numbers = ", ".join(
        f"{name} {np.nan if value is None else value:.3g}" for name, value in real["null_tests"].items()
    )
    return [f"Null tests of the maps: {numbers or 'none for this source'}; see `plots/null_tests.png`"]


def _stability(names: Sequence[str], metrics: Mapping[str, Any]) -> list[str]:
    if not all("jackknife_std" in metrics[name] for name in names):
        return ["Too few patches for a jack-knife"]
    found = [
        f"{name} {m['jackknife_std']:.4f} compared with {m['std']:.4f}, {m['jackknife_max_pull']:+.1f} sigma"
        for name, m in ((name, metrics[name]) for name in names)
    ]
    what = "its error compared with the posterior's, and the largest deviation of a block"
    return [f"Jack-knife over blocks of neighbouring patches, {what}: {'; '.join(found)}"]


def _comparison(names: Sequence[str], metrics: Mapping[str, Any]) -> str:
    if metrics["observed"] is None:
        return (
            "It is not stated whether these maps are observed, so the result is not compared with anything: "
            "`real.observed: true` compares it with published values, `real.truth` with the truth of a simulation."
        )
    if not metrics["observed"]:
        return "A simulation is compared only with its truth."
    compared = metrics.get("compared", {})
    rows = [one for one in published_values() if one.key in compared.get(one.parameter, {})]
    if not rows:
        return f"No published value of {', '.join(names)} is available for comparison."
    lines = ["| parameter | published | value | ours - theirs | paper | assumed there |", "|---|---|---|---|---|---|"]
    for one in rows:
        value = f"{one.value} +{one.up} -{one.down}"
        away = f"{compared[one.parameter][one.key]:+.2f} sigma"
        lines.append(
            f"| {one.parameter} | {one.name} | {value} | {away} | {one.citation} ({one.date}) | {one.assumed} |"
        )
    return "\n".join(lines)


def _systematic(found: Mapping[str, Mapping[str, float]]) -> list[str]:
    """What fixed nuisances do to each parameter, how well they are known, and how to be free of them."""
    if not found:
        return []
    lines = []
    for name, one in found.items():
        parts = ", ".join(f"{key} {value:+.4f}" for key, value in one.items() if key != "error")
        lines.append(f"Their uncertainties add +-{one['error']:.4f} to {name}, in quadrature: {parts}")
    moved = [key for key in next(iter(found.values())) if key != "error"]
    known = "; ".join(f"{key} +-{nuisances()[key].width:g}, {nuisances()[key].citation}" for key in moved)
    return [*lines, f"Assumed uncertainties: {known}", f"To marginalise over them: `{FREED_BY}`"]


def caveats(note: Mapping[str, Any], metrics: Mapping[str, Any], assumed: Mapping[str, Any]) -> list[str]:
    """What the error bar leaves out."""
    fixed, free = assumed["fixed"], assumed["free"]
    lines = []
    if not metrics["in_distribution"]:
        lines.append("The maps do not look like the training maps: the result is an extrapolation")
    if note["observed"] is False:
        lines.append("A simulated sky tests the method; it says nothing about the universe")
    if assumed["kind"] in FIELDS:
        lines.append(f"Training maps are {FIELDS[assumed['kind']]}")
    taken = [name for name in fixed if name in NUISANCES]
    if taken:
        lines.append(
            f"Nuisances are fixed ({', '.join(taken)}): their uncertainty is not included in the "
            f"{'statistical ' if 'systematic' in metrics else ''}error"
        )
        lines += _systematic(metrics.get("systematic", {}))
    cosmology = [name for name in fixed if name not in NUISANCES]
    if cosmology:
        others = "; published analyses vary most of them" if metrics.get("compared") else ""
        lines.append(f"The result holds for the values at which {', '.join(cosmology)} are fixed{others}")
    if assumed["kind"] == "lensing":
        if "sigma8" in fixed and "omega_m" in free:
            # S8 = sigma8 (Omega_m / 0.3)^0.5 stays: d ln Omega_m = -2 d ln sigma8
            lines.append(
                "Lensing constrains S8 best: if sigma8 were 1 % higher than assumed, Omega_m would be about 2 % lower"
            )
        elif {"sigma8", "omega_m"} <= set(free):
            lines.append(
                "Omega_m and sigma8 are nearly degenerate at constant S8, and each depends on its prior more than S8"
            )
    lines.append(
        "Errors that all patches of a survey share (calibration, redshifts, large-scale modes) do not average out"
    )
    if metrics.get("compared"):
        lines.append("Differences from published values assume independent errors, even if both use the same galaxies")
    if assumed["head"] == "mse":
        lines.append(
            "The network gives point estimates: the errors come from validation maps and are the same for all maps"
        )
    return lines
