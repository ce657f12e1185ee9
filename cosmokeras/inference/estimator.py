"""The trained network with all that it takes to use it: parameters, prior, survey, scaling, calibration."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from cosmokeras import __version__, models
from cosmokeras.config import Config, mask_file, parse_params
from cosmokeras.errors import UserError
from cosmokeras.files import atomic, write_json
from cosmokeras.inference.combine import Response
from cosmokeras.inference.measures import Measures
from cosmokeras.inference.posterior import MixturePosterior, PointPosterior
from cosmokeras.inference.surprise import MapReference, SurveyReference, Verdict
from cosmokeras.models.blocks import SUMMARY
from cosmokeras.models.heads import unpack_mixture
from cosmokeras.observation import Observer, checked, in_batches
from cosmokeras.surveys.presets import SURVEY_FOLDER, Table

if TYPE_CHECKING:
    import keras

FORMAT = 2


@dataclass(frozen=True)
class Estimator:
    """Posterior of the target parameters of observed maps.

    Maps are those of `ck.observe`, or real ones after `prepare`: (n, size, size, channels).
    """

    cfg: Config
    model: keras.Model
    errors: np.ndarray | None = None  # (d,) rms validation errors, for the point head
    stretch: np.ndarray | None = None  # (d,) by which posteriors are widened, where validation maps ask for it
    response: Response | None = None
    measures: Measures | None = None
    reference: MapReference | None = None
    survey_reference: SurveyReference | None = None

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the regression targets."""
        return self.cfg.targets

    @property
    def bounds(self) -> np.ndarray:
        """Prior box of the targets, (d, 2)."""
        return self.cfg.bounds[self.cfg.target_columns]

    @property
    def size(self) -> int:
        """Pixels on a side."""
        return self.cfg.data.size

    @property
    def channels(self) -> int:
        """Maps per sample."""
        return self.cfg.channels

    @cached_property
    def _observer(self) -> Observer:
        return Observer(self.cfg)

    def prepare(self, maps: np.ndarray, coverage: np.ndarray) -> np.ndarray:
        """Real maps as the network wants them: the last steps of `observe` (mask, smoothing, scaling).

        Parameters
        ----------
        maps : (n, size, size, channels), noise included, in physical units
        coverage : (n, size, size) observed fraction of each pixel
        """
        maps, coverage = checked(self.cfg, maps), coverage.astype(np.float32)
        return in_batches(self._observer.finish, (maps, coverage), 256)

    def posterior(self, obs: np.ndarray) -> MixturePosterior | PointPosterior:
        """Posteriors of a batch of observed maps."""
        raw = self.model.predict(checked(self.cfg, obs), batch_size=256, verbose=0)
        bounds = self.bounds
        if self.cfg.model.head == "mse":
            if self.errors is None:
                raise UserError("this estimator has no validation errors: calibrate it before asking for posteriors")
            points = bounds.mean(axis=1) + raw.astype(float) * (bounds[:, 1] - bounds[:, 0]) / 2
            return PointPosterior(points, self.errors, bounds)
        import keras

        parts = unpack_mixture(raw, len(bounds), self.cfg.model.components)
        log_weights, means, factors = (keras.ops.convert_to_numpy(part).astype(float) for part in parts)
        mixture = MixturePosterior(log_weights, means, factors, bounds)
        return mixture if self.stretch is None else mixture.stretched(self.stretch)

    def mean(self, obs: np.ndarray) -> np.ndarray:
        """Posterior means, (n, d)."""
        return self.posterior(obs).mean()

    def sample(self, obs: np.ndarray, n: int, seed: int) -> np.ndarray:
        """Posterior samples, (maps, n, d)."""
        return self.posterior(obs).sample(n, seed)

    def log_prob(self, obs: np.ndarray, theta_target: np.ndarray) -> np.ndarray:
        """Log posterior density (n,) at theta_target (n, d), normalised over the prior box."""
        theta_target = np.asarray(theta_target, dtype=float)
        if theta_target.shape != (len(obs), len(self.parameters)):
            want = (len(obs), len(self.parameters))
            raise UserError(f"theta_target of shape {theta_target.shape}: must be {want}, columns {self.parameters}")
        return self.posterior(obs).log_prob(theta_target)

    def features(self, obs: np.ndarray) -> np.ndarray:
        """Spectra, shapes and learned summaries of the maps, (n, f); named by `feature_names`."""
        return _present(self.measures)(checked(self.cfg, obs), self.summaries(obs))

    def summaries(self, obs: np.ndarray) -> np.ndarray:
        """What the last layer before the head says of the maps, (n, units)."""
        return self._summary.predict(checked(self.cfg, obs), batch_size=256, verbose=0)

    @cached_property
    def feature_names(self) -> list[str]:
        """What each feature is."""
        return self.measures.names(self.cfg) if self.measures else []

    @cached_property
    def _summary(self) -> keras.Model:
        import keras

        return keras.Model(self.model.inputs, self.model.get_layer(SUMMARY).output)

    def distance(self, obs: np.ndarray) -> np.ndarray:
        """Squared distances (n,) of the maps' features from those of training maps."""
        return _present(self.reference).distance(self.features(obs), self.mean(obs))

    def surprise(self, obs: np.ndarray) -> np.ndarray:
        """p-value (n,) that each map comes from the training distribution."""
        return _present(self.reference).judge(self.features(obs), self.mean(obs))[0]

    def survey_surprise(self, obs: np.ndarray) -> float:
        """p-value that all maps together, patches of one sky, come from the training distribution."""
        return self.judge(obs).p

    def judge(self, obs: np.ndarray) -> Verdict:
        """The same with the p-value of each test, and how far off each feature is."""
        return _present(self.survey_reference).judge(self.features(obs))

    def combine(self, obs: np.ndarray, n: int, seed: int) -> np.ndarray:
        """Samples (n, d) of the posterior of all maps together, which are patches of one sky."""
        if len(obs) == 1:
            return self.sample(obs, n, seed)[0]
        return self.combine_means(self.mean(obs), n, seed)

    def combine_means(self, means: np.ndarray, n: int, seed: int) -> np.ndarray:
        """The same of two patches or more whose posterior means (patches, d) are known: leaving some out is cheap."""
        if self.response is None:
            raise UserError("this estimator was not calibrated for many patches; train it again")
        return self.response.posterior(means, n, seed)[:, self.cfg.target_columns]

    def save(self, folder: Path | str) -> None:
        """Write a folder that `load` needs nothing else for: network, parameters, survey, calibration."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / ".model.keras"
        self.model.save(unfinished)
        unfinished.replace(folder / "model.keras")
        if self.cfg.kind.observed == "survey":
            _copy_survey(self.cfg, folder)
        alone = {"errors": self.errors, "stretch": self.stretch}
        arrays: dict[str, Any] = {name: array for name, array in alone.items() if array is not None}
        for name in PARTS:
            if (part := getattr(self, name)) is not None:
                arrays |= {f"{name}.{field.name}": getattr(part, field.name) for field in fields(part)}
        with atomic(folder / "calibration.npz") as handle:
            np.savez(handle, **arrays)
        note = {
            "format": FORMAT,
            "parameters": list(self.parameters),
            "prior": {name: list(row) for name, row in zip(self.parameters, self.bounds.tolist(), strict=True)},
            "size": self.size,
            "channels": self.channels,
            "versions": {"cosmokeras": __version__} | {name: version(name) for name in ("keras", "numpy")},
            "config": self.cfg.model_dump(mode="json", exclude={"root"}),
        }
        write_json(folder / "estimator.json", note)

    @classmethod
    def load(cls, folder: Path | str) -> Estimator:
        """Read what `save` wrote. Never runs code from the file."""
        folder = Path(folder)
        try:
            note: dict[str, Any] = json.loads((folder / "estimator.json").read_text())
            if note["format"] != FORMAT:
                raise UserError(
                    f"{folder}: a model of format {note['format']}, but this version reads {FORMAT}; "
                    "run `dvc repro train`"
                )
            cfg = parse_params(note["config"], root=str(folder.resolve()), origin="estimator.json")
            with np.load(folder / "calibration.npz", allow_pickle=False) as stored:
                parts = {name: _part(kind, name, stored) for name, kind in PARTS.items()}
                parts |= {name: stored.get(name) for name in ("errors", "stretch")}
            model = models.load(folder)
        except UserError:
            raise
        except FileNotFoundError as error:
            missing = Path(str(error.filename)).name
            raise UserError(f"{folder}: no trained model ({missing} is missing); run `dvc repro train`") from None
        except (ValueError, OSError, LookupError, TypeError, EOFError, BadZipFile) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{folder}: damaged or of another version ({reason}); run `dvc repro train`") from None
        return cls(cfg, model, **parts)


PARTS = {
    "response": Response,
    "measures": Measures,
    "reference": MapReference,
    "survey_reference": SurveyReference,
}


def _present(part: Any) -> Any:
    if part is None:
        raise UserError("this estimator has no reference maps for surprise; train it again")
    return part


def _part(kind: type, name: str, stored: Mapping[str, np.ndarray]) -> Any:
    """A calibration dataclass out of its arrays; None when the estimator was saved without it."""
    names = [field.name for field in fields(kind)]
    return kind(*(stored[f"{name}.{n}"] for n in names)) if f"{name}.{names[0]}" in stored else None


def _copy_survey(cfg: Config, folder: Path) -> None:
    """The survey preset with the files it names, so that the model folder stands alone."""
    source, target = Path(cfg.root) / SURVEY_FOLDER, folder / SURVEY_FOLDER
    names = [f"{cfg.survey.name}.yaml"]
    names += [os.path.relpath(mask, SURVEY_FOLDER)] if (mask := mask_file(cfg)) is not None else []
    names += [term.file for one in cfg.survey.bins for term in one.n_z if isinstance(term, Table)]
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        if (source / name).resolve() != (target / name).resolve():  # a loaded model saved over itself
            shutil.copyfile(source / name, target / name)
