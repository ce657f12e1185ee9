"""The trained network with all that it takes to use it: parameters, prior, survey, scaling, calibration."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from tokenize import TokenError
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from cosmokeras import __version__, models
from cosmokeras.common import arguments
from cosmokeras.common.errors import UserError
from cosmokeras.common.files import atomic, write_json
from cosmokeras.inference.combination import Response
from cosmokeras.inference.measures import Measures
from cosmokeras.inference.misspecification import MapReference, SurveyReference, Verdict
from cosmokeras.inference.posterior import MixturePosterior, PointPosterior
from cosmokeras.inference.stored import from_arrays, to_arrays
from cosmokeras.models.blocks import SUMMARY
from cosmokeras.models.heads import mixture_size, unpack_mixture
from cosmokeras.observation.masks import mask_file
from cosmokeras.observation.observer import Observer, in_batches
from cosmokeras.params import checked
from cosmokeras.params.config import Config
from cosmokeras.params.survey import SURVEY_FOLDER
from cosmokeras.project import parse_params
from cosmokeras.redshifts.terms import Table
from cosmokeras.surveys import image_checks
from cosmokeras.surveys.field_mean import must_have_mean

if TYPE_CHECKING:
    import keras

FORMAT = 2
NO_DATA = "set coverage to 0 there"


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
        coverage : (n, size, size) observed fraction of each pixel, 0 to 1; where it is not 0, pixels of one value or
            without noise are refused as missing data

        Raises
        ------
        UserError : also of maps whose mean was removed, where simulated maps keep theirs (`lensing.mean`)
        """
        maps = checked.maps(self.cfg, maps, varied=self.cfg.kind.observed == "standardised")
        coverage = checked.coverage(self.cfg, coverage, len(maps))
        image_checks.must_be_data(self.cfg, maps, coverage, "maps", NO_DATA)
        if self.cfg.kind.observed == "survey":
            image_checks.must_not_be_noiseless(self.cfg, maps, coverage, "maps", NO_DATA)
            must_have_mean(self.cfg, maps, coverage, "maps")
        return in_batches(self._observer.finish, (maps, coverage), 256)

    def posterior(self, obs: np.ndarray) -> MixturePosterior | PointPosterior:
        """Posteriors of a batch of observed maps."""
        raw = self._answers(self.model, obs)
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

    def _answers(self, network: keras.Model, obs: np.ndarray) -> np.ndarray:
        """What a network says of maps (n, ...)."""
        maps = checked.maps(self.cfg, obs, "obs")
        answers = network.predict(maps, batch_size=256, verbose=0)
        if not np.isfinite(answers).all():
            raise UserError(
                f"obs: no finite answer for numbers as large as {np.abs(maps).max():.3g}; maps must be those of "
                "ck.observe or Estimator.prepare"
            )
        return answers

    def mean(self, obs: np.ndarray) -> np.ndarray:
        """Posterior means, (n, d)."""
        return self.posterior(obs).mean()

    def sample(self, obs: np.ndarray, n: int, seed: int) -> np.ndarray:
        """Posterior samples, (maps, n, d)."""
        n, seed = arguments.whole("n", n, 1), arguments.whole("seed", seed)
        return self.posterior(obs).sample(n, seed)

    def log_prob(self, obs: np.ndarray, theta_target: np.ndarray) -> np.ndarray:
        """Log posterior density (n,) at theta_target (n, d), normalised over the prior box; -inf outside."""
        obs = checked.maps(self.cfg, obs, "obs")
        theta_target = arguments.rows("theta_target", theta_target, self.parameters, len(obs))
        return self.posterior(obs).log_prob(theta_target)

    def features(self, obs: np.ndarray) -> np.ndarray:
        """Spectra, shapes and learned summaries of the maps, (n, f); named by `feature_names`."""
        measures, obs = _present(self.measures), checked.maps(self.cfg, obs, "obs")
        summaries = self.summaries(obs)  # first, as they refuse what measures of maps would overflow with
        return measures(obs, summaries)

    def summaries(self, obs: np.ndarray) -> np.ndarray:
        """What the last layer before the head says of the maps, (n, units)."""
        return self._answers(self._summary, obs)

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
        obs = checked.maps(self.cfg, obs, "obs")
        n, seed = arguments.whole("n", n, 1), arguments.whole("seed", seed)
        if len(obs) == 1:
            return self.sample(obs, n, seed)[0]
        return self.combine_means(self.mean(obs), n, seed)

    def combine_means(self, means: np.ndarray, n: int, seed: int) -> np.ndarray:
        """The same of two patches or more whose posterior means (patches, d) are known: leaving some out is cheap."""
        if self.response is None:
            raise UserError("this estimator was not calibrated for many patches; train it again")
        means = arguments.in_box("means", means, self.parameters, self.bounds)
        n, seed = arguments.whole("n", n, 1), arguments.whole("seed", seed)
        return self.response.posterior(means, n, seed)[:, self.cfg.target_columns]

    def save(self, folder: Path | str) -> None:
        """Write a folder that `load` needs nothing else for: network, parameters, survey, calibration."""
        folder = arguments.path_of("folder", folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder}: cannot be a folder for the model ({error.strerror})") from None
        unfinished = folder / ".model.keras"
        self.model.save(unfinished)
        unfinished.replace(folder / "model.keras")
        if self.cfg.kind.observed == "survey":
            _copy_survey(self.cfg, folder)
        alone = {"errors": self.errors, "stretch": self.stretch}
        arrays: dict[str, Any] = {name: array for name, array in alone.items() if array is not None}
        for name in PARTS:
            if (part := getattr(self, name)) is not None:
                arrays |= to_arrays(name, part)
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
        folder = arguments.path_of("folder", folder)
        try:
            note: dict[str, Any] = json.loads((folder / "estimator.json").read_text())
            if note["format"] != FORMAT:
                raise UserError(
                    f"{folder}: a model of format {note['format']}, but this version reads {FORMAT}; "
                    "run `dvc repro train`"
                )
            cfg = parse_params(note["config"], root=str(folder.resolve()), origin="estimator.json")
            with np.load(folder / "calibration.npz", allow_pickle=False) as stored:
                parts = {name: from_arrays(kind, name, stored) for name, kind in PARTS.items()}
                parts |= {name: stored.get(name) for name in ("errors", "stretch")}
            estimator = cls(cfg, models.load(folder), **parts)
            if (doubt := _contradiction(note, estimator)) is not None:
                raise UserError(f"{folder}: its files are not of one model ({doubt}); run `dvc repro train`")
        except UserError:
            raise
        except FileNotFoundError as error:
            missing = Path(str(error.filename)).name
            raise UserError(f"{folder}: no trained model ({missing} is missing); run `dvc repro train`") from None
        except (ValueError, OSError, LookupError, TypeError, EOFError, BadZipFile, TokenError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{folder}: damaged or of another version ({reason}); run `dvc repro train`") from None
        return estimator


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


def _contradiction(note: Mapping[str, Any], estimator: Estimator) -> str | None:
    """What does not fit together in the files of a model folder, in words."""
    cfg, d = estimator.cfg, len(estimator.parameters)
    outputs = d if cfg.model.head == "mse" else mixture_size(d, cfg.model.components)
    maps, response = (estimator.size, estimator.size, estimator.channels), estimator.response
    prior = dict(zip(estimator.parameters, estimator.bounds.tolist(), strict=True))
    pairs: dict[str, tuple[Any, Any]] = {
        "parameters": (note["parameters"], list(estimator.parameters)),
        "prior": ({name: list(row) for name, row in note["prior"].items()}, prior),
        "size": (note["size"], estimator.size),
        "channels": (note["channels"], estimator.channels),
        "input of model.keras": (_known(estimator.model.input_shape[1:], maps), maps),
        "output of model.keras": (estimator.model.output_shape[1:], (outputs,)),
    }
    for name in ("errors", "stretch"):
        if (values := getattr(estimator, name)) is not None:
            pairs[f"{name} of calibration.npz"] = (values.shape, (d,))
    if response is not None:
        pairs["prior of calibration.npz"] = (response.bounds.tolist(), cfg.bounds.tolist())
        pairs["parameters of calibration.npz"] = (response.mean.shape[1:], (d,))
    if estimator.measures is not None:
        pairs["channels of calibration.npz"] = (estimator.measures.weights.shape, (estimator.channels,))
    return next(
        (f"{name}: {arguments.shown(a)}, but config: {arguments.shown(b)}" for name, (a, b) in pairs.items() if a != b),
        None,
    )


def _known(shape: tuple[int | None, ...], wanted: tuple[int, ...]) -> tuple[int | None, ...]:
    """A network's shape; where it takes any number, the one that is wanted."""
    if len(shape) != len(wanted):
        return shape
    return tuple(want if have is None else have for have, want in zip(shape, wanted, strict=True))


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
