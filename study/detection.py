"""How many single maps of other physics does the misspecification test find, at few false alarms?

    python -m study.detection [NETWORK ...]

gives the score of phase 2 of the FAIR-Universe challenge (`cosmokeras.evaluation.challenge.phase2_score`: mean
true-positive rate over false-positive rates from 1e-3 to 5e-2) of the networks of `study.domain_gap` on the maps of
`study.variants`. Each map is judged alone, by a number that is larger the less it is like the training maps:

- `p_value`: one minus the p-value of `Estimator.surprise`, a rank among validation maps: all maps beyond the last of
  these are alike;
- `tests`: the same tests without ranks, the smallest tail probability of their chi^2 distributions;
- `distance`: squared Mahalanobis distance of all features;
- `spectra`: the analysis to compare with, which takes no network: chi^2 of the map's power spectra at the best-fitting
  parameters.

Each has its standard deviation, by a bootstrap over cosmologies. Where nothing is found the score is 0.0128, and so it
should be of further maps of the network's own kind (`home`); `together` is all other kinds in one set. Results are in
metrics/detection.json; docs/domain_gap.md explains.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import chi2

from cosmokeras.common import cli
from cosmokeras.common.files import read_json
from cosmokeras.evaluation.challenge import phase2_score
from cosmokeras.params.config import Config
from cosmokeras.params.prior import sample_prior
from study import domain_gap, recorded, variants

if TYPE_CHECKING:
    from cosmokeras.inference.estimator import Estimator

# Of cosmologies and maps that no network has seen: those to fit spectra to, ordinary and other maps
SEEDS = {"fit": 7_100_003, "ordinary": 7_200_003, "other": 7_300_003}
NODES = {1: 256}  # prior samples among which the best fit is looked for, by number of free parameters
MANY_NODES = 2048
RESAMPLES = 200
LENSING = domain_gap.CHANGES["lensing"]
Scores = dict[str, np.ndarray]  # by name, (maps,)


@dataclass(frozen=True)
class Effort:
    """How much to compute: cosmologies of each set of maps, maps of each; the least rate, 1e-3, takes 1000 maps."""

    fit: int = 2000
    ordinary: int = 1000
    other: int = 250
    maps: int = 4
    networks: domain_gap.Effort = domain_gap.FULL


FULL, QUICK = Effort(), Effort(fit=60, ordinary=8, other=4, networks=domain_gap.QUICK)


@dataclass(frozen=True)
class SpectraChi2:
    """Chi^2 of the power spectra of a map at the best-fitting of some parameters: mean and scatter from other maps.

    `kept` are the columns of spectra among all features of an estimator.
    """

    mean: np.ndarray
    sigma: np.ndarray
    whiten: np.ndarray
    kept: int

    @classmethod
    def fit(cls, features: np.ndarray, theta: np.ndarray, bounds: np.ndarray, kept: int, nodes: np.ndarray) -> Any:
        """From features (n, f) of maps at theta (n, p), for the parameters `nodes` (m, p)."""
        from cosmokeras.inference.feature_model import FeatureModel

        model = FeatureModel.from_maps(features[:, :kept], theta, bounds, np.array([kept, 0, 0]))
        return cls(*model.mean_and_sigma(nodes), model.whiten, kept)

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Least chi^2 (n,) over the nodes."""
        least = np.full(len(features), np.inf)
        for mean, sigma in zip(self.mean, self.sigma, strict=True):
            residuals = (features[:, : self.kept] - mean) / sigma @ self.whiten.T
            np.minimum(least, np.sum(residuals**2, axis=1), out=least)
        return least


def map_scores(est: Estimator, obs: np.ndarray, spectra: SpectraChi2) -> Scores:
    """Scores (n,) of single maps, larger the less they are like the training maps."""
    features, estimates, reference = est.features(obs), est.mean(obs), est.reference
    assert reference is not None  # of every network of `domain_gap`
    statistics = reference.test_statistics(
        reference.residuals(features, estimates), reference.asymmetry_axis(estimates)
    )
    return {
        "p_value": 1 - reference.judge(features, estimates)[0],
        "tests": np.max(-chi2.logsf(statistics, [*reference.sizes, 1]), axis=1),
        "distance": reference.distance(features, estimates),
        "spectra": spectra(features),
    }


