"""The block `catalogue` of a survey preset: where the columns of a shear catalogue are, and how it is calibrated.

A preset says what a catalogue holds, so that no survey needs code of its own. Names of columns are those of the files;
`NAME[i]` and `NAME[i,j]` are elements of a column of vectors or matrices, counted from 0.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, PositiveFloat, model_validator

from cosmokeras.redshifts.terms import Frozen

SHEARED = ("1p", "1m", "2p", "2m")  # selections under artificial shear of component 1 and 2, plus and minus
Pair = tuple[float, float]
Block = TypeVar("Block", bound=Frozen)


def _all_four(names: dict[str, str]) -> dict[str, str]:
    """One name for each selection under shear."""
    if set(names) != set(SHEARED):
        raise ValueError(f"needs all of {', '.join(SHEARED)}")
    return names


Sheared = Annotated[dict[Literal["1p", "1m", "2p", "2m"], str], AfterValidator(_all_four)]


def _several(value: object) -> object:
    """One file is a list of one; lists of YAML are tuples here."""
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def _both_or_none(block: Block, first: str, second: str) -> Block:
    """The block, in which two columns are given together or not at all."""
    if (getattr(block, first) is None) != (getattr(block, second) is None):
        raise ValueError(f"{first} and {second} go together")
    return block


class Cut(Frozen):
    """Rows that count: those whose `column` equals a number, or lies from `min` to below `max`."""

    column: str
    equals: float | None = None
    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.equals is None and self.min is None and self.max is None:
            raise ValueError("a cut needs equals, min or max")
        return self


class Bins(Frozen):
    """Tomographic bins: the `values` of a column in the order of the bins, or cuts at the `edges` of a photo-z column.

    Rows of other values are refused unless they are listed in `unused`; beyond the edges they are in no bin.
    """

    column: str
    values: tuple[float, ...] | None = None
    edges: tuple[float, ...] | None = None
    unused: tuple[float, ...] = ()

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.values is None) == (self.edges is None):
            raise ValueError("bins need either values, one for each bin, or edges, one more than bins")
        if self.edges is not None and (len(self.edges) < 2 or list(self.edges) != sorted(set(self.edges))):
            raise ValueError("edges must ascend, two or more")
        if self.values is not None and (not self.values or len(set(self.values)) < len(self.values)):
            raise ValueError("values must differ, one for each bin")
        return self

    @property
    def number(self) -> int:
        """How many bins there are."""
        return len(self.values) if self.values is not None else len(self.edges or ()) - 1


class Columns(Frozen):
    """Names of the columns in the files. Without `weight` all galaxies weigh alike.

    `sigma_m` is the measurement error of e per component, which the densities of Chang et al. (2013) need; `psf_e1`,
    `psf_e2` the ellipticity of the point-spread function, in the frame of e1, e2.
    """

    ra: str
    dec: str
    e1: str
    e2: str
    weight: str | None = None
    sigma_m: str | None = None
    psf_e1: str | None = None
    psf_e2: str | None = None

    @model_validator(mode="after")
    def _psf_is_a_pair(self) -> Self:
        return _both_or_none(self, "psf_e1", "psf_e2")


class Plain(Frozen):
    """Columns hold shear: nothing is done."""

    method: Literal["none"]
    subtract_mean: bool = False


class Metacal(Frozen):
    """Responses of each galaxy and, if the selections under shear are given, that of the selection.

    `selected` names, for each of 1p, 1m, 2p, 2m, the column of bins under that shear, with the values or edges of
    `bins`; `weights` those of the weights there, where they differ. `step` is the artificial shear.
    """

    method: Literal["metacal"]
    r11: str
    r22: str
    selected: Sheared | None = None
    weights: Sheared | None = None
    step: PositiveFloat = 0.01
    subtract_mean: bool = True

    @model_validator(mode="after")
    def _weights_of_selections(self) -> Self:
        if self.weights is not None and self.selected is None:
            raise ValueError("weights under shear go with selected")
        return self


class Metadetect(Frozen):
    """Galaxies detected on sheared images: `sheared` names the table of each of 1p, 1m, 2p, 2m in the same files.

    They have the columns of `table`, which is that of the images without artificial shear.
    """

    method: Literal["metadetect"]
    sheared: Sheared
    step: PositiveFloat = 0.01
    subtract_mean: bool = True


class Lensfit(Frozen):
    """Multiplicative and additive bias of each bin; `c` is null for the measured mean of the bin."""

    method: Literal["lensfit"]
    m: tuple[float, ...]
    c: tuple[Pair, ...] | None = None


class Regauss(Frozen):
    """Distortions with their intrinsic rms, and biases `m`, `c1`, `c2` of each galaxy, in columns."""

    method: Literal["regauss"]
    e_rms: str
    m: str | None = None
    c1: str | None = None
    c2: str | None = None
    subtract_mean: bool = False

    @model_validator(mode="after")
    def _c_is_a_pair(self) -> Self:
        return _both_or_none(self, "c1", "c2")


class Anacal(Frozen):
    """Analytic responses: `r11`, `r22` are d e_i / d gamma_i, `w1`, `w2` are d weight / d gamma_i, if weights react."""

    method: Literal["anacal"]
    r11: str
    r22: str
    w1: str | None = None
    w2: str | None = None
    subtract_mean: bool = False

    @model_validator(mode="after")
    def _w_is_a_pair(self) -> Self:
        return _both_or_none(self, "w1", "w2")


Calibration = Annotated[Plain | Metacal | Metadetect | Lensfit | Regauss | Anacal, Field(discriminator="method")]
Units = Literal["deg", "rad", "hours"]  # hours: of right ascension alone


class Catalogue(Frozen):
    """Where a shear catalogue is and what its columns mean.

    `files` are names, patterns or, where each column is a FITS image of its own, a mapping of column to file; relative
    to the folder of params.yaml, or names of the manifest. `real.path` goes before them. `table` is the name of a FITS
    extension or of an HDF5 group. `signs` bring (e1, e2) to x = east and y = north: [1, 1] where they are so, [1, -1]
    where x is to the west (north up, east left). `psf_leakage`: alpha of each bin in e = g + alpha e_psf, or
    `measured`. `rotations` and `seed` are of the galaxies that are turned at random for null tests.
    """

    files: Annotated[tuple[str, ...] | dict[str, str] | None, BeforeValidator(_several)] = None
    table: str | None = None
    columns: Columns
    units: Units = "deg"
    signs: tuple[Literal[1, -1], Literal[1, -1]]
    bins: Bins | None = None
    select: tuple[Cut, ...] = ()
    calibration: Calibration
    psf_leakage: tuple[float, ...] | Literal["measured"] | None = None
    rotations: int = Field(default=4, ge=2, le=1000)
    seed: int = Field(default=0, ge=0)

    @property
    def number(self) -> int:
        """How many tomographic bins there are."""
        return 1 if self.bins is None else self.bins.number

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.psf_leakage is not None and self.columns.psf_e1 is None:
            raise ValueError("psf_leakage needs the columns psf_e1 and psf_e2")
        given: dict[str, Any] = {"psf_leakage": self.psf_leakage}
        if isinstance(self.calibration, Lensfit):
            given |= {"calibration.m": self.calibration.m, "calibration.c": self.calibration.c}
        for name, one in given.items():
            if isinstance(one, tuple) and len(one) != self.number:
                raise ValueError(f"{name} has {len(one)} values for {self.number} bins")
        if isinstance(self.calibration, Metacal) and self.calibration.selected and self.bins is None:
            raise ValueError("calibration.selected names columns of bins: bins must be given")
        return self

    def column_names(self) -> list[str]:
        """All columns that are read, each once."""
        own = [name for name in self.columns.model_dump().values() if name is not None]
        own += [cut.column for cut in self.select] + ([self.bins.column] if self.bins else [])
        for value in self.calibration.model_dump(exclude={"method", "sheared"}).values():
            if isinstance(value, dict):
                own += value.values()
            elif isinstance(value, str):
                own.append(value)
        return list(dict.fromkeys(own))
