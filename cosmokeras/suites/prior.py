"""The prior that networks learn of a suite: that of its simulations, or the box, by drawing some of them more often.

Posteriors, their coverage and their ranks are all under the law of the maps that are trained on, calibrated with and
tested on. With `files.prior: uniform` all three are drawn again, each simulation about as often as its importance
weight says, by systematic resampling (Kitagawa 1996, J. Comput. Graph. Stat. 5, 1), so that they follow the uniform law
in the box. Simulations beyond the box are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from cosmokeras.params.config import Config
from cosmokeras.suites import prior_sample
from cosmokeras.suites.columns import ROUNDING
from cosmokeras.suites.groups import cosmological_columns

if TYPE_CHECKING:
    from cosmokeras.suites.suite import Suite


def simulations(suite: Suite) -> tuple[list[int], np.ndarray]:
    """Columns that make a cosmology, and these parameters of each simulation (groups, c): those of its first map."""
    columns = cosmological_columns(suite.cfg)
    first = np.unique(suite.group, return_index=True)[1]
    return columns, suite.rows[first][:, columns]


def inside(suite: Suite) -> np.ndarray:
    """Whether each simulation (groups,) lies in the box."""
    columns, theta = simulations(suite)
    low, high = suite.cfg.bounds[columns].T
    slack = ROUNDING * (high - low)
    return np.all((theta >= low - slack) & (theta <= high + slack), axis=1)


def weights(suite: Suite) -> prior_sample.Weights:
    """Weights that make the simulations uniform in the box; refused where they cannot."""
    columns, theta = simulations(suite)
    found = prior_sample.uniform_weights(theta, suite.cfg.bounds[columns])
    prior_sample.must_be_enough(found)
    return found


def words(suite: Suite) -> str:
    """What prior the simulations are a sample of, for people."""
    columns, theta = simulations(suite)
    bounds, names = suite.cfg.bounds[columns], [suite.cfg.parameter_names[i] for i in columns]
    if len(np.unique(theta, axis=0)) < prior_sample.FEWEST:
        return f"{len(np.unique(theta, axis=0))} cosmologies: too few to test whether their prior is uniform in the box"
    found = suite.weights if suite.cfg.files.prior == "uniform" else None
    return prior_sample.sentence(names, bounds, prior_sample.uniformity(theta, bounds), found)


def log_prior(cfg: Config, theta: np.ndarray) -> Callable[[np.ndarray], np.ndarray] | None:
    """Log density of the cosmologies that training maps of theta (n, p) sample, as a function of theta; None: the box.

    The other parameters are taken to be uniform. A sample that no test tells from the box is taken to fill it.
    """
    if not cfg.from_files or cfg.files.prior == "uniform":
        return None
    columns = cosmological_columns(cfg)
    sample, bounds = theta[:, columns], cfg.bounds[columns]
    if len(np.unique(sample, axis=0)) < prior_sample.FEWEST or prior_sample.uniformity(sample, bounds).uniform:
        return None
    density = prior_sample.density(sample, bounds)
    return lambda nodes: density.log(nodes[:, columns])


def resampled(suite: Suite, numbers: np.ndarray, seed: int) -> np.ndarray:
    """As many maps as `numbers` (n,) of a split, each as often as the weight of its simulation says, in order."""
    edges = np.cumsum(suite.weights.weights[suite.group[suite.stored(numbers)]])
    rng = np.random.default_rng(np.random.SeedSequence([seed, len(numbers)]))
    steps = (np.arange(len(numbers)) + rng.uniform()) * (edges[-1] / len(numbers))
    return numbers[np.minimum(np.searchsorted(edges, steps, side="right"), len(numbers) - 1)]
