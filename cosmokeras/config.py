"""`params.yaml` as a frozen, checked object. Everything is checked before any work starts.

Unknown keys, wrong types and impossible combinations end in one line that names the key, the value and what is allowed.
"""

from __future__ import annotations

import copy
import difflib
import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

from cosmokeras.errors import UserError
from cosmokeras.surveys.presets import Survey, load_survey

Number = Annotated[float, Field(allow_inf_nan=False)]
Prior = Number | tuple[Number, Number]

# Ranges in which the theory codes are trusted; priors must lie inside.
PHYSICAL: dict[str, tuple[float, float]] = {
    "omega_m": (0.05, 0.95),
    "sigma8": (0.2, 1.6),
    "h": (0.4, 1.0),
    "omega_b": (0.01, 0.1),
    "n_s": (0.7, 1.3),
    "w0": (-2.0, -0.4),
}
MAX_PATCH_DEG = 30.0  # beyond this a tangent plane distorts a patch by more than 4 %
RELEVANT = {"grf": ("omega_m", "h", "n_s"), "lensing": tuple(PHYSICAL)}


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class PriorConfig(_Section):
    """A number fixes a parameter, a pair frees it (uniform)."""

    omega_m: Prior
    sigma8: Prior
    h: Prior
    omega_b: Prior
    n_s: Prior
    w0: Prior


class DataConfig(_Section):
    """What is simulated."""

    kind: Literal["lensing", "grf"]
    size: Annotated[int, Field(ge=16, le=1024)]
    n_cosmologies: PositiveInt
    realisations: PositiveInt
    validation: PositiveInt
    test: PositiveInt
    seed: Annotated[int, Field(ge=0)]
    dtype: Literal["float16", "float32"]
    targets: tuple[str, ...] | None


class GrfConfig(_Section):
    """Gaussian random fields."""

    box_mpc_h: PositiveFloat


class LensingConfig(_Section):
    """Weak-lensing convergence; `None` means the survey preset's value."""

    survey: str
    pixel_arcmin: PositiveFloat | None
    smoothing_arcmin: Annotated[float, Field(ge=0)] | None
    shell_mpc_h: Annotated[float, Field(ge=5.0, le=100.0)]
    mask: Literal["survey", "none"]


class ModelConfig(_Section):
    """The network."""

    name: Literal["hybrid"]
    width: Annotated[int, Field(ge=4, le=512)]
    head: Literal["posterior", "mse"]
    components: Annotated[int, Field(ge=1, le=64)]
    spectrum_bins: Annotated[int, Field(ge=2, le=256)]


class TrainConfig(_Section):
    """Optimisation."""

    backend: Literal["tensorflow"]
    epochs: PositiveInt
    batch_size: PositiveInt
    lr: PositiveFloat
    weight_decay: Annotated[float, Field(ge=0)]
    warmup: Annotated[float, Field(ge=0, lt=1)]
    clip: PositiveFloat
    patience: PositiveInt
    seed: Annotated[int, Field(ge=0)]
    checkpoint_minutes: PositiveFloat


class EvaluateConfig(_Section):
    """Judgement on the test maps."""

    samples: Annotated[int, Field(ge=100)]
    spectrum_bins: Annotated[int, Field(ge=2, le=256)]


class RealConfig(_Section):
    """Maps from outside."""

    source: Literal["mock", "cosmos"]
    mirror: str | None
    max_masked: Annotated[float, Field(ge=0, lt=1)]


class InferConfig(_Section):
    """Posterior of the real maps."""

    refuse: bool
    threshold: Annotated[float, Field(gt=0, lt=1)]


