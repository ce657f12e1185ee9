"""Noise of convergence by way of mass mapping, in `keras.ops`: power and covariance as in `observation.mass_mapping`.

White noise of both components of shear is circular, so after Kaiser-Squires E and B are two independent fields of the
same law: one complex field serves two channels. Next to holes alone E and B have a covariance, odd in the two places; a
random sign of B in each map makes its mean zero.

A class for each way. What masks do to the noise is worked out beforehand, `weight` (masks, wide, wide); a step draws
numbers, transforms them there and back, and keeps the middle.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from cosmokeras.observation.healpix import HealpixNoise
from cosmokeras.observation.ops.counters import NOISE, PLACE, SIGN, integers, normal_pairs
from cosmokeras.observation.ops.transforms import as_complex, fft2, from_pairs, ifft2, parts
from cosmokeras.observation.shear import FlatKaiserSquires
from cosmokeras.observation.sphere import SphericalKaiserSquires
from cosmokeras.params.config import Config
from cosmokeras.sky.pixels import USED

Tables = dict[str, Any]


def white(keys: Any, count: int, fields: int) -> tuple[Any, Any]:
    """White noise of `fields` complex fields, real and imaginary part float32 (n, fields, count) each.

    A place's four words make two fields.
    """
    if fields == 1:
        # of a single field two places come from the same words
        (a, b), (c, d) = normal_pairs(keys, -(-count // 2))
        real, imag = (ops.concatenate(both, axis=1)[:, None, :count] for both in ((a, c), (b, d)))
        return real, imag
    found: list[tuple[Any, Any]] = []
    for half in range(-(-fields // 2)):
        found += normal_pairs(keys, count, NOISE + half)
    real, imag = (ops.stack([one[i] for one in found[:fields]], axis=1) for i in (0, 1))
    return real, imag


def partly(coverage: np.ndarray, depth: np.ndarray | None) -> np.ndarray:
    """Noise of a pixel that was observed in part grows as 1 / sqrt(coverage), and is `depth` times the survey's."""
    boost = 1 / np.sqrt(np.maximum(coverage, USED))
    return boost if depth is None else boost * depth


class WhiteNoise:
    """White noise of flat pixels."""

    def __init__(self, cfg: Config) -> None:
        self.wide, self.channels, self.tables = cfg.data.size, cfg.channels, dict[str, np.ndarray]()

    def weight(self, coverage: np.ndarray, depth: np.ndarray | None) -> np.ndarray:
        """Noise of each pixel, of coverage and depth (masks, wide, wide)."""
        return partly(coverage, depth)

    def __call__(self, weight: Any, keys: Any, tables: Tables) -> Any:
        """Noise (n, size, size, channels) over that of a flat pixel; weights (n, wide, wide), keys (n, 3)."""
        shape = (-1, -(-self.channels // 2), self.wide, self.wide)
        real, imag = (ops.reshape(one, shape) for one in white(keys, self.wide**2, shape[1]))
        return from_pairs(real * weight[:, None], imag * weight[:, None], self.channels)


class CutNoise:
    """White noise of HEALPix pixels, cut at random places."""

    def __init__(self, cfg: Config, mapping: HealpixNoise) -> None:
        self.wide, self.channels, self.boost = cfg.data.size, cfg.channels, mapping.boost
        pixels, shares = mapping.geometry
        self.pixels, self.overlaps = int(pixels.max()) + 1, pixels.shape[-1]
        self.pointings = len(pixels)
        self.tables = {"pixels": pixels.astype(np.int32), "shares": shares.astype(np.float32)}

    def weight(self, coverage: np.ndarray, depth: np.ndarray | None) -> np.ndarray:
        """See `WhiteNoise`."""
        boost = self.boost[np.round(np.maximum(coverage, USED) * (len(self.boost) - 1)).astype(int)]
        return boost if depth is None else boost * depth

    def __call__(self, weight: Any, keys: Any, tables: Tables) -> Any:
        """See `WhiteNoise`."""
        place = integers(keys, self.pointings, PLACE)
        real, imag = white(keys, self.pixels, -(-self.channels // 2))
        planes = ops.reshape(ops.stack([real, imag], axis=2), (-1, 2 * real.shape[1], self.pixels))
        flat = ops.reshape(ops.transpose(planes, (0, 2, 1))[..., : self.channels], (-1, self.channels))
        first = ops.cumsum(ops.ones_like(place)) * self.pixels - self.pixels  # of each row, in `flat`
        pixels = ops.take(tables["pixels"], place, axis=0) + first[:, None, None]
        shares = ops.take(tables["shares"], place, axis=0)
        noise = 0.0
        for i in range(self.overlaps):
            noise = noise + ops.take(flat, pixels[..., i], axis=0) * shares[..., i, None]
        return ops.reshape(noise, (-1, self.wide, self.wide, self.channels)) * weight[..., None]


class ShearNoise:
    """White noise of shear, through an inversion that multiplies modes."""

    def __init__(self, cfg: Config, transfer: np.ndarray) -> None:
        self.size, self.channels, self.wide = cfg.data.size, cfg.channels, len(transfer)
        self.fields = -(-self.channels // 2)
        self.tables: dict[str, np.ndarray] = {"transfer": transfer.astype(np.complex64)}

    def weight(self, coverage: np.ndarray, depth: np.ndarray | None) -> np.ndarray:
        """See `WhiteNoise`."""
        return partly(coverage, depth) * (coverage >= USED)

    def __call__(self, weight: Any, keys: Any, tables: Tables) -> Any:
        """See `WhiteNoise`."""
        wide, edge = self.wide, (self.wide - self.size) // 2
        real, imag = (ops.reshape(one, (-1, self.fields, wide, wide)) for one in white(keys, wide**2, self.fields))
        shear = as_complex(real * weight[:, None], imag * weight[:, None])
        kappa = ifft2(fft2(shear) * tables["transfer"])
        e, b = parts(kappa[:, :, edge : edge + self.size, edge : edge + self.size])
        sign = 1.0 - 2.0 * ops.cast(integers(keys, 2, SIGN), "float32")
        return from_pairs(e, b * sign[:, None, None, None], self.channels)


class SphericalNoise(ShearNoise):
    """White noise of shear through Kaiser-Squires on the sphere up to lmax, cut at random places."""

    def __init__(self, cfg: Config, mapping: SphericalKaiserSquires) -> None:
        super().__init__(cfg, mapping.to_kappa)
        self.pointings = len(mapping.noise_modulation)
        self.exponent = mapping.coverage_exponent
        self.tables["modulation"] = mapping.noise_modulation[..., 0]

    def weight(self, coverage: np.ndarray, depth: np.ndarray | None) -> np.ndarray:
        """See `WhiteNoise`."""
        return coverage**self.exponent if depth is None else coverage**self.exponent * depth

    def __call__(self, weight: Any, keys: Any, tables: Tables) -> Any:
        """See `WhiteNoise`."""
        modulation = ops.take(tables["modulation"], integers(keys, self.pointings, PLACE), axis=0)
        return super().__call__(weight, keys, tables) * modulation[..., None]


def noise_of(cfg: Config, mapping: Any) -> WhiteNoise | CutNoise | ShearNoise:
    """The noise that belongs to one of the ways of `observation.mass_mapping`."""
    if isinstance(mapping, SphericalKaiserSquires):
        return SphericalNoise(cfg, mapping)
    if isinstance(mapping, HealpixNoise):
        return CutNoise(cfg, mapping)
    if isinstance(mapping, FlatKaiserSquires):
        return ShearNoise(cfg, np.conj(mapping.to_shear))
    return WhiteNoise(cfg)
