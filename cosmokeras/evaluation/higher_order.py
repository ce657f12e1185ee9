"""Higher-order statistic of the baselines: the l1-norm of starlet coefficients, of peaks and voids on several scales.

Ajani, Starck & Pettorino 2021, "Starlet l1-norm for weak lensing cosmology" (A&A 645, L11, arXiv:2101.01542).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numba import njit

SCALES = 4  # of wavelets; the coarse map is one more
LOWEST, BINS = -3, 7  # bins of coefficients are one unit wide: below -2, -2 to -1, ..., 3 and above


@dataclass(frozen=True)
class L1Norm:
    """Sums of the absolute coefficients that lie in bins of amplitude, for each scale and channel.

    `unit` (SCALES + 1, channels): rms coefficients of training maps, the same for all maps, so that amplitudes count.
    Maps are periodic, or mirrored at their edges.
    """

    unit: np.ndarray
    periodic: bool

    @classmethod
    def fit(cls, obs: np.ndarray, periodic: bool) -> L1Norm:
        """Units from observed training maps (n, size, size, channels)."""
        squares = [np.mean(starlet(part, periodic) ** 2, axis=(3, 4)) for part in _parts(obs)]
        return cls(unit=np.sqrt(np.mean(np.concatenate(squares, axis=1), axis=1)), periodic=periodic)

    def __call__(self, obs: np.ndarray) -> np.ndarray:
        """Mean absolute coefficients of observed maps, in units of their rms, (n, channels (SCALES + 1) BINS)."""
        n, size, _, channels = obs.shape
        sums = np.zeros((n, channels, SCALES + 1, BINS))
        scale = (1 / np.maximum(self.unit, 1e-12)).astype(np.float32)
        for maps, out in zip(_parts(obs), _parts(sums), strict=True):
            _add(starlet(maps, self.periodic), scale, out)
        return sums.reshape(n, -1) / size**2


def starlet(obs: np.ndarray, periodic: bool) -> np.ndarray:
    """Starlet transform of maps (n, size, size, channels), (SCALES + 1, n, channels, size, size); its sum is the maps.

    Wavelet j is the difference of the maps after j and j + 1 smoothings with the B3-spline, whose taps lie 2^j pixels
    apart. Starck, Fadili & Murtagh 2007, IEEE Trans. Image Process. 16, 297.
    """
    n, size, _, channels = obs.shape
    mode: Literal["wrap", "symmetric"] = "wrap" if periodic else "symmetric"
    planes = np.ascontiguousarray(obs.transpose(0, 3, 1, 2), dtype=np.float32).reshape(-1, size, size)
    out = np.empty((SCALES + 1, *planes.shape), np.float32)
    out[0] = planes
    for j in range(SCALES):
        _smooth(out[j], np.pad(np.arange(size), 2 * 2**j, mode=mode), 2**j, out[j + 1])
        out[j] -= out[j + 1]
    return out.reshape(SCALES + 1, n, channels, size, size)


@njit(cache=True, nogil=True)
def _smooth(planes: np.ndarray, pixel: np.ndarray, step: int, out: np.ndarray) -> None:
    """Convolve (n, size, size) with the B3-spline (1, 4, 6, 4, 1) / 16 along both axes.

    `pixel` (size + 4 step,) are the pixels of a row with those beyond its edges.
    """
    size = planes.shape[1]
    column, row = np.empty(size, np.float32), np.empty(len(pixel), np.float32)
    four, six, norm = np.float32(4), np.float32(6), np.float32(1 / 256)
    for i in range(len(planes)):
        for y in range(size):
            a, b, c = planes[i, pixel[y]], planes[i, pixel[y + step]], planes[i, pixel[y + 2 * step]]
            d, e = planes[i, pixel[y + 3 * step]], planes[i, pixel[y + 4 * step]]
            for x in range(size):
                column[x] = (a[x] + e[x]) + four * (b[x] + d[x]) + six * c[x]
            for x in range(len(pixel)):
                row[x] = column[pixel[x]]
            for x in range(size):
                ends, inner = row[x] + row[x + 4 * step], row[x + step] + row[x + 3 * step]
                out[i, y, x] = norm * (ends + four * inner + six * row[x + 2 * step])


@njit(cache=True, nogil=True)
def _add(scales: np.ndarray, scale: np.ndarray, sums: np.ndarray) -> None:
    """Add |scale coefficients| (scales, n, channels, size, size) to their bins (n, channels, scales, BINS)."""
    for j in range(scales.shape[0]):
        for i in range(scales.shape[1]):
            for c in range(scales.shape[2]):
                for x in scales[j, i, c].ravel():
                    value = x * scale[j, c]
                    # truncation towards zero of what is positive
                    which = int(min(max(value - LOWEST, np.float32(0)), np.float32(BINS - 1)))
                    sums[i, c, j, which] += abs(value)


def _parts(array: np.ndarray, batch: int = 16) -> list[np.ndarray]:
    """A few maps at a time, which stay in the cache."""
    return [array[i : i + batch] for i in range(0, len(array), batch)]
