"""Maps with other physics than a network was trained on: one function for each thing that is changed.

Each takes the parameters of a network, cosmologies theta (n, p), how many maps of each and a seed, and gives maps as
that network would be shown them, (n count, size, size, channels) float32, those of a cosmology one after the other. The
same seed is the same random numbers, wherever the grid is the same: maps of two variants differ by what was changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import fft

from cosmokeras.common.code import code_fingerprint
from cosmokeras.common.files import atomic, work_folder
from cosmokeras.observation.observe import finished, observed_by
from cosmokeras.observation.observer import Observer
from cosmokeras.observation.ops.forward import Forward, forward_of
from cosmokeras.observation.ops.last_steps import LastSteps
from cosmokeras.params.config import Config, fingerprint
from cosmokeras.project import changed
from cosmokeras.provenance.statements import statement
from cosmokeras.simulators import SPLITS, lensing, lpt, realisations, simulator_of
from cosmokeras.simulators.fields import mode_amplitude, normal_modes, wavenumbers
from cosmokeras.simulators.mesh import project

Generators = Callable[[int], np.random.Generator]
Maker = Callable[[Config, Any, np.ndarray, Generators, int], np.ndarray]  # `maps` of a simulator
Variant = Callable[[Config, np.ndarray, int, int], np.ndarray]
NOISE = 1.2  # the noise of `noisier` in units of that of the training maps


def clean(
    cfg: Config, theta: np.ndarray, count: int, seed: int, maker: Maker | None = None, prepared: Any = None
) -> np.ndarray:
    """Noise-free maps by a simulator's `maps`, or by another `maker` with the same arguments."""
    module = simulator_of(cfg)
    maker, prepared = maker or module.maps, prepared or module.prepare(cfg)
    maps = [maker(cfg, prepared, row, realisations(seed, SPLITS["user"], i), count) for i, row in enumerate(theta)]
    return np.concatenate(maps)


