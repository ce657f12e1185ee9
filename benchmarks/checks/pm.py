"""Particle-mesh light cones: spectra beside theory, steps, growth, how independent maps of a pair of boxes are, cost.

The boxes of the calibration are measured first: minutes, once.
"""

from __future__ import annotations

import resource
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
from scipy import fft
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from cosmokeras.params.boxes import boxes
from cosmokeras.params.config import Config
from cosmokeras.project import load_params
from cosmokeras.readers.fits_images import image
from cosmokeras.redshifts.terms import Bin
from cosmokeras.simulators import lensing, realisations
from cosmokeras.simulators.lpt import gaussian_modes
from cosmokeras.simulators.mesh import power_spectrum, squared_modes
from cosmokeras.simulators.pm import calibration, forces, light_cone, steps
from cosmokeras.simulators.pm.growth import growth
from cosmokeras.sky.pixels import ARCMIN
from cosmokeras.theory.skewness import kappa_skewness
from cosmokeras.theory.table import theory_table
from study import light_cones, perturbation
from study.requirements import required
from study.runs import ROOT

OMEGA_M = (0.12, 0.3, 0.48)
PAIRS, MAPS_OF = 6, 8  # of boxes whose planes are looked at, for each cosmology, and whose maps are
# Convergence through N-body matter of others: Omega_m 0.3, sigma8 0.852, z_s = 1, 320^2 pixels of 0.41 arcmin
PUBLISHED = "nbody/Mnu_cosmos_kappa.fits"


def config(**overrides: Any) -> Config:
    """Default parameters through boxes, with overrides of params.yaml."""
    return load_params(ROOT / "params.yaml", {"lensing.matter": "pm", **overrides})


def spectra(cfg: Config, cone: light_cone.LightCone, pairs: int) -> tuple[dict[str, Any], list[bool]]:
    """Spectra over theory of boxes that no calibration saw, at three cosmologies.

    Boxes of fixed amplitudes, two of opposite phases each time, as power of others varies by 10 to 20 %.
    """
    found, good = {}, []
    for number, omega_m in enumerate(OMEGA_M):
        each = np.array([
            np.mean([
                light_cones.plane_spectra(cfg, cone, np.array([omega_m]), np.random.default_rng([9, number, i]), sign)
                for sign in (1.0, -1.0)
            ], axis=0)
            for i in tqdm(range(pairs), f"planes at {omega_m}")
        ])  # fmt: skip
        ratio, error = each.mean(axis=0), each.std(axis=0, ddof=1) / np.sqrt(pairs)
        off = np.abs(ratio - 1).max()
        name = f"pm, Omega_m {omega_m}: C_ell of planes / theory - 1, 200 < ell < 2000"
        chance = f"its own error is {error.mean():.3f}" if off - 0.04 < error.mean() else ""
        good.append(required(f"{name}, worst of 10 pairs of bins and 5 bands", off, 0, 0.04, chance))
        print(f"     errors of those ratios {error.mean():.4f} on average, {error.max():.4f} at most", flush=True)
        found[f"planes_omega_m_{omega_m}"] = {
            "worst": round(float(off), 4), "error_mean": round(float(error.mean()), 4),
            "auto": np.einsum("bbl->bl", ratio).round(3).tolist(),
        }  # fmt: skip
    return found, good


