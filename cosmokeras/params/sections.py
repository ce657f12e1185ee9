"""The blocks of `params.yaml`: types, ranges and, for what may be left out, defaults."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt

from cosmokeras.params.section import Number, Section


def _switch(given: Any) -> Any:
    """`on` for true and `off` for false: what YAML 1.1, as other programs write it, makes of the two words."""
    return {True: "on", False: "off"}[given] if isinstance(given, bool) else given


Switch = Annotated[Literal["auto", "on", "off"], BeforeValidator(_switch)]
Prior = Number | tuple[Number, Number]


def _named_nan(value: object) -> object:
    """The word nan, which YAML and command lines may make a number of."""
    return "nan" if isinstance(value, float) and math.isnan(value) else value


Missing = Annotated[Number | Literal["nan"] | None, BeforeValidator(_named_nan)]


class PriorConfig(Section):
    """A number fixes a parameter, a pair frees it (uniform); nuisances may be left out."""

    omega_m: Prior
    sigma8: Prior
    h: Prior
    omega_b: Prior
    n_s: Prior
    w0: Prior
    m_nu: Prior = 0.0
    a_ia: Prior = 0.0
    eta_ia: Prior = 0.0
    m_bias: Prior = 0.0
    delta_z: Prior = 0.0
    baryons: Prior = 0.0
    log_t_agn: Prior | None = None


class TheoryConfig(Section):
    """Theory of matter, for lensing maps and their spectra."""

    nonlinear: Literal["halofit", "hmcode2020"] = "halofit"


class DataConfig(Section):
    """What is simulated."""

    kind: str
    size: Annotated[int, Field(ge=16, le=1024)]
    n_cosmologies: PositiveInt
    realisations: PositiveInt
    validation: Annotated[int, Field(ge=2)]  # of one alone there is no scatter
    calibration: Annotated[int, Field(ge=0)] = 0
    test: Annotated[int, Field(ge=2)]
    seed: Annotated[int, Field(ge=0)]
    dtype: Literal["float16", "float32"]
    targets: tuple[str, ...] | None


class GrfConfig(Section):
    """Gaussian random fields."""

    box_mpc_h: PositiveFloat


class LptConfig(Section):
    """Perturbation theory in a periodic cube; as the Quijote simulations unless said otherwise."""

    box_mpc_h: PositiveFloat = 1000.0
    particles: Annotated[int, Field(ge=16, le=1024)] = 128
    slab_mpc_h: PositiveFloat = 62.5
    redshift: Annotated[float, Field(ge=0, le=10)] = 0.0


class LensingConfig(Section):
    """Weak-lensing convergence; `None` means the survey preset's value."""

    survey: str
    pixel_arcmin: PositiveFloat | None
    smoothing_arcmin: Annotated[float, Field(ge=0)] | None
    shell_mpc_h: Annotated[float, Field(ge=5.0, le=100.0)]
    third_moment: Literal["shift", "bihalofit"] = "shift"
    matter: Literal["lognormal", "pm"] = "lognormal"
    pm: Literal["coarse", "fast", "fine"] = "fast"
    mean: Literal["kept", "removed_field", "removed_patch"] | None = None
    field_deg: PositiveFloat | None = None
    mask: str  # survey, none, or an .npy or .npz file below the folder of params.yaml


class ModelConfig(Section):
    """The network."""

    name: str
    width: Annotated[int, Field(ge=4, le=512)]
    head: Literal["posterior", "mse"]
    components: Annotated[int, Field(ge=1, le=64)]
    spectrum_bins: Annotated[int, Field(ge=2, le=256)]


class TrainConfig(Section):
    """Optimisation."""

    backend: Literal["tensorflow", "jax", "torch"]
    epochs: PositiveInt
    batch_size: PositiveInt
    lr: PositiveFloat
    lr_scaling: Literal["linear", "sqrt", "none"] = "linear"
    weight_decay: Annotated[float, Field(ge=0)]
    warmup: Annotated[float, Field(ge=0, lt=1)]
    clip: PositiveFloat
    patience: PositiveInt
    seed: Annotated[int, Field(ge=0)]
    ensemble: Annotated[int, Field(ge=1, le=100)] = 1
    checkpoint_minutes: PositiveFloat
    fresh_maps: bool = False
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    xla: Switch = "auto"
    init_from: str | None = None
    freeze: Literal["none", "stem", "features"] = "none"
    wandb: bool = False


class EvaluateConfig(Section):
    """Judgement on the test maps."""

    samples: Annotated[int, Field(ge=100)]
    spectrum_bins: Annotated[int, Field(ge=2, le=256)]
    nuisance_maps: Annotated[int, Field(ge=0)] = 256


class RealConfig(Section):
    """Maps from outside."""

    source: str
    mock: Literal["lognormal", "pm"] = "lognormal"
    mirror: str | None
    path: str | tuple[str, ...] | None = None
    mask: str | None = None
    missing: Missing = None
    pixel_arcmin: PositiveFloat | None = None
    observed: bool | None = None
    truth: dict[str, Number] | None = None
    map: Annotated[int, Field(ge=0)] = 0
    offline: bool = False
    max_masked: Annotated[float, Field(ge=0, lt=1)]


class InferConfig(Section):
    """Posterior of the real maps."""

    refuse: bool
    threshold: Annotated[float, Field(gt=0, lt=1)]
