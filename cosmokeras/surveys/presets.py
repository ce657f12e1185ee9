"""Survey presets: redshift distributions, depth, noise, pixel and mask of a weak-lensing survey, read from YAML.

A preset is data, not code: a new survey is one file `data/surveys/NAME.yaml`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from cosmokeras import yaml12
from cosmokeras.errors import UserError
from cosmokeras.files import in_temporary_run
from cosmokeras.pixels import healpix_side
from cosmokeras.surveys.spherical_ks import highest_lmax

SURVEY_FOLDER = Path("data/surveys")

Mean = Literal["kept", "removed_field", "removed_patch"]
Pixels = Literal["centres", "kappa", "shear", "cut"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Gaussian(_Frozen):
    """n(z) = weight * N(z; mean, sigma), truncated at z = 0."""

    kind: Literal["gaussian"]
    weight: PositiveFloat
    mean: float
    sigma: PositiveFloat

    def __call__(self, z: np.ndarray) -> np.ndarray:
        """Density at redshifts `z`."""
        return self.weight * np.exp(-0.5 * ((z - self.mean) / self.sigma) ** 2) / (self.sigma * np.sqrt(2 * np.pi))


class Smail(_Frozen):
    """n(z) = weight * z^alpha exp(-(z / z0)^beta), normalised (Smail, Ellis & Fitchett 1994, MNRAS 270, 245)."""

    kind: Literal["smail"]
    weight: PositiveFloat
    alpha: float
    beta: PositiveFloat
    z0: PositiveFloat

    def __call__(self, z: np.ndarray) -> np.ndarray:
        """Density at redshifts `z`."""
        from scipy.special import gamma

        norm = self.z0 ** (self.alpha + 1) * gamma((self.alpha + 1) / self.beta) / self.beta
        return self.weight * z**self.alpha * np.exp(-((z / self.z0) ** self.beta)) / norm


class Table(_Frozen):
    """n(z) from a text file's columns `z_column` and `n_column`, counted from 0; the path is relative to the preset."""

    kind: Literal["table"]
    file: str
    z_column: int = 0
    n_column: int = 1
    weight: PositiveFloat = 1.0
    folder: str = "."

    def __call__(self, z: np.ndarray) -> np.ndarray:
        """Density at redshifts `z`."""
        path = Path(self.folder) / self.file
        try:
            columns = np.atleast_2d(np.loadtxt(path))
        except OSError:
            raise UserError(f"n(z) table {path} is missing; name an existing text file in the survey preset") from None
        if max(self.z_column, self.n_column) >= columns.shape[1]:
            msg = (
                f"n(z) table {path} has {columns.shape[1]} columns, but column {max(self.z_column, self.n_column)} "
                "(counted from 0) was asked for; the survey has more bins than the table has n(z) columns"
            )
            raise UserError(msg)
        return self.weight * np.interp(z, columns[:, self.z_column], columns[:, self.n_column], left=0.0, right=0.0)


Term = Annotated[Gaussian | Smail | Table, Field(discriminator="kind")]


class Bin(_Frozen):
    """One tomographic bin."""

    n_eff: PositiveFloat  # effective number density [1 / arcmin^2]
    sigma_e: PositiveFloat  # ellipticity dispersion per component
    n_z: list[Term] = Field(min_length=1)


