"""What infer says in numbers: metrics of each parameter, a table of patches, what the network was trained on."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cosmokeras.evaluation.jackknife import Jackknife
from cosmokeras.inference.derived import names_with_s8, with_s8

if TYPE_CHECKING:
    from cosmokeras.inference.posterior import MixturePosterior, PointPosterior
    from cosmokeras.params.config import Config


def summary(
    names: tuple[str, ...], samples: np.ndarray, truth: Mapping[str, float] | None, spread: Jackknife | None = None
) -> dict[str, dict[str, float]]:
    """Mean, standard deviation and 68 % interval of each parameter, and of S8 where omega_m and sigma8 are there.

    Parameters
    ----------
    samples : (n, d) of the combined posterior
    truth : of a simulation; it adds `truth` and `pull` to the parameters that it holds
    spread : jack-knife over the columns of `with_s8`; it adds `jackknife_std` and `jackknife_max_pull`
    """
    known = dict(truth or {})
    if {"omega_m", "sigma8"} <= set(known):
        known["S8"] = float(with_s8(("omega_m", "sigma8"), np.array([known["omega_m"], known["sigma8"]]))[-1])
    out = {}
    for i, (name, column) in enumerate(zip(names_with_s8(names), with_s8(names, samples).T, strict=True)):
        mean, std = column.mean(), column.std()
        values = {"mean": mean, "std": std, "q16": np.quantile(column, 0.16), "q84": np.quantile(column, 0.84)}
        if name in known:
            values |= {"truth": known[name], "pull": (mean - known[name]) / std}
        if spread is not None:
            values |= {"jackknife_std": spread.std[i], "jackknife_max_pull": spread.max_pull[i]}
        out[name] = {key: round(float(value), 6) for key, value in values.items()}
    return out


def patch_table(
    names: Sequence[str], posterior: MixturePosterior | PointPosterior, combined: np.ndarray,
    places: tuple[np.ndarray, np.ndarray], p_patch: np.ndarray, p_survey: float,
) -> str:  # fmt: skip
    """CSV with one line for each patch, and one for all together; `places` are RA and Dec [deg], (n,) each."""
    quantiles = (posterior.quantile(0.16), posterior.quantile(0.84))
    each = np.stack([posterior.mean(), posterior.std(), *quantiles], axis=-1)
    quantiles = np.quantile(combined, [0.16, 0.84], axis=0)
    together = np.stack([combined.mean(axis=0), combined.std(axis=0), *quantiles], axis=-1)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    columns = [f"{name}_{figure}" for name in names for figure in ("mean", "std", "q16", "q84")]
    table.writerow(["patch", "ra_deg", "dec_deg", *columns, "surprise_p"])
    for i, numbers in enumerate(each):
        table.writerow([i, *_decimals(places[0][i], places[1][i], *numbers.ravel(), p_patch[i])])
    table.writerow(["combined", *_decimals(np.nan, np.nan, *together.ravel(), p_survey)])
    return text.getvalue()


def _decimals(*numbers: float) -> list[str]:
    return [f"{number:.6f}" for number in numbers]


def assumptions(cfg: Config) -> dict[str, Any]:
    """What the network was trained on: kind of maps, survey, parameters `fixed` and `free`, `targets`."""
    used = [name for name in type(cfg.prior).model_fields if name in cfg.kind.parameters]
    values = {name: getattr(cfg.prior, name) for name in used}
    if cfg.from_files:
        values = dict(zip(cfg.parameter_names, map(tuple, cfg.bounds.tolist()), strict=True))
    lensing = cfg.kind.observed == "survey"
    return {
        "kind": cfg.data.kind,
        "unit": cfg.kind.unit,
        "survey": f"{cfg.survey.name}: {cfg.survey.title}" if lensing else None,
        "pixels": f"{cfg.data.size} x {cfg.data.size} pixels" + (f" of {cfg.pixel_arcmin:g} arcmin" if lensing else ""),
        "power": cfg.theory.nonlinear if lensing and not cfg.from_files else None,
        "targets": list(cfg.targets),
        "fixed": {name: value for name, value in values.items() if not isinstance(value, tuple | None)},
        "free": {name: list(value) for name, value in values.items() if isinstance(value, tuple)},
        "head": cfg.model.head,
    }
