"""Lognormal and N-body networks tested on each other's maps, and their gain over spectra.

    python -m study.matter_networks [PART ...]

with networks and maps of `study.patches`, four DES Y3 bins with its noise and masks. Parts:

- `skies`: a network trained on lognormal maps (of shift 1) and one trained on maps through N-body boxes are shown maps
  of these two kinds and lognormal maps with the third moment of N-body simulations (BiHalofit): the figures of
  `study.domain_gap`, and of skies of 16 maps of one cosmology, whose posterior is one, mean (`sky_bias`) and rms
  (`sky_rms`) of (estimate - truth) / claimed error of Omega_m: 0 and 1 for a calibrated network.
- `gain`: networks of either kind of as many maps, Omega_m and sigma8 free, beside the better of a likelihood and a
  network on binned spectra (`gain`), and on spectra and starlet l1-norm (`gain_higher_order`), of the same maps.

Parts that are not asked for keep their earlier figures in metrics/matter_networks.json; what was trained is kept in the
work folder. docs/domain_gap.md has the results.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cosmokeras.common import cli
from cosmokeras.common.files import read_json
from cosmokeras.observation.observe import observed_by
from cosmokeras.observation.ops.forward import forward_of
from cosmokeras.params.prior import sample_prior
from study import domain_gap, patches, recorded
from study.domain_gap import Effort
from study.runs import run_in
from study.variants import clean

if TYPE_CHECKING:
    from cosmokeras.inference.estimator import Estimator

NETWORKS = ("lognormal", "pm")  # kinds that networks are trained on
SHOWN = ("lognormal", "bihalofit", "pm")  # and kinds of the maps that they are shown
SAMPLES = 4000  # of the posterior of a sky
TWO = {
    "prior.sigma8": [0.6, 1.0], "data.n_cosmologies": 500, "data.realisations": 12, "data.validation": 80,
    "data.test": 200,
}  # fmt: skip
WANTED = ("rmse", "prior_rmse", "baseline_rmse", "higher_order_rmse", "gain", "gain_std", "gain_higher_order",
          "gain_higher_order_std", "coverage_68")  # fmt: skip
FULL = Effort(cosmologies=40)
QUICK = domain_gap.QUICK


def pulls(est: Estimator, skies: list[np.ndarray], theta: np.ndarray) -> np.ndarray:
    """(estimate - truth) / claimed error of Omega_m of skies, one of each cosmology theta (n, p), (n,)."""
    column = est.parameters.index(domain_gap.PARAMETER)
    truth = theta[:, est.cfg.parameter_names.index(domain_gap.PARAMETER)]
    samples = np.array([est.combine(sky, SAMPLES, seed)[:, column] for seed, sky in enumerate(skies)])
    return (samples.mean(axis=1) - truth) / samples.std(axis=1)


def skies(effort: Effort) -> dict[str, Any]:
    """Figures of networks, and of kinds of maps that they are shown: network -> kind -> figure."""
    from cosmokeras.inference.estimator import Estimator

    configs = {kind: patches.config(kind, effort) for kind in SHOWN}
    theta = sample_prior(configs["pm"], effort.cosmologies, domain_gap.SEED)
    maps = {kind: clean(cfg, theta, effort.maps, domain_gap.SEED) for kind, cfg in configs.items()}
    found: dict[str, Any] = {}
    for name in NETWORKS:
        est = Estimator.load(domain_gap.trained(configs[name]) / cli.MODEL)
        forward = forward_of(est.cfg)
        shown = {kind: np.split(observed_by(forward, maps[kind], domain_gap.SEED), len(theta)) for kind in SHOWN}
        answers = {kind: domain_gap.ask(est, shown[kind], theta, effort.maps) for kind in SHOWN}
        found[name] = {}
        for kind in SHOWN:
            pull = pulls(est, shown[kind], theta)
            figures = {"sky_bias": pull.mean(), "sky_rms": np.sqrt(np.mean(pull**2)), "rmse": answers[kind].rmse}
            found[name][kind] = {
                **answers[kind].summary(answers[name]),
                **{key: round(float(value), 4) for key, value in figures.items()}, "skies": len(pull),
            }  # fmt: skip
            print(f"{name} network, {kind} maps: {found[name][kind]}", flush=True)
    return found


def gain(effort: Effort) -> dict[str, Any]:
    """What networks add to other analyses of the same maps: kind of maps -> parameter -> figures of `evaluate`."""
    found: dict[str, Any] = {}
    for kind in NETWORKS:
        cfg = patches.config(kind, effort, TWO)
        folder = domain_gap.trained(cfg)
        if not (folder / cli.METRICS / "evaluate.json").exists():
            run_in(folder, cfg.model_dump(mode="json", exclude={"root"}), ["evaluate"])
        metrics = read_json(folder / cli.METRICS / "evaluate.json")
        found[kind] = {
            name: {key: value[key] for key in WANTED if key in value}
            for name, value in metrics.items()
            if isinstance(value, dict) and "rmse" in value
        }
        found[kind] |= {key: metrics[key] for key in ("n_maps", "n_cosmologies")}
        print(f"{kind} maps: {found[kind]}", flush=True)
    return found


PARTS: dict[str, Callable[[Effort], dict[str, Any]]] = {"skies": skies, "gain": gain}


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = cli.Parser("study.matter_networks", (__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--metrics", type=Path, default=Path("metrics/matter_networks.json"), help="file of the figures"
    )
    parser.add_argument("--quick", action="store_true", help="test run on tiny numbers")
    parser.add_subset("parts", "part", list(PARTS))
    options = parser.parse_args(arguments)
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    cli.writable(options.metrics)
    table = read_json(options.metrics)
    for name in options.parts:
        table[name] = PARTS[name](QUICK if options.quick else FULL)
        ordered = {one: table[one] for one in PARTS if one in table}
        recorded.write(options.metrics, ordered, "study.matter_networks", name)
    return 0


if __name__ == "__main__":
    cli.entry(main)