def _ordered(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    west, east, south, north = box
    if not (west < east <= west + 360 and -90 <= south < north <= 90):
        msg = "must be RA from, to, Dec from, to [deg], each from below to"
        raise ValueError(msg)
    return box


Box = Annotated[tuple[float, float, float, float], AfterValidator(_ordered)]


class Survey(_Frozen):
    """Everything the simulator must know of a survey.

    `made_from` says how its real maps come about, so that simulated maps take the same road: `healpix` for patches cut
    out of a HEALPix map of `nside` (pixel averages, then nearest-pixel averages on the flat grid), `shear` for a
    catalogue binned on the flat grid and turned into convergence by Kaiser & Squires (1993, ApJ 404, 441), `flat` for
    convergence averaged in flat pixels with white noise in each, as flat simulations are published. HEALPix maps that
    were made of shear by Kaiser-Squires on the sphere end at the multipole `lmax`, with their noise; without one their
    noise is white from pixel to pixel. Simulations on the plane take any `lmax` up to 3 nside - 1 and have no errors of
    HEALPix transforms; published maps of more than 2.5 nside have (13 % in kappa_E at 3 nside - 1), and none such are
    made here. HEALPix pixels look different at each latitude: `sky` says in boxes where the survey lies.

    Shear does not tell the mean of the convergence. `inversion` says what a catalogue's shear is inverted in: each
    `patch` by itself, or a whole `field` that patches are cut out of. `mean` says what maps are without: nothing
    (`kept`, as simulations are, and patches of a sky that was inverted as a whole), the mean of a square field of side
    `field_deg` (`removed_field`), or each patch's own (`removed_patch`).
    """

    name: str
    title: str
    citation: str
    pixel_arcmin: PositiveFloat
    smoothing_arcmin: float = Field(default=0.0, ge=0.0)  # Gaussian sigma
    made_from: Literal["healpix", "shear", "flat"]
    nside: PositiveInt | None = None
    lmax: PositiveInt | None = None
    mask: str | None = None  # .npy of (n, size, size) coverage fractions, relative to the preset's folder
    mock: str | None = None  # a simulated sky of other code, relative to the preset's folder
    sky: tuple[Box, ...] = Field(default=((0.0, 360.0, -90.0, 90.0),), min_length=1)  # roughly the footprint
    z_max: PositiveFloat = 3.0
    inversion: Literal["patch", "field"] = "patch"
    mean: Mean = "kept"
    field_deg: PositiveFloat | None = None
    bins: list[Bin] = Field(min_length=1)

    @model_validator(mode="after")
    def _of_healpix(self) -> Self:
        if self.made_from == "healpix" and self.nside is None:
            msg = "made_from healpix needs the nside of the maps that patches are cut out of"
            raise ValueError(msg)
        if self.lmax is not None and (self.nside is None or not self.nside <= self.lmax < 3 * self.nside):
            msg = f"lmax {self.lmax} must be from nside to 3 nside - 1, and nside is {self.nside}"
            raise ValueError(msg)
        if self.mean == "removed_field" and self.field_deg is None:
            msg = "mean removed_field needs field_deg, the side [deg] of the field"
            raise ValueError(msg)
        if self.inversion == "field" and self.made_from != "shear":
            msg = f"inversion field goes with made_from shear, which is {self.made_from}"
            raise ValueError(msg)
        return self

    @property
    def pixels(self) -> Pixels:
        """What pixels show: the field in their centres (up to lmax), or averages of it."""
        if self.made_from == "healpix":
            return "cut" if self.lmax is None else "centres"
        return "shear" if self.made_from == "shear" else "kappa"

    def n_z(self, z: np.ndarray, shift: np.ndarray | float = 0.0) -> np.ndarray:
        """Redshift distributions at `z`, shape (bins, len(z)), each with unit integral over 0 < z < z_max.

        `shift`, one for all bins or (bins,), moves them: n(z - shift), cut off at z = 0 and z_max.
        """
        z = np.asarray(z, dtype=float)
        fine = np.linspace(0.0, self.z_max, 3001)
        shifts = np.broadcast_to(shift, len(self.bins))
        return np.array([self._density(i, z, s) for i, s in enumerate(shifts)]) / [
            [np.trapezoid(self._density(i, fine, s), fine)] for i, s in enumerate(shifts)
        ]

    def _density(self, number: int, z: np.ndarray, shift: float) -> np.ndarray:
        inside = (z >= 0) & (z <= self.z_max) & (z >= shift)
        places = np.maximum(z - shift, 0.0)
        return np.where(inside, sum(term(places) for term in self.bins[number].n_z), 0.0)

    @property
    def n_eff(self) -> np.ndarray:
        """Effective source densities [1 / arcmin^2], one per bin."""
        return np.array([b.n_eff for b in self.bins])

    @property
    def sigma_e(self) -> np.ndarray:
        """Ellipticity dispersions per component, one per bin."""
        return np.array([b.sigma_e for b in self.bins])

    def healpix_noise(self, nside: int) -> np.ndarray:
        """Shape noise of a HEALPix pixel, sigma_e / sqrt(n_eff A_pix), one per bin; per component of the shear."""
        area = (healpix_side(nside) * 180 * 60 / np.pi) ** 2  # [arcmin^2]
        return self.sigma_e / np.sqrt(self.n_eff * area)

    def lmax_at(self, nside: int) -> int | None:
        """The survey's `lmax`; on coarser maps, that cannot hold it, what Kaiser-Squires inverts; None without one.

        Our own inversions go up to 2.5 nside, see `spherical_ks`; published maps may have another lmax.
        """
        if self.lmax is None or self.lmax < 3 * nside:
            return self.lmax
        return highest_lmax(nside)

    def kappa_noise(self, nside: int) -> np.ndarray:
        """Noise of a HEALPix pixel of the convergence: of its (lmax + 1)^2 modes, out of 12 nside^2, one per bin."""
        lmax = self.lmax_at(nside)
        kept = 1.0 if lmax is None else (lmax + 1) ** 2 / (12 * nside**2)
        return self.healpix_noise(nside) * np.sqrt(kept)


def load_survey(name: str, folder: Path | str = SURVEY_FOLDER) -> Survey:
    """Read and check the preset `name` in `folder`."""
    folder = Path(folder)
    path = folder / f"{name}.yaml"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.yaml"))) or "none (run `dvc pull data.dvc`)"
        track = (
            "; in a run with --temp or --queue a new one must be tracked: `dvc add data`" if in_temporary_run() else ""
        )
        raise UserError(f"lensing.survey: no preset {name!r} in {folder}; known: {known}{track}")
    try:
        raw = yaml12.read(path)
        for one in raw["bins"]:
            for term in one["n_z"]:
                if term.get("kind") == "table":
                    term["folder"] = str(folder)
        return Survey.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{path}: {where}: {first['msg']} (got {first['input']!r})") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not a survey preset ({error!r}); see data/surveys/des_y3.yaml for one") from None
