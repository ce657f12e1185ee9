"""The trained network with everything needed to use it: parameters, prior, survey, scaling, calibration."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cosmokeras.common import arguments
from cosmokeras.common.errors import UserError
from cosmokeras.inference import model_folder
from cosmokeras.inference.chains import Chain, chain
from cosmokeras.inference.combination import Response
from cosmokeras.inference.measures import Measures
from cosmokeras.inference.misspecification import MapReference, SurveyReference, Verdict
from cosmokeras.inference.posterior import MixturePosterior, PointPosterior
from cosmokeras.models.blocks import SUMMARY
from cosmokeras.models.heads import Head, Mixtures, head_of
from cosmokeras.observation.observe import finished
from cosmokeras.observation.observer import Observer
from cosmokeras.observation.ops.last_steps import LastSteps
from cosmokeras.params import checked
from cosmokeras.params.config import Config
from cosmokeras.params.description import Described, Rows, of_network, of_problem
from cosmokeras.surveys import image_checks
from cosmokeras.surveys.field_mean import must_have_mean

if TYPE_CHECKING:
    import keras

NO_DATA = "set coverage to 0 there"
BLOCK = 256  # maps that the network answers for at once


@dataclass(frozen=True, repr=False)
class Estimator(Described):
    """Posterior of the target parameters of observed maps.

    Maps are those of `ck.observe`, or real ones after `prepare`: (n, size, size, channels).
    """

    cfg: Config
    model: keras.Model
    errors: np.ndarray | None = None  # (d,) rms validation errors, for the point head
    stretch: np.ndarray | None = None  # (d,) recalibration factors of posterior widths, where they are significant
    response: Response | None = None
    measures: Measures | None = None
    reference: MapReference | None = None
    survey_reference: SurveyReference | None = None

    def _rows(self) -> Rows:
        rows = of_problem(self.cfg) | of_network(self.cfg)
        rows["network"] += f", {self.model.count_params():,} weights"
        return rows | {"calibrated": "no" if self.survey_reference is None else "yes"}

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
    def _last_steps(self) -> LastSteps:
        return LastSteps(Observer(self.cfg))

    def prepare(self, maps: np.ndarray, coverage: np.ndarray) -> np.ndarray:
        """Noisy maps prepared for the network: the last steps of `observe` (mask, smoothing, scaling).

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
        return finished(self._last_steps, maps, coverage)

    @cached_property
    def _head(self) -> Head:
        return head_of(self.cfg)

    def outputs(self, obs: np.ndarray) -> np.ndarray:
        """Outputs of the network's head for observed maps, (n, outputs)."""
        return self._answers(self.model, obs)

    def posterior(self, obs: np.ndarray) -> MixturePosterior | PointPosterior:
        """Posteriors of a batch of observed maps."""
        return self.posterior_from(self.outputs(obs))

    def posterior_from(self, outputs: np.ndarray) -> MixturePosterior | PointPosterior:
        """Posteriors of maps, from their `outputs`."""
        answer = self._head.decode(outputs, self.bounds)
        if isinstance(answer, Mixtures):
            mixture = MixturePosterior(**vars(answer), bounds=self.bounds)
            return mixture if self.stretch is None else mixture.stretched(self.stretch)
        if self.errors is None:
            raise UserError("this estimator has no validation errors: calibrate it before asking for posteriors")
        return PointPosterior(points=answer.theta, errors=self.errors, bounds=self.bounds)

    def _answers(self, network: keras.Model, obs: np.ndarray) -> np.ndarray:
        """What a network says of maps (n, ...)."""
        maps = checked.maps(self.cfg, obs, "obs")
        # `predict` gives the same, and makes a stream of each call's maps, which takes longer than a few maps do
        blocks = [network.predict_on_batch(maps[start : start + BLOCK]) for start in range(0, len(maps), BLOCK)]
        answers = np.concatenate(blocks)
        if not np.isfinite(answers).all():
            raise UserError(
                f"obs: no finite result for values as large as {np.abs(maps).max():.3g}; maps must be those of "
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
        """Outputs of the last layer before the head, (n, units)."""
        return self._answers(self._summary, obs)

    @cached_property
    def feature_names(self) -> list[str]:
        """Description of each feature."""
        return self.measures.names(self.cfg) if self.measures else []

    @cached_property
    def _summary(self) -> keras.Model:
        import keras

        return keras.Model(self.model.inputs, self.model.get_layer(SUMMARY).output)

    def distance(self, obs: np.ndarray) -> np.ndarray:
        """Squared distances (n,) of the maps' features from those of training maps."""
        return _present(self.reference).distance(self.features(obs), self.mean(obs))

    def surprise(self, obs: np.ndarray) -> np.ndarray:
        """p-value (n,) of the misspecification test of each map, against the training distribution."""
        return _present(self.reference).judge(self.features(obs), self.mean(obs))[0]

    def survey_surprise(self, obs: np.ndarray) -> float:
        """p-value of the misspecification test of all maps together, patches of one sky."""
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

    def chain(self, obs: np.ndarray, n: int, seed: int) -> Chain:
        """Samples of `combine` for other programs: `.write(root)` for GetDist, `.to_getdist()`, `.to_arviz()`.

        With the log density of each, and of many patches with all free parameters, nuisances too.
        """
        return chain(self, checked.maps(self.cfg, obs, "obs"), n, seed)

    def to_getdist(self, obs: np.ndarray, n: int = 4000, seed: int = 0) -> Any:
        """The posterior of all maps together as `getdist.MCSamples`."""
        return self.chain(obs, n, seed).to_getdist()

    def to_arviz(self, obs: np.ndarray, n: int = 4000, seed: int = 0) -> Any:
        """The posterior of all maps together as `arviz.InferenceData`."""
        return self.chain(obs, n, seed).to_arviz()

    def combine_means(self, means: np.ndarray, n: int, seed: int) -> np.ndarray:
        """The same of two patches or more whose posterior means (patches, d) are known: leaving some out is cheap."""
        return self.combine_free(means, n, seed)[:, self.cfg.target_columns]

    def combine_free(self, means: np.ndarray, n: int, seed: int) -> np.ndarray:
        """Samples (n, p) of all free parameters, columns `cfg.parameter_names`, of patches with these means."""
        if self.response is None:
            raise UserError("this estimator was not calibrated for many patches; train it again")
        means = arguments.in_box("means", means, self.parameters, self.bounds)
        n, seed = arguments.whole("n", n, 1), arguments.whole("seed", seed)
        return self.response.posterior(means, n, seed)

    def save(self, folder: Path | str) -> None:
        """Write a self-contained folder for `load`: network, parameters, survey, calibration."""
        model_folder.write(self, arguments.path_of("folder", folder))

    @classmethod
    def load(cls, folder: Path | str) -> Estimator:
        """Read what `save` wrote. Never runs code from the file."""
        return model_folder.read(cls, arguments.path_of("folder", folder))


def _present(part: Any) -> Any:
    if part is None:
        raise UserError("this estimator has no reference maps for the misspecification test; train it again")
    return part
