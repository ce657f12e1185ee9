"""Convergence maps through particle-mesh boxes: spectra of windowed maps beside theory, skewness, peaks."""

from __future__ import annotations

import itertools

import numpy as np
from scipy import fft, ndimage

from cosmokeras.params.config import Config
from cosmokeras.simulators.fields import wavenumbers
from cosmokeras.simulators.mesh import slab_power
from cosmokeras.simulators.pm import light_cone
from cosmokeras.simulators.pm.history import history, snapshot_redshifts
from cosmokeras.simulators.pm.planes import HALVES
from cosmokeras.simulators.pm.transfer import wavenumbers as wavenumbers_of
from cosmokeras.sky.pixels import ARCMIN
from cosmokeras.theory import limber

BANDS = np.array([200.0, 350, 600, 1000, 1500, 2000])
WIDE = 8  # grid on which the correlation function is worked out, in maps


def hann(n: int) -> np.ndarray:
    """Window (n, n) that goes to 0 at the edges of a map."""
    one = np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2
    return np.outer(one, one)


def _banded(power: np.ndarray, ell: np.ndarray) -> np.ndarray:
    """Means over the modes of rfft2 of each of BANDS, (..., bands)."""
    twice = np.full(ell.shape, 2.0)
    twice[:, [0, -1]] = 1.0
    inside = [(ell >= low) & (ell < high) for low, high in itertools.pairwise(BANDS)]
    return np.stack([(power * twice)[..., i].sum(-1) / twice[i].sum() for i in inside], axis=-1)


def band_powers(maps: np.ndarray, pixel: float) -> np.ndarray:
    """Spectra (maps, bins, bins, bands) of maps (maps, n, n, bins) times a Hann window; `pixel` in radians."""
    n = maps.shape[1]
    window = hann(n)
    modes = fft.rfft2(np.moveaxis(maps, -1, 1) * window) * (pixel / n / np.sqrt(np.mean(window**2)))
    return _banded((modes[:, :, None] * modes[:, None].conj()).real, wavenumbers(n, pixel))


def expected(cfg: Config, theta: np.ndarray) -> np.ndarray:
    """What `band_powers` are on average by theory, (bins, bins, bands): with the multipoles that the window mixes."""
    n, pixel = cfg.data.size, cfg.pixel_arcmin * ARCMIN
    wide = WIDE * n
    modes = wavenumbers(wide, pixel)
    ell = np.geomspace(modes[0, 1] / 2, modes.max(), 300)
    c_ell = limber.spectra(cfg, np.atleast_2d(theta), ell, most=1.0)[0]
    window = hann(n)
    shared = fft.irfft2(np.abs(fft.rfft2(window, s=(2 * n, 2 * n))) ** 2, s=(2 * n, 2 * n))  # by lag
    lags = np.r_[0:n, -n:0]
    out = np.empty((*c_ell.shape[:2], len(BANDS) - 1))
    for a, b in np.ndindex(c_ell.shape[:2]):
        power = np.interp(np.log(np.maximum(modes, ell[0])), np.log(ell), c_ell[a, b])
        power[modes > (cfg.survey.lmax or np.inf)] = 0.0
        xi = fft.irfft2(power, s=(wide, wide)) / pixel**2
        mixed = fft.rfft2(xi[np.ix_(lags, lags)] * shared).real[::2, : n + 1 : 2]
        out[a, b] = _banded(mixed * (pixel**2 / n**2 / np.mean(window**2)), wavenumbers(n, pixel))
    return out


