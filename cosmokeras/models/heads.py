"""Heads: a mixture density over the prior box, or a point.

The posterior of theta in a box with a uniform prior is described in u = Phi^-1((theta - low) / (high - low)), in which
the prior is a unit normal. There a full-covariance Gaussian mixture (Bishop 1994, "Mixture density networks") is a
density inside the box, normalised over it, and "no information" is exactly one of its members.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

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


def apply_head(summary: Any, head: str, dim: int, components: int) -> Any:
    """Last layer, in single precision: mixture parameters, or points in units of half the prior's width."""
    if head == "mse":
        return layers.Dense(dim, dtype="float32", name="point")(summary)
    # spread means: equal components would stay equal
    bias = keras.initializers.RandomNormal(stddev=0.3, seed=0)
    units = mixture_size(dim, components)
    return layers.Dense(units, dtype="float32", bias_initializer=bias, name="mixture")(summary)
