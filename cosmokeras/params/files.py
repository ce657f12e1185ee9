"""The block `files` of `params.yaml`: a suite of simulated maps that the user has, and what its table says.

Here is what is asked for, and what follows from it alone; `cosmokeras.suites` reads the files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt

from cosmokeras.common import arguments
from cosmokeras.params.registry import COSMOLOGY, PER_BIN, RANGES, Kind
from cosmokeras.params.section import Number, Section

if TYPE_CHECKING:
    from cosmokeras.params.config import Config

AXES = ("cosmology", "realisation", "map", "depth", "y", "x", "bin", "pixel")
HELD = ("S8", "sigma8", "omega_m", "H0", "omega_b_h2", "1e9_A_s", "ln_1e10_A_s")  # what a column may hold instead
NAME = re.compile(r"[A-Za-z_]\w*")
Units = Literal[
    "kappa", "kappa_per_cent", "overdensity", "density_over_mean", "density", "log10_density", "arbitrary"
]  # fmt: skip
WORDS: dict[str, str] = {
    "kappa": r"convergence $\kappa$",
    "kappa_per_cent": r"convergence $\kappa$",
    "overdensity": "overdensity",
    "density_over_mean": "overdensity",
    "density": r"$\log_{10}$ density",
    "log10_density": r"$\log_{10}$ density",
    "arbitrary": "field (units of the files)",
}


class ColumnConfig(Section):
    """A parameter of the suite: which column of its table, its prior range, and how it is written.

    `holds`: the column is another quantity, from which this one follows, e.g. `sigma8: {column: 1, holds: S8}`.
    """

    column: str | int
    holds: str | None = None
    range: tuple[Number, Number] | None = None
    unit: str = ""
    label: str | None = None


def _short(given: Any) -> Any:
    """`omega_m: Om` for `omega_m: {column: Om}`."""
    if isinstance(given, str | int) and not isinstance(given, bool):
        return {"column": given}
    if isinstance(given, dict) and isinstance(given.get("range"), list):  # JSON has no tuples
        return given | {"range": tuple(given["range"])}
    return given


Column = Annotated[ColumnConfig, BeforeValidator(_short)]


class FilesConfig(Section):
    """Maps in files: see params.yaml."""

    maps: str | tuple[str, ...] | None = None
    bins: tuple[str, ...] | None = None
    parameters: str | None = None
    columns: dict[str, Column] = Field(default_factory=dict)
    layout: str | None = None
    units: Units = "kappa"
    pixel_arcmin: PositiveFloat | None = None
    box_mpc_h: PositiveFloat | None = None
    slabs: PositiveInt | None = None
    healpix: Literal["RING", "NESTED"] | None = None
    mask: str | None = None
    max_masked: Annotated[float, Field(ge=0, lt=1)] = 0.3
    group: str | tuple[str, ...] | None = None
    split: str | None = None
    fold: Annotated[int, Field(ge=0)] = 0
    prior: Literal["as_sampled", "uniform"] = "as_sampled"
    noise: Literal["survey", "none", "included"] = "survey"
    periodic: bool = False
    offset: Number = 0.0
    scale: PositiveFloat = 1.0
    channels: PositiveInt | None = None

    def __hash__(self) -> int:
        """Of what was given, columns among it."""
        return hash(self.model_dump_json())


def kind_of(kind: Kind, files: FilesConfig) -> Kind:
    """The entry of the registry as it is for these files: with a survey's noise and mask, or as they are stored."""
    observed: Literal["survey", "plain"] = "plain" if files.noise == "none" else "survey"
    return replace(kind, observed=observed, periodic=files.periodic, unit=WORDS[files.units])


def names(files: FilesConfig) -> tuple[str, ...]:
    """Parameters of the suite."""
    return tuple(files.columns)


def bounds(files: FilesConfig) -> np.ndarray:
    """Their ranges (p, 2), NaN where neither params.yaml nor the table has been asked."""
    unknown = (np.nan, np.nan)
    return np.array([unknown if one.range is None else one.range for one in files.columns.values()], float)


def shown(files: FilesConfig, name: str) -> str:
    """A parameter as people write it, with its unit."""
    one = files.columns[name]
    return (one.label or name) + (f" [{one.unit}]" if one.unit else "")


def pixel_side(config: Config) -> float:
    """Side of a pixel of maps without a survey: radians, Mpc/h, or 1 where neither is known."""
    files = config.files
    if files.box_mpc_h is not None:
        return files.box_mpc_h / config.data.size
    return 1.0 if files.pixel_arcmin is None else np.deg2rad(files.pixel_arcmin / 60)


def cosmology(config: Config, theta: np.ndarray) -> dict[str, Any]:
    """One row of parameters (p,), and those of `prior` that are fixed; see `Config.cosmology`."""
    columns = config.parameter_names
    row = dict(zip(columns, arguments.row_in_box("theta", theta, columns, config.bounds), strict=True))
    values: dict[str, Any] = {name: getattr(config.prior, name) for name in RANGES} | with_sigma8(row)
    return {name: np.full(config.channels, one) if name in PER_BIN else one for name, one in values.items()}


