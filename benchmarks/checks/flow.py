"""Would a normalising flow be a better posterior head than the mixture? Both are trained on the same summaries.

The summaries are those of the two-parameter network (`two_parameters` comes first), which stays as it is: what is
compared is how well a head describes the posterior given 64 numbers. The flow is the neural spline flow of Durkan et
al. 2019 (arXiv:1906.04032), autoregressive (section 3.2), in the same u as the mixture.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from cosmokeras import models
from cosmokeras.common.errors import UserError
from cosmokeras.common.files import work_folder
from cosmokeras.dataset.batches import kept_maps
from cosmokeras.dataset.feeders import training_batches
from cosmokeras.dataset.observed import BATCH, observed_blocks
from cosmokeras.dataset.shards import Split, open_split
from cosmokeras.evaluation.metrics import TEST_NOISE
from cosmokeras.inference.estimator import Estimator
from cosmokeras.models.blocks import FEATURE_FLOOR, SUMMARY
from cosmokeras.models.heads import LOG_TWO_PI, MixtureHead, mixture_log_prob
from cosmokeras.observation.ops.forward import Forward
from cosmokeras.params.sections import TrainConfig
from cosmokeras.training.loop import VALIDATION_NOISE
from cosmokeras.training.optimizer import ClippedAdamW, schedule
from study.requirements import required

DRAWS = 4  # of noise, of every map; training maps are turned too, as in training
SEEDS = (1, 2, 3)  # of weights and order
EPOCHS = 20  # passes over all draws of the training maps, at most
HIDDEN = 128  # units of the mixture's hidden layer
UNITS = 16  # of the hidden layer of each of the flow's conditioners: as many weights in all
TRANSFORMS = 4
BINS = 8
EDGE = 4.0  # splines act between -EDGE and EDGE
LEAST = 1e-3  # width and height of a bin, in parts of all, and slope
FLAT = float(np.log(np.expm1(1 - LEAST)))  # the number whose softplus makes a slope of 1


@keras.saving.register_keras_serializable("cosmokeras")
class Mixture(keras.Model):
    """(summary (n, s), u (n, d)) -> log density (n,): one hidden layer and the shipped head."""

    def __init__(self, size: int, dim: int, components: int) -> None:
        super().__init__()
        self.components = components
        summary = keras.Input((size,))
        hidden = layers.Dense(HIDDEN, activation="gelu")(summary)
        self.network = keras.Model(summary, MixtureHead(dim, components).apply(hidden))

    def call(self, inputs: tuple[Any, Any]) -> Any:
        """Of a batch."""
        summary, u = inputs
        return mixture_log_prob(self.network(summary), u, self.components)


@keras.saving.register_keras_serializable("cosmokeras")
class Flow(keras.Model):
    """(summary (n, s), u (n, d)) -> log density (n,): splines take u to unit normals, one coordinate at a time.

    Coordinate i of a transform depends on the summary and on the coordinates before it, so that the Jacobian is a
    triangle; the order is turned round after each transform.
    """

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.conditioners = [[self._conditioner(size + i) for i in range(dim)] for _ in range(TRANSFORMS)]

    @staticmethod
    def _conditioner(size: int) -> keras.Model:
        given = keras.Input((size,))
        hidden = layers.Dense(UNITS, activation="gelu")(given)
        # small: the flow begins near the prior
        small = keras.initializers.RandomNormal(stddev=0.01)
        return keras.Model(given, layers.Dense(3 * BINS + 1, kernel_initializer=small)(hidden))

    def call(self, inputs: tuple[Any, Any]) -> Any:
        """Of a batch."""
        summary, u = inputs
        log_volume = 0.0
        for row in self.conditioners:
            raw = [net(ops.concatenate([summary, u[:, :i]], axis=1)) for i, net in enumerate(row)]
            u, log_slope = transform(u, ops.stack(raw, axis=1))
            log_volume = log_volume + ops.sum(log_slope, axis=-1)
            u = ops.flip(u, axis=1)
        return log_volume - ops.sum(0.5 * ops.square(u) + 0.5 * LOG_TWO_PI, axis=-1)


def transform(u: Any, raw: Any) -> tuple[Any, Any]:
    """Shift, scale and bend u (n, d) by raw (n, d, 3 BINS + 1); and the log of the slope, (n, d)."""
    log_scale = 5 * ops.tanh(raw[..., 1] / 5)
    z, log_slope = spline((u - raw[..., 0]) * ops.exp(log_scale), raw[..., 2:])
    return z, log_slope + log_scale


def spline(x: Any, raw: Any) -> tuple[Any, Any]:
    """Monotonic rational-quadratic spline of x (n, d), raw (n, d, 3 BINS - 1), and the log of its slope.

    Durkan et al. 2019, section 3.1: eq. 4 is the spline, eq. 5 its slope. Beyond the edges it is the identity.
    """
    widths, heights = (
        2 * EDGE * (LEAST + (1 - BINS * LEAST) * ops.softmax(part, axis=-1))
        for part in (raw[..., :BINS], raw[..., BINS : 2 * BINS])
    )
    slopes = LEAST + ops.softplus(raw[..., 2 * BINS :] + FLAT)
    one = ops.ones_like(raw[..., :1])
    slopes = ops.concatenate([one, slopes, one], axis=-1)
    right, top = ops.cumsum(widths, axis=-1) - EDGE, ops.cumsum(heights, axis=-1) - EDGE
    inside = ops.clip(x, -EDGE, EDGE)
    bin_of = ops.sum(ops.cast(inside[..., None] >= right[..., :-1], "int32"), axis=-1)
    chosen = ops.one_hot(bin_of, BINS, dtype=x.dtype)
    columns = (widths, heights, right, top, slopes[..., :-1], slopes[..., 1:])
    width, height, right, top, before, after = (ops.sum(chosen * column, axis=-1) for column in columns)
    t, s = (inside - right) / width + 1, height / width
    bottom = s + (before + after - 2 * s) * t * (1 - t)
    y = top - height + height * (s * t**2 + before * t * (1 - t)) / bottom
    slope = s**2 * (after * t**2 + 2 * s * t * (1 - t) + before * (1 - t) ** 2) / bottom**2
    return y + (x - inside), ops.log(slope)


HEADS: dict[str, Callable[[int, int], keras.Model]] = {
    "mixture_1": partial(Mixture, components=1),
    "mixture_4": partial(Mixture, components=4),
    "mixture_8": partial(Mixture, components=8),
    "flow": Flow,
}
SHIPPED = "mixture_4"


@dataclass(frozen=True)
class Sample:
    """Summaries (n, s) of maps and their true u (n, d), float32."""

    summary: np.ndarray
    u: np.ndarray

    @classmethod
    def of(cls, encoder: keras.Model, batches: Iterable[tuple[Any, Any]]) -> Sample:
        """Of all batches (maps, u)."""
        parts = [(encoder.predict_on_batch(maps), u) for maps, u in batches]
        return cls(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def scaled(self, mean: np.ndarray, deviation: np.ndarray) -> Sample:
        """With standardised summaries."""
        return Sample((self.summary - mean) / deviation, self.u)


def draws(est: Estimator, encoder: keras.Model, split: Split, noise: int) -> Sample:
    """Every map of a split under `DRAWS` draws of noise, one after the other."""
    forward, u = Forward(est.cfg), models.encode(est.cfg, split.theta)
    targets = [u[start : start + BATCH] for start in range(0, len(split), BATCH)]
    seeds = range(noise, noise + DRAWS)
    passes = (zip(observed_blocks(split, forward, seed), targets, strict=True) for seed in seeds)
    return Sample.of(encoder, (batch for one in passes for batch in one))


def training_draws(est: Estimator, encoder: keras.Model, split: Split) -> Sample:
    """`DRAWS` passes over the training maps, with noise and order that the network has not seen."""
    cfg, steps = est.cfg, len(split) // BATCH
    source, encode = kept_maps(split, BATCH, cfg.train.seed), partial(models.encode, cfg)
    unseen = steps * len(split)  # the first step of an epoch, long after the network's last step
    forward = Forward(cfg)
    read = training_batches(source, encode, cfg.train.seed, forward.masks, BATCH)

    def batch(step: int) -> tuple[np.ndarray, np.ndarray]:
        (maps, which, keys), u = read(step)
        return ops.convert_to_numpy(forward(forward.signal(maps, which), which, keys)), u

    return Sample.of(encoder, (batch(unseen + i) for i in range(DRAWS * steps)))


def fit(head: keras.Model, training: Sample, validation: Sample, settings: TrainConfig) -> float:
    """Train with the optimiser of the networks; the weights are those of the best epoch. Returns seconds."""
    steps = EPOCHS * -(-len(training.u) // BATCH)
    rate = schedule(settings.lr, steps, settings.warmup)
    optimizer = ClippedAdamW(rate, weight_decay=settings.weight_decay, clip=settings.clip)
    head.compile(optimizer, loss=lambda _, log_density: -log_density)
    stop = keras.callbacks.EarlyStopping(patience=settings.patience, restore_best_weights=True)
    pairs = [((part.summary, part.u), np.zeros(len(part.u), np.float32)) for part in (training, validation)]
    started = time.perf_counter()
    head.fit(*pairs[0], batch_size=BATCH, epochs=EPOCHS, validation_data=pairs[1], callbacks=[stop], verbose=0)
    return time.perf_counter() - started


def nll(head: keras.Model, sample: Sample, bounds: np.ndarray) -> np.ndarray:
    """Negative log density (n,) of the true parameters, normalised over the prior box as in metrics/evaluate.json."""
    return in_box(ops.convert_to_numpy(head((sample.summary, sample.u))), sample.u, bounds)


def in_box(log_density: np.ndarray, u: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Negative log density (n,) of parameters in the box, from the log density (n,) of u (n, d)."""
    jacobian = 0.5 * u.astype(float) ** 2 + 0.5 * LOG_TWO_PI - np.log(bounds[:, 1] - bounds[:, 0])
    return -log_density.astype(float) - jacobian.sum(axis=1)


