"""Posterior samples for other programs: files that GetDist, CosmoSIS and Cobaya users read, GetDist and ArviZ objects.

GetDist text (Lewis 2025, JCAP 08, 025, arXiv:1910.13970): ROOT.txt has a line for each sample, its weight, minus the
log posterior density, and the parameters; ROOT.paramnames their names and TeX, a star marking derived ones;
ROOT.ranges the edges of the prior, at which densities are not smoothed away.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from cosmokeras.common import arguments
from cosmokeras.common.errors import UserError
from cosmokeras.common.files import write_text
from cosmokeras.inference.derived import names_with_s8, with_s8
from cosmokeras.params.names import tex

if TYPE_CHECKING:
    from cosmokeras.inference.estimator import Estimator


@dataclass(frozen=True)
class Chain:
    """Samples (n, d) of a posterior, of equal weight.

    `names` (d,) of the parameters; `bounds` (d, 2) of the uniform prior; `log_posterior` (n,) density of the samples,
    up to a constant where `normalised` is false. Files and objects made of it have S8 as a derived parameter where
    omega_m and sigma8 are there.
    """

    names: tuple[str, ...]
    bounds: np.ndarray
    samples: np.ndarray
    log_posterior: np.ndarray
    normalised: bool

    def write(self, root: Path | str) -> None:
        """Write ROOT.txt, ROOT.paramnames and ROOT.ranges."""
        root = arguments.path_of("root", root)
        columns = [np.ones(len(self.samples)), -self.log_posterior, *with_s8(self.names, self.samples).T]
        table = io.StringIO()
        np.savetxt(table, np.stack(columns, axis=1), fmt="%.8g")
        names = [f"{name}{'' if name in self.names else '*'}\t{tex(name)}" for name in names_with_s8(self.names)]
        edges = [f"{name}\t{low:.8g}\t{high:.8g}" for name, (low, high) in zip(self.names, self.bounds, strict=True)]
        for suffix, text in (("txt", table.getvalue()), ("paramnames", _lines(names)), ("ranges", _lines(edges))):
            write_text(root.with_name(f"{root.name}.{suffix}"), text)

    def to_getdist(self) -> Any:
        """The samples as `getdist.MCSamples`."""
        all_names = names_with_s8(self.names)
        return _imported("getdist").MCSamples(
            samples=with_s8(self.names, self.samples),
            weights=np.ones(len(self.samples)),
            loglikes=-self.log_posterior,
            names=[name + ("" if name in self.names else "*") for name in all_names],
            labels=[tex(name) for name in all_names],
            ranges=dict(zip(self.names, self.bounds.tolist(), strict=True)),
        )

    def to_arviz(self) -> Any:
        """The samples as `arviz.InferenceData`: one chain, with the log posterior density `lp` of each sample."""
        columns = zip(names_with_s8(self.names), with_s8(self.names, self.samples).T, strict=True)
        posterior = {name: column[None] for name, column in columns}
        return _imported("arviz").from_dict(posterior=posterior, sample_stats={"lp": self.log_posterior[None]})


def chain(estimator: Estimator, obs: np.ndarray, n: int, seed: int) -> Chain:
    """Samples of the posterior of one observed map (1, ...), or of all patches (patches, ...) of one sky together.

    Those of one map are of the targets; those of many patches of all free parameters, nuisances too.
    """
    n, seed = arguments.whole("n", n, 1), arguments.whole("seed", seed)
    if len(obs) == 1:
        return map_chains(estimator, obs, n, seed)[0]
    means, cfg = estimator.mean(obs), estimator.cfg
    samples = estimator.combine_free(means, n, seed)
    assert estimator.response is not None
    log_posterior = estimator.response.log_likelihood(means.mean(axis=0), len(means), samples)
    return Chain(cfg.parameter_names, cfg.bounds, samples, log_posterior, normalised=False)


def map_chains(estimator: Estimator, obs: np.ndarray, n: int, seed: int) -> list[Chain]:
    """Samples of the posteriors of single maps (maps, ...), a chain for each."""
    posterior = estimator.posterior(obs)
    samples = posterior.sample(n, seed)
    log_posterior = np.array([posterior.log_prob(samples[:, i]) for i in range(n)]).T
    each = zip(samples, log_posterior, strict=True)
    return [Chain(estimator.parameters, estimator.bounds, *one, normalised=True) for one in each]


def _lines(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"


def _imported(name: str) -> ModuleType:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError:
        raise UserError(f"{name} is not installed: pip install 'cosmokeras[chains]'") from None
