"""Small patches of four DES Y3 bins through matter of several kinds: parameters of maps and networks for studies.

Patches of 32 pixels of 10 arcmin are as wide as those of the default and have a quarter of its pixels: boxes of
`lensing.pm=coarse`, which are for pixels of 8 arcmin or more, take less than a core-second a cosmology.
"""

from __future__ import annotations

from typing import Any

from cosmokeras.params.config import Config
from cosmokeras.project import load_params
from study import domain_gap
from study.setting import ROOT

PATCH = {
    **domain_gap.SMALL, "data.kind": "lensing", "data.size": 32, "lensing.survey": "des_y3",
    "lensing.pixel_arcmin": 10.0, "lensing.smoothing_arcmin": None, "lensing.mean": None, "lensing.mask": "survey",
    "lensing.shell_mpc_h": 100.0, "lensing.third_moment": "shift", "lensing.matter": "lognormal",
    "lensing.pm": "coarse", "model.name": "hybrid", "model.spectrum_bins": 8, "evaluate.spectrum_bins": 8,
}  # fmt: skip
# What costs is a pair of boxes, of which further maps are had for little
BOXES = {
    "lensing.matter": "pm", "data.n_cosmologies": 300, "data.realisations": 8, "data.validation": 60, "data.test": 100,
}  # fmt: skip
PATCHES: dict[str, dict[str, Any]] = {
    "lognormal": {**PATCH, "data.n_cosmologies": 2500},
    "bihalofit": {**PATCH, "data.n_cosmologies": 2500, "lensing.third_moment": "bihalofit"},
    "pm": {**PATCH, **BOXES},
}


def config(name: str, effort: domain_gap.Effort, overrides: dict[str, Any] | None = None) -> Config:
    """Parameters of patches through matter of a kind, one of PATCHES."""
    changes = {**domain_gap.COMMON, **PATCHES[name], **(overrides or {}), **effort.overrides}
    return load_params(ROOT / "params.yaml", changes)
