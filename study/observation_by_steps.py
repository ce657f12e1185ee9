"""The observation of maps step by step, in NumPy and double precision.

Tests compare `cosmokeras.observation.ops` with it: each channel by itself, complex transforms, a field of noise
for each, nothing worked out beforehand. Random numbers are NumPy's own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cosmokeras.observation.healpix import HealpixNoise
from cosmokeras.observation.observer import Observer
from cosmokeras.observation.shear import FlatKaiserSquires
from cosmokeras.observation.sphere import SphericalKaiserSquires
from cosmokeras.sky.pixels import USED


def survey_steps(
    observer: Observer, maps: np.ndarray, which: np.ndarray, rng: np.random.Generator, noise: float = 1.0
) -> np.ndarray:
    """Noisy maps (n, size, size, channels) of noise-free ones behind masks `which` (n,), before the last steps."""
    mapping: Any = observer.mass_mapping
    coverage = observer.masks[which].astype(float)[..., None]
    depth = 1.0 if observer.depth is None else observer.depth[which].astype(float)[..., None]
    sigma = noise * observer.sigma
    partly = depth / np.sqrt(np.maximum(coverage, USED))
    if isinstance(mapping, SphericalKaiserSquires):
        wide = _mirrored(maps, mapping.margin)
        pointing = rng.integers(len(mapping.noise_modulation), size=len(maps))
        white = _shear_noise(rng, wide.shape) * sigma * depth * coverage**mapping.coverage_exponent
        signal = _filtered(_filtered(wide, mapping.to_shear) * coverage, mapping.to_kappa).real
        random = _filtered(white, mapping.to_kappa).real
        return _inner(signal, mapping) + _inner(random, mapping) * mapping.noise_modulation[pointing]
    if isinstance(mapping, FlatKaiserSquires):
        shear = _filtered(_mirrored(maps, mapping.margin), mapping.to_shear)
        shear = (shear + _shear_noise(rng, shear.shape) * sigma * partly) * (coverage >= USED)
        return _inner(_filtered(shear, np.conj(mapping.to_shear)).real, mapping)
    if isinstance(mapping, HealpixNoise):
        pixels, shares = mapping.geometry
        boost = mapping.boost[np.round(np.maximum(coverage, USED) * (len(mapping.boost) - 1)).astype(int)] * depth
        out = []
        for place in rng.integers(len(pixels), size=len(maps)):
            white = rng.standard_normal((int(pixels.max()) + 1, len(sigma)))
            out.append(np.sum(shares[place][..., None] * white[pixels[place]], axis=1).reshape(maps.shape[1:]))
        return maps + np.array(out) * sigma * boost
    return maps + rng.standard_normal(maps.shape) * sigma * partly


def last_steps(observer: Observer, maps: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Mask, mean, smoothing, mask, scaling."""
    margin = observer.mass_mapping.margin
    used = (observer.masks[which] >= USED)[:, margin : margin + observer.size, margin : margin + observer.size, None]
    maps = maps * used
    if observer.removed:
        maps = (maps - maps.sum(axis=(1, 2), keepdims=True) / used.sum(axis=(1, 2), keepdims=True)) * used
    if observer.beam is not None:
        maps = _filtered(maps, observer.beam).real * used
    return maps * observer.scale / np.sqrt(used.mean(axis=(1, 2, 3), keepdims=True))


def _filtered(maps: np.ndarray, transfer: np.ndarray) -> np.ndarray:
    """Maps (n, y, x, channels) times a transfer (y, x) in Fourier space; complex."""
    return np.fft.ifft2(np.fft.fft2(maps, axes=(1, 2)) * transfer[..., None], axes=(1, 2))


def _shear_noise(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    real, imaginary = rng.standard_normal((2, *shape))
    return real + 1j * imaginary


def _mirrored(maps: np.ndarray, margin: int) -> np.ndarray:
    return np.pad(maps.astype(float), ((0, 0), (margin, margin), (margin, margin), (0, 0)), "symmetric")


def _inner(maps: np.ndarray, mapping: Any) -> np.ndarray:
    inner = slice(mapping.margin, mapping.margin + mapping.size)
    return maps[:, inner, inner]
