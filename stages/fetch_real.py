"""Get the real maps (or the mock sky) and cut them into patches, with positions and provenance."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import numpy as np

from cosmokeras import load_params
from cosmokeras.common import cli, figure_data
from cosmokeras.common.files import write_json
from cosmokeras.common.heartbeat import doing
from cosmokeras.models.backend import select_backend
from cosmokeras.observation.observer import pixel_noise
from cosmokeras.provenance.statements import NOTE, statement
from cosmokeras.sky.pixels import USED
from cosmokeras.surveys import fetch
from cosmokeras.surveys.field_mean import check_mean, mean_words
from cosmokeras.surveys.pixel_histograms import pixel_histograms
from cosmokeras.surveys.sky import label
from cosmokeras.surveys.stored_sky import write_sky


def main(args: Namespace) -> None:
    """Fetch the maps of real.source; nothing is ever put in place of what cannot be had."""
    cfg = load_params(args.params)
    made_with = statement(cfg, "sky")
    select_backend(cfg.train.backend)  # of what a simulated sky is observed with
    doing(f"getting {cfg.real.source} and cutting it into patches")
    sky = fetch(cfg)
    check_mean(cfg, sky)
    (cli.REAL / NOTE).unlink(missing_ok=True)  # until all files are there nothing says what they were made with
    provenance = sky.provenance | ({"mean": mean_words(cfg)} if cfg.kind.observed == "survey" else {})
    metrics: dict[str, Any] = {
        "source": sky.name,
        "observed": sky.observed,
        "patches": len(sky.maps),
        "masked_fraction": round(float(np.mean(sky.coverage < USED)), 6),
        "null_tests": {name: round(float(value), 6) for name, value in sky.null_tests.items()},
    }
    if sky.truth is not None:
        metrics["truth"] = {name: round(value, 6) for name, value in sky.truth.items()}
    note = write_sky(cli.REAL, sky, provenance, metrics)
    write_json(cli.METRICS / "real.json", metrics)
    write_json(cli.REAL / NOTE, made_with)
    title = label(note)
    noise = pixel_noise(cfg) if cfg.kind.observed == "survey" else None
    pixels = vars(pixel_histograms(sky.maps, sky.coverage, noise))
    parts = 1 - np.mean(sky.coverage, axis=(1, 2), dtype=float)
    numbers = {name: float(value) for name, value in sky.null_tests.items()}
    figure_data.save("fetch_real", title=title, null_tests=numbers, ra=sky.ra, dec=sky.dec, masked=parts, **pixels)
    masked = metrics["masked_fraction"]
    used = next((f" ({step})" for step in sky.provenance.get("steps", []) if "of the observed sky" in step), "")
    print(f"{title}: {len(sky.maps)} patches, {masked:.1%} masked{used}; see {cli.REAL}/provenance.json")


if __name__ == "__main__":
    cli.run(main)