def summary(ordinary: Scores, other: Scores, maps: int) -> dict[str, float]:
    """Phase-2 score of each, and its standard deviation by a bootstrap over cosmologies, of `maps` maps each."""
    rng, sets = np.random.default_rng(0), (ordinary, other)
    sizes = [len(next(iter(one.values()))) // maps for one in sets]
    drawn: dict[str, list[float]] = {name: [] for name in ordinary}
    for _ in range(RESAMPLES):
        rows = [(maps * rng.integers(0, n, n)[:, None] + np.arange(maps)).ravel() for n in sizes]
        for name, values in drawn.items():
            values.append(phase2_score(ordinary[name][rows[0]], other[name][rows[1]]))
    out = {}
    for name, values in drawn.items():
        out[name] = round(phase2_score(ordinary[name], other[name]), 4)
        out[f"{name}_std"] = round(float(np.std(values)), 4)
    return out


def tests(name: str, effort: domain_gap.Effort) -> dict[str, variants.Variant]:
    """The maps that are not like those of training."""
    return (LENSING if name.startswith("lensing") else {}) | domain_gap.tests(name, effort)


def row(name: str, effort: Effort) -> Iterator[dict[str, Any]]:
    """Figures of one network so far, after each kind of maps: of each, and of all but its own `together`."""
    from cosmokeras.inference.estimator import Estimator

    est = Estimator.load(domain_gap.network(name, effort.networks))

    def maps(which: str, variant: variants.Variant) -> tuple[np.ndarray, np.ndarray]:
        theta = sample_prior(est.cfg, getattr(effort, which), SEEDS[which])
        return np.repeat(theta, effort.maps, axis=0), variant(est.cfg, theta, effort.maps, SEEDS[which])

    spectra = _spectra(est, *maps("fit", variants.as_trained))
    ordinary = map_scores(est, maps("ordinary", variants.as_trained)[1], spectra)
    found: dict[str, Any] = {"maps": {"ordinary": effort.maps * effort.ordinary, "other": effort.maps * effort.other}}
    others: list[Scores] = []
    for cell, variant in {domain_gap.OWN_KIND: variants.as_trained, **tests(name, effort.networks)}.items():
        scores = map_scores(est, maps("other", variant)[1], spectra)
        others += [] if cell == domain_gap.OWN_KIND else [scores]
        found[cell] = summary(ordinary, scores, effort.maps)
        print(f"{name} network, {cell}: {found[cell]}", flush=True)
        yield found
    together = {score: np.concatenate([one[score] for one in others]) for score in ordinary}
    found["together"] = summary(ordinary, together, effort.maps)
    print(f"{name} network, together: {found['together']}", flush=True)
    yield found


def _spectra(est: Estimator, theta: np.ndarray, obs: np.ndarray) -> SpectraChi2:
    """Fitted to maps (n, size, size, channels) of cosmologies theta (n, p)."""
    cfg: Config = est.cfg
    nodes = sample_prior(cfg, NODES.get(theta.shape[1], MANY_NODES), seed=0)
    assert est.measures is not None
    return SpectraChi2.fit(est.features(obs), theta, cfg.bounds, int(est.measures.sizes[0]), nodes)


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = cli.Parser("study.detection", (__doc__ or "").splitlines()[0])
    parser.add_argument("--metrics", type=Path, default=Path("metrics/detection.json"), help="file of the figures")
    parser.add_argument("--quick", action="store_true", help="test run on tiny numbers")
    parser.add_subset("networks", "network", list(domain_gap.NETWORKS))
    options = parser.parse_args(arguments)
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    cli.writable(options.metrics)
    table = read_json(options.metrics)
    for name in options.networks:
        for found in row(name, QUICK if options.quick else FULL):
            table[name] = found  # networks that are not asked for keep their earlier figures
            ordered = {one: table[one] for one in domain_gap.NETWORKS if one in table}
            recorded.write(options.metrics, ordered, "study.detection", name)
    return 0


if __name__ == "__main__":
    cli.entry(main)
