"""What is measured in observed maps to tell whether they look like training maps, and the name of each number."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from cosmokeras.config import Config
from cosmokeras.inference import shapes
from cosmokeras.inference.features import spectra
from cosmokeras.models.layers import band_edges

BANDS = 8  # of the spectra, at most
MOST_SUMMARIES = 16  # principal components of the network's summaries
LEAST_VARIANCE = 1e-4  # of a component, beside the first


@dataclass(frozen=True)
class Measures:
    """Spectra, shapes and learned summaries of maps.

    `weights` (channels,) of the sum of channels; `centre` (u,) and `components` (u, s) reduce the u learned summaries,
    many of which say the same, or nothing, to s that are independent among training maps.
    """

    weights: np.ndarray
    centre: np.ndarray
    components: np.ndarray

    @classmethod
    def fit(cls, obs: np.ndarray, summaries: np.ndarray) -> Measures:
        """From observed training maps (n, size, size, channels) and their learned summaries (n, u)."""
        centre = summaries.mean(axis=0)
        variance, axes = np.linalg.eigh(np.cov((summaries - centre).T.astype(float)))
        used = np.flatnonzero(variance > LEAST_VARIANCE * variance[-1])[::-1][:MOST_SUMMARIES]
        return cls(shapes.signal_weights(obs), centre, axes[:, used] / np.sqrt(variance[used]))

    def __call__(self, obs: np.ndarray, summaries: np.ndarray) -> np.ndarray:
        """All features of maps with these learned summaries, (n, f)."""
        learned = (summaries - self.centre) @ self.components
        parts = [spectra(obs, bands(obs.shape[1])), shapes.measure(obs, self.weights), learned]
        return np.concatenate(parts, axis=1)

    def sizes(self, size: int) -> np.ndarray:
        """Numbers of spectra, shapes and summaries of maps of `size` pixels on a side."""
        channels = len(self.weights)
        spectral = bands(size) * channels * (channels + 1) // 2
        return np.array([spectral, len(shapes.names(channels)), self.components.shape[1]])

    def names(self, cfg: Config) -> list[str]:
        """What each feature is, for people."""
        learned = [f"learned summary {i + 1}" for i in range(self.components.shape[1])]
        return [*spectrum_names(cfg), *shapes.names(cfg.channels), *learned]


def bands(size: int) -> int:
    """Bands of the spectra of maps of `size` pixels on a side."""
    return min(BANDS, size // 4)


def spectrum_names(cfg: Config) -> list[str]:
    """Names of `features.spectra`: auto-spectra first, then cross-spectra."""
    size, channels = cfg.data.size, cfg.channels
    waves = band_edges(size, bands(size)) * 2 * np.pi / (size * cfg.pixel_side)
    lensing = cfg.kind.observed == "survey"
    ranges = [
        f"ell {low:.0f} to {high:.0f}" if lensing else f"k {low:.2g} to {high:.2g} h/Mpc"
        for low, high in pairwise(waves)
    ]
    whose = [f" of bin {c + 1}" if channels > 1 else "" for c in range(channels)]
    pairs = [f" of bins {a + 1} and {b + 1}" for a in range(channels) for b in range(a + 1, channels)]
    autos = [f"spectrum{one}, {band}" for one in whose for band in ranges]
    return autos + [f"cross-spectrum{pair}, {band}" for pair in pairs for band in ranges]