def difference(ours: np.ndarray, theirs: np.ndarray, cosmology: np.ndarray) -> tuple[float, float]:
    """Mean of theirs - ours, both (n,), and its standard error: maps of a cosmology (n,) are one measurement."""
    _, which = np.unique(cosmology, return_inverse=True)
    mean = np.bincount(which, theirs - ours) / np.bincount(which)
    return float(mean.mean()), float(mean.std(ddof=1) / np.sqrt(len(mean)))


def compare(nlls: dict[str, np.ndarray], cosmology: np.ndarray) -> dict[str, dict[str, float]]:
    """Figures of each head from negative log densities (seeds, n) of maps of the cosmologies (n,)."""
    found = {}
    for name, values in nlls.items():
        mean, error = difference(nlls[SHIPPED].mean(axis=0), values.mean(axis=0), cosmology)
        scatter = values.mean(axis=1).std(ddof=1)
        figures = {"nll": values.mean(), "scatter": scatter, "difference": mean, "difference_error": error}
        found[name] = {key: round(float(value), 5) for key, value in figures.items()}
    return found


def least_gain(found: dict[str, dict[str, float]], name: str) -> float:
    """What a head must gain over the shipped one to count: two standard errors, and the scatter over seeds of both."""
    return max(2 * found[name]["difference_error"], found[name]["scatter"], found[SHIPPED]["scatter"])