class Config(_Section):
    """All of `params.yaml`, plus what follows from it."""

    prior: PriorConfig
    data: DataConfig
    grf: GrfConfig
    lensing: LensingConfig
    model: ModelConfig
    train: TrainConfig
    evaluate: EvaluateConfig
    real: RealConfig
    infer: InferConfig
    root: str = "."  # folder of params.yaml; survey presets are looked up below it

    @cached_property
    def parameter_names(self) -> tuple[str, ...]:
        """Free parameters, in the order of the columns of theta."""
        return tuple(name for name in PHYSICAL if isinstance(getattr(self.prior, name), tuple))

    @cached_property
    def bounds(self) -> np.ndarray:
        """Prior box, shape (p, 2)."""
        return np.array([getattr(self.prior, name) for name in self.parameter_names])

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """Parameters that the network estimates; the other free ones are marginalised."""
        if self.data.targets is not None:
            return self.data.targets
        default = tuple(name for name in ("omega_m", "sigma8") if name in self.parameter_names)
        return default or self.parameter_names

    @cached_property
    def target_columns(self) -> list[int]:
        """Columns of theta that are targets."""
        return [self.parameter_names.index(name) for name in self.targets]

    @cached_property
    def survey(self) -> Survey:
        """The lensing survey preset."""
        return load_survey(self.lensing.survey, Path(self.root) / "data" / "surveys")

    @property
    def pixel_arcmin(self) -> float:
        """Pixel side [arcmin] (lensing)."""
        return self.survey.pixel_arcmin if self.lensing.pixel_arcmin is None else self.lensing.pixel_arcmin

    @property
    def smoothing_arcmin(self) -> float:
        """Gaussian smoothing sigma [arcmin] (lensing)."""
        return self.survey.smoothing_arcmin if self.lensing.smoothing_arcmin is None else self.lensing.smoothing_arcmin

    @property
    def channels(self) -> int:
        """Maps per sample: tomographic bins, or one."""
        return len(self.survey.bins) if self.data.kind == "lensing" else 1

    @property
    def periodic(self) -> bool:
        """Whether the map wraps around."""
        return self.data.kind == "grf"

    def cosmology(self, theta: np.ndarray) -> dict[str, float]:
        """One row of theta (free parameters) with the fixed parameters filled in."""
        values = {name: getattr(self.prior, name) for name in PHYSICAL}
        values.update(zip(self.parameter_names, (float(x) for x in theta), strict=True))
        return values

    def simulation_key(self) -> dict[str, Any]:
        """All that the noise-free maps of one (cosmology, realisation) depend on, for fingerprints."""
        key: dict[str, Any] = {"prior": self.prior.model_dump(), "data": self.data.model_dump(exclude={"targets"})}
        if self.data.kind == "grf":
            key["grf"] = self.grf.model_dump()
        else:
            key["lensing"] = {"pixel_arcmin": self.pixel_arcmin, "shell_mpc_h": self.lensing.shell_mpc_h}
            key["survey"] = self.survey.model_dump(exclude={"mask", "smoothing_arcmin"})
        return key


def fingerprint(key: Any) -> str:
    """Sixteen hex digits that name a JSON-able key."""
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]


def load_params(path: str | Path = "params.yaml", overrides: Mapping[str, Any] | None = None) -> Config:
    """Read, override and check the parameters.

    Parameters
    ----------
    path : the YAML file
    overrides : dotted keys and their values, e.g. `{"data.kind": "grf"}`

    Raises
    ------
    UserError : one line naming the key, the value and what is allowed
    """
    path = Path(path)
    try:
        raw = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file; run from the project's folder or give the path of params.yaml"
        ) from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise UserError(f"{path}: must be a mapping of sections ({', '.join(_sections())})")
    raw = copy.deepcopy(raw)
    for key, value in (overrides or {}).items():
        _override(raw, key, value)
    return parse_params(raw, root=str(path.parent), origin=str(path))


def parse_params(raw: Mapping[str, Any], root: str = ".", origin: str = "params") -> Config:
    """Check a nested mapping of parameters; see `load_params`."""
    try:
        config = Config.model_validate({**_tuples(raw), "root": root})
    except ValidationError as error:
        raise UserError(f"{origin}: {_one_line(error)}") from None
    _check(config, origin)
    return config


def _sections() -> list[str]:
    return [name for name in Config.model_fields if name != "root"]


def _override(raw: dict[str, Any], dotted: str, value: Any) -> None:
    *sections, last = dotted.split(".")
    node: Any = raw
    for section in sections:
        node = node.setdefault(section, {}) if isinstance(node, dict) else None
    if not isinstance(node, dict):
        raise UserError(f"override {dotted}={value!r}: no such key; sections are {', '.join(_sections())}")
    node[last] = value