def as_trained(cfg: Config, theta: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Maps of the distribution that the network was trained on, which it has not seen."""
    return observed_by(forward_of(cfg), clean(cfg, theta, count, seed), seed)


def gaussian(cfg: Config, theta: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Lensing through Gaussian shells in place of lognormal ones of the same spectra."""
    return observed_by(forward_of(cfg), clean(cfg, theta, count, seed, gaussian_maps), seed)


def aligned(cfg: Config, theta: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Lensing with intrinsic alignments of A_IA = 1, which are not in the training maps."""
    return observed_by(forward_of(cfg), clean(changed(cfg, {"prior.a_ia": 1.0}), theta, count, seed), seed)


def noisier(cfg: Config, theta: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Lensing with NOISE times the shape noise, still given in units of that of the training maps."""
    return observed_by(Forward(cfg, NOISE), clean(cfg, theta, count, seed), seed)


def unmasked(cfg: Config, theta: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Lensing patches that are seen whole."""
    return observed_by(Forward(changed(cfg, {"lensing.mask": "none"})), clean(cfg, theta, count, seed), seed)


def periodic(cfg: Config, theta: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Lensing patches that wrap around: a grid as wide as the map, and nothing longer than it."""
    narrow = lensing.prepare(cfg, padding=1)
    return observed_by(forward_of(cfg), clean(cfg, theta, count, seed, prepared=narrow), seed)


def third_moment(cfg: Config, theta: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Lensing through lognormal shells with the third moment of N-body simulations (BiHalofit)."""
    skewed = changed(cfg, {"lensing.third_moment": "bihalofit"})
    return observed_by(forward_of(cfg), clean(skewed, theta, count, seed), seed)


def nbody(cfg: Config, theta: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Lensing through particle-mesh N-body boxes of the same spectra."""
    return observed_by(forward_of(cfg), clean(changed(cfg, {"lensing.matter": "pm"}), theta, count, seed), seed)


def zeldovich(cfg: Config, theta: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Slabs of particles that moved to first order in place of the second."""
    return observed_by(forward_of(cfg), clean(cfg, theta, count, seed, zeldovich_maps), seed)


def of_kind(other: Config) -> Variant:
    """Maps of another simulator, with the rms of each channel that training maps have at the same cosmology.

    Units of different kinds do not compare (convergence, the mean density of a slab, a field of unit amplitude): what
    is tested is the shape of spectra and the distribution of pixels.
    """

    def variant(cfg: Config, theta: np.ndarray, count: int, seed: int) -> np.ndarray:
        own, foreign = clean(cfg, theta, count, seed), clean(other, theta, count, seed)
        return observed_by(forward_of(cfg), foreign * (_rms(own, len(theta)) / _rms(foreign, len(theta))), seed)

    return variant


def _rms(maps: np.ndarray, cosmologies: int) -> np.ndarray:
    """Root mean square of all maps of a cosmology, for each of its maps, (n, 1, 1, channels)."""
    groups = maps.reshape(cosmologies, -1, *maps.shape[1:])
    return np.repeat(groups.std(axis=(1, 2, 3)), groups.shape[1], axis=0)[:, None, None]


def gaussian_maps(cfg: Config, grid: lensing.Grid, theta: np.ndarray, generators: Generators, count: int) -> np.ndarray:
    """`lensing.maps` without the exponential: shells are Gaussian and have the spectra that lognormal ones had."""
    size, n, planes = cfg.data.size, grid.n, lensing.shells(cfg, grid, theta)
    power = planes.amplitudes.astype(float) ** 2 / n**2
    power[..., [0, -1]] /= 2  # what `mode_amplitude` had put there
    # the correlation of shift (exp(g - variance / 2) - 1) is shift^2 (exp(that of g) - 1)
    contrast = fft.rfft2(np.expm1(fft.irfft2(power, s=(n, n)))).real * planes.shift[:, None, None] ** 2
    amplitudes = mode_amplitude(np.maximum(contrast, 0.0) * n**2)
    weights, out = planes.weights.astype(np.float32), []
    for r in range(count):
        modes = normal_modes(generators(r), amplitudes.shape) * amplitudes
        kappa = np.einsum("bs,syx->byx", weights, fft.irfft2(modes, s=(n, n), workers=1))
        if cfg.survey.lmax is not None:
            kept = wavenumbers(n, cfg.pixel_side) <= cfg.survey.lmax
            kappa = fft.irfft2(fft.rfft2(kappa) * kept, s=(n, n))
        out.append(np.moveaxis(kappa[:, :size, :size], 0, -1))
    return np.array(out, np.float32)


def zeldovich_maps(cfg: Config, grid: lpt.Grid, theta: np.ndarray, generators: Generators, count: int) -> np.ndarray:
    """`lpt.maps` of the first order: the same initial field, moved by `lpt.density` with order 1."""
    box, n, values = cfg.lpt.box_mpc_h, cfg.lpt.particles, cfg.cosmology(theta)
    k = 2 * np.pi / box * np.sqrt(np.arange(1, grid.number.max() + 1))
    power = np.append(0.0, grid.table.linear_at(values, k))
    amplitude = (np.sqrt(power / box**3) * n**3).astype(np.float32)[grid.number]
    grown, omega_m_z = grid.table.grown(values, cfg.lpt.redshift)
    slabs, out = lpt.slab_count(cfg), []
    for first in range(0, count, 3 * slabs):
        modes = lpt.gaussian_modes(generators(first // (3 * slabs)), amplitude)
        field = lpt.density(fft.irfftn(modes, s=(n, n, n), workers=1), box, grown, 1, omega_m_z)
        out.append(project(field, slabs, cfg.data.size)[: count - first])
    return np.concatenate(out)[..., None].astype(np.float32)


def glass_sky(cfg: Config, theta: np.ndarray, nside: int, seed: int) -> np.ndarray:
    """Patches of a full sky by GLASS with noise and a footprint, cut and finished as those of a real survey.

    Minutes for a sky; the patches are kept in the work folder. As `benchmarks/checks/mocks.py`, of which the network of
    `make repro` must find the truth.

    Parameters
    ----------
    theta : (p,) one cosmology
    nside : of the sky; the survey's, for the noise of the training maps

    Returns
    -------
    (patches, size, size, channels), a hundred or so, from south to north
    """
    from cosmokeras.simulators.sphere import FIDUCIAL, add_noise, full_sky_kappa
    from cosmokeras.sky.footprint import des_like_footprint
    from cosmokeras.sky.patches import cut_patches

    values = cfg.cosmology(theta)
    cosmology = {name: float(values[name]) for name in FIDUCIAL}
    key = {"cosmology": cosmology, "nside": nside, "seed": seed, "pixel": cfg.pixel_arcmin, "size": cfg.data.size}
    key |= {"survey": cfg.survey.model_dump(mode="json"), "max_masked": cfg.real.max_masked}
    key["files"] = statement(cfg, "maps")["files"]
    key["code"] = code_fingerprint("cosmokeras.simulators.sphere", "cosmokeras.sky.footprint", "cosmokeras.sky.patches")
    path = work_folder("glass", fingerprint(key)) / "patches.npz"
    if not path.exists():
        rngs = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(3)]
        kappa = full_sky_kappa(cosmology, cfg.survey, nside, 2 * nside, rngs[0])
        mask = des_like_footprint(nside, rngs[1])
        sky = add_noise(kappa, cfg.survey, mask, rngs[2])
        patches = cut_patches(sky, mask, cfg.data.size, cfg.pixel_arcmin, cfg.real.max_masked)
        with atomic(path) as handle:
            np.savez(handle, maps=patches.maps, coverage=patches.coverage)
    with np.load(path, allow_pickle=False) as stored:
        return finished(LastSteps(Observer(cfg)), stored["maps"], stored["coverage"])
