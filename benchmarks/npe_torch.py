"""Two peers in `benchmarks.npe` that run on torch: sbi and LAMPE, as their users train them; each in a process.

sbi (Tejero-Cantero et al. 2020, JOSS 5, 2505): neural spline flow and its own CNN, its defaults of training. LAMPE
(https://github.com/probabilists/lampe): neural spline flow of zuko behind a plain CNN, the usual loop. Parameters are
standardised; samples outside the prior box are drawn again, and densities are normalised over it.
"""

from __future__ import annotations

import copy
import os
import sys
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.npe_peers import CORES, HIDDEN, SUMMARY, Observed, observed, widths
from benchmarks.npe_trial import (
    BATCH,
    BLOCK,
    LOOK_DRAWS,
    PATIENCE,
    Clock,
    Task,
    in_box,
    measure,
    nll,
    target_bounds,
)
from benchmarks.plain_torch import conv
from cosmokeras.params.config import Config

LAMPE_RATE, PLATEAU = 1e-3, 5  # learning rate, and fruitless epochs until it is halved


class Flows:
    """What both libraries' flows have in common, as one of `benchmarks.npe_trial.Posteriors`."""

    def __init__(self, task: Task, data: Observed, network: nn.Module) -> None:
        self.bounds, self.data, self.network = target_bounds(task.config()), data, network
        self.weights = sum(weight.numel() for weight in network.parameters() if weight.requires_grad)

    def given(self, obs: np.ndarray) -> torch.Tensor:
        """Standardised, channels first."""
        return channels_first(self.data.scaled(obs))

    def density(self, x: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
        """Log density (n,) of parameters (n, d)."""
        raise NotImplementedError

    def draw(self, x: torch.Tensor, draws: int) -> torch.Tensor:
        """Samples (n, draws, d), inside the prior box or not."""
        raise NotImplementedError

    @torch.no_grad()
    def log_density(self, given: torch.Tensor, theta: np.ndarray) -> np.ndarray:
        """Over all space."""
        self.network.eval()
        pairs = zip(given.split(BLOCK), torch.tensor(theta, dtype=torch.float32).split(BLOCK), strict=True)
        return np.concatenate([self.density(*pair).numpy() for pair in pairs])

    @torch.no_grad()
    def inside(self, given: torch.Tensor, draws: int) -> np.ndarray:
        """Of samples as they come."""
        self.network.eval()
        return np.concatenate([in_box(self.draw(x, draws).numpy(), self.bounds).mean(1) for x in given.split(BLOCK)])


def channels_first(maps: np.ndarray) -> torch.Tensor:
    """Tensor (n, channels, size, size)."""
    return torch.tensor(np.ascontiguousarray(np.moveaxis(maps, -1, 1)))


class SbiFlow(Flows):
    """A density estimator of sbi, and the posterior that it makes of it."""

    posterior: Any = None

    def density(self, x: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
        """Log density (n,)."""
        return self.network.log_prob(theta[None], condition=x)[0]

    def draw(self, x: torch.Tensor, draws: int) -> torch.Tensor:
        """Samples (n, draws, d)."""
        return self.network.sample((draws,), condition=x).swapaxes(0, 1)

    def sample(self, given: torch.Tensor, draws: int) -> np.ndarray:
        """By `sample_batched`, of so few maps at once that it takes a thousand samples of each in one go."""
        parts = [
            self.posterior.sample_batched((draws,), x=x, show_progress_bars=False).swapaxes(0, 1)
            for x in given.split(BLOCK)
        ]
        return torch.cat(parts).numpy()


def run_sbi(task: Task) -> dict[str, Any]:
    """Train with sbi's own loop and defaults: batches of 200, Adam, stop after 20 fruitless epochs."""
    prepare(task)
    from sbi.inference import NPE
    from sbi.neural_nets import posterior_nn
    from sbi.neural_nets.embedding_nets import CNNEmbedding
    from sbi.utils import BoxUniform

    os.chdir(task.folder)  # it writes a folder sbi-logs
    cfg, data = task.config(), observed(task)
    maps, theta = channels_first(data.maps), torch.tensor(data.theta)
    low, high = torch.tensor(target_bounds(cfg).T, dtype=torch.float32)
    clock = Clock(task.seconds)

    class Timed(NPE):
        """Keeps to the given split, looks at the end of each epoch, and ends with the clock's budget."""

        def get_dataloaders(self, start: int, batch: int, fraction: float, resume: bool, **keywords: Any) -> Any:
            order = torch.arange(len(maps))
            self.train_indices, self.val_indices = order[: data.split], order[data.split :]
            return super().get_dataloaders(start, batch, fraction, True, **keywords)

        def _converged(self, epoch: int, stop_after_epochs: int) -> bool:
            if epoch:
                clock.epoch()
            done = super()._converged(epoch, stop_after_epochs)
            if epoch and clock.spent and not done:
                self._neural_net.load_state_dict(self._best_model_state_dict)
                return True
            return done

    embedding = CNNEmbedding(
        tuple(maps.shape[2:]), in_channels=maps.shape[1], out_channels_per_layer=widths(cfg), num_conv_layers=5,
        kernel_size=3, num_linear_layers=2, num_linear_units=HIDDEN, output_dim=SUMMARY,
    )  # fmt: skip
    # its z_score_x="structured" takes deviations across channels, not pixels: of one channel they are NaN
    build = posterior_nn("nsf", embedding_net=embedding, z_score_x="none")
    inference = Timed(BoxUniform(low, high), build, show_progress_bars=False)
    inference.append_simulations(theta, maps)
    clock.look = lambda: looked(SbiFlow(task, data, inference._neural_net))
    network = inference.train(stop_after_epochs=PATIENCE)
    seconds, flow = clock.seconds(), SbiFlow(task, data, network)
    flow.posterior = inference.build_posterior(network)
    return measure(task, flow, clock, seconds, clock.spent)


class LampeFlow(Flows):
    """A flow of zuko behind an embedding, for standardised parameters."""

    def __init__(self, task: Task, data: Observed, network: nn.Module) -> None:
        super().__init__(task, data, network)
        train = torch.tensor(data.theta[: data.split])
        self.mean, self.deviation = train.mean(0), train.std(0)

    def density(self, x: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
        """Log density (n,)."""
        embedding, npe = self.network
        return npe((theta - self.mean) / self.deviation, embedding(x)) - self.deviation.log().sum()

    def draw(self, x: torch.Tensor, draws: int) -> torch.Tensor:
        """Samples (n, draws, d)."""
        embedding, npe = self.network
        return self.mean + self.deviation * npe.flow(embedding(x)).sample((draws,)).swapaxes(0, 1)

    @torch.no_grad()
    def sample(self, given: torch.Tensor, draws: int) -> np.ndarray:
        """Of each map as many as are inside; where that is too few, again."""
        self.network.eval()
        return np.concatenate([self._inside(x, draws) for x in given.split(BLOCK)])

    def _inside(self, x: torch.Tensor, draws: int) -> np.ndarray:
        samples = self.draw(x, draws).numpy()
        wrong = ~in_box(samples, self.bounds)
        while wrong.any():
            again = wrong.any(axis=1)
            fresh = self.draw(x[torch.tensor(again)], draws).numpy()
            samples[again] = np.where(wrong[again][..., None], fresh, samples[again])
            wrong = ~in_box(samples, self.bounds)
        return samples


def plain_cnn(cfg: Config) -> nn.Module:
    """The CNN of `benchmarks.npe_peers`; maps of periodic boxes are padded as such."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise([cfg.channels, *widths(cfg)]):
        layers += [conv(inputs, outputs, 3, cfg.periodic), nn.GELU(), nn.AvgPool2d(2)]
    size = widths(cfg)[-1] * (cfg.data.size // 2**5) ** 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(size, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, SUMMARY))


def run_lampe(task: Task) -> dict[str, Any]:
    """Train with the usual loop: AdamW, clipping, slower on a plateau, stop early, keep the best weights."""
    prepare(task)
    from lampe.inference import NPE
    from lampe.utils import GDStep
    from zuko.flows import NSF

    cfg, data = task.config(), observed(task)
    maps, theta = channels_first(data.maps), torch.tensor(data.theta)
    clock = Clock(task.seconds)
    network = nn.ModuleList([plain_cnn(cfg), NPE(theta.shape[1], SUMMARY, build=NSF)])
    flow = LampeFlow(task, data, network)
    clock.look = lambda: looked(flow)
    optimizer = torch.optim.AdamW(network.parameters(), LAMPE_RATE)
    slower = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=PLATEAU)
    step, best, wait, kept = GDStep(optimizer, clip=1.0), float("inf"), 0, {}
    while wait < PATIENCE and not clock.spent:
        network.train()
        for rows in torch.randperm(data.split).split(BATCH):
            step(-flow.density(maps[rows], theta[rows]).mean())
        loss = -float(flow.log_density(maps[data.split :], data.theta[data.split :]).mean())
        slower.step(loss)
        if loss < best:
            best, wait, kept = loss, 0, copy.deepcopy(network.state_dict())
        else:
            wait += 1
        clock.epoch()
    network.load_state_dict(kept)
    return measure(task, flow, clock, clock.seconds(), wait < PATIENCE)


def prepare(task: Task) -> None:
    """Threads and seeds of torch, and no TensorFlow: TensorBoard, which sbi imports, would load it beside torch."""
    sys.modules.setdefault("tensorflow", None)
    torch.set_num_threads(CORES)
    torch.manual_seed(task.config().train.seed)


def looked(flow: Flows) -> float:
    """Mean negative log density of the watched maps."""
    watch = channels_first(flow.data.watch)
    return float(nll(flow, watch, flow.data.watch_theta, LOOK_DRAWS).mean())


RUN = {"sbi": run_sbi, "lampe": run_lampe}