def maps_of_pairs(cfg: Config, cone: light_cone.LightCone, pairs: int) -> tuple[dict[str, Any], list[bool]]:
    """Maps at Omega_m 0.3: band powers, how independent maps of a pair of boxes are, skewness."""
    theta, pixel = np.array([0.3]), cfg.pixel_arcmin * ARCMIN
    draws = [realisations(0, 9, i) for i in range(pairs)]
    maps = np.stack([light_cone.maps(cfg, cone, theta, d, light_cone.PER_PAIR) for d in tqdm(draws, "maps")])
    plain = load_params(ROOT / "params.yaml")
    grid = lensing.prepare(plain)
    lognormal = np.concatenate([lensing.maps(plain, grid, theta, realisations(0, 9, i), 64) for i in range(24)])
    together = maps.reshape(-1, *maps.shape[2:])
    powers = np.array([light_cones.band_powers(some, pixel) for some in maps])
    each = powers.mean(axis=1) / light_cones.expected(cfg, theta)
    pull = (each.mean(axis=0) - 1) / (each.std(axis=0, ddof=1) / np.sqrt(pairs))
    shared = light_cones.shared_part(np.einsum("pmbbl->pmbl", powers))
    good = [
        required(
            "pm: C_ell of maps about theory, worst of 10 pairs of bins and 5 bands [sigma]", np.abs(pull).max(), 0, 4.5
        ),
        required("pm: intraclass correlation of band powers of maps of a pair of boxes, mean", shared.mean(), -1, 0.1),
    ]
    noise = cfg.survey.sigma_e / np.sqrt(cfg.survey.n_eff) / cfg.pixel_arcmin
    noisy = maps + np.random.default_rng(0).normal(0, noise, maps.shape)
    seen = light_cones.shared_part(
        np.array([np.einsum("mbbl->mbl", light_cones.band_powers(some, pixel)) for some in noisy])
    )
    patch = together.mean(axis=(1, 2)).std(axis=0) / lognormal.mean(axis=(1, 2)).std(axis=0)
    found: dict[str, Any] = {
        "c_ell_auto": np.einsum("bbl->bl", each.mean(axis=0)).round(3).tolist(), "worst_sigma": np.abs(pull).max(),
        "intraclass": shared.mean(), "intraclass_worst": shared.max(), "intraclass_with_noise": seen.mean(),
        "patch_mean_scatter_over_lognormal": patch.round(3).tolist(),
    }  # fmt: skip
    print(f"     worst {shared.max():.3f}; with noise of the survey {seen.mean():.3f}, worst {seen.max():.3f}")
    print(f"     scatter of patch means over lognormal {patch.round(2)}")
    for arcmin in (5, 10):
        sigma = arcmin / cfg.pixel_arcmin
        one = light_cones.skewness(together, sigma)
        error = np.std([light_cones.skewness(some, sigma) for some in maps], axis=0, ddof=1) / np.sqrt(pairs)
        other = light_cones.skewness(lognormal, sigma)
        print(f"     skewness at {arcmin} arcmin {one.round(2)} +- {error.round(2)}, lognormal {other.round(2)}")
        found[f"skewness_{arcmin}_arcmin"] = one.round(3).tolist()
        found[f"skewness_{arcmin}_arcmin_lognormal"] = other.round(3).tolist()
    fit = kappa_skewness(config(), np.array([0.3]), np.array([5.0, 10.0]))[0]
    found["skewness_bihalofit"] = fit.T.round(3).tolist()
    print(f"     BiHalofit at 5 and 10 arcmin: {found['skewness_bihalofit']}")
    return {key: round(x, 4) if isinstance(x, float) else x for key, x in found.items()}, good


def linear(cfg: Config, side: float, n: int, seed: int) -> np.ndarray:
    """Modes of a linear density in a cube at Omega_m 0.3, the middle of the prior of the default."""
    values, number = cfg.cosmology(np.array([0.3])), squared_modes(n)
    k = 2 * np.pi / side * np.sqrt(np.arange(1, number.max() + 1))
    power = np.append(0.0, theory_table(cfg).linear_at(values, k))
    amplitude = np.sqrt(power / side**3).astype(np.float32) * np.float32(n**3)
    return gaussian_modes(np.random.default_rng(seed), amplitude[number])


def steps_and_growth(cfg: Config) -> tuple[dict[str, Any], list[bool]]:
    """15 steps beside 30, both to today, in both boxes; growth of long waves of a weak field."""
    found, good = {}, []
    values = cfg.cosmology(np.array([0.3]))
    expansion = growth(values)
    for box in boxes(cfg):
        n, inverse = box.particles, forces.inverse_laplacian(box.particles)
        powers, seconds = [], []
        for number in (15, 30):
            edges = np.append(np.linspace(0, 1, number + 1), 1 + 1e-6)  # a last one to look at the end of the others
            start = time.process_time()
            *_, last = steps.run(linear(cfg, box.side, n, 1), edges, expansion, np.random.default_rng(2), inverse)
            seconds.append((time.process_time() - start) / (number + 1))
            powers.append(power_spectrum(fft.irfftn(last.modes, s=(n, n, n), workers=1), box.side, "cic"))
        below = powers[0].k < 1
        off = np.abs(powers[0].power / powers[1].power - 1)[below].max()
        good.append(required(f"pm: P(k < 1) of 15 over 30 steps, box of {box.side:g} Mpc/h", off, 0, 0.04))
        found[f"steps_{box.side:g}"] = round(float(off), 4)
        found[f"seconds_a_step_{box.side:g}"] = round(min(seconds), 3)
    box = boxes(cfg)[1]
    weak = linear(cfg, box.side, box.particles, 3) * np.float32(0.05)
    before = power_spectrum(fft.irfftn(weak, s=(box.particles,) * 3, workers=1), box.side)
    edges = np.append(np.linspace(0, 1, 12), 1 + 1e-6)
    *_, last = steps.run(weak, edges, expansion, np.random.default_rng(2), forces.inverse_laplacian(box.particles))
    after = power_spectrum(fft.irfftn(last.modes, s=(box.particles,) * 3, workers=1), box.side, "cic")
    low = before.k < 0.1
    off = np.sum(after.power[low] * after.modes[low] / before.power[low]) / np.sum(after.modes[low]) - 1
    good.append(required("pm: growth of weak waves of k < 0.1 h/Mpc beyond D^2", abs(off), 0, 0.01))
    found["linear_growth"] = round(float(off), 5)
    return found, good


