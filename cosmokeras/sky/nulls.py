"""Null tests of a sky per bin: moments, B modes and variance between patches against the survey's noise model."""

from __future__ import annotations

import numpy as np

from cosmokeras.sky.pixels import USED

BLOCKS = 4  # blocks along a side of a patch, within which variances are compared


def skewness(values: np.ndarray) -> float:
    """Third central moment over that of the width; 0 for noise, somewhat above for lensing, `values` 1-d."""
    deviation = values.astype(np.float64) - values.mean(dtype=np.float64)
    return float(np.mean(deviation**3) / np.mean(deviation**2) ** 1.5)


def pixel_nulls(maps: np.ndarray, sigma: np.ndarray) -> dict[str, float]:
    """Mean and scatter of the observed pixels in units of the expected noise, and their skewness.

    Parameters
    ----------
    maps : (bins, m)
    sigma : (bins,) noise expected in a pixel

    Returns
    -------
    for each bin N: bin_N_mean, 0 to the size of the monopole; bin_N_std, 1 for noise, slightly more with signal;
    bin_N_skewness, positive for lensing
    """
    values = {}
    for number, (one, noise) in enumerate(zip(maps, sigma, strict=True), start=1):
        seen = one.astype(np.float64)
        values[f"bin_{number}_mean"] = float(seen.mean() / noise)
        values[f"bin_{number}_std"] = float(seen.std() / noise)
        values[f"bin_{number}_skewness"] = skewness(seen)
    return values


def b_mode_nulls(b_modes: np.ndarray, sigma: np.ndarray) -> dict[str, float]:
    """Scatter of B-mode maps (bins, m) over the noise expected in E: bin_N_b_std, no more than bin_N_std."""
    ratio = (one.std(dtype=np.float64) / noise for one, noise in zip(b_modes, sigma, strict=True))
    return {f"bin_{number}_b_std": float(value) for number, value in enumerate(ratio, start=1)}


def variance_scatter(patches: np.ndarray, coverage: np.ndarray) -> np.ndarray:
    """Scatter of the variance from patch to patch over the scatter expected of patches that are alike, (bins,).

    The expectation comes from the patches themselves: the variances of 4 x 4 blocks scatter inside a patch as well, and
    their mean by a quarter of that. No noise model is needed, however pixels are correlated. About 1, to sqrt(1 /
    (2 n)) for n patches, for a sky of one depth; large where some patches are noisier than others. NaN with fewer than
    two patches that have two good blocks each.

    Parameters
    ----------
    patches : (n, size, size, bins)
    coverage : (n, size, size) observed fraction; blocks with less than half of their pixels used are left out
    """
    n, size, _, bins = patches.shape
    side = size // BLOCKS
    inner = slice(0, side * BLOCKS)
    cells = (n, BLOCKS, side, BLOCKS, side)
    used = (coverage[:, inner, inner] >= USED).reshape(cells)
    hits = used.sum(axis=(2, 4))
    good = hits >= max(side * side / 2, 2)
    result = np.full(bins, np.nan)
    for channel in range(bins):
        values = np.where(used, patches[:, inner, inner, channel].reshape(cells), 0.0).astype(np.float64)
        mean = values.sum(axis=(2, 4)) / np.maximum(hits, 1)
        variance = (values**2).sum(axis=(2, 4)) / np.maximum(hits, 1) - mean**2
        each = [v[g] for v, g in zip(variance.reshape(n, -1), good.reshape(n, -1), strict=True) if g.sum() >= 2]
        if len(each) >= 2:
            between = np.var([v.mean() for v in each], ddof=1)
            within = np.mean([v.var(ddof=1) / v.size for v in each])
            result[channel] = np.sqrt(between / within) if within > 0 else np.nan
    return result


def patch_nulls(patches: np.ndarray, coverage: np.ndarray) -> dict[str, float]:
    """`variance_scatter` of each bin as bin_N_patch_scatter; left out where there are too few patches."""
    scatter = variance_scatter(patches, coverage)
    return {f"bin_{i}_patch_scatter": float(value) for i, value in enumerate(scatter, start=1) if np.isfinite(value)}
