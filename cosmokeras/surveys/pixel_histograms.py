"""Histograms of the pixels of a sky in units of the noise that is expected, for the picture of its null tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LIMIT, CELLS = 6.0, 60  # the histogram goes from -LIMIT to LIMIT; what is beyond counts in the end cells
WHOLLY = 0.999  # observed part of a pixel above which it counts, if any has that much


@dataclass(frozen=True)
class PixelHistograms:
    """Densities (channels, cells) between `edges` (cells + 1,), and mean, width and skewness (channels,) of pixels.

    Pixels are in units of the expected noise, or of their own scatter where none is expected (`in_noise` is False);
    `count` is how many there are in each channel.
    """

    edges: np.ndarray
    density: np.ndarray
    mean: np.ndarray
    width: np.ndarray
    skewness: np.ndarray
    count: int
    in_noise: bool


def pixel_histograms(maps: np.ndarray, coverage: np.ndarray, noise: np.ndarray | None) -> PixelHistograms:
    """Histograms of all wholly observed pixels of patches.

    Parameters
    ----------
    maps : (n, size, size, channels), unsmoothed
    coverage : (n, size, size) observed fraction of each pixel; where none is whole, halves count
    noise : (channels,) expected noise of a pixel; None: no noise is expected
    """
    seen = coverage > WHOLLY
    seen = seen if seen.any() else coverage >= 0.5
    edges = np.linspace(-LIMIT, LIMIT, CELLS + 1)
    density, moments = [], []
    for c in range(maps.shape[-1]):
        values = maps[..., c][seen].astype(float)
        x = values / (values.std() if noise is None else noise[c])
        inside = np.clip(x, 0.01 - LIMIT, LIMIT - 0.01)
        density.append(np.histogram(inside, edges)[0] / x.size / np.diff(edges))
        moments.append((x.mean(), x.std(), np.mean((x - x.mean()) ** 3) / x.std() ** 3))
    mean, width, skewness = np.array(moments).T
    return PixelHistograms(edges, np.array(density), mean, width, skewness, int(seen.sum()), noise is not None)
