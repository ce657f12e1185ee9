"""The card of a trained network (Mitchell et al. 2019, arXiv:1810.03993): its data, its errors, its limits.

It stands beside the network, for whoever gets the folder without the project.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cosmokeras import __version__
from cosmokeras.params.description import of_network, of_problem

if TYPE_CHECKING:
    from cosmokeras.inference.estimator import Estimator

USE = """\
```python
import cosmokeras as ck

est = ck.Estimator.load("{folder}")
obs = est.prepare(maps, coverage)  # (n, {size}, {size}, {channels}); maps of ck.observe are ready as they are
est.mean(obs), est.sample(obs, n=1000, seed=0), est.surprise(obs)
```
"""


def card(est: Estimator, folder: str, maps: int, simulations: int, rmse: dict[str, float]) -> str:
    """Markdown: data, prior, errors, limits.

    Parameters
    ----------
    folder : where the network is
    maps, simulations : that it was trained on
    rmse : of each target, on validation maps
    """
    cfg = est.cfg
    rows = of_problem(cfg) | of_network(cfg)
    errors = ", ".join(f"{name} {error:.4f}" for name, error in rmse.items())
    prior = "the distribution of the simulations" if cfg.from_files and cfg.files.prior == "as_sampled" else "uniform"
    return "\n".join(
        [
            f"# {', '.join(cfg.targets)} from maps: {rows['maps']}",
            "",
            f"Made by cosmokeras {__version__}. Licence of the program: MIT.",
            "",
            "| | |",
            "| --- | --- |",
            *(f"| {label} | {words} |" for label, words in rows.items()),
            f"| weights | {est.model.count_params():,} |",
            f"| trained on | {maps:,} maps of {simulations:,} simulations |",
            f"| prior | {prior} |",
            f"| rms error on validation maps | {errors} |",
            "",
            "## Use",
            "",
            USE.format(folder=folder, size=est.size, channels=est.channels),
            "## Limits",
            "",
            *(f"- {line}" for line in limits(est)),
            "",
        ]
    )


def limits(est: Estimator) -> list[str]:
    """What its posteriors assume."""
    cfg = est.cfg
    lines = ["Maps must have the size, pixels, noise, mask and units above; others are refused, or give wrong results"]
    if cfg.data.kind == "lensing":
        matter = "N-body particles" if cfg.lensing.matter == "pm" else "lognormal shells"
        lines.append(f"Matter of the training maps: {matter}; `surprise` and `judge` test whether maps look like them")
    if cfg.data.kind == "2lpt":
        lines.append(
            "Second-order perturbation theory: at redshift 0 its power is 10 % off from about k = 0.1 h/Mpc on"
        )
    lines.append("The posterior does not include the uncertainty of the parameters that are fixed above")
    lines.append("The posterior is zero outside the prior, and cut off at its edges")
    if est.cfg.model.head == "mse":
        lines.append("Point estimates, with one error for all maps, from validation maps")
    lines.append("Errors and coverage on held-out cosmologies are in metrics/evaluate.json of the run")
    return lines
