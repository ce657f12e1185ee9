"""Heads: a mixture density over the prior box, or a point. `Head` has all that depends on which of them it is.

The posterior of theta in a box with a uniform prior is described in u = Phi^-1((theta - low) / (high - low)), in which
the prior is a unit normal. There a full-covariance Gaussian mixture (Bishop 1994, "Mixture density networks") is a
density inside the box, normalised over it, and "no information" is exactly one of its members.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import keras
import numpy as np
from keras import layers, ops

if TYPE_CHECKING:
    from cosmokeras.params.config import Config

LOG_TWO_PI = float(np.log(2 * np.pi))
CLIP = 1e-6  # distance from the edge of the box, in units of its width, below which u is not followed


def to_normal(theta: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """theta (n, d) in the box `bounds` (d, 2) -> u (n, d), unit normal under the prior."""
    from scipy.special import ndtri

    low, high = bounds.T
    return ndtri(np.clip((theta - low) / (high - low), CLIP, 1 - CLIP))


def from_normal(u: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Inverse of `to_normal`."""
    from scipy.special import ndtr

    low, high = bounds.T
    return low + (high - low) * ndtr(u)


def mixture_size(dim: int, components: int) -> int:
    """Numbers that describe a mixture: logits, means and triangular factors of the precisions."""
    return components * (1 + dim + dim * (dim + 1) // 2)


def unpack_mixture(raw: Any, dim: int, components: int) -> tuple[Any, Any, Any]:
    """Raw outputs (n, mixture_size) -> log weights (n, K), means (n, K, d), lower factors L (n, K, d, d).

    The precision of a component is L L^T; log diagonals are bounded, so that no output gives NaN.
    """
    k, d = components, dim
    log_weights = ops.log_softmax(raw[:, :k], axis=-1)
    means = ops.reshape(raw[:, k : k + k * d], (-1, k, d))
    rest = ops.reshape(raw[:, k + k * d :], (-1, k, d * (d + 1) // 2))
    log_diagonal = 7 * ops.tanh(rest[..., :d] / 7)
    factors = ops.exp(log_diagonal)[..., None] * ops.eye(d)
    if d > 1:
        rows, columns = np.tril_indices(d, -1)
        scatter = np.zeros((len(rows), d * d), np.float32)
        scatter[np.arange(len(rows)), rows * d + columns] = 1.0
        # elementwise: GPUs round matrix products to TF32 (tf.config.experimental.enable_tensor_float_32_execution)
        lower = ops.sum(rest[..., d:, None] * ops.convert_to_tensor(scatter), axis=-2)
        factors = factors + ops.reshape(lower, (-1, k, d, d))
    return log_weights, means, factors


def mixture_log_prob(raw: Any, u: Any, components: int) -> Any:
    """Log density of u (n, d) under the mixtures `raw` (n, mixture_size), shape (n,)."""
    u, d = ops.convert_to_tensor(u), u.shape[-1]
    log_weights, means, factors = unpack_mixture(raw, d, components)
    z = ops.sum(factors * (u[:, None, :] - means)[..., None], axis=-2)  # L^T (u - mean)
    log_det = ops.sum(ops.log(ops.diagonal(factors, axis1=-2, axis2=-1)), axis=-1)
    log_normal = log_det - 0.5 * ops.sum(ops.square(z), axis=-1) - 0.5 * d * LOG_TWO_PI
    return ops.logsumexp(log_weights + log_normal, axis=-1)


def mixture_sample(raw: Any, uniform: Any, normal: Any, components: int) -> Any:
    """Samples u (n, draws, d) of the mixtures `raw` (n, mixture_size), made of given random numbers.

    Numbers from outside make the same samples on every backend, and again in a resumed run.

    Parameters
    ----------
    uniform : (n, draws), between 0 and 1, picks the component
    normal : (n, draws, d), unit normal, is given its mean and covariance
    """
    return draw_mixture(*unpack_mixture(raw, normal.shape[-1], components), uniform, normal)


def draw_mixture(log_weights: Any, means: Any, factors: Any, uniform: Any, normal: Any) -> Any:
    """`mixture_sample` of unpacked mixtures, in single precision whatever they come in."""
    parts = (log_weights, means, factors, uniform, normal)
    log_weights, means, factors, uniform, normal = (ops.cast(part, "float32") for part in parts)
    n, k, d = means.shape
    below = ops.cumsum(ops.exp(log_weights), axis=-1)[:, None, :-1]
    which = ops.sum(ops.cast(uniform[..., None] > below, "int32"), axis=-1)
    rows = which + k * ops.arange(n, dtype="int32")[:, None]
    # L^T x = normal has the solution x = (L^-1)^T normal: the few factors are inverted, not the many draws solved for
    inverse = ops.solve_triangular(factors, ops.broadcast_to(ops.eye(d), (n, k, d, d)), lower=True)
    inverse = ops.take(ops.reshape(inverse, (-1, d, d)), rows, axis=0)
    return ops.take(ops.reshape(means, (-1, d)), rows, axis=0) + ops.sum(inverse * normal[..., None], axis=-2)


@keras.saving.register_keras_serializable("cosmokeras")
class MixtureLoss(keras.losses.Loss):
    """Negative log posterior density of the true u: a bound on the mutual information of summary and parameters.

    Jeffrey, Alsing & Lanusse 2021, MNRAS 501, 954 (arXiv:2009.08459), section 3.3.
    """

    def __init__(self, components: int = 4, name: str = "nll", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.components = components

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Per map."""
        return -mixture_log_prob(ops.cast(y_pred, "float32"), ops.cast(y_true, "float32"), self.components)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {**super().get_config(), "components": self.components}


class Head(Protocol):
    """The last layer of a network and what its numbers mean."""

    @property
    def outputs(self) -> int:
        """Numbers that describe the answer for one map."""
        ...

    @property
    def loss(self) -> keras.losses.Loss:
        """What training minimises."""
        ...

    def apply(self, summary: Any) -> Any:
        """The last layer, in single precision, on the summary (n, units) of a functional model."""
        ...

    def encode(self, theta: np.ndarray, bounds: np.ndarray) -> np.ndarray:
        """What is to be predicted of the targets theta (n, d) in the box `bounds` (d, 2), (n, d) float32."""
        ...

    def decode(self, raw: np.ndarray, bounds: np.ndarray) -> Mixtures | Points:
        """Outputs (n, outputs) as numbers of double precision."""
        ...


@dataclass(frozen=True)
class Mixtures:
    """Gaussian mixtures in u: `log_weights` (n, K), `means` (n, K, d), `factors` (n, K, d, d), see `unpack_mixture`."""

    log_weights: np.ndarray
    means: np.ndarray
    factors: np.ndarray


@dataclass(frozen=True)
class Points:
    """Point estimates `theta` (n, d)."""

    theta: np.ndarray


@dataclass(frozen=True)
class MixtureHead:
    """Mixture density of `components` Gaussians over u (Bishop 1994), trained by `MixtureLoss`."""

    dim: int
    components: int
    layer: ClassVar[str] = "mixture"

    @property
    def outputs(self) -> int:
        """See `mixture_size`."""
        return mixture_size(self.dim, self.components)

    @property
    def loss(self) -> keras.losses.Loss:
        """Negative log posterior density."""
        return MixtureLoss(self.components)

    def apply(self, summary: Any) -> Any:
        """Logits, means and factors. Means start apart: equal components would stay equal."""
        bias = keras.initializers.RandomNormal(stddev=0.3, seed=0)
        return layers.Dense(self.outputs, dtype="float32", bias_initializer=bias, name=self.layer)(summary)

    def encode(self, theta: np.ndarray, bounds: np.ndarray) -> np.ndarray:
        """u of the targets."""
        return to_normal(theta, bounds).astype(np.float32)

    def decode(self, raw: np.ndarray, bounds: np.ndarray) -> Mixtures:
        """Mixtures in u."""
        parts = unpack_mixture(raw, self.dim, self.components)
        log_weights, means, factors = (ops.convert_to_numpy(part).astype(float) for part in parts)
        return Mixtures(log_weights=log_weights, means=means, factors=factors)


@dataclass(frozen=True)
class PointHead:
    """Point estimates of least mean square error, in units of half the prior's width from its middle."""

    dim: int
    layer: ClassVar[str] = "point"

    @property
    def outputs(self) -> int:
        """One number for each target."""
        return self.dim

    @property
    def loss(self) -> keras.losses.Loss:
        """Mean square error."""
        return keras.losses.MeanSquaredError()

    def apply(self, summary: Any) -> Any:
        """Points."""
        return layers.Dense(self.outputs, dtype="float32", name=self.layer)(summary)

    def encode(self, theta: np.ndarray, bounds: np.ndarray) -> np.ndarray:
        """Targets, -1 to 1 in the box."""
        return (2 * (theta - bounds[:, 0]) / (bounds[:, 1] - bounds[:, 0]) - 1).astype(np.float32)

    def decode(self, raw: np.ndarray, bounds: np.ndarray) -> Points:
        """Targets."""
        return Points(bounds.mean(axis=1) + raw.astype(float) * (bounds[:, 1] - bounds[:, 0]) / 2)


HEAD_LAYERS = (MixtureHead.layer, PointHead.layer)  # names of the last layer


def head_of(cfg: Config) -> Head:
    """The head that `model.head` names, for the targets of `cfg`; of an ensemble it has the mixtures of all members."""
    d, components = len(cfg.targets), cfg.model.components * cfg.train.ensemble
    heads: dict[str, Head] = {"posterior": MixtureHead(d, components), "mse": PointHead(d)}
    return heads[cfg.model.head]
