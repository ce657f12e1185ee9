"""Check of simulated maps: their mean power spectra against those of theory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cosmokeras.dataset.shards import Split
from cosmokeras.observation.masks import survey_masks
from cosmokeras.params.config import Config
from cosmokeras.simulators import simulator_of
from cosmokeras.simulators.fields import wavenumbers
from cosmokeras.sky.pixels import USED

COSMOLOGIES = 100  # at most so many go into the comparison
BINS = 12
MEASURED = "mean of the middle third"  # of the first parameter


@dataclass(frozen=True)
class SpectrumCheck:
    """Mean spectra over cosmologies: `curves` = (x, measured, error, theory), the last three (channels, bins)."""

    curves: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
    labels: list[str]
    xlabel: str
    ylabel: str
    ratio: float  # measured / theory, averaged over the bins by their weight
    reference: str = "theory"  # what stands in its place where it is not known


def spectrum_check(cfg: Config, split: Split) -> SpectrumCheck:
    """Auto spectra of noise-free maps, averaged over maps, against the same average of theory.

    Maps that do not wrap around are multiplied by a Hann window first, so that their edges do not leak power.
    """
    n, spacing, module = cfg.data.size, cfg.pixel_side, simulator_of(cfg)
    first = np.unique(split.cosmology, return_index=True)[1][:COSMOLOGIES]
    k = wavenumbers(n, spacing)
    hann = np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2
    window = np.ones((1, 1, n, n)) if cfg.periodic else np.outer(hann, hann)[None, None]
    if split.masks is not None:  # nothing is known of the maps behind them
        window = window * (survey_masks(cfg)[split.masks[first]] >= USED)[:, None]
    maps = np.moveaxis(split.read(first).astype(float), -1, 1) * window
    power = np.abs(np.fft.rfft2(maps)) ** 2 * spacing**2 / n**2 / np.mean(window**2, axis=(2, 3), keepdims=True)

    # the window mixes neighbouring modes: leave out those within two of zero
    lowest = k[0, 1] * (0.5 if cfg.periodic else 2.5)
    edges = np.geomspace(lowest, k[0, -1], BINS + 1)
    twice = np.full(k.shape, 2.0)
    twice[:, 0] = twice[:, -1] = 1.0
    which = np.digitize(k, edges) - 1
    inside = [(which == b) & (k > 0) for b in range(BINS)]
    inside = [one for one in inside if one.any()]
    x = np.array([np.average(k[one], weights=twice[one]) for one in inside])
    binned = np.array([np.average(power[:, :, one], axis=2, weights=twice[one]) for one in inside])  # (bins, maps, C)
    fine = np.geomspace(k[0, 1] * 0.9, k.max() * 1.01, 80)
    curves = module.spectrum(cfg, split.theta[first], fine)  # (maps, C, len(fine))
    if curves is None:
        expected, reference = np.broadcast_to(_middle(binned, split.theta[first]), binned.shape), MEASURED
    else:
        expected, reference = _over_modes(fine, curves, k, inside, twice), "theory"  # (bins, maps, C)

    measured, model = binned.mean(axis=1).T, expected.mean(axis=1).T
    ratio = binned / expected
    error = (ratio.std(axis=1) / np.sqrt(len(first))).T * model
    weight = (model / np.maximum(error, 1e-300)) ** 2 if len(first) > 1 else np.ones_like(model)
    labels = [f"bin {c + 1}" for c in range(cfg.channels)] if cfg.channels > 1 else ["map"]
    overall = float(np.average(measured / model, weights=weight))
    xlabel, ylabel = module.LABELS
    curves = (x, measured, error, model)
    return SpectrumCheck(curves, labels, xlabel, ylabel, overall, reference)


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
