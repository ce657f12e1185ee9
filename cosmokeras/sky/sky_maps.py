"""Maps of the sphere at their observed pixels alone: a full sky at NSIDE 4096 would be 0.8 GB a channel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SkyMaps:
    """Values (channels, m) at `pixels` (m,) of HEALPix, RING, rising, celestial, of NSIDE `nside`."""

    nside: int
    pixels: np.ndarray
    values: np.ndarray

    @classmethod
    def inside(cls, maps: np.ndarray, mask: np.ndarray) -> SkyMaps:
        """Full-sky maps (channels, npix), RING, where the mask (npix,) is True."""
        import healpy

        return cls(int(healpy.npix2nside(mask.size)), cls.pixels_of(mask), maps[:, mask])

    @staticmethod
    def pixels_of(mask: np.ndarray) -> np.ndarray:
        """Numbers of the pixels where a mask (npix,) is True, of 4 bytes where these do."""
        return np.flatnonzero(mask).astype(np.int32 if mask.size < 2**31 else np.int64)

    @property
    def fraction(self) -> float:
        """Part of the sky that is observed."""
        return len(self.pixels) / (12 * self.nside**2)

    def only(self, wanted: np.ndarray) -> SkyMaps:
        """Those of the pixels for which `wanted` (m,) is True."""
        return SkyMaps(self.nside, self.pixels[wanted], self.values[:, wanted])

    def seen(self, numbers: np.ndarray) -> np.ndarray:
        """Whether pixels, by their RING numbers (n,), are observed."""
        return self.pixels[self._places(numbers)] == numbers

    def at(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values (channels, n) of pixels by their RING numbers (n,), any where unobserved, and whether they are."""
        places = self._places(numbers)
        return self.values[:, places], self.pixels[places] == numbers

    def _places(self, numbers: np.ndarray) -> np.ndarray:
        # of one type with the pixels, else all of these would be converted
        found = np.searchsorted(self.pixels, numbers.astype(self.pixels.dtype))
        return np.minimum(found, len(self.pixels) - 1)
