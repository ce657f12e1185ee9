"""A few steps of training with the observation inside: run as a script in a process of its own, by `test_forward`.

python fits.py OUT.npz one|two, with KERAS_BACKEND set: on one device or on two logical ones.
"""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[3]
BACKEND, SIZE, BATCH = os.environ["KERAS_BACKEND"], 16, 8


def on_two_devices() -> Any:
    """A scope for the model."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        device = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(device, [tf.config.LogicalDeviceConfiguration()] * 2)
        return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope()
    import keras

    keras.distribution.set_distribution(keras.distribution.DataParallel())
    return nullcontext()


def main(out: str, devices: str) -> None:
    """Loss and weights."""
    if devices == "two":
        os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
    import keras

    from cosmokeras.observation.ops.counters import rows
    from cosmokeras.observation.ops.forward import Forward
    from cosmokeras.observation.ops.layer import observed_model
    from cosmokeras.project import load_params

    rng = np.random.default_rng(0)

    class Batches(keras.utils.PyDataset):
        def __len__(self) -> int:
            return 4

        def __getitem__(self, step: int) -> Any:
            return (maps, np.zeros(BATCH, np.int32), rows(1, step, BATCH)), target

    scope = on_two_devices() if devices == "two" else nullcontext()
    keys = {"lensing.survey": "kids_1000", "data.size": SIZE, "model.spectrum_bins": 4, "evaluate.spectrum_bins": 4}
    cfg = load_params(ROOT / "params.yaml", keys)
    maps = (0.05 * rng.standard_normal((BATCH, SIZE, SIZE, cfg.channels))).astype(np.float16)
    target = rng.standard_normal((BATCH, 1)).astype(np.float32)
    forward = Forward(cfg)
    with scope:
        network = keras.Sequential(
            [
                keras.Input((SIZE, SIZE, cfg.channels)),
                keras.layers.Conv2D(4, 3, activation="gelu"),
                keras.layers.GlobalAveragePooling2D(),
                keras.layers.Dense(1),
            ]
        )
        network.set_weights([0.1 * rng.standard_normal(one.shape) for one in network.weights])
        model = observed_model(network, forward)
        model.compile(keras.optimizers.SGD(0.05), "mse", jit_compile=False if BACKEND == "tensorflow" else "auto")
    history = model.fit(Batches(), epochs=1, shuffle=False, verbose=0).history
    assert [one.path for one in model.weights] == [one.path for one in network.weights], "the observation has none"
    np.savez(out, loss=history["loss"], weights=np.concatenate([one.ravel() for one in network.get_weights()]))


if __name__ == "__main__":
    main(*sys.argv[1:])
