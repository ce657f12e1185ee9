"""Settings of the misspecification test, measured on skewed fields of one parameter under white noise.

    python -m study.null_distribution [SETTING ...]

prints how often surveys that are like the training maps get p < 0.05, which should be 5 %, for several values of a
setting of `cosmokeras.inference.misspecification` or `feature_model`: for surveys from the prior, and at both edges and
in the middle of it. It is more often where the null distribution is not that of the survey: of other parameters, of too
few maps, or about a mean that the polynomial does not follow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from unittest.mock import patch

import numpy as np
from scipy import fft

from cosmokeras.common import cli
from cosmokeras.inference import feature_model, misspecification, shapes
from cosmokeras.inference.measures import Measures, bands
from cosmokeras.inference.misspecification import SurveyReference
from cosmokeras.simulators.fields import mode_amplitude, normal_modes, wavenumbers

SIZE = 32
BOUNDS = np.array([[0.5, 1.5]])  # of the rms of fields, in units of the noise
K = wavenumbers(SIZE, 1.0)
TWICE = np.where(np.isin(np.arange(SIZE // 2 + 1), [0, SIZE // 2]), 1, 2)
SKEW = 0.15
PATCHES, SURVEYS = 16, 400  # rates over all of them are known to 1.1 %
EDGE = 0.1  # of the prior on either side, which `WHERE` calls its edges
WHERE = ("everywhere", "at the edges", "elsewhere")
MAPS = 4000, 2000  # of the training and of the validation set
FEW = 40  # training maps to which MAPS_PER_TERM makes a difference
LEVEL = 0.05
SEED = 17
Rates = Iterator[tuple[str, np.ndarray]]  # value of a setting, and false alarms by WHERE


def simulate(
    theta: np.ndarray, rng: np.random.Generator, noise: float = 1.0, slope: float = -1.5, skew: float = SKEW
) -> np.ndarray:
    """Skewed fields of rms `theta` (n,) with about a power-law spectrum under white noise, (n, size, size, 1)."""
    power = np.where(K > 0, np.where(K > 0, K, 1.0) ** slope, 0.0)
    shape = np.sqrt(power / np.sum(power * TWICE)) * SIZE**2
    modes = normal_modes(rng, (len(theta), *shape.shape)) * mode_amplitude(np.multiply.outer(theta, shape) ** 2)
    fields = fft.irfft2(modes)
    rms = theta[:, None, None]
    fields = (fields + skew * (fields**2 / rms - rms)) / np.sqrt(1 + 2 * skew**2)
    return (fields + noise * rng.standard_normal(fields.shape)).astype(np.float32)[..., None]


def summaries(maps: np.ndarray) -> np.ndarray:
    """Two numbers in place of a network's summaries, (n, 2): logs of mean |map|, averaged in blocks of pixels."""
    columns = []
    for block in (2, 4):
        blocks = maps.reshape(len(maps), SIZE // block, block, SIZE // block, block).mean(axis=(2, 4))
        columns.append(np.log(np.abs(blocks).mean(axis=(1, 2))))
    return np.stack(columns, axis=1)


@dataclass(frozen=True)
class Sets:
    """Features (n, f) and parameters (n, p) of maps, and features (surveys, patches, f) of surveys and their rms."""

    training: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]
    surveys: np.ndarray
    rms: np.ndarray
    sizes: np.ndarray

    @classmethod
    def simulated(cls, surveys: int = SURVEYS, maps: tuple[int, int] = MAPS) -> Sets:
        """The same ones at each call."""
        rng = np.random.default_rng(SEED)
        theta = [rng.uniform(BOUNDS[0, 0], BOUNDS[0, 1], n) for n in maps]
        training, validation = (simulate(values, rng) for values in theta)
        weights = shapes.signal_weights(shapes.smoothed_channels(training))
        measures = Measures.fit(weights, summaries(training), bands(SIZE))
        rms = rng.uniform(BOUNDS[0, 0], BOUNDS[0, 1], surveys)
        skies = simulate(np.repeat(rms, PATCHES), rng)
        return cls(
            training=(measures(training, summaries(training)), theta[0][:, None]),
            validation=(measures(validation, summaries(validation)), theta[1][:, None]),
            surveys=measures(skies, summaries(skies)).reshape(surveys, PATCHES, -1),
            rms=rms,
            sizes=measures.sizes,
        )


