"""Slow checks of the whole road: `make validate`. Prints each figure beside its bar and writes metrics/validate.json.

- `grf`: a network trained on Gaussian fields against the exact posterior (64^2 pixels, 256 Mpc/h, Omega_m 0.2-0.4).
- `mocks`: full-sky simulations by GLASS, other skies than the committed one and other Omega_m, through the trained
  network in outputs/model: does the combined posterior find the truth?
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from cosmokeras.files import write_json

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "metrics" / "validate.json"
GRF = {
    "data": {"kind": "grf", "n_cosmologies": 16000, "realisations": 1, "validation": 1000, "test": 2000},
    "prior": {"omega_m": [0.2, 0.4]},
    "train": {"epochs": 15},
    "evaluate": {"spectrum_bins": 16},
}
GRF_LIMIT = 0.0252  # exact posterior mean, 2,000 maps, good to 2 %
MOCKS = ((1, 0.2), (2, 0.27), (3, 0.35))  # seed, Omega_m


def bar(name: str, value: float, low: float, high: float) -> bool:
    """Print a figure beside what it must lie between."""
    good = low <= value <= high
    print(f"{'ok  ' if good else 'FAIL'} {name} = {value:.4f} (bar: {low:g} to {high:g})", flush=True)
    return good


def grf() -> tuple[dict[str, Any], bool]:
    """Run generate, train and evaluate in a folder of their own."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for section, values in GRF.items():
        params[section] |= values
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "params.yaml").write_text(yaml.safe_dump(params))
        (Path(folder) / "data").symlink_to(ROOT / "data")
        env = {**os.environ, "PYTHONPATH": str(ROOT), "COSMOKERAS_WORK": f"{folder}/work"}
        for stage in ("generate", "train", "evaluate"):
            subprocess.run([sys.executable, "-m", f"stages.{stage}"], cwd=folder, env=env, check=True)
        metrics = json.loads((Path(folder) / "metrics" / "evaluate.json").read_text())
    found = metrics["omega_m"]
    good = [
        bar("grf omega_m.efficiency", found["efficiency"], 0.95, 1.02),
        bar("grf omega_m.limit_rmse / reference", found["limit_rmse"] / GRF_LIMIT, 0.98, 1.02),
        bar("grf omega_m.coverage_68", found["coverage_68"], 0.63, 0.73),
    ]
    return metrics, all(good)


def mocks() -> tuple[dict[str, Any], bool]:
    """Make skies, cut and infer them as `fetch_real` and `infer` do."""
    from cosmokeras import Estimator
    from cosmokeras.simulators.sphere import FIDUCIAL, add_noise, full_sky_kappa
    from cosmokeras.surveys.mock import read_mock
    from cosmokeras.surveys.patches import cut_patches

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
        good.append(bar(f"mock sky, seed {seed}, omega_m {omega_m}: pull", pull, -3, 3))
    return found, all(good)


def main() -> int:
    """Run the checks that are asked for; exit 1 if a bar is missed."""
    checks = {"grf": grf, "mocks": mocks}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=f"{' or '.join(checks)} (default: all)")
    options = parser.parse_args()
    if unknown := set(options.checks) - set(checks):
        parser.error(f"no check named {', '.join(sorted(unknown))}; there are {', '.join(checks)}")
    result = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    passed = True
    for name in options.checks or checks:
        result[name], good = checks[name]()
        passed &= good
        write_json(RESULT, result)
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())
