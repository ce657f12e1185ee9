"""Features of the misspecification test: spectra, non-Gaussian shapes and principal components of learned summaries.

Components are those of training maps, scaled to unit variance (PCA whitening).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from cosmokeras.inference import shapes
from cosmokeras.inference.features import spectra
from cosmokeras.models.layers import band_edges
from cosmokeras.params.config import Config

BANDS = 8  # of the spectra, at most
MAX_COMPONENTS = 16  # principal components of the network's summaries, at most
MIN_VARIANCE = 1e-4  # of a component, in units of the first one's: 1 % of its scatter


@dataclass(frozen=True)
class Measures:
    """Features of maps: spectra, shapes and learned summaries.

    `weights` (channels,) of the sum of channels; `centre` (u,) and `components` (u, s) project the u learned summaries,
    many of which are degenerate or constant, on s whitened principal components. `kept` () is the number of bands of
    each spectrum, from the lowest on.
    """

    weights: np.ndarray
    centre: np.ndarray
    components: np.ndarray
    kept: np.ndarray

    @classmethod
    def fit(cls, weights: np.ndarray, summaries: np.ndarray, kept: int) -> Measures:
        """From the `shapes.signal_weights` (channels,) and the learned summaries (n, u) of training maps."""
        centre = summaries.mean(axis=0)
        variance, axes = np.linalg.eigh(np.cov((summaries - centre).T.astype(float)))
        used = np.flatnonzero(variance > MIN_VARIANCE * variance[-1])[::-1][:MAX_COMPONENTS]
        return cls(
            weights=weights,
            centre=centre,
            components=axes[:, used] / np.sqrt(variance[used]),
            kept=np.asarray(kept),
        )

    def __call__(self, obs: np.ndarray, summaries: np.ndarray) -> np.ndarray:
        """All features of maps with these learned summaries, (n, f)."""
        learned = (summaries - self.centre) @ self.components
        spectral = spectra(obs, bands(obs.shape[1]))
        spectral = spectral.reshape(len(obs), -1, bands(obs.shape[1]))[:, :, : self.kept].reshape(len(obs), -1)
        return np.concatenate([spectral, shapes.measure(obs, self.weights), learned], axis=1)

    @property
    def sizes(self) -> np.ndarray:
        """Numbers of spectra, shapes and summaries."""
        channels = len(self.weights)
        spectral = int(self.kept) * channels * (channels + 1) // 2
        return np.array([spectral, len(shapes.names(channels)), self.components.shape[1]])

    def names(self, cfg: Config) -> list[str]:
        """What each feature is, for people."""
        learned = [f"learned summary {i + 1}" for i in range(self.components.shape[1])]
        return [*spectrum_names(cfg), *shapes.names(cfg.channels), *learned]


def bands(size: int) -> int:
    """Bands of the spectra of maps of `size` pixels on a side."""
    return min(BANDS, size // 4)


def kept_bands(cfg: Config) -> int:
    """Bands of the spectra below the survey's lmax: beyond it maps hold only power that projection scatters there."""
    middle = np.sqrt(_waves(cfg)[1:] * _waves(cfg)[:-1])
    lmax = cfg.survey.lmax if cfg.kind.observed == "survey" else None
    return len(middle) if lmax is None else max(int(np.sum(middle < lmax)), 1)


def _waves(cfg: Config) -> np.ndarray:
    """Edges of the bands, in multipoles or h/Mpc."""
    size = cfg.data.size
    return band_edges(size, bands(size)) * 2 * np.pi / (size * cfg.pixel_side)


def spectrum_names(cfg: Config) -> list[str]:
    """Names of the spectra that are kept: auto-spectra first, then cross-spectra."""
    channels, waves = cfg.channels, _waves(cfg)[: kept_bands(cfg) + 1]
    lensing = cfg.kind.observed == "survey"
    ranges = [
        f"ell {low:.0f} to {high:.0f}" if lensing else f"k {low:.2g} to {high:.2g} h/Mpc"
        for low, high in pairwise(waves)
    ]
    whose = [f" of bin {c + 1}" if channels > 1 else "" for c in range(channels)]
    pairs = [f" of bins {a + 1} and {b + 1}" for a in range(channels) for b in range(a + 1, channels)]
    autos = [f"spectrum{one}, {band}" for one in whose for band in ranges]
    return autos + [f"cross-spectrum{pair}, {band}" for pair in pairs for band in ranges]
