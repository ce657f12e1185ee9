"""Which devices a run uses."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from cosmokeras.errors import UserError


def scope(batch_size: int) -> tuple[AbstractContextManager[object], int]:
    """Where to build the model, and the number of devices that share each batch.

    All GPUs of the node, or the logical CPU devices that were set up before, under `tf.distribute.MirroredStrategy`
    when there is more than one.
    """
    import tensorflow as tf

    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(devices) == 1:
        return nullcontext(), 1
    if batch_size % len(devices):
        raise UserError(
            f"train.batch_size={batch_size}: must be a multiple of the {len(devices)} devices that share it"
        )
    strategy = tf.distribute.MirroredStrategy([device.name for device in devices])
    return strategy.scope(), strategy.num_replicas_in_sync
