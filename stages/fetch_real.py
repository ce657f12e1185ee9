"""Get the real maps (or the mock sky) and cut them into patches, with positions and provenance."""

from __future__ import annotations

from argparse import Namespace

import numpy as np

from cosmokeras import load_params
from cosmokeras.common import cli
from cosmokeras.common.files import atomic, write_json, write_text
from cosmokeras.observation.observer import USED, pixel_noise
from cosmokeras.provenance.statements import NOTE, statement
from cosmokeras.report import sky_figures
from cosmokeras.surveys import fetch
from cosmokeras.surveys.field_mean import check_mean, mean_words
from cosmokeras.surveys.sky import label


def main(args: Namespace) -> None:
    """Fetch the maps of real.source; nothing is ever put in place of what cannot be had."""
    cfg = load_params(args.params)
    made_with = statement(cfg, "sky")
    sky = fetch(cfg)
    check_mean(cfg, sky)
    (cli.REAL / NOTE).unlink(missing_ok=True)  # until all files are there nothing says what they were made with
    with atomic(cli.REAL / "patches.npz") as handle:
        np.savez(handle, maps=sky.maps, coverage=sky.coverage)
    rows = [f"{i},{ra:.6f},{dec:.6f}" for i, (ra, dec) in enumerate(zip(sky.ra, sky.dec, strict=True))]
    write_text(cli.REAL / "positions.csv", "\n".join(["patch,ra_deg,dec_deg", *rows]) + "\n")
    provenance = sky.provenance | ({"mean": mean_words(cfg)} if cfg.kind.observed == "survey" else {})
    note = {"source": sky.name, "observed": sky.observed, "truth": sky.truth, "provenance": provenance}
    write_json(cli.REAL / "provenance.json", note)
    metrics = {
        "source": sky.name,
        "observed": sky.observed,
        "patches": len(sky.maps),
        "masked_fraction": round(float(np.mean(sky.coverage < USED)), 6),
        "null_tests": {name: round(float(value), 6) for name, value in sky.null_tests.items()},
    }
    if sky.truth is not None:
        metrics["truth"] = {name: round(value, 6) for name, value in sky.truth.items()}
    write_json(cli.METRICS / "real.json", metrics)
    write_json(cli.REAL / NOTE, made_with)
    title = label(note)
    noise = pixel_noise(cfg) if cfg.kind.observed == "survey" else None
    picture = cli.PLOTS / "null_tests.png"
    sky_figures.null_tests(picture, sky.maps, sky.coverage, (sky.ra, sky.dec), noise, sky.null_tests, title)
    masked = metrics["masked_fraction"]
    used = next((f" ({step})" for step in sky.provenance.get("steps", []) if "of the observed sky" in step), "")
    print(f"{title}: {len(sky.maps)} patches, {masked:.1%} masked{used}; see {picture} and {cli.REAL}/provenance.json")


if __name__ == "__main__":
    cli.run(main)
