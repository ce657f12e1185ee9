"""`params.yaml` as a frozen, checked object. Everything is checked before any work starts.

Unknown keys, wrong types and impossible combinations end in one line that names the key, the value and what is allowed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Set
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from cosmokeras.common import arguments
from cosmokeras.common.errors import UserError
from cosmokeras.params import files as own_files
from cosmokeras.params.checks import check
from cosmokeras.params.description import Described, Rows, of_network, of_problem
from cosmokeras.params.files import FilesConfig
from cosmokeras.params.raw import one_line, tuples
from cosmokeras.params.registry import CATALOGUE, COSMOLOGY, KINDS, MATTER, PER_BIN, RANGES, SOURCES, Kind
from cosmokeras.params.section import Section
from cosmokeras.params.sections import (
    DataConfig,
    EvaluateConfig,
    GrfConfig,
    InferConfig,
    LensingConfig,
    LptConfig,
    ModelConfig,
    PriorConfig,
    RealConfig,
    TheoryConfig,
    TrainConfig,
)
from cosmokeras.params.survey import Mean, Survey, load_survey
from cosmokeras.sky.pixels import ARCMIN

# Fields of presets, and keys of params.yaml, that noise-free maps do not depend on
OF_WORDS = {"name", "title", "citation"}
OF_OBSERVATION = {
    "made_from", "nside", "mask", "sky", "smoothing_arcmin", "inversion", "mean", "field_deg", "catalogue",
}  # fmt: skip


class Config(Described, Section):
    """All of `params.yaml`, and what is derived from it."""

    prior: PriorConfig
    theory: TheoryConfig = TheoryConfig()
    data: DataConfig
    grf: GrfConfig
    lpt: LptConfig = LptConfig()
    lensing: LensingConfig
    files: FilesConfig = FilesConfig()
    model: ModelConfig
    train: TrainConfig
    evaluate: EvaluateConfig
    real: RealConfig
    infer: InferConfig
    root: str = "."  # folder of params.yaml; survey presets are looked up below it

    def __eq__(self, other: object) -> bool:
        """By what was given, and not by what was worked out of it since."""
        return isinstance(other, Config) and self.model_dump() == other.model_dump()

    def _rows(self) -> Rows:
        return of_problem(self) | of_network(self)

    @cached_property
    def kind(self) -> Kind:
        """What there is to know of the kind of maps, from the registry."""
        kind = KINDS[self.data.kind]
        if self.data.kind == "lensing" and self.lensing.matter != "lognormal":
            kind = replace(kind, module=MATTER[self.lensing.matter])
        return own_files.kind_of(kind, self.files) if self.from_files else kind

    @property
    def from_files(self) -> bool:
        """Whether maps are the user's, with parameters of any name."""
        return self.data.kind == "files"

    @cached_property
    def parameter_names(self) -> tuple[str, ...]:
        """Free parameters, in the order of the columns of theta; one for each bin where they differ by bin."""
        if self.from_files:
            return own_files.names(self.files)
        free = [name for name in RANGES if isinstance(getattr(self.prior, name), tuple)]
        return tuple(column for name in free for column in self._columns(name))

    def _columns(self, name: str) -> list[str]:
        return [f"{name}_{i + 1}" for i in range(self.channels)] if name in PER_BIN else [name]

    @cached_property
    def bounds(self) -> np.ndarray:
        """Prior box, shape (p, 2)."""
        if self.from_files:
            return own_files.bounds(self.files)
        free = [(name, getattr(self.prior, name)) for name in RANGES]
        return np.array([box for name, box in free if isinstance(box, tuple) for _ in self._columns(name)], float)

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """Parameters that the network estimates; the other free ones are marginalised."""
        if self.data.targets is not None:
            return self.data.targets
        default = tuple(name for name in ("omega_m", "sigma8", "S8") if name in self.parameter_names)
        cosmology = tuple(name for name in self.parameter_names if name in COSMOLOGY)
        return default or cosmology or self.parameter_names

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
    def pixel_side(self) -> float:
        """Pixel side of a map: radians for maps of the sky, Mpc/h for others (1 for kinds without a box)."""
        if self.kind.observed == "survey":
            return self.pixel_arcmin * ARCMIN
        if self.from_files:
            return own_files.pixel_side(self)
        section = getattr(self, self.kind.section) if self.kind.section else None
        return getattr(section, "box_mpc_h", self.data.size) / self.data.size

    @property
    def smoothing_arcmin(self) -> float:
        """Gaussian smoothing sigma [arcmin] (lensing)."""
        return self.survey.smoothing_arcmin if self.lensing.smoothing_arcmin is None else self.lensing.smoothing_arcmin

    @property
    def mean(self) -> Mean:
        """What mean the maps are without (lensing): nothing, that of a field, or each patch's own."""
        if self.kind.observed != "survey":
            return "kept"
        return self.survey.mean if self.lensing.mean is None else self.lensing.mean

    @property
    def field_deg(self) -> float | None:
        """Side of the field whose mean is removed [deg] (lensing)."""
        return self.survey.field_deg if self.lensing.field_deg is None else self.lensing.field_deg

    @property
    def channels(self) -> int:
        """Maps per sample: tomographic bins, or one; of files without a survey as many as they hold."""
        if self.kind.observed == "survey":
            return len(self.survey.bins)
        return self.files.channels or 1 if self.from_files else 1

    @property
    def periodic(self) -> bool:
        """Whether the map wraps around."""
        return self.kind.periodic

    def cosmology(self, theta: np.ndarray) -> dict[str, Any]:
        """One row of theta (free parameters) with the fixed ones filled in; arrays (bins,) for what differs by bin.

        The row (p,) must lie in the prior box.
        """
        if self.from_files:
            return own_files.cosmology(self, theta)
        row = dict(
            zip(
                self.parameter_names,
                arguments.row_in_box("theta", theta, self.parameter_names, self.bounds),
                strict=True,
            )
        )
        values: dict[str, Any] = {}
        for name in RANGES:
            fixed = getattr(self.prior, name)
            columns = [row.get(column, fixed) for column in self._columns(name)]
            values[name] = np.array(columns) if name in PER_BIN else columns[0]
        return values

    def simulation_key(self) -> dict[str, Any]:
        """All parameters that the noise-free maps of one (cosmology, realisation) depend on.

        Keys of sections and fields of presets count unless they are known not to: a new one counts by itself. Of
        files that a preset names, the names are here and the content is in `cosmokeras.provenance.statements`.
        """
        parameters = RANGES if own_files.theory_known(self) else self.kind.parameters
        prior = self.prior.model_dump(mode="json", include=set(parameters))
        key: dict[str, Any] = {"prior": prior, "data": self.data.model_dump(mode="json", exclude={"targets"})}
        if self.kind.observed == "survey":
            if not self.from_files or own_files.theory_known(self):
                key["theory"] = self.theory.model_dump(mode="json")
            key["lensing"] = self._lensing_key(OF_OBSERVATION | {"survey"})
            key["lensing"]["pixel_arcmin"] = self.pixel_arcmin
            if self.mean == "removed_field":
                key["lensing"] |= self._mean_key()
            key["survey"] = self._survey_key(OF_WORDS | OF_OBSERVATION | {"mock"}, {"n_eff", "sigma_e"})
            key["survey"]["pixels"] = self.survey.pixels
            if self.survey.pixels == "cut":
                key["survey"] |= self.survey.model_dump(mode="json", include={"nside", "sky"})
        if self.kind.section not in (None, "lensing"):
            key[str(self.kind.section)] = getattr(self, str(self.kind.section)).model_dump(mode="json")
        return key

    def observation_key(self) -> dict[str, Any]:
        """All further parameters that maps depend on once they are observed: noise, mask, pixels, smoothing."""
        if self.kind.observed != "survey":
            return {}
        lensing = self._lensing_key({"survey"})
        lensing |= {"pixel_arcmin": self.pixel_arcmin, "smoothing_arcmin": self.smoothing_arcmin}
        lensing |= self._mean_key()
        replaced = {"mask", "smoothing_arcmin", "mean", "field_deg"}  # by what `lensing` says
        replaced |= {"catalogue"}  # of the sky alone
        return {"lensing": lensing, "survey": self._survey_key(OF_WORDS | {"mock"} | replaced)}

    def sky_key(self) -> dict[str, Any]:
        """All parameters that patches of a sky depend on, wherever it comes from: what is cut out, and how."""
        real = self.real.model_dump(mode="json", exclude={"mirror", "offline"})
        key: dict[str, Any] = {"data": {"kind": self.data.kind, "size": self.data.size}, "real": real}
        if self.kind.observed == "survey":
            key["lensing"] = {"pixel_arcmin": self.pixel_arcmin, "mask": self.lensing.mask}
            key["lensing"] |= self._mean_key()
            unseen = {"citation", "title", "mask", "smoothing_arcmin", "z_max", "mean", "field_deg"}
            if SOURCES[self.real.source].module != CATALOGUE:
                unseen = unseen | {"catalogue"}
            key["survey"] = self._survey_key(unseen, {"n_z"})
            if self.from_files:
                key["files"] = self.files.model_dump(mode="json", include={"mask", "max_masked", "noise"})
        elif self.kind.section is not None:
            key[self.kind.section] = getattr(self, self.kind.section).model_dump(mode="json")
        return key

    def training_key(self) -> dict[str, Any]:
        """All parameters that a trained network depends on beside those of its maps."""
        train = self.train.model_dump(mode="json", exclude={"checkpoint_minutes", "wandb", "init_from"})
        model = self.model.model_dump(mode="json")
        return {"data": {"targets": list(self.targets)}, "model": model, "train": train}

    def _lensing_key(self, without: Set[str]) -> dict[str, Any]:
        """Keys of the section, but for those of another kind of matter."""
        other = {"shell_mpc_h", "third_moment"} if self.lensing.matter == "pm" else {"pm"}
        return self.lensing.model_dump(mode="json", exclude={*without, *other})

    def _mean_key(self) -> dict[str, Any]:
        return {"mean": self.mean, "field_deg": self.field_deg if self.mean == "removed_field" else None}

    def _survey_key(self, without: Set[str], of_bins: Set[str] = frozenset()) -> dict[str, Any]:
        """The survey preset without some fields, of itself and of its bins; its pixel is in `lensing.pixel_arcmin`."""
        key = self.survey.model_dump(mode="json", exclude={*without, "pixel_arcmin"})
        for one in key["bins"]:
            for term in one["n_z"]:
                term.pop("folder", None)  # where the preset is, not what it says
            for name in of_bins:
                del one[name]
        return key


def fingerprint(key: Any) -> str:
    """Sixteen hex digits that name a JSON-able key."""
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]


def parse(raw: Mapping[str, Any], root: str = ".", origin: str = "params") -> Config:
    """Check a nested mapping of parameters; files that it names, but for the survey preset, are not looked at."""
    try:
        config = Config.model_validate({**tuples(raw), "root": root})
    except ValidationError as error:
        raise UserError(f"{origin}: {one_line(error, Config)}") from None
    check(config, origin)
    return config


def sections() -> list[str]:
    """Names of the blocks of params.yaml."""
    return [name for name in Config.model_fields if name != "root"]


def override(raw: dict[str, Any], dotted: str, value: Any) -> None:
    """Set the value of a dotted key in a nested mapping."""
    *names, last = dotted.split(".")
    node: Any = raw
    for section in names:
        node = node.setdefault(section, {}) if isinstance(node, dict) else None
    if not isinstance(node, dict):
        raise UserError(f"override {dotted}={value!r}: no such key; sections are {', '.join(sections())}")
    node[last] = value
