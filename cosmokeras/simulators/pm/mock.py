"""The mock sky of `real.mock: pm`: N-body matter, with the noise and the footprint of the lognormal mock.

It is made once, in minutes, and kept in the work folder. Its cosmology is that of the lognormal mock, its power that of
halofit, whatever `theory` says; waves and noise have seeds of their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from tqdm import tqdm

from cosmokeras.common.code import code_fingerprint
from cosmokeras.common.files import locked, sha256_of, work_folder
from cosmokeras.common.sealed import read_arrays, write_arrays
from cosmokeras.params.config import Config, fingerprint, parse
from cosmokeras.simulators.pm.sky import full_sky
from cosmokeras.simulators.sphere import FIDUCIAL, add_noise

SEED = 20261
WORDS = "A SIMULATION, not an observation: particle-mesh N-body boxes on shells, with shape noise and an invented mask"


def noisy_sky(cfg: Config, mask: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
    """Convergence (bins, 12 nside^2) float32, RING, 0 outside of the mask (12 nside^2,), with noise; and its truth.

    The survey is that of `cfg`.
    """
    own = of_the_mock(cfg)
    key = {"maps": own.simulation_key(), "seen": own.observation_key(), "mask": sha256_of(mask), "seed": SEED}
    folder = work_folder("mock", fingerprint({"code": code_fingerprint(__name__), **key}))
    out = np.zeros((len(own.survey.bins), len(mask)), np.float32)
    with locked(folder):
        kept = read_arrays(folder / "sky.npz")
        if kept is None:
            tqdm.write(f"real.mock=pm: making the sky, NSIDE {nside_of(mask)}; it is kept in {folder}")
            kept = {"seen": _made(own, mask)[:, mask]}
            write_arrays(folder / "sky.npz", kept)
    out[:, mask] = kept["seen"]
    return out, dict(FIDUCIAL)


def nside_of(mask: np.ndarray) -> int:
    """NSIDE of a map of 12 nside^2 pixels."""
    return round((len(mask) / 12) ** 0.5)


def of_the_mock(cfg: Config) -> Config:
    """Parameters of the mock sky: those of `cfg` with its cosmology, halofit and no nuisances; a_ia may be given."""
    raw: dict[str, Any] = cfg.model_dump(exclude={"root"})
    raw["prior"] = {**FIDUCIAL, "a_ia": (-1.0, 1.0)}  # one must be free
    raw["theory"] = {"nonlinear": "halofit"}
    raw["data"] |= {"kind": "lensing", "targets": None}
    raw["lensing"] |= {"matter": "lognormal", "third_moment": "shift"}
    raw["real"] |= {"source": "mock"}
    return parse(raw, cfg.root, "real.mock=pm")


def _made(own: Config, mask: np.ndarray) -> np.ndarray:
    waves, noise = (np.random.default_rng(seed) for seed in np.random.SeedSequence(SEED).spawn(2))
    return add_noise(full_sky(own, np.array([0.0]), nside_of(mask), waves), own.survey, mask, noise)
