"""Terms that redshift distributions are sums of, as presets give them, each with its exact integrals."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveFloat
from scipy.special import ndtr

from cosmokeras.redshifts import integrals
from cosmokeras.redshifts.table import ZIs, read_table

EDGE = 1e-6  # in z: distance of the node beside a jump of n(z)


class Frozen(BaseModel):
    """A part of a preset: unknown fields and numbers that are not finite are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Weight = Annotated[float, Field(gt=0, le=1e9)]
Integrals = tuple[np.ndarray, np.ndarray]  # mass and moment of n(z) up to redshifts, see cosmokeras.redshifts.integrals


class Gaussian(Frozen):
    """n(z) = weight * N(z; mean, sigma), truncated at z = 0."""

    kind: Literal["gaussian"]
    weight: Weight
    mean: float = Field(ge=-100, le=100)
    sigma: float = Field(ge=1e-5, le=100)

    def __call__(self, z: np.ndarray) -> np.ndarray:
        """Density at redshifts `z`."""
        return self.weight * integrals.gaussian(z, self.mean, self.sigma)

    def integrals(self, z: np.ndarray) -> Integrals:
        """Mass and moment up to `z`."""
        mass, moment = integrals.gaussian_integrals(z, self.mean, self.sigma)
        return self.weight * mass, self.weight * moment

    def nodes(self, grid: np.ndarray) -> np.ndarray:
        """Redshifts that it has to be sampled at, where an ascending `grid` is too coarse for it."""
        narrow = self.sigma < 2 * integrals.step_at(grid, self.mean)
        return self.mean + self.sigma * integrals.SIGMAS if narrow else np.empty(0)


class Smail(Frozen):
    """n(z) = weight * z^alpha exp(-(z / z0)^beta), normalised (Smail, Ellis & Fitchett 1994, MNRAS 270, 245)."""

    kind: Literal["smail"]
    weight: Weight
    alpha: float = Field(ge=0, le=100)
    beta: float = Field(ge=0.1, le=100)
    z0: float = Field(ge=1e-6, le=100)

    def __call__(self, z: np.ndarray) -> np.ndarray:
        """Density at redshifts `z`."""
        return self.weight * integrals.smail(z, self.alpha, self.beta, self.z0)

    def integrals(self, z: np.ndarray) -> Integrals:
        """Mass and moment up to `z`."""
        mass, moment = integrals.smail_integrals(z, self.alpha, self.beta, self.z0)
        return self.weight * mass, self.weight * moment

    def nodes(self, grid: np.ndarray) -> np.ndarray:
        """Redshifts that it has to be sampled at, where an ascending `grid` is too coarse for it."""
        quantiles = integrals.smail_quantiles(ndtr(integrals.SIGMAS), self.alpha, self.beta, self.z0)
        low, high = np.interp([-1.0, 1.0], integrals.SIGMAS, quantiles)
        return quantiles if high - low < 4 * integrals.step_at(grid, high) else np.empty(0)


def _below(name: str) -> str:
    """A file of the preset's folder: a trained model takes it along, to the same place in its own folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.name or "\0" in name:
        msg = "must be a file in the folder of the preset, or below it: put it there"
        raise ValueError(msg)
    return name


class Table(Frozen):
    """n(z) from a text file's columns `z_column` and `n_column`, counted from 0; the path is relative to the preset.

    `z_is` says what the column of redshifts holds, `centre` of each step or its `low_edge`. n(z) is straight from row
    to row and 0 beyond the first and the last. The column counts as it stands, times `weight`.
    """

    kind: Literal["table"]
    file: Annotated[str, AfterValidator(_below)]
    z_column: int = Field(default=0, ge=0)
    n_column: int = Field(default=1, ge=0)
    z_is: ZIs = "centre"
    weight: Weight = 1.0
    folder: str = "."

    def read(self) -> np.ndarray:
        """Redshifts and n(z), (2, rows); a UserError of one line where the file is none to rely on."""
        return read_table(Path(self.folder) / self.file, self.z_column, self.n_column, self.z_is)

    def __call__(self, z: np.ndarray) -> np.ndarray:
        """Density at redshifts `z`."""
        nodes, n_z = self.read()
        return self.weight * np.interp(z, nodes, n_z, left=0.0, right=0.0)

    def integrals(self, z: np.ndarray) -> Integrals:
        """Mass and moment up to `z`."""
        mass, moment = integrals.table_integrals(z, *self.read())
        return self.weight * mass, self.weight * moment

    def nodes(self, grid: np.ndarray) -> np.ndarray:
        """Redshifts that it has to be sampled at: its rows, between them if they are few, and beside its ends."""
        z = self.read()[0]
        between = np.linspace(z[:-1], z[1:], 8, endpoint=False).ravel() if len(z) < 50 else z
        return np.concatenate([[z[0] - EDGE], between, z[-1:], [z[-1] + EDGE]])


Term = Annotated[Gaussian | Smail | Table, Field(discriminator="kind")]


class Bin(Frozen):
    """One tomographic bin."""

    n_eff: PositiveFloat  # effective number density [1 / arcmin^2]
    sigma_e: PositiveFloat  # ellipticity dispersion per component
    n_z: list[Term] = Field(min_length=1)