def _tuples(node: Any) -> Any:
    """Lists become tuples and whole numbers in the prior floats, so that strict types accept what YAML gives."""
    if isinstance(node, Mapping):
        return {key: _tuples(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return tuple(_tuples(value) for value in node)
    return node


def _one_line(error: ValidationError) -> str:
    """The first problem, in words for the person who wrote the file."""
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    # a union reports the type it tried as a last element of the location
    key = ".".join(part for part in path if part.isidentifier() and part not in ("float",))
    if first["type"] == "extra_forbidden":
        model: Any = Config
        for part in path[:-1]:
            model = model.model_fields[part].annotation
        allowed = [name for name in model.model_fields if name != "root"]
        close = difflib.get_close_matches(path[-1], allowed, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return f"{'.'.join(path)}: unknown key; {hint}allowed: {', '.join(allowed)}"
    if first["type"] == "missing":
        return f"{'.'.join(path)}: missing; add it to the file"
    if path[0] == "prior":
        return f"{'.'.join(path[:2])}={first['input']!r}: must be a number (fixed) or a list [low, high] (free)"
    return f"{key}={first['input']!r}: {first['msg'].lower()}"


def _check(config: Config, origin: str) -> None:
    """Combinations that no type can express."""

    def fail(message: str) -> None:
        raise UserError(f"{origin}: {message}")

    kind, data = config.data.kind, config.data
    for name, (low, high) in PHYSICAL.items():
        value = getattr(config.prior, name)
        ends = value if isinstance(value, tuple) else (value, value)
        if isinstance(value, tuple) and not value[0] < value[1]:
            fail(f"prior.{name}={list(value)}: low must be below high")
        if ends[0] < low or ends[1] > high:
            fail(f"prior.{name}={value}: must lie within {low} to {high}")
        if isinstance(value, tuple) and name not in RELEVANT[kind]:
            fail(f"prior.{name}={list(value)}: {kind} maps do not depend on it; fix it by a number")
    lowest_m = np.min(config.prior.omega_m)
    if np.max(config.prior.omega_b) >= lowest_m:
        fail(f"prior.omega_b={config.prior.omega_b}: must stay below prior.omega_m (lowest value {lowest_m})")
    if not config.parameter_names:
        fail("prior: no parameter is free; give at least one as a list [low, high], e.g. omega_m: [0.1, 0.5]")
    for name in config.targets:
        if name not in config.parameter_names:
            fail(f"data.targets: {name!r} is not free; free parameters: {', '.join(config.parameter_names)}")
    if not config.targets or len(set(config.targets)) != len(config.targets):
        fail(f"data.targets={list(config.targets)}: name each target once; free: {', '.join(config.parameter_names)}")
    if data.size % 2:
        fail(f"data.size={data.size}: must be even")
    if data.n_cosmologies * data.realisations < config.train.batch_size:
        have = data.n_cosmologies * data.realisations
        fail(f"train.batch_size={config.train.batch_size}: more than the {have} training maps; lower it")
    for section in ("model", "evaluate"):
        if (bins := getattr(config, section).spectrum_bins) > data.size // 2:
            fail(f"{section}.spectrum_bins={bins}: at most data.size / 2 = {data.size // 2}")
    if kind == "lensing":
        _check_lensing(config, fail)
    elif config.real.source != "mock":
        fail(f"real.source={config.real.source}: holds lensing maps; data.kind=grf goes with real.source=mock")


def _check_lensing(config: Config, fail: Any) -> None:
    side = config.data.size * config.pixel_arcmin / 60
    if side > MAX_PATCH_DEG:
        fail(
            f"data.size={config.data.size}: a patch of {side:.0f} deg (lensing.pixel_arcmin={config.pixel_arcmin}) is "
            f"larger than the tangent plane allows; size * pixel must be at most {MAX_PATCH_DEG:.0f} deg"
        )
    goes_with = {"mock": "des_y3", "cosmos": "cosmos"}[config.real.source]
    if config.lensing.survey != goes_with:
        fail(
            f"real.source={config.real.source}: its maps are those of lensing.survey={goes_with}, "
            f"but lensing.survey={config.lensing.survey}; change one of the two"
        )
    if config.lensing.mask == "survey":
        survey_masks(config)


def survey_masks(config: Config) -> np.ndarray:
    """Coverage maps (n, size, size) that simulated maps are observed with; ones where no mask is asked for."""
    size = config.data.size
    if config.data.kind != "lensing" or config.lensing.mask == "none" or config.survey.mask is None:
        return np.ones((1, size, size), np.float32)
    path = Path(config.root) / "data" / "surveys" / config.survey.mask
    try:
        masks = np.load(path, allow_pickle=False)
    except (OSError, ValueError):
        raise UserError(f"lensing.mask=survey: {path} is missing or damaged; run `dvc pull data.dvc`") from None
    if masks.ndim != 3 or masks.shape[1:] != (size, size):
        # smaller patches are cut out of the survey's; larger ones do not exist
        if masks.ndim != 3 or min(masks.shape[1:]) < size:
            msg = (
                f"lensing.mask=survey: {path} holds masks of {masks.shape[1:]} pixels, but data.size={size}; "
                "use lensing.mask=none or a smaller data.size"
            )
            raise UserError(msg)
        masks = masks[:, :size, :size]
    return masks.astype(np.float32)
