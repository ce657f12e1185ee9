"""AdamW with a clip that is the same for any number of devices, and its learning-rate schedule."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("cosmokeras")
class ClippedAdamW(keras.optimizers.AdamW):
    """AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101) clipped to a global norm over all replicas.

    Keras clips the gradient of each replica by itself, before they are summed; the result then depends on the number
    of devices. Here replicas' gradients are summed first.
    """

    def __init__(self, *args: Any, clip: float = 1.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.clip = clip

    def apply(self, grads: list[Any], trainable_variables: list[Any] | None = None) -> None:
        """One step."""
        replicas = 1
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            if tf.distribute.has_strategy() and not tf.distribute.in_cross_replica_context():
                context = tf.distribute.get_replica_context()
                replicas = context.num_replicas_in_sync
                if replicas > 1:
                    grads = context.all_reduce(tf.distribute.ReduceOp.SUM, list(grads))
        norm = ops.sqrt(sum(ops.sum(ops.square(g)) for g in grads))
        # the optimizer sums over replicas once more
        factor = ops.minimum(1.0, self.clip / (norm + 1e-12)) / replicas
        super().apply([g * factor for g in grads], trainable_variables)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {**super().get_config(), "clip": self.clip}


def scaled_rate(rate: float, scaling: str, devices: int) -> float:
    """Learning rate for a batch that `devices` share, from that for one device's.

    `linear`: as Goyal et al. 2017 (arXiv:1706.02677, section 2.1); `sqrt`: as the noise of adaptive steps suggests
    (Malladi et al. 2022, arXiv:2205.10287); `none`.
    """
    return rate * {"linear": devices, "sqrt": devices**0.5, "none": 1}[scaling]


def schedule(peak: float, steps: int, warmup: float) -> keras.optimizers.schedules.LearningRateSchedule:
    """Linear rise over the first `warmup` part of the steps, then half a cosine down to 1 % of the peak."""
    rise = max(1, round(warmup * steps))
    return keras.optimizers.schedules.CosineDecay(
        peak / rise, max(1, steps - rise), alpha=0.01, warmup_target=peak, warmup_steps=rise
    )
