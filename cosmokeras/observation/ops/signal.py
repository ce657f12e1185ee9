"""Signal of convergence behind a mask: convergence to shear, what is not observed taken out, and back.

The same linear map at every step for the same mask, so that it is done once. Exactly that of `observation.sphere` and
`observation.shear`, with half of their transforms: a complex multiplier D is a pair of real operators, A + i B, whose
modes are (D(k) + D*(-k)) / 2 and (D(k) - D*(-k)) / 2i, and a real operator serves two channels in one complex field.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cosmokeras.observation.ops.transforms import as_complex, fft2, from_pairs, ifft2, mirrored, pairs, parts
from cosmokeras.observation.shear import FlatKaiserSquires
from cosmokeras.observation.sphere import SphericalKaiserSquires
from cosmokeras.sky.pixels import USED

Tables = dict[str, Any]


def real_operators(transfer: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Modes of the real operators A, B of a multiplier (n, n): it takes real x to A x + i B x."""
    back = np.conj(np.roll(transfer[::-1, ::-1], 1, axis=(0, 1)))  # D*(-k)
    return (transfer + back) / 2, (transfer - back) / 2j


class ShearSignal:
    """Through shear and back."""

    def __init__(self, mapping: SphericalKaiserSquires | FlatKaiserSquires, channels: int) -> None:
        self.size, self.margin, self.channels = mapping.size, mapping.margin, channels
        to_kappa = (
            mapping.to_kappa if isinstance(mapping, SphericalKaiserSquires) else np.conj(mapping.to_shear)
        )  # real part alone of what comes back
        there, back = real_operators(mapping.to_shear), real_operators(to_kappa)
        self.tables = {
            name: one.astype(np.complex64)
            for name, one in zip(("there_1", "there_2", "back_1", "back_2"), (*there, *back), strict=True)
        }
        self.partly = isinstance(mapping, SphericalKaiserSquires)

    def window(self, coverage: np.ndarray) -> np.ndarray:
        """What is left of the shear of each pixel, of coverage (masks, wide, wide)."""
        return coverage if self.partly else (coverage >= USED).astype(np.float32)

    def __call__(self, maps: Any, window: Any, tables: Tables) -> Any:
        """Maps (n, size, size, channels) behind windows (n, wide, wide)."""
        modes = fft2(mirrored_pairs(maps, self.channels, self.margin))
        seen = as_complex(window, window * 0.0)[:, None]
        first, second = (fft2(ifft2(modes * tables[name]) * seen) for name in ("there_1", "there_2"))
        kappa = ifft2(first * tables["back_1"] - second * tables["back_2"])
        inner = slice(self.margin, self.margin + self.size)
        return from_pairs(*parts(kappa[:, :, inner, inner]), self.channels)


def mirrored_pairs(maps: Any, channels: int, margin: int) -> Any:
    """Maps as complex fields of two channels each, continued by their mirror images."""
    real, imag = parts(pairs(maps, channels))
    return as_complex(mirrored(real, margin), mirrored(imag, margin))
