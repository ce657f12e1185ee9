"""Full-sky simulations by GLASS, other skies than the committed one and other Omega_m, through the trained network.

Does the combined posterior of outputs/model (`make repro` first) find the truth?
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from study.requirements import required

ROOT = Path(__file__).parents[2]
MOCKS = ((1, 0.2), (2, 0.27), (3, 0.35))  # seed, Omega_m


def check() -> tuple[dict[str, Any], bool]:
    """Make skies, cut and infer them as `fetch_real` and `infer` do."""
    from cosmokeras import Estimator
    from cosmokeras.readers.mock_sky import read_mock
    from cosmokeras.simulators.sphere import FIDUCIAL, add_noise, full_sky_kappa
    from cosmokeras.sky.patches import cut_patches

    est = Estimator.load(ROOT / "outputs" / "model")
    cfg = est.cfg
    _maps, mask, header = read_mock(ROOT / "data" / "mock" / f"{cfg.survey.name}_mock.fits.gz")
    found, good = {}, []
    for seed, omega_m in MOCKS:
        signal_rng, noise_rng = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(2))
        cosmology = {**FIDUCIAL, "omega_m": omega_m}
        kappa = full_sky_kappa(cosmology, cfg.survey, header["NSIDE"], header["LMAX"], signal_rng)
        sky = add_noise(kappa, cfg.survey, mask, noise_rng)
        patches = cut_patches(sky, mask, cfg.data.size, cfg.pixel_arcmin)
        obs = est.prepare(patches.maps, patches.coverage)
        samples = est.combine(obs, 4000, seed=0)[:, est.parameters.index("omega_m")]
        pull = (samples.mean() - omega_m) / samples.std()
        found[f"seed_{seed}"] = {
            "truth": omega_m,
            "mean": round(float(samples.mean()), 5),
            "std": round(float(samples.std()), 5),
            "pull": round(float(pull), 3),
            "n_patches": len(obs),
            "surprise_p": round(est.survey_surprise(obs), 4),
        }
        good.append(required(f"mock sky, seed {seed}, omega_m {omega_m}: pull", pull, -3, 3))
    return found, all(good)
