"""Baseline without a likelihood: a small mixture density network on summary statistics.

Neural posterior estimation (Papamakarios & Murray 2016, arXiv:1605.06376) in one round, with the same head and loss as
the network on maps.
"""

from __future__ import annotations

import keras
import numpy as np

from cosmokeras.inference.posterior import MixturePosterior
from cosmokeras.models.backend import set_seed
from cosmokeras.models.heads import MixtureHead
from cosmokeras.params.config import Config

# Small: the noise realisations of a map are few and its cosmology is one, which a larger network overfits.
UNITS, DROPOUT = 64, 0.1
EPOCHS, PATIENCE, BATCH = 20, 8, 256
LEARNING_RATE, WEIGHT_DECAY = 2e-3, 1e-2


def network_means(
    cfg: Config,
    training: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    test: np.ndarray,
    bounds: np.ndarray,
) -> np.ndarray:
    """Posterior means (n, q) of numbers in the box `bounds` (q, 2), from a small posterior network on statistics.

    `training` and `validation` are (features, numbers), `test` features.
    """
    return network_moments(cfg, training, validation, test, bounds)[0]


def network_moments(
    cfg: Config,
    training: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    test: np.ndarray,
    bounds: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Posterior means and standard deviations, both (n, q), by the network of `network_means`."""
    mean, deviation = training[0].mean(axis=0), training[0].std(axis=0) + 1e-12
    head = MixtureHead(len(bounds), cfg.model.components)

    def inputs(features: np.ndarray) -> np.ndarray:
        return ((features - mean) / deviation).astype(np.float32)

    set_seed(cfg.train.seed)
    given = keras.Input((len(mean),), name="statistics")
    hidden = keras.layers.Dropout(DROPOUT, seed=0, name="dropout")(given)
    hidden = keras.layers.Dense(UNITS, activation="gelu", name="hidden")(hidden)
    model = keras.Model(given, head.apply(hidden))
    batch = min(BATCH, len(training[0]))
    steps = EPOCHS * -(-len(training[0]) // batch)
    rate = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps, alpha=0.01)
    model.compile(keras.optimizers.AdamW(rate, weight_decay=WEIGHT_DECAY), loss=head.loss)
    stop = keras.callbacks.EarlyStopping(patience=PATIENCE, restore_best_weights=True)
    held_out = (inputs(validation[0]), head.encode(validation[1], bounds))
    x, y = inputs(training[0]), head.encode(training[1], bounds)
    model.fit(x, y, batch_size=batch, epochs=EPOCHS, validation_data=held_out, callbacks=[stop], verbose=0)
    mixtures = head.decode(model.predict(inputs(test), batch_size=1024, verbose=0), bounds)
    posterior = MixturePosterior(**vars(mixtures), bounds=bounds)
    return posterior.mean(), posterior.std()
