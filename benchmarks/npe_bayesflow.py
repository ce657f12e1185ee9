"""BayesFlow as a peer in `benchmarks.npe`, as its users train it, in a process of its own.

`BasicWorkflow` (Radev et al. 2023, JOSS 8, 5702) with its defaults: AdamW with a rate that falls along a cosine, over
as many epochs as there is time for, 100 at most; Keras' early stopping. Parameters are constrained to the prior box by
its adapter. The posterior of two parameters or more is its coupling flow, which must have two; that of one is its
mixture of normals.
"""

from __future__ import annotations

import logging
from typing import Any

import bayesflow
import keras
import numpy as np

from benchmarks.npe_peers import HIDDEN, SUMMARY, Observed, observed, widths
from benchmarks.npe_trial import (
    BATCH,
    BLOCK,
    LOOK_DRAWS,
    PATIENCE,
    Clock,
    Task,
    affordable,
    measure,
    nll,
    target_bounds,
)
from cosmokeras.params.config import Config

PROBE, EPOCHS = 1024, 100  # maps of the trial that says how long an epoch takes; epochs at most, its own default
COMPONENTS = 4  # of the mixture, as in our head


class PlainCNN(bayesflow.networks.SummaryNetwork):
    """The CNN of `benchmarks.npe_peers`."""

    def __init__(self, filters: list[int], **keywords: Any) -> None:
        super().__init__(**keywords)
        self.network = keras.Sequential()
        for count in filters:
            self.network.add(keras.layers.Conv2D(count, 3, padding="same", activation="gelu"))
            self.network.add(keras.layers.AveragePooling2D(2))
        self.network.add(keras.layers.Flatten())
        self.network.add(keras.layers.Dense(HIDDEN, activation="gelu"))
        self.network.add(keras.layers.Dense(SUMMARY))

    def call(self, x: Any, training: bool = False, **keywords: Any) -> Any:
        """Summaries (n, SUMMARY)."""
        return self.network(x, training=training)


class Watch(keras.callbacks.Callback):
    """Tells the clock when an epoch ends, and ends the training with its budget."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Look, and stop when it is time."""
        self.clock.epoch()
        if self.clock.spent:
            self.model.stop_training = True


class Workflow:
    """A workflow as one of `benchmarks.npe_trial.Posteriors`."""

    def __init__(self, cfg: Config, data: Observed) -> None:
        self.data, (low, high) = data, target_bounds(cfg).T
        adapter = (
            bayesflow.Adapter()
            .convert_dtype("float64", "float32")
            .constrain("theta", lower=low, upper=high)
            .rename("theta", "inference_variables")
            .rename("maps", "summary_variables")
        )
        if len(low) == 1:
            rules = bayesflow.scoring_rules
            normals = {f"normal{i}": rules.MvNormalScore() for i in range(COMPONENTS)}
            inference = bayesflow.networks.ScoringRuleNetwork(mixture=rules.MixtureScore(normals))
        else:
            inference = bayesflow.networks.CouplingFlow()
        self.workflow = bayesflow.BasicWorkflow(
            adapter=adapter, inference_network=inference, summary_network=PlainCNN(widths(cfg))
        )

    @property
    def weights(self) -> int:
        """All that can be trained."""
        return sum(int(np.prod(weight.shape)) for weight in self.workflow.approximator.trainable_weights)

    def fit(self, maps: slice, validation: slice, epochs: int, clock: Clock) -> keras.callbacks.EarlyStopping:
        """Train on these rows."""
        stop = keras.callbacks.EarlyStopping(patience=PATIENCE, restore_best_weights=True)
        parts = [{"theta": self.data.theta[rows], "maps": self.data.maps[rows]} for rows in (maps, validation)]
        self.workflow.fit_offline(
            parts[0], epochs, BATCH, validation_data=parts[1], verbose=0, callbacks=[Watch(clock), stop]
        )
        return stop

    def given(self, obs: np.ndarray) -> np.ndarray:
        """Standardised."""
        return self.data.scaled(obs).astype(np.float32)

    def log_density(self, given: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """Inside the prior box."""
        values = [
            self.workflow.log_prob({"theta": theta[i : i + BLOCK], "maps": given[i : i + BLOCK]})
            for i in range(0, len(given), BLOCK)
        ]
        return np.concatenate(values).reshape(len(given))

    def inside(self, given: np.ndarray, draws: int) -> np.ndarray:
        """All of it."""
        return np.ones(len(given))

    def sample(self, given: np.ndarray, draws: int) -> np.ndarray:
        """By the workflow."""
        samples = self.workflow.sample(num_samples=draws, conditions={"maps": given}, batch_size=BLOCK)["theta"]
        return np.asarray(samples, float).reshape(len(given), draws, -1)


def run(task: Task) -> dict[str, Any]:
    """Try how long an epoch takes, train as many as there is time for, measure."""
    logging.getLogger("bayesflow").setLevel(logging.WARNING)
    cfg, data = task.config(), observed(task)
    keras.utils.set_random_seed(cfg.train.seed)
    few = min(data.split, PROBE)
    tried = Clock(np.inf)
    Workflow(cfg, data).fit(slice(few), slice(data.split, data.split + few // 8), 2, tried)
    epoch = (tried.last - tried.first) * -(-data.split // BATCH) / -(-few // BATCH)
    epochs = affordable(epoch, task.seconds, EPOCHS)
    clock = Clock(task.seconds)
    workflow = Workflow(cfg, data)
    clock.look = lambda: float(nll(workflow, data.watch, data.watch_theta, LOOK_DRAWS).mean())
    stop = workflow.fit(slice(data.split), slice(data.split, None), epochs, clock)
    seconds, early = clock.seconds(), stop.stopped_epoch > 0
    return measure(task, workflow, clock, seconds, clock.spent or (epochs < EPOCHS and not early))


RUN = {"bayesflow": run}