def false_alarms(sets: Sets, training: int | None = None) -> np.ndarray:
    """Part of the surveys with p < LEVEL, by WHERE, under the settings of the moment."""
    features, theta = (x[:training] for x in sets.training)
    reference = SurveyReference.fit((features, theta), sets.validation, BOUNDS, sets.sizes)
    alarms = np.array([reference.judge(survey).p < LEVEL for survey in sets.surveys])
    edge = np.abs(sets.rms - BOUNDS.mean()) > (0.5 - EDGE) * np.ptp(BOUNDS)
    return np.array([alarms.mean(), alarms[edge].mean(), alarms[~edge].mean()])


def calibration_maps(sets: Sets) -> Rates:
    """Not a setting: how many validation maps the surveys of the null distribution are put together of."""
    features, theta = sets.validation
    for number in (len(theta) // 4, len(theta)):
        yield f"{number} maps", false_alarms(replace(sets, validation=(features[:number], theta[:number])))


def matched(sets: Sets) -> Rates:
    """MATCHED: the part of these surveys that a survey is compared with, nearest in parameters."""
    for part in (0.1, 0.25, 1.0):
        with patch.multiple(misspecification, MATCHED=part):
            yield f"{part:.0%} of them", false_alarms(sets)


def window(sets: Sets) -> Rates:
    """WINDOW: of how many validation maps for each patch these surveys are drawn."""
    for number in (1, 2, 8):
        with patch.multiple(misspecification, WINDOW=number):
            yield f"{number} times the patches", false_alarms(sets)


def degree(sets: Sets) -> Rates:
    """DEGREE of the polynomials of the mean, for one parameter."""
    for number in (2, 4, 6):
        with patch.multiple(feature_model, DEGREE={1: number}):
            yield f"degree {number}", false_alarms(sets)


def maps_per_term(sets: Sets) -> Rates:
    """MAPS_PER_TERM, which lowers the degree of the mean where training maps are few."""
    for number in (1, 8, 16):
        with patch.multiple(feature_model, MAPS_PER_TERM=number):
            yield f"{number} for {FEW} maps", false_alarms(sets, FEW)


def training_maps(sets: Sets) -> Rates:
    """Not a setting: how many training maps the test takes, for each coefficient of the mean."""
    terms = feature_model.DEGREE[1] + 1
    for ratio in (2, 8, 64):
        with patch.multiple(feature_model, MAPS_PER_TERM=1):
            yield f"{ratio} maps per term", false_alarms(sets, ratio * terms)


SETTINGS: dict[str, Callable[[Sets], Rates]] = {
    "calibration_maps": calibration_maps,
    "matched": matched,
    "window": window,
    "degree": degree,
    "maps_per_term": maps_per_term,
    "training_maps": training_maps,
}


def main() -> int:
    """Print the rates for each value of the settings that are asked for."""
    parser = cli.Parser("study.null_distribution", __doc__)
    parser.add_argument("settings", nargs="*", metavar="SETTING", help=f"{' or '.join(SETTINGS)} (default: all)")
    options = parser.parse_args()
    if unknown := set(options.settings) - set(SETTINGS):
        parser.error(f"no setting named {', '.join(sorted(unknown))}; there are {', '.join(SETTINGS)}")
    sets = Sets.simulated()
    for name in options.settings or SETTINGS:
        for value, rates in SETTINGS[name](sets):
            shown = [f"{rate:.1%} {where}" for rate, where in zip(rates, WHERE, strict=True)]
            print(f"{value:>20}: {', '.join(shown)}", flush=True)
    return 0


if __name__ == "__main__":
    cli.entry(main)
