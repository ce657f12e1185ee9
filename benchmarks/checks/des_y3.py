"""Processing of the DES Y3 mass maps at their real size: files of the published names and format, served over HTTP.

The files are a SIMULATION: shear of a GLASS sky on an invented DES-like footprint, with shape noise, turned into
convergence (E and B) by Kaiser & Squires on the sphere. The stage `fetch_real` downloads them from this machine, checks
and cuts them; its time and memory are measured from outside.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from cosmokeras.common import yaml12
from cosmokeras.common.files import write_text
from study.requirements import required
from study.runs import ROOT, changed_params

NSIDE, LMAX, SEED = 1024, 2048, 33
SECONDS, MEMORY_GB = 300, 8
SOURCE = {"real": {"source": "des_y3"}}


def check() -> tuple[dict[str, Any], bool]:
    """Seconds and memory of `fetch_real` on four bins of NSIDE 1024, and what it finds."""
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "site"
        simulate(site, NSIDE, LMAX)
        found = fetch(Path(folder) / "run", site, SOURCE)
    good = [
        required("des_y3 stand-in: seconds of fetch_real", found["seconds"], 0, SECONDS),
        required("des_y3 stand-in: peak memory [GB]", found["gb"], 0, MEMORY_GB),
        required("des_y3 stand-in: patches", found["patches"], 100, 140),
    ]
    return found, all(good)


def simulate(
    site: Path,
    nside: int,
    lmax: int,
    seed: int = SEED,
    omega_m: float | None = None,
    presets: Path = ROOT / "data" / "surveys",
) -> None:
    """Write KS_tomo1..4, nullB_tomo1..4 and glimpse_mask, HEALPix FITS in RING order, into a folder.

    The sky has all multipoles that its pixels can hold, as the real one has; `lmax` is that of Kaiser-Squires. Skies
    that end at it have fewer peaks, and their Omega_m came out up to 3 % low.
    """
    import healpy

    from cosmokeras.params.survey import load_survey
    from cosmokeras.simulators.sphere import FIDUCIAL, full_sky_kappa, through_shear
    from cosmokeras.sky.footprint import des_like_footprint

    site.mkdir(parents=True)
    rngs = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(3)]
    survey = load_survey("des_y3", presets)
    mask = des_like_footprint(nside, rngs[1])
    cosmology = FIDUCIAL if omega_m is None else {**FIDUCIAL, "omega_m": omega_m}
    for number, kappa in enumerate(full_sky_kappa(cosmology, survey, nside, None, rngs[0]), start=1):
        sigma = float(survey.healpix_noise(nside)[number - 1])
        modes = through_shear(kappa, sigma, mask, lmax, rngs[2])
        for name, one in zip(("KS", "nullB"), modes, strict=True):
            path = site / f"{name}_tomo{number}.fits"
            healpy.write_map(str(path), one.astype(np.float32), coord="C", dtype=np.float32)
    healpy.write_map(str(site / "glimpse_mask.fits"), mask.astype(np.float32), coord="C", dtype=np.float32)


def fetch(folder: Path, site: Path, changes: dict[str, dict[str, Any]], **preset: Any) -> dict[str, Any]:
    """Run `fetch_real` in a folder of its own, with the DES files served from `site`; `preset` changes des_y3.yaml."""
    shutil.copytree(ROOT / "data", folder / "data")
    write_text(folder / "params.yaml", yaml12.dumps(changed_params(changes)))
    survey = folder / "data" / "surveys" / "des_y3.yaml"
    write_text(survey, yaml12.dumps(yaml12.read(survey) | preset))
    manifest = yaml12.read(ROOT / "data" / "manifest.yaml")
    with served(site) as address:
        for name, entry in manifest["files"].items():
            if entry["group"] == "des_y3" and (site / Path(name).name).exists():
                entry["url"] = f"{address}/{Path(name).name}"
        write_text(folder / "data" / "manifest.yaml", yaml12.dumps({"files": manifest["files"]}))
        env = {**os.environ, "PYTHONPATH": str(ROOT), "COSMOKERAS_CACHE": str(folder / "cache")}
        env.pop("COSMOKERAS_REAL_DATA", None)
        start = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-m", "stages.fetch_real"], cwd=folder, env=env)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
    if status:
        raise RuntimeError("fetch_real failed; see its last line")
    metrics = json.loads((folder / "metrics" / "real.json").read_text())
    size = 1 if sys.platform == "darwin" else 1024  # unit of ru_maxrss [bytes]
    figures = {"seconds": round(seconds, 1), "gb": round(usage.ru_maxrss * size / 2**30, 2)}
    return figures | {name: metrics[name] for name in ("patches", "masked_fraction", "null_tests")}


@contextmanager
def served(site: Path) -> Iterator[str]:
    """Address of a server on the loopback that gives out a folder."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Nothing: the stage says what it does."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
