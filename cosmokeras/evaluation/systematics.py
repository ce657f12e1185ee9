"""What fixed nuisances do to answers: shifts of posterior means that no test of the maps can see.

Alignments, shear calibration, redshifts and baryons that are not as params.yaml fixes them look like another cosmology
(`docs/domain_gap.md`). Here the same maps are made twice, with a nuisance as it is fixed and a step away, with the same
random numbers and the same noise, and shown to the network: the mean difference of its answers over the step is the
shift per unit. Times the width at which the nuisance is known (`nuisances.yaml`) it is a systematic error.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from cosmokeras.common.errors import UserError
from cosmokeras.common.in_order import in_order
from cosmokeras.evaluation.nuisances import nuisances, steps
from cosmokeras.inference import regression
from cosmokeras.inference.derived import names_with_s8, with_s8
from cosmokeras.inference.estimator import Estimator
from cosmokeras.observation.observe import observed_by
from cosmokeras.observation.ops.forward import forward_of
from cosmokeras.params.config import Config
from cosmokeras.params.prior import sample_prior
from cosmokeras.project import changed
from cosmokeras.simulators import SPLITS, realisations, simulator_of

EACH = 4  # maps of a cosmology
SEED = 9_000_011  # of the cosmologies, maps and noise, which nothing else uses
INNER = 0.8  # part of the prior box about its middle that cosmologies are drawn from: at its edges answers cannot move
SAMPLES = 1000  # of the posterior of one map, for S8
COMBINED = 4000  # of that of many patches: its mean is known to 1/63 of its width
MANY = 100  # patches, where a preset does not say where its survey lies; more hardly change the shift
WHOLE_SKY = ((0.0, 360.0, -90.0, 90.0),)

Maker = Callable[[Config, np.ndarray, int, int], np.ndarray]


@dataclass(frozen=True)
class Shift:
    """Shift of the mean of each parameter (q,) per unit of a nuisance, and its standard error (q,)."""

    value: np.ndarray
    error: np.ndarray


@dataclass(frozen=True)
class Shifts:
    """Shifts by nuisance, of the posteriors of one `patch` and of a `survey` of so many `patches`.

    `names` (q,) are the targets, and S8 where omega_m and sigma8 are; `refused` has the nuisances with which no maps
    can be made, and why.
    """

    names: tuple[str, ...]
    patches: int
    patch: dict[str, Shift]
    survey: dict[str, Shift]
    refused: dict[str, str]

    def metrics(self) -> dict[str, dict[str, float]]:
        """Nuisance -> P, P_error (of one patch), P_survey, P_survey_error for each parameter P, per unit."""
        out: dict[str, dict[str, float]] = {}
        for nuisance in self.patch:
            levels = {"": self.patch[nuisance], "_survey": self.survey[nuisance]}
            out[nuisance] = {
                f"{name}{level}{end}": round(float(numbers[i]), 6)
                for i, name in enumerate(self.names)
                for level, shift in levels.items()
                for end, numbers in (("", shift.value), ("_error", shift.error))
            }
        return out

    def errors(self) -> dict[str, dict[str, float]]:
        """Of a survey: parameter -> width times shift of each nuisance, and all of them in quadrature as `error`."""
        out: dict[str, dict[str, float]] = {}
        if not self.survey:
            return out
        for i, name in enumerate(self.names):
            parts = {one: float(shift.value[i]) * nuisances()[one].width for one, shift in self.survey.items()}
            total = {"error": float(np.sqrt(np.sum(np.square(list(parts.values())))))}
            out[name] = {key: round(value, 6) for key, value in (total | parts).items()}
        return out

    def words(self) -> list[str]:
        """A line for each parameter, and one for each nuisance that could not be moved."""
        lines = []
        for name, one in self.errors().items():
            parts = [
                f"{key} {value:+.4f} by {nuisances()[key].width:g}" for key, value in one.items() if key != "error"
            ]
            what = f"{self.patches} patches" if self.patches > 1 else "one patch"
            lines.append(f"{name}: +-{one['error']:.4f} from fixed nuisances, in {what}: {', '.join(parts)}")
        return lines + [f"{name}: shift not known: {reason}" for name, reason in self.refused.items()]


def survey_patches(cfg: Config) -> int:
    """Patches in the footprint that the survey's preset gives, roughly; MANY where it gives none."""
    if cfg.survey.sky == WHOLE_SKY:
        return MANY
    area = sum((east - west) * np.ptp(np.sin(np.deg2rad([s, n]))) * 180 / np.pi for west, east, s, n in cfg.survey.sky)
    return max(1, round(area / (cfg.data.size * cfg.pixel_arcmin / 60) ** 2))


def clean_maps(cfg: Config, theta: np.ndarray, each: int, seed: int) -> np.ndarray:
    """Noise-free maps (n each, size, size, channels) of cosmologies theta (n, p), those of one next to each other.

    The same seed is the same random numbers. Lognormal shells stand in for N-body matter of the same spectra.
    """
    if cfg.lensing.matter != "lognormal":
        cfg = changed(cfg, {"lensing.matter": "lognormal"})
    module = simulator_of(cfg)
    prepared = module.prepare(cfg)

    def made(i: int) -> np.ndarray:
        maps: np.ndarray = module.maps(cfg, prepared, theta[i], realisations(seed, SPLITS["user"], i), each)
        return maps

    cores = len(os.sched_getaffinity(0))
    with threadpool_limits(1):
        return np.concatenate(list(in_order(made, range(len(theta)), ahead=cores, threads=cores)))