def with_sigma8(row: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters with what follows for sigma8 and omega_m from S8 = sigma8 sqrt(omega_m / 0.3).

    Examples
    --------
    >>> with_sigma8({"omega_m": 0.3, "S8": 0.8})
    {'omega_m': 0.3, 'S8': 0.8, 'sigma8': 0.8}
    """
    out = dict(row)
    if {"S8", "omega_m"} <= set(out) and "sigma8" not in out:
        out["sigma8"] = out["S8"] / (out["omega_m"] / 0.3) ** 0.5
    elif {"S8", "sigma8"} <= set(out) and "omega_m" not in out:
        out["omega_m"] = 0.3 * (out["S8"] / out["sigma8"]) ** 2
    return out


def theory_known(config: Config) -> bool:
    """Whether spectra of theory can be had: noise-free convergence of a survey, all of whose cosmology is known."""
    if not config.from_files or config.files.noise != "survey":
        return False
    known = with_sigma8(dict.fromkeys(config.parameter_names, 1.0))
    return all(name in known or not isinstance(getattr(config.prior, name), tuple) for name in COSMOLOGY)


def check(config: Config, fail: Callable[[str], None]) -> None:
    """Keys that are missing, or do not go together."""
    files = config.files
    if files.maps is None or files.maps == () or files.parameters is None:
        key = "parameters" if files.maps else "maps"
        fail(f"files.{key}=null: data.kind=files needs it: a file, a list of files or a pattern like maps_*.npy")
    if not files.columns:
        fail("files.columns={}: names no parameter; give e.g. {omega_m: Om} or {omega_m: 0}, name and column")
    _check_columns(files, fail)
    if files.layout is not None and (wrong := [one for one in files.layout.split() if one not in AXES]):
        fail(f"files.layout={files.layout!r}: {wrong[0]!r} is no axis; axes are {', '.join(AXES)}, separated by spaces")
    if files.pixel_arcmin is not None and files.box_mpc_h is not None:
        fail("files.box_mpc_h: maps have a side [Mpc/h] or a pixel [arcmin]; set it or files.pixel_arcmin to null")
    if files.noise != "none":
        if files.pixel_arcmin is None and files.healpix is None:
            fail(
                f"files.pixel_arcmin=null: with files.noise={files.noise} it is needed, the pixel side of the maps "
                "[arcmin]; maps without a survey have files.noise=none"
            )
        if not files.units.startswith("kappa"):
            fail(
                f"files.units={files.units}: a survey's noise is that of convergence; "
                "set files.noise=none, or files.units"
            )
        if files.periodic:
            fail(f"files.periodic=true: maps of a survey have edges; set it to false, or files.noise={files.noise}")
        if (files.offset, files.scale) != (0.0, 1.0):
            fail("files.scale: maps of a survey are in units of its noise; leave files.offset at 0 and scale at 1")
    elif files.mask is not None:
        fail(f"files.mask={files.mask}: maps with files.noise=none have no mask; set it to null")
    if files.mask is not None and not files.mask.endswith(".npy"):
        fail(f"files.mask={files.mask}: must be an .npy file of (y, x), 1 where observed; save it with numpy.save")
    if files.mask is not None and config.lensing.mask not in ("survey", "none"):
        fail(f"lensing.mask={config.lensing.mask}: files.mask is the mask of each map; set one of the two to null")
    if files.split is not None and files.fold:
        fail(f"files.fold={files.fold}: files.split={files.split} says what is tested; set one of them to null or 0")
    if files.healpix is not None and files.noise == "none":
        fail("files.healpix: full-sky maps are cut into patches of a survey; set files.noise to survey or included")
    if files.healpix is not None and (files.mask is not None or files.pixel_arcmin is not None):
        key = "mask" if files.mask is not None else "pixel_arcmin"
        fail(f"files.{key}: full-sky maps are cut where they have values, with the survey's pixel; set it to null")


def _check_columns(files: FilesConfig, fail: Callable[[str], None]) -> None:
    for name, one in files.columns.items():
        key = f"files.columns.{name}"
        if NAME.fullmatch(name) is None:
            fail(f"{key}: a parameter's name is letters, digits and _, e.g. A_SN1")
        if one.range is not None and not one.range[0] < one.range[1]:
            fail(f"{key}.range={list(one.range)}: low must be below high")
        if one.holds is not None and one.holds not in HELD:
            fail(f"{key}.holds={one.holds!r}: no such quantity; allowed: {', '.join(HELD)}")
    if {"omega_m", "sigma8", "S8"} <= set(files.columns):
        fail("files.columns: omega_m, sigma8 and S8 are redundant; name two of them")
    if taken := {"split", "cosmology", "map"} & set(files.columns):
        fail(f"files.columns: {taken.pop()!r} is a reserved name; give the parameter another one")