def published(cone: light_cone.LightCone) -> dict[str, Any]:
    """One-point distribution and peaks of a ray-traced map of others beside maps through boxes and lognormal ones.

    In pixels of 4.1 arcmin, averages of 10 x 10 of theirs; in units of the rms of each set. One map of 2.2 deg: the
    scatter of single maps says how much of a difference is chance.
    """
    path = perturbation.REAL / PUBLISHED
    if not path.exists():
        print(f"skip {PUBLISHED}: not in {perturbation.REAL}; set COSMOKERAS_REAL_DATA")
        return {}
    with image(path, None, "") as (hdu, _):
        theirs = hdu.data.astype(float).reshape(32, 10, 32, 10).mean(axis=(1, 3))[None]
    sets = {"theirs": theirs}
    for matter in ("pm", "lognormal"):
        cfg = config(**{
            "lensing.matter": matter, "prior.sigma8": 0.852, "data.size": 32, "lensing.pixel_arcmin": 4.1,
            "model.spectrum_bins": 8, "evaluate.spectrum_bins": 8,
        })  # fmt: skip
        source = Bin.model_validate(
            {"n_eff": 1, "sigma_e": 0.3, "n_z": [{"kind": "gaussian", "weight": 1, "mean": 1, "sigma": 0.005}]}
        )
        flat = {"bins": [source], "lmax": None, "made_from": "flat"}
        vars(cfg)["survey"] = cfg.survey.model_copy(update=flat)
        if matter == "pm":  # what boxes lack at sigma8 0.8 stands for that at 0.852
            prepared: Any = light_cone.LightCone(theory_table(cfg), cone.cubes, cone.ratios)
            draws, each = [realisations(0, 8, i) for i in range(12)], light_cone.PER_PAIR
        else:
            prepared, draws, each = lensing.prepare(cfg), [realisations(0, 8, 0)], 400
        module = light_cone if matter == "pm" else lensing
        sets[matter] = np.concatenate([module.maps(cfg, prepared, np.array([0.3]), d, each) for d in draws])[..., 0]
    edges, found = np.arange(-2, 5.5, 0.5), {}
    for name, some in sets.items():
        some = some - some.mean()
        pdf, peaks = light_cones.one_point(some, edges)
        single = np.array([light_cones.one_point(one[None], edges)[0] for one in some])
        skew = np.array([np.mean((one - one.mean()) ** 3) / one.std() ** 3 for one in some])
        found[name] = {
            "rms": float(some.std()), "skewness_of_a_map": [float(skew.mean()), float(skew.std())],
            "pixels": pdf.round(4).tolist(), "peaks": peaks.round(5).tolist(),
            "pixels_above_3_sigma": [float(single[:, 10:].sum(axis=1).mean()), float(single[:, 10:].sum(axis=1).std())],
        }  # fmt: skip
        print(f"     {name}: rms {some.std():.4f}, skewness of a map {skew.mean():.2f} +- {skew.std():.2f}")
        print(f"     pixels {pdf.round(4)}\n     peaks {peaks.round(4)}")
    return {"published": found}


def cost(cfg: Config) -> tuple[float, float, float]:
    """Core-seconds of a cosmology of PER_PAIR maps once all is prepared, and of a pair of boxes measured; memory.

    The peak of the process [GB].
    """
    with threadpool_limits(1):
        cone = light_cone.prepare(cfg)
        light_cone.maps(cfg, cone, np.array([0.3]), realisations(0, 9, 0), 1)
        start = time.process_time()
        light_cone.maps(cfg, cone, np.array([0.3]), realisations(0, 9, 0), light_cone.PER_PAIR)
        seconds = time.process_time() - start
        for cube in cone.cubes:
            calibration.measure(cube, cone.table, cfg.cosmology(np.array([0.3])), np.random.default_rng(0), 1.0)
        pair = time.process_time() - start - seconds
    return seconds, pair, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def check() -> tuple[dict[str, Any], bool]:
    """All of it; about half an hour on two cores, the calibration included."""
    cfg = config()
    cone = light_cone.prepare(cfg, progress=True)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        seconds, pair, memory = pool.submit(cost, cfg).result()
    good = [
        required("pm: core-seconds of a cosmology of 16 maps of 64^2 x 4", seconds, 0, 5),
        required("pm: memory of a process [GB]", memory, 0, 0.6),
    ]
    measured = calibration.NODES_OF_ONE * calibration.PAIRS["fast"][1] * pair
    print(f"     calibration for Omega_m alone: {measured:.0f} core-seconds")
    found: dict[str, Any] = {
        "core_seconds": round(seconds, 2), "calibration_core_seconds": round(measured), "memory_gb": round(memory, 3),
    }  # fmt: skip
    for part in (steps_and_growth(cfg), spectra(cfg, cone, PAIRS), maps_of_pairs(cfg, cone, MAPS_OF)):
        found |= part[0]
        good += part[1]
    return found | published(cone), all(good)