def over_the_prior(est: Estimator, maps: int) -> Shifts:
    """Shifts in the inner part of the prior box, from so many maps, for a survey as large as the preset's.

    None of kinds of maps without nuisances, nor where all of them are free, nor from no maps.
    """
    if maps == 0 or not steps(est.cfg):
        return nothing(est)
    theta = sample_prior(est.cfg, max(2, maps // EACH), SEED)
    middle = est.cfg.bounds.mean(axis=1)
    return measured(est, middle + INNER * (theta - middle), survey_patches(est.cfg))


def of_sky(est: Estimator, obs: np.ndarray, maps: int) -> Shifts:
    """Shifts for a sky of which the patches (n, ...) were observed: at the cosmologies of its posterior."""
    if maps == 0 or not steps(est.cfg):
        return nothing(est)
    count = max(2, maps // EACH)
    if len(obs) > 1:
        theta = est.combine_free(est.mean(obs), count, SEED)
    else:  # nothing is known of the parameters that are not targets
        theta = sample_prior(est.cfg, count, SEED)
        theta[:, est.cfg.target_columns] = est.sample(obs, count, SEED)[0]
    return measured(est, theta, len(obs))


def nothing(est: Estimator) -> Shifts:
    """No shifts."""
    return Shifts(names_with_s8(est.parameters), 1, {}, {}, {})


def measured(
    est: Estimator,
    theta: np.ndarray,
    patches: int,
    by: Mapping[str, float] | None = None,
    maps_of: Maker = clean_maps,
    each: int = EACH,
) -> Shifts:
    """Shifts of the answers for maps of cosmologies theta (n, p), `each` of them, and for skies of so many patches.

    Parameters
    ----------
    by : nuisance -> step; by default `steps`
    maps_of : noise-free maps of (parameters, theta, each, seed)

    A sky has patches whose mean estimate is what calibration expects of its cosmology, and is moved by the mean
    difference of the maps of that cosmology.
    """
    cfg, d, by = est.cfg, len(est.parameters), steps(est.cfg) if by is None else by

    def answers(cfg_of_maps: Config) -> np.ndarray:
        obs = observed_by(forward_of(cfg), maps_of(cfg_of_maps, theta, each, SEED), SEED)
        return _means(est, obs).reshape(len(theta), each, -1).mean(axis=1)

    before, many = answers(cfg), patches > 1
    sky = _skies(est, _expected(est, theta), patches) if many else before
    patch, survey, refused = {}, {}, {}
    for name, step in by.items():
        try:
            after = answers(changed(cfg, {f"prior.{name}": getattr(cfg.prior, name) + step}))
        except UserError as error:
            refused[name] = str(error)
            continue
        patch[name] = _shift((after - before) / step, theta, cfg.bounds)
        if many:
            moved = _expected(est, theta) + (after - before)[:, :d]
            survey[name] = _shift((_skies(est, moved, patches) - sky) / step, theta, cfg.bounds)
        else:
            survey[name] = patch[name]
    return Shifts(names_with_s8(est.parameters), patches, patch, survey, refused)


def _means(est: Estimator, obs: np.ndarray) -> np.ndarray:
    """Posterior means (n, q) of single maps, that of S8 behind the targets."""
    posterior, d = est.posterior(obs), len(est.parameters)
    if len(names_with_s8(est.parameters)) == d:
        return posterior.mean()
    s8 = with_s8(est.parameters, posterior.sample(SAMPLES, seed=0))[..., d:]
    return np.hstack([posterior.mean(), s8.mean(axis=1)])


def _expected(est: Estimator, theta: np.ndarray) -> np.ndarray:
    """Mean estimates (n, d) of maps at theta (n, p), as calibration knows them."""
    if est.response is None:
        raise UserError("this estimator was not calibrated for many patches; train it again")
    return est.response.expected(theta)


def _skies(est: Estimator, statistics: np.ndarray, patches: int) -> np.ndarray:
    """Posterior means (n, q) of skies of so many patches with these mean estimates (n, d)."""
    inside = np.clip(statistics, *est.bounds.T)
    skies = (np.repeat(one[None], patches, axis=0) for one in inside)
    return np.array([with_s8(est.parameters, est.combine_means(sky, COMBINED, SEED)).mean(axis=0) for sky in skies])


def _shift(values: np.ndarray, theta: np.ndarray, bounds: np.ndarray) -> Shift:
    """Mean of the shifts (n, q) of cosmologies theta (n, p), and its error: their scatter about a plane in theta."""
    count, design = len(values), regression.polynomial(theta, bounds, 1)
    if count <= 2 * design.shape[1]:
        design = design[:, :1]
    left = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    variance = np.sum(left**2, axis=0) / (count - design.shape[1])
    return Shift(values.mean(axis=0), np.sqrt(variance / count))
