"""Survey presets: redshift distributions, depth, noise, pixel and mask of a weak-lensing survey, read from YAML.

A preset is data, not code: a new survey is one file `data/surveys/NAME.yaml`.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt, ValidationError, model_validator

from cosmokeras.common import yaml12
from cosmokeras.common.errors import UserError
from cosmokeras.common.files import in_temporary_run
from cosmokeras.params.catalogue import Catalogue
from cosmokeras.redshifts import integrals
from cosmokeras.redshifts.terms import Bin, Frozen, Integrals
from cosmokeras.sky.pixels import full_lmax, healpix_side
from cosmokeras.sky.spherical_ks import highest_lmax

SURVEY_FOLDER = Path("data/surveys")
# Part of n(z) that may lie outside of 0 < z < z_max, or be shifted out of it. A choice: with less than half of its
# galaxies a bin is no longer the one that n_eff and sigma_e describe.
MAX_OUTSIDE = 0.5
# Part of n(z) beyond z_max that is warned of. Presets have 0.4 % at most, `1 - load_survey(name).n_z_inside()[0]`.
WARN_OUTSIDE = 0.03
# Least mean redshift of a bin: 13 steps of the grid in z that distances are tabulated on (`Background.z`, z_max / 2000
# = 0.0015 for z_max = 3); a nearer bin would not be resolved.
MIN_MEAN_Z = 0.02

Mean = Literal["kept", "removed_field", "removed_patch"]
Pixels = Literal["centres", "kappa", "shear", "cut"]


def _ordered(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    west, east, south, north = box
    if not (west < east <= west + 360 and -90 <= south < north <= 90):
        msg = "must be RA min, max, Dec min, max [deg], each min below its max"
        raise ValueError(msg)
    return box


Box = Annotated[tuple[float, float, float, float], AfterValidator(_ordered)]


class Survey(Frozen):
    """Everything the simulator needs to know about a survey.

    `made_from` says how its real maps are made, so that simulated maps are made alike: `healpix` for patches cut
    out of a HEALPix map of `nside` (pixel averages, then nearest-pixel averages on the flat grid), `shear` for a
    catalogue binned on the flat grid and turned into convergence by Kaiser & Squires (1993, ApJ 404, 441), `flat` for
    convergence averaged in flat pixels with white noise in each, as flat simulations are published. HEALPix maps that
    were made of shear by Kaiser-Squires on the sphere end at the multipole `lmax`, with their noise; without one their
    noise is white from pixel to pixel. Simulations on the plane take any `lmax` up to 3 nside - 1 and have no errors of
    HEALPix transforms; published maps of more than 2.5 nside have (13 % in kappa_E at 3 nside - 1), and none such are
    made here. HEALPix pixels look different at each latitude: `sky` says in boxes where the survey lies.

    Shear does not determine the mean of the convergence. `inversion` says what a catalogue's shear is inverted in: each
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
    z_max: float = Field(default=3.0, gt=0, le=20)
    inversion: Literal["patch", "field"] = "patch"
    mean: Mean = "kept"
    field_deg: PositiveFloat | None = None
    catalogue: Catalogue | None = None  # where its galaxies are, for real.source: catalogue
    bins: list[Bin] = Field(min_length=1)

    @model_validator(mode="after")
    def _of_healpix(self) -> Self:
        if self.made_from == "healpix" and self.nside is None:
            msg = "made_from healpix needs the nside of the maps that patches are cut out of"
            raise ValueError(msg)
        if self.lmax is not None and (self.nside is None or not self.nside <= self.lmax <= full_lmax(self.nside)):
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

        `shift`, one for all bins or (bins,), moves them: n(z - shift), cut off at z = 0 and z_max. The integral is
        exact, whatever the width. Sums over a grid may miss a narrow distribution: take `n_z_weights` for those.
        """
        z = np.asarray(z, dtype=float)
        out = np.empty((len(self.bins), len(z)))
        for i, s in enumerate(self._shifts(shift)):
            inside = (z >= max(0.0, s)) & (z <= self.z_max)
            density = sum(term(np.maximum(z - s, 0.0)) for term in self.bins[i].n_z)
            out[i] = np.where(inside, density, 0.0) / self._norm(i, s)
        return out

    def n_z_weights(self, z: np.ndarray, shift: np.ndarray | float = 0.0) -> np.ndarray:
        """What turns integrals over `n_z` into sums over ascending nodes `z`, shape (bins, len(z)).

        sum_i weight_i f(z_i) is int f n dz, exact for any f that is straight between the nodes: the weights are the
        integrals of n(z) times the hat functions of the nodes. They add up to 1 if the nodes reach from 0 to z_max.
        """
        z = np.asarray(z, dtype=float)
        out = np.empty((len(self.bins), len(z)))
        for i, s in enumerate(self._shifts(shift)):
            out[i] = integrals.hat_weights(z, *self._integrals(i, z, s)) / self._norm(i, s)
        return out

    def n_z_on(self, z: np.ndarray) -> np.ndarray:
        """n(z) averaged over the hat functions of ascending nodes `z`, (bins, len(z)): for sums by the trapezium rule.

        Such a sum of n(z) times any function that is straight between the nodes is exact, however narrow n(z) is.
        """
        step = np.diff(z)
        return self.n_z_weights(z) * 2 / (np.append(step, 0.0) + np.insert(step, 0, 0.0))

    def n_z_nodes(self, grid: np.ndarray, shift: np.ndarray | float = 0.0) -> np.ndarray:
        """Redshifts (n,), in no order, that `n_z` has to be sampled at besides those of an ascending `grid`."""
        moved = [s + term.nodes(grid) for i, s in enumerate(self._shifts(shift)) for term in self.bins[i].n_z]
        z = np.concatenate(moved)
        return z[(z > 0) & (z < self.z_max)]

    def n_z_inside(self, shift: np.ndarray | float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """What of n(z) above z = 0 lies between 0 and z_max after a shift, and the mean redshift of that, (bins,) each.

        Parts are those of the mass above z = 0 without a shift.
        """
        inside = [self._inside(i, s) for i, s in enumerate(self._shifts(shift))]
        part = [mass / self._whole(i)[1] for i, (mass, _) in enumerate(inside)]
        return np.array(part), np.array([moment / mass if mass > 0 else 0.0 for mass, moment in inside])

    def _shifts(self, shift: np.ndarray | float) -> list[float]:
        return [float(s) for s in np.broadcast_to(shift, len(self.bins))]

    def _integrals(self, number: int, z: ArrayLike, shift: float) -> Integrals:
        """Mass and moment up to `z` of a bin's n(z - shift), cut off at z = 0 and z_max."""
        low = max(0.0, shift)
        limits = np.clip(z, low, max(low, self.z_max)) - shift
        terms = np.array([term.integrals(limits) for term in self.bins[number].n_z])
        mass, moment = terms.sum(axis=0)
        return mass, moment + shift * mass

    def _inside(self, number: int, shift: float) -> tuple[float, float]:
        """Mass and moment of a bin's n(z - shift) between 0 and z_max."""
        mass, moment = (one[1] - one[0] for one in self._integrals(number, np.array([0.0, self.z_max]), shift))
        return float(mass), float(moment)

    def _norm(self, number: int, shift: float) -> float:
        """Mass of a bin's n(z - shift) between 0 and z_max; refused where it is none."""
        mass = self._inside(number, shift)[0]
        if not mass > 1e-6 * self._whole(number)[0]:
            moved = f" moved by {shift:g}" if shift else ""
            where = f"survey {self.name}: bins.{number}.n_z{moved}"
            raise UserError(f"{where}: nothing of it lies in 0 < z < z_max={self.z_max:g}; give redshifts of sources")
        return mass

    def _whole(self, number: int) -> tuple[float, float]:
        """Mass of a bin's n(z) at all z, and at z > 0."""
        masses = [term.integrals(np.array([0.0, np.inf]))[0] for term in self.bins[number].n_z]
        zero, infinity = np.sum(masses, axis=0)
        return float(infinity), float(infinity - zero)

    def check_n_z(self) -> list[str]:
        """Refuse redshift distributions that cannot be right; lines about those that may be wrong."""
        lines = []
        for i in range(len(self.bins)):
            where = f"survey {self.name}: bins.{i}.n_z"
            whole, above = self._whole(i)
            if above < 0.1 * whole:
                raise UserError(f"{where}: {above / whole:.0%} of n(z) lies above z = 0; give redshifts of sources")
            part, mean = (float(one[i]) for one in self.n_z_inside())
            beyond = 1 - part
            if beyond > MAX_OUTSIDE:
                raise UserError(f"{where}: {beyond:.0%} of n(z) lies beyond z_max={self.z_max:g}; set a higher z_max")
            if mean < MIN_MEAN_Z:
                raise UserError(f"{where}: mean redshift {mean:.2g}; sources nearer than {MIN_MEAN_Z} are not allowed")
            if beyond > WARN_OUTSIDE:
                lines.append(f"{where}: {beyond:.1%} of n(z) lies beyond z_max={self.z_max:g} and is left out")
        return lines

    @property
    def healpix_nside(self) -> int:
        """NSIDE of the maps that patches are cut out of; refused where the preset has none."""
        if self.nside is None:
            raise UserError(f"survey {self.name}: nside is missing; patches are cut out of HEALPix maps of it")
        return self.nside

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
        if self.lmax is None or self.lmax <= full_lmax(nside):
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
        available = ", ".join(sorted(p.stem for p in folder.glob("*.yaml"))) or "none (run `dvc pull data.dvc`)"
        track = (
            "; in a run with --temp or --queue a new one must be tracked: `dvc add data`" if in_temporary_run() else ""
        )
        raise UserError(f"lensing.survey: no preset {name!r} in {folder}; known: {available}{track}")
    try:
        raw = yaml12.read(path)
        for one in raw["bins"]:
            for term in one["n_z"]:
                if term.get("kind") == "table":
                    term["folder"] = str(folder)
        survey = Survey.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{path}: {where}: {first['msg']} (got {first['input']!r})") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not a survey preset ({error!r}); see data/surveys/des_y3.yaml for one") from None
    for line in survey.check_n_z():
        _warn_once(f"{path}: {line}")
    return survey


@cache
def _warn_once(line: str) -> None:
    """A line on stderr, once in a process: presets are read often."""
    print(f"WARNING: {line}", file=sys.stderr, flush=True)
