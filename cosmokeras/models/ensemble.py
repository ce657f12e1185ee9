"""Several networks as one: the equal-weight mixture of their posteriors (deep ensembles).

Lakshminarayanan, Pritzel & Blundell 2017, arXiv:1612.01474. Members have the same layers and other seeds. The mixture
of n mixtures of K Gaussians is one of n K Gaussians, so that all that works with one network works with an ensemble.
Summaries of members stand side by side: units of different networks have nothing to do with each other, and their mean
would mean nothing; who needs fewer numbers takes principal components (`cosmokeras.inference.measures`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from cosmokeras.models.blocks import SUMMARY
from cosmokeras.models.heads import MixtureHead, PointHead
from cosmokeras.params.config import Config


def member(cfg: Config, number: int) -> Config:
    """Parameters of a member by number, from 0: the first has the seed of `train.seed`, as one network would."""
    seed = cfg.train.seed
    if number > 0:
        seed = int(np.random.SeedSequence([cfg.train.seed, number]).generate_state(1)[0] // 2)
    return cfg.model_copy(update={"train": cfg.train.model_copy(update={"ensemble": 1, "seed": seed})})


def joined(cfg: Config, members: Sequence[keras.Model]) -> keras.Model:
    """One network of several of the same shape, each with the head and the summary that `models.build` gives it."""
    maps = keras.Input(members[0].input_shape[1:], name="maps")
    summaries, heads = [], []
    for i, one in enumerate(members):
        answer = keras.Model(one.inputs, [one.get_layer(SUMMARY).output, one.output], name=f"member_{i + 1}")
        summary, head = answer(maps)
        summaries.append(summary)
        heads.append(head)
    summary = layers.Concatenate(name=SUMMARY, dtype="float32")(summaries)
    if cfg.model.head == "mse":
        head = layers.Average(name=PointHead.layer, dtype="float32")(heads)
    else:
        head = JoinedMixtures(len(cfg.targets), cfg.model.components, name=MixtureHead.layer, dtype="float32")(heads)
    # the summary is no output, but has to be reached from the inputs: it is added as nothing
    head = Beside(name="answer", dtype="float32")([head, summary])
    return keras.Model(maps, head, name=f"{members[0].name}_ensemble")


@keras.saving.register_keras_serializable("cosmokeras")
class Beside(layers.Layer):
    """The first of two inputs: keeps a layer in the model that only others ask for."""

    def call(self, inputs: Any) -> Any:
        """(n, outputs)."""
        return inputs[0]

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the first."""
        return input_shape[0]


@keras.saving.register_keras_serializable("cosmokeras")
class JoinedMixtures(layers.Layer):
    """Raw outputs of mixtures of `components` Gaussians in `dim` dimensions as those of one mixture of them all.

    Member after member: `heads.unpack_mixture` of the result has the components of the first one first.
    """

    def __init__(self, dim: int, components: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dim, self.components = dim, components

    def call(self, inputs: Any) -> Any:
        """(n, members mixture_size)."""
        k, end = self.components, self.components * (1 + self.dim)
        # each member's weights add up to 1, and in the logits of all of them to the same number
        logits = [ops.log_softmax(one[:, :k], axis=-1) for one in inputs]
        parts = [*logits, *(one[:, k:end] for one in inputs), *(one[:, end:] for one in inputs)]
        return ops.concatenate(parts, axis=-1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """As many numbers as all have together."""
        return (input_shape[0][0], sum(shape[1] for shape in input_shape))

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {**super().get_config(), "dim": self.dim, "components": self.components}