def check() -> tuple[dict[str, Any], bool]:
    """Train all heads with all seeds; about five minutes."""
    folder = work_folder("validate", "two-parameters") / "outputs"
    if not (folder / "model" / "estimator.json").exists():
        raise UserError(f"{folder}: no two-parameter network; run `python -m benchmarks.validate two_parameters` first")
    est = Estimator.load(folder / "model")
    splits = {name: open_split(est.cfg, folder / "simulations", name) for name in ("train", "validation", "test")}
    encoder = keras.Model(est.model.inputs, est.model.get_layer(SUMMARY).output)
    training = training_draws(est, encoder, splits["train"])
    validation = draws(est, encoder, splits["validation"], VALIDATION_NOISE)
    test = draws(est, encoder, splits["test"], TEST_NOISE)
    found = measure(training, validation, test, np.tile(splits["test"].cosmology, DRAWS), est.cfg.train, est.bounds)
    raw = est.model.get_layer("mixture")(test.summary)
    log_density = ops.convert_to_numpy(mixture_log_prob(raw, test.u, est.cfg.model.components))
    own = in_box(log_density, test.u, est.bounds).mean()
    gain, least = -found["flow"]["difference"], least_gain(found, "flow")
    good = required(f"two parameters, nll of {SHIPPED} - nll of a flow", gain, -np.inf, least)
    figures = {"heads": found, "network_nll": round(float(own), 5), "flow_gain": gain, "least_gain": least}
    return {**figures, "flow_is_better": not good, "draws": DRAWS, "seeds": len(SEEDS)}, good


def measure(
    training: Sample,
    validation: Sample,
    test: Sample,
    cosmology: np.ndarray,
    settings: TrainConfig,
    bounds: np.ndarray,
) -> dict[str, dict[str, float]]:
    """Figures of each head: weights, seconds of training, and those of `compare` on the test maps."""
    mean, deviation = training.summary.mean(axis=0), np.maximum(training.summary.std(axis=0), FEATURE_FLOOR)
    training, validation, test = (part.scaled(mean, deviation) for part in (training, validation, test))
    nlls, costs = {}, {}
    for name, build in HEADS.items():
        seconds, values = [], []
        for seed in SEEDS:
            keras.utils.set_random_seed(seed)
            head = build(training.summary.shape[1], training.u.shape[1])
            seconds.append(fit(head, training, validation, settings))
            values.append(nll(head, test, bounds))
        nlls[name] = np.array(values)
        costs[name] = {"weights": head.count_params(), "seconds": round(float(np.mean(seconds)), 1)}
    return {name: costs[name] | figures for name, figures in compare(nlls, cosmology).items()}
