"""Fixed nuisances of lensing and how well they are known: published widths, read from nuisances.yaml."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, PositiveFloat, TypeAdapter

from cosmokeras.common import yaml12
from cosmokeras.params.config import Config
from cosmokeras.params.registry import NUISANCES

FILE = Path(__file__).with_name("nuisances.yaml")
FREED_BY = "dvc exp run -n real $(cat experiments/nuisances.txt)"  # a run that has none of them


class Nuisance(BaseModel):
    """The `width` at which a nuisance is known, in units of params.yaml, and who says so."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    width: PositiveFloat
    citation: str


@cache
def nuisances() -> dict[str, Nuisance]:
    """All entries of nuisances.yaml, by name."""
    return {one.name: one for one in TypeAdapter(tuple[Nuisance, ...]).validate_python(yaml12.read(FILE))}


def fixed_nuisances(cfg: Config) -> tuple[str, ...]:
    """Nuisances that the maps depend on and that are fixed; eta_ia where there are alignments."""
    used = [name for name in NUISANCES if name in cfg.kind.parameters and (name != "eta_ia" or cfg.prior.a_ia != 0.0)]
    return tuple(name for name in used if isinstance(getattr(cfg.prior, name), float))


def steps(cfg: Config) -> dict[str, float]:
    """For each fixed nuisance its published width, or minus it where there is no room above."""
    out = {}
    for name in fixed_nuisances(cfg):
        width, most = nuisances()[name].width, NUISANCES[name][1]
        out[name] = width if getattr(cfg.prior, name) + width <= most else -width
    return out
