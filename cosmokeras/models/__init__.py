"""Networks. One module each, one line in the registry each; a module has `build(cfg)` -> keras.Model."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cosmokeras.common import arguments
from cosmokeras.common.checksums import NAME as CHECKSUMS
from cosmokeras.common.checksums import problem
from cosmokeras.common.errors import UNREADABLE, UserError
from cosmokeras.params import checked
from cosmokeras.params.config import Config
from cosmokeras.params.registry import MODELS

if TYPE_CHECKING:
    import keras


def build(cfg: Config) -> keras.Model:
    """The network of `model.name`, from maps (size, size, channels) to the parameters of `model.head`.

    With `train.ensemble` above 1 it is that of all members, see `cosmokeras.models.ensemble`.
    """
    module, count = import_module(MODELS[checked.checked_config(cfg).model.name]), cfg.train.ensemble
    if count == 1:
        return module.build(cfg)
    from cosmokeras.models.ensemble import joined, member

    return joined(cfg, [module.build(member(cfg, number)) for number in range(count)])


def standardise(model: keras.Model, maps: np.ndarray) -> None:
    """Set every `Standardise` layer of a new network from observed training maps (n, size, size, channels)."""
    import keras

    from cosmokeras.models.layers import Standardise

    for layer in model.layers:
        if isinstance(layer, Standardise):
            before = keras.Model(model.inputs, layer.input)
            layer.set_from(before.predict(maps, batch_size=256, verbose=0))


def encode(cfg: Config, theta: np.ndarray) -> np.ndarray:
    """Targets of the head for free parameters (n, p): (n, d) float32, one column for each target."""
    from cosmokeras.models.heads import head_of

    theta = checked.cosmologies(cfg, theta)
    columns = cfg.target_columns
    return head_of(cfg).encode(theta[:, columns], cfg.bounds[columns])


def load(folder: Path | str) -> keras.Model:
    """The network in a model folder, whatever backend it was trained on. Never runs code from the file."""
    import keras

    from cosmokeras.models import ensemble, layers  # noqa: F401  (register our layers)

    path = arguments.path_of("folder", folder) / "model.keras"
    if not path.exists():
        raise UserError(f"{folder}: no trained model (model.keras is missing); run `dvc repro train`")
    if (path.parent / CHECKSUMS).exists() and (words := problem(path.parent, (path.name,))):
        raise UserError(f"{folder}: damaged or no trained model: {words}; run `dvc repro train`")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except UNREADABLE as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: damaged or of another version ({reason}); run `dvc repro train`") from None
