"""The backend of Keras where nobody has chosen one."""

from __future__ import annotations

import os
from importlib.util import find_spec

BACKENDS = ("tensorflow", "jax", "torch")


def prefer_installed() -> None:
    """Where TensorFlow, Keras' own choice, is not installed, take what is; KERAS_BACKEND stays what it is."""
    if "KERAS_BACKEND" not in os.environ:
        found = next((name for name in BACKENDS if find_spec(name) is not None), "tensorflow")
        if found != "tensorflow":
            os.environ["KERAS_BACKEND"] = found
