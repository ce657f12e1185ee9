"""A network trained on Gaussian fields against the exact posterior: 64^2 pixels, 256 Mpc/h, Omega_m 0.2-0.4."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from benchmarks.checks import bar

ROOT = Path(__file__).parents[2]
GRF = {
    "data": {"kind": "grf", "n_cosmologies": 16000, "realisations": 1, "validation": 1000, "test": 2000},
    "prior": {"omega_m": [0.2, 0.4]},
    "train": {"epochs": 15},
    "evaluate": {"spectrum_bins": 16},
}
GRF_LIMIT = 0.0252  # exact posterior mean, 2,000 maps, good to 2 %


def check() -> tuple[dict[str, Any], bool]:
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
