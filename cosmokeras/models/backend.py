"""The backend that Keras runs on, chosen before Keras is imported."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

from cosmokeras.common.errors import UserError

PACKAGES = {"tensorflow": "tensorflow", "jax": "jax", "torch": "torch"}  # by name of the backend


def select_backend(name: str) -> None:
    """Make this process run Keras on `train.backend`; to be called before Keras is imported."""
    if find_spec(PACKAGES[name]) is None:
        raise UserError(
            f"train.backend={name}: the package {PACKAGES[name]} is not installed; `make install EXTRAS={name}`"
        )
    if "keras" in sys.modules:
        check_backend(name)
    os.environ["KERAS_BACKEND"] = name


def check_backend(name: str) -> None:
    """Refuse to go on when Keras already runs on another backend."""
    import keras

    if (running := keras.backend.backend()) != name:
        raise UserError(
            f"train.backend={name}: this process runs Keras on {running}; "
            f"set KERAS_BACKEND={name} before Keras is imported, or train.backend={running}"
        )


def set_seed(seed: int) -> None:
    """Seed what Keras draws; it would load TensorFlow, where that is installed, on other backends too."""
    import keras

    hidden = keras.backend.backend() != "tensorflow" and "tensorflow" not in sys.modules
    if hidden:
        sys.modules["tensorflow"] = None  # type: ignore[assignment]  # as if it were not installed
    try:
        keras.utils.set_random_seed(seed)
    finally:
        if hidden:
            del sys.modules["tensorflow"]
