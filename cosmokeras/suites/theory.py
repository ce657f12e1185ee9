"""Spectra of theory for maps in files: those of our own simulator at the cosmologies of their table."""

from __future__ import annotations

import numpy as np

from cosmokeras.common.errors import UserError
from cosmokeras.params.config import Config, parse
from cosmokeras.params.registry import COSMOLOGY, NUISANCES, PER_BIN, RANGES
from cosmokeras.simulators import lensing

WIDER = 0.02  # part of the range of a parameter that the table of theory reaches beyond the cosmologies
UNSHARED = (
    "baryons",
    "log_t_agn",
    "a_ia",
    "eta_ia",
)  # ours, whose meaning in other people's tables is not known


def spectrum(cfg: Config, theta: np.ndarray, k: np.ndarray) -> np.ndarray | None:
    """Auto spectra (n, bins, len(k)) at multipoles `k`, with the pixel window, of parameters theta (n, p).

    None of cosmologies beyond the ranges in which theory is trusted.
    """
    rows = [cfg.cosmology(row) for row in theta]
    names = [name for name in RANGES if name not in UNSHARED and name not in PER_BIN]
    values = {name: np.array([float(row[name]) for row in rows]) for name in names}
    free = [name for name, column in values.items() if np.ptp(column) > 0] or ["omega_m"]
    prior = {name: (_wider(values[name], name) if name in free else float(values[name][0])) for name in names}
    raw = cfg.model_dump(exclude={"root"})
    without = {"log_t_agn": None}  # of what is free but not in the table: 0, or none
    before = raw["prior"].items()
    raw["prior"] = {name: without.get(name, 0.0) if isinstance(one, tuple) else one for name, one in before} | prior
    raw["data"] |= {"kind": "lensing", "targets": None}
    raw["real"] |= {"source": "mock", "path": None, "mask": None, "truth": None, "observed": None, "missing": None}
    try:
        own = parse(raw, cfg.root, "files.columns")
    except UserError as error:
        print(f"no spectra of theory for these cosmologies: {error}", flush=True)
        return None
    return lensing.spectrum(own, np.stack([values[name] for name in own.parameter_names], axis=1), k)


def _wider(values: np.ndarray, name: str) -> tuple[float, float]:
    low, high = (COSMOLOGY | NUISANCES)[name]
    edge = WIDER * (np.ptp(values) or abs(values[0]))
    return max(low, float(values.min() - edge)), min(high, float(values.max() + edge))
