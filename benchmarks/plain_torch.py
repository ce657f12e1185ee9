"""The networks of `cosmokeras.models` in plain torch, and the loop that its users write; for `benchmarks.training`.

Imported only by processes that run torch: two pools of threads in one process get into each other's way.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from cosmokeras.models.blocks import groups_of
from cosmokeras.models.layers import wavenumber_bins
from cosmokeras.params.config import Config


def conv(inputs: int, outputs: int, kernel: int, periodic: bool) -> nn.Conv2d:
    """Convolution at the same size."""
    mode = "circular" if periodic and kernel > 1 else "zeros"
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, padding_mode=mode)


def moments(x: torch.Tensor) -> torch.Tensor:
    """Mean and log mean square of each feature (n, c, y, x) over the map, (n, 2 c)."""
    return torch.cat([x.mean((2, 3)), (x.square().mean((2, 3)) + 1e-6).log()], 1)


def norm(channels: int) -> nn.GroupNorm:
    """Group normalisation with the epsilon of Keras."""
    return nn.GroupNorm(groups_of(channels), channels, eps=1e-3)


class Standardise(nn.Module):
    """(x - mean) / deviation with constants."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("deviation", torch.ones(features))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Standardised features (n, f)."""
        return (x - self.mean) / self.deviation


class Network(nn.Module):
    """The stem, `count` pooled features, which a network's `features` makes of it, and the head."""

    def __init__(self, cfg: Config, count: int) -> None:
        super().__init__()
        width, d, k = cfg.model.width, len(cfg.targets), cfg.model.components
        self.stem = conv(cfg.channels, width, 5, cfg.periodic)
        self.standardise_features = Standardise(count)
        self.hidden = nn.Linear(count, 8 * width)
        self.summary = nn.Linear(8 * width, 4 * width)
        self.mixture = nn.Linear(4 * width, k * (1 + d + d * (d + 1) // 2))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Parameters of the mixture for maps (n, channels, size, size)."""
        x = self.stem(maps)
        features = torch.cat(self.features(maps, x, [moments(x)]), 1)
        hidden = functional.gelu(self.hidden(self.standardise_features(features)))
        return self.mixture(functional.gelu(self.summary(hidden)))


class CosmoNet(Network):
    """Five convolutions over five octaves of scale."""

    def __init__(self, cfg: Config, more: int = 0) -> None:
        widths = [cfg.model.width * n for n in (1, 2, 4, 4, 4)]
        super().__init__(cfg, 2 * sum(widths) + 2 * widths[-1] + more)
        self.levels = nn.ModuleList(conv(a + cfg.channels, b, 3, cfg.periodic) for a, b in pairwise(widths))

    def features(self, maps: torch.Tensor, x: torch.Tensor, pooled: list[torch.Tensor]) -> list[torch.Tensor]:
        """Pooled features."""
        for level in self.levels:
            x, maps = functional.avg_pool2d(functional.gelu(x), 2), functional.avg_pool2d(maps, 2)
            x = level(torch.cat([x, maps], 1))
            pooled.append(moments(x))
        return [*pooled, moments(functional.gelu(x))]


class Hybrid(CosmoNet):
    """The same beside binned spectra."""

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg, more=8 * cfg.model.width)
        size, bins, pairs = cfg.data.size, cfg.model.spectrum_bins, cfg.channels * (cfg.channels + 1) // 2
        weights = wavenumber_bins(size, bins).reshape(size // 2 + 1, size, bins).swapaxes(0, 1) / size**2
        self.register_buffer("weights", torch.tensor(weights.reshape(-1, bins)), persistent=False)
        self.standardise = Standardise(pairs * bins)
        self.two_point = nn.Linear(pairs * bins, 8 * cfg.model.width)
        first, second = np.triu_indices(cfg.channels)
        self.auto, self.cross = first == second, first != second
        self.first, self.second = torch.tensor(first), torch.tensor(second)

    def spectra(self, maps: torch.Tensor) -> torch.Tensor:
        """Log auto-spectra, then cross-spectra."""
        modes = torch.fft.rfft2(maps).flatten(2)
        power = (modes[:, self.first] * modes[:, self.second].conj()).real @ self.weights
        return torch.cat([(power[:, self.auto] + 1e-12).log().flatten(1), power[:, self.cross].flatten(1)], 1)

    def features(self, maps: torch.Tensor, x: torch.Tensor, pooled: list[torch.Tensor]) -> list[torch.Tensor]:
        """Pooled features."""
        two_point = self.two_point(self.standardise(self.spectra(maps)))
        return [functional.gelu(two_point), *super().features(maps, x, pooled)]


class Residual(nn.Module):
    """Two convolutions and the way around them, and what the first of the two gives; the `first` of a stage halves."""

    def __init__(self, inputs: int, outputs: int, periodic: bool, first: bool) -> None:
        super().__init__()
        self.shrink = nn.AvgPool2d(2) if first else nn.Identity()
        self.around = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.before = nn.Identity() if first else nn.Sequential(norm(inputs), nn.GELU())
        self.conv1 = conv(inputs, outputs, 3, periodic)
        self.norm2 = norm(outputs)
        self.conv2 = conv(outputs, outputs, 3, periodic)
        self.gain = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features of the block, and of its first convolution."""
        x = self.shrink(x)
        filtered = self.conv1(self.before(x))
        inside = self.conv2(functional.gelu(self.norm2(filtered)))
        return self.around(x) + self.gain[:, None, None] * inside, filtered


class ResNet(Network):
    """Four stages of two residual blocks."""

    def __init__(self, cfg: Config) -> None:
        widths = [cfg.model.width * n for n in (1, 1, 2, 4, 8)]
        super().__init__(cfg, 2 * widths[0] + 6 * sum(widths[1:]) + 2 * widths[-1])
        self.blocks = nn.ModuleList()
        for inputs, outputs in pairwise(widths):
            self.blocks.append(Residual(inputs, outputs, cfg.periodic, first=True))
            self.blocks.append(Residual(outputs, outputs, cfg.periodic, first=False))
        self.last = norm(widths[-1])

    def features(self, maps: torch.Tensor, x: torch.Tensor, pooled: list[torch.Tensor]) -> list[torch.Tensor]:
        """Pooled features."""
        for i, block in enumerate(self.blocks):
            x, filtered = block(x)
            pooled.append(moments(filtered))
            if i % 2:
                pooled.append(moments(x))
        return [*pooled, moments(functional.gelu(self.last(x)))]


NETWORKS = {"cosmonet": CosmoNet, "hybrid": Hybrid, "resnet": ResNet}


def build(cfg: Config) -> nn.Module:
    """The network of `model.name` in plain torch."""
    return NETWORKS[cfg.model.name](cfg)


def nll(raw: torch.Tensor, u: torch.Tensor, k: int) -> torch.Tensor:
    """The loss of `cosmokeras.models.heads`: mean negative log density of u (n, d) under `k` Gaussians."""
    d = u.shape[1]
    logits, means, rest = raw.split([k, k * d, k * d * (d + 1) // 2], 1)
    rest = rest.unflatten(1, (k, -1))
    log_diagonal = 7 * torch.tanh(rest[..., :d] / 7)
    factors = torch.diag_embed(log_diagonal.exp())
    rows, columns = torch.tril_indices(d, d, -1)
    factors[..., rows, columns] = rest[..., d:]
    z = ((u[:, None] - means.unflatten(1, (k, d)))[..., None, :] @ factors).squeeze(-2)
    log_normal = log_diagonal.sum(-1) - z.square().sum(-1) / 2 - d / 2 * math.log(2 * math.pi)
    return -torch.logsumexp(logits.log_softmax(1) + log_normal, 1).mean()


def trainer(cfg: Config, network: nn.Module, maps: np.ndarray, u: np.ndarray, last: bool) -> Callable[[], float]:
    """One epoch of the usual loop; `last`: channels vary fastest in memory."""
    options, steps = cfg.train, len(maps) // cfg.train.batch_size
    layout = torch.channels_last if last else torch.contiguous_format
    network.to(memory_format=layout)
    x, y = torch.tensor(maps).permute(0, 3, 1, 2).contiguous(memory_format=layout), torch.tensor(u)
    weights = list(network.parameters())
    # epsilon as in Keras
    optimizer = torch.optim.AdamW(weights, options.lr, eps=1e-7, weight_decay=options.weight_decay, fused=True)
    rise, total = max(1, round(options.warmup * options.epochs * steps)), options.epochs * steps
    warm = torch.optim.lr_scheduler.LinearLR(optimizer, 1 / rise, 1.0, rise)
    fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, total - rise), 0.01 * options.lr)
    rate = torch.optim.lr_scheduler.SequentialLR(optimizer, [warm, fall], [rise])

    def turn() -> float:
        summed = 0.0
        for maps, u in zip(x.split(options.batch_size), y.split(options.batch_size), strict=True):
            optimizer.zero_grad(set_to_none=True)
            loss = nll(network(maps), u, cfg.model.components)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, options.clip)
            optimizer.step()
            rate.step()
            summed += loss.item()
        return summed / steps

    return turn
