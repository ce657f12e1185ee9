"""Check of simulated maps: their mean power spectra against those of theory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft

from cosmokeras.dataset.shards import Split
from cosmokeras.observation.masks import survey_masks
from cosmokeras.params.config import Config
from cosmokeras.simulators import simulator_of
from cosmokeras.simulators.fields import wavenumbers
from cosmokeras.sky.pixels import USED

MAPS = 4000  # at most so many go into the comparison
BLOCK = 256  # maps whose modes are in memory together
BINS = 12
MEASURED = "mean of the middle third"  # of the first parameter


@dataclass(frozen=True)
class SpectrumCheck:
    """Mean spectra over cosmologies: `curves` = (x, measured, error, theory), the last three (channels, bins)."""

    curves: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
    labels: list[str]
    xlabel: str
    ylabel: str
    ratio: float  # measured / theory: mean over cosmologies of that of each, averaged over the bins by their weight
    ratio_error: float  # standard error of it, by the scatter of cosmologies; infinite for one
    reference: str = "theory"  # what stands in its place where it is not known


def spectrum_check(cfg: Config, split: Split) -> SpectrumCheck:
    """Auto spectra of noise-free maps, averaged over maps, against the same average of theory.

    Maps that do not wrap around are multiplied by a Hann window first, so that their edges do not leak power. Bands end
    where the survey's maps do, at its lmax.
    """
    n, module = cfg.data.size, simulator_of(cfg)
    k = wavenumbers(n, cfg.pixel_side)
    # the window mixes neighbouring modes: leave out those within two of zero, and of the end of the maps
    margin = k[0, 1] * (0.5 if cfg.periodic else 2.5)
    lmax = cfg.survey.lmax if cfg.kind.observed == "survey" else None
    edges = np.geomspace(margin, k[0, -1] if lmax is None else min(k[0, -1], lmax - margin), BINS + 1)
    twice = np.full(k.shape, 2.0)
    twice[:, 0] = twice[:, -1] = 1.0
    which = np.digitize(k, edges) - 1
    inside = [(which == b) & (k > 0) for b in range(BINS)]
    inside = [one for one in inside if one.any()]
    x = np.array([np.average(k[one], weights=twice[one]) for one in inside])

    count = min(len(split), MAPS)
    theta, number = np.unique(split.theta[:count], axis=0, return_inverse=True)
    fine = np.geomspace(k[0, 1] * 0.9, k.max() * 1.01, 40)
    curves = module.spectrum(cfg, theta, fine)  # (theta, C, len(fine))
    groups = np.unique(split.cosmology[:count], return_inverse=True)[1]
    binned = _per_group(_binned(cfg, split, count, inside, twice), groups)  # (bins, groups, C)
    if curves is None:
        middle = _middle(binned, _per_group(split.theta[None, :count], groups)[0])
        expected, reference = np.broadcast_to(middle, binned.shape), MEASURED
    else:
        modes = _over_modes(fine, curves, k, inside, twice)[:, number.ravel()]
        expected, reference = _per_group(modes, groups), "theory"

    n_groups = binned.shape[1]
    measured, model = binned.mean(axis=1).T, expected.mean(axis=1).T
    error = (binned - expected).std(axis=1, ddof=n_groups > 1).T / np.sqrt(n_groups)
    ratio = binned / expected
    variance = np.maximum(ratio.var(axis=1, keepdims=True), 1e-300)
    weight = 1 / variance if n_groups > 1 else np.ones_like(variance)
    each = np.sum(ratio * weight, axis=(0, 2)) / np.sum(weight, axis=(0, 2))  # (groups,)
    overall = float(each.mean())
    overall_error = float(each.std(ddof=1) / np.sqrt(n_groups)) if n_groups > 1 else np.inf
    labels = [f"bin {c + 1}" for c in range(cfg.channels)] if cfg.channels > 1 else ["map"]
    xlabel, ylabel = module.LABELS
    lines = (x, measured, error, model)
    return SpectrumCheck(lines, labels, xlabel, ylabel, overall, overall_error, reference)


def _binned(cfg: Config, split: Split, count: int, inside: list[np.ndarray], twice: np.ndarray) -> np.ndarray:
    """Power of each map, averaged over the modes of each band, (bins, maps, channels)."""
    n, spacing = cfg.data.size, cfg.pixel_side
    hann = np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2
    whole = np.ones((1, 1, n, n)) if cfg.periodic else np.outer(hann, hann)[None, None]
    out = []
    for start in range(0, count, BLOCK):
        numbers, window = np.arange(start, min(start + BLOCK, count)), whole
        if split.masks is not None:  # nothing is known of the maps behind them
            window = whole * (survey_masks(cfg)[split.masks[numbers]] >= USED)[:, None]
        maps = np.moveaxis(split.read(numbers).astype(float), -1, 1) * window
        norm = spacing**2 / n**2 / np.mean(window**2, axis=(2, 3), keepdims=True)
        power = np.abs(fft.rfft2(maps)) ** 2 * norm
        out.append([np.average(power[:, :, one], axis=2, weights=twice[one]) for one in inside])
    return np.concatenate(out, axis=1)


def _per_group(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Means (bins, groups, ...) of values (bins, maps, ...) over the maps of each group (maps,)."""
    sums = np.zeros((len(values), groups.max() + 1, values.shape[2]))
    for row, total in zip(values, sums, strict=True):
        np.add.at(total, groups, row)
    return sums / np.bincount(groups)[:, None]


def _middle(binned: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """Mean spectra (bins, 1, C) of the maps (bins, maps, C) of the middle third of the first parameter."""
    order = np.argsort(theta[:, 0], kind="stable")
    third = len(order) // 3
    return binned[:, order[third : len(order) - third]].mean(axis=1, keepdims=True)


def _over_modes(
    fine: np.ndarray, curves: np.ndarray, k: np.ndarray, inside: list[np.ndarray], twice: np.ndarray
) -> np.ndarray:
    """Theory `curves` (maps, channels, len(fine)) averaged over the same modes, (bins, maps, channels)."""
    log_fine, log_curves = np.log(fine), np.log(curves)
    out = []
    for one in inside:
        x = np.log(k[one])
        values = np.exp([[np.interp(x, log_fine, row) for row in channels] for channels in log_curves])
        out.append(np.average(values, axis=2, weights=twice[one]))
    return np.array(out)