def plane_spectra(
    cfg: Config, cone: light_cone.LightCone, theta: np.ndarray, rng: np.random.Generator, fixed: float = 0.0
) -> np.ndarray:
    """Spectra over theory, (bins, bins, bands), of all maps that may be assembled of one new pair of boxes, on average.

    From the planes themselves, which hold far more waves than a patch cut out of them. What a slab of finite thickness
    lacks of the Limber integral, and the correlation of the two halves of a shell gives back, is divided out.
    `fixed`: of `history`.
    """
    values = cfg.cosmology(theta)
    centres = np.sqrt(BANDS[1:] * BANDS[:-1])
    total = np.zeros((cfg.channels, cfg.channels, len(centres)))
    for number, cube in enumerate(cone.cubes):
        side = cube.box.side
        planes = dict(history(cube, cone.table, values, rng, light_cone.highest_multipole(cfg), fixed))
        theory, z = cone.table.power(values), snapshot_redshifts(cube.box, cone.table, values)
        for shell in light_cone.shells(cfg, cone, number, values):
            modes = planes[shell.snapshot]
            k = wavenumbers_of(modes.shape[-1] - 1) * 2 * np.pi / side
            nodes = np.geomspace(np.pi / side, k.max(), 150)
            finite = slab_power(lambda k, p=theory, at=z[shell.snapshot]: p(k, at), nodes, side / HALVES, side)  # type: ignore[misc]
            finite *= side / HALVES / theory(nodes, z[shell.snapshot])
            whole = np.interp(np.log(np.maximum(k, nodes[0])), np.log(nodes), finite)
            weight = np.ones_like(k)
            weight[:, 0] = 0.5
            for half, chi in enumerate(shell.chi):
                power = (np.abs(modes) ** 2).mean(axis=(0, 1)) * (shell.transfer[half] * side / chi) ** 2 / whole
                limit = k[0, 0] * chi
                for band, (low, high) in enumerate(itertools.pairwise(BANDS)):
                    ring = (k * chi >= low) & (k * chi < high)
                    if not ring.any():
                        continue
                    # waves that planes do not hold count as none
                    there = np.sum(weight[ring]) if high < limit else np.pi / 2 * (high**2 - low**2) / (
                        2 * np.pi / side * chi) ** 2  # fmt: skip
                    w = shell.weights[:, half]
                    total[:, :, band] += np.outer(w, w) * np.sum(power[ring] * weight[ring]) / there
    ell = np.geomspace(BANDS[0], BANDS[-1], 200)
    c_ell = limber.spectra(cfg, theta[None], ell)[0]
    step = np.gradient(ell) * ell
    wanted = [np.sum((c_ell * step)[..., (ell >= a) & (ell <= b)], -1) / np.sum(step[(ell >= a) & (ell <= b)])
              for a, b in itertools.pairwise(BANDS)]  # fmt: skip
    return total / np.stack(wanted, axis=-1)


def smoothed(maps: np.ndarray, sigma: float) -> np.ndarray:
    """Maps (maps, n, n, bins) after a Gaussian of `sigma` [pixel], without the edges that it spoils."""
    cut = int(np.ceil(3 * sigma))
    return ndimage.gaussian_filter(maps, (0, sigma, sigma, 0))[:, cut : maps.shape[1] - cut, cut : maps.shape[2] - cut]


def skewness(maps: np.ndarray, sigma: float) -> np.ndarray:
    """Skewness of the pixels of all maps together, (bins,), after a Gaussian of `sigma` [pixel]."""
    x = smoothed(maps, sigma).astype(float)
    x = x - x.mean(axis=(0, 1, 2))
    return (x**3).mean(axis=(0, 1, 2)) / (x**2).mean(axis=(0, 1, 2)) ** 1.5


def shared_part(values: np.ndarray) -> np.ndarray:
    """Intraclass correlation of (groups, members, ...): 0 for members as different as those of different groups.

    The part of the variance that is among groups, by analysis of variance (Shrout & Fleiss 1979, Psychol. Bull. 86,
    420, ICC(1, 1)).
    """
    members = values.shape[1]
    among = members * values.mean(axis=1).var(axis=0, ddof=1)
    within = values.var(axis=1, ddof=1).mean(axis=0)
    return (among - within) / (among + (members - 1) * within)


def one_point(maps: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Parts of the pixels, and peaks for each pixel, in bins of the maps' rms, (bins - 1,) each; maps (maps, n, n)."""
    x = (maps - maps.mean()) / maps.std()
    highest = ndimage.maximum_filter(x, (0, 3, 3))[:, 1:-1, 1:-1]
    inner = x[:, 1:-1, 1:-1]
    peaks = inner[inner == highest]
    return np.histogram(x, edges)[0] / x.size, np.histogram(peaks, edges)[0] / inner.size
