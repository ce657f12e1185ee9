"""What the parts of the physics check share: its parameters, how much work to do, and the figures that it notes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cosmokeras.params.config import Config
from cosmokeras.project import load_params
from study.requirements import required

ROOT = Path(__file__).parents[1]
OMEGA_M = (0.15, 0.3, 0.45)  # at which maps and spectra are shown
MIDDLE = 0.3
# Everything that the figures depend on, whatever `params.yaml` says at the moment
STANDARD: dict[str, Any] = {
    "prior.omega_m": [0.1, 0.5], "prior.sigma8": 0.8, "prior.h": 0.7, "prior.omega_b": 0.05, "prior.n_s": 0.965,
    "prior.w0": -1.0, "prior.a_ia": 0.0, "prior.eta_ia": 0.0, "prior.m_bias": 0.0, "prior.delta_z": 0.0,
    "prior.m_nu": 0.0, "prior.baryons": 0.0, "prior.log_t_agn": None, "theory.nonlinear": "halofit",
    "data.size": 64, "data.targets": None, "grf.box_mpc_h": 256.0, "lpt.box_mpc_h": 1000.0,
    "lpt.particles": 128, "lpt.slab_mpc_h": 62.5, "lpt.redshift": 0.0, "lensing.survey": "des_y3",
    "lensing.pixel_arcmin": None, "lensing.shell_mpc_h": 100.0, "lensing.mask": "none", "real.source": "mock",
    "model.spectrum_bins": 8, "evaluate.spectrum_bins": 8,
}  # fmt: skip


ALL = 2**20  # a multipole that no grid reaches


def config(overrides: dict[str, Any]) -> Config:
    """Parameters of the check, whatever is in the project's `params.yaml`, with `overrides`."""
    return of_all_multipoles(load_params(ROOT / "params.yaml", STANDARD | overrides))


def of_all_multipoles(cfg: Config) -> Config:
    """The same for maps of pixel centres with all multipoles that a grid can hold, which theory is compared with."""
    if cfg.kind.observed == "survey":
        vars(cfg)["survey"] = cfg.survey.model_copy(update={"lmax": ALL})
    return cfg


@dataclass(frozen=True)
class Effort:
    """How much to compute: maps of a cosmology, cubes, and mesh points on a side of a cube."""

    maps: int
    cubes: int
    mesh: int


FULL, QUICK = Effort(400, 4, 128), Effort(40, 2, 64)


@dataclass
class Notes:
    """Figures of one part, for metrics/physics.json, what is required of them, and those that miss."""

    part: str
    found: dict[str, float] = field(default_factory=dict)
    bars: dict[str, str] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)

    def note(self, name: str, value: float, low: float | None = None, high: float | None = None) -> None:
        """Write down a figure and, if something is required of it, whether it is within."""
        self.found[name] = float(f"{round(float(value), 6):.4g}")
        if low is None or high is None:
            return
        self.bars[name] = f"{low:.4g} to {high:.4g}"
        if not required(f"{self.part}.{name}", value, low, high):
            self.missed.append(name)

    def summary(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {**self.found, "bars": self.bars, "missed": self.missed}
