"""Get the real maps (or the mock sky) and cut them into patches, with positions and provenance."""

from __future__ import annotations

from argparse import Namespace

import numpy as np

from cosmokeras import cli, load_params, sky_figures
from cosmokeras.files import atomic, write_json, write_text
from cosmokeras.observation import USED, noise_sigma, transfer_kernels
from cosmokeras.surveys import fetch


def main(args: Namespace) -> None:
    """Fetch the maps of real.source; nothing is ever put in place of what cannot be had."""
    cfg = load_params(args.params)
    sky = fetch(cfg)
    with atomic(cli.REAL / "patches.npz") as handle:
        np.savez(handle, maps=sky.maps, coverage=sky.coverage)
    rows = [f"{i},{ra:.6f},{dec:.6f}" for i, (ra, dec) in enumerate(zip(sky.ra, sky.dec, strict=True))]
    write_text(cli.REAL / "positions.csv", "\n".join(["patch,ra_deg,dec_deg", *rows]) + "\n")
    note = {"source": sky.name, "observed": sky.observed, "truth": sky.truth, "provenance": sky.provenance}
    write_json(cli.REAL / "provenance.json", note)
    metrics = {
        "source": sky.name,
        "observed": sky.observed,
        "patches": len(sky.maps),
        "masked_fraction": round(float(np.mean(sky.coverage < USED)), 6),
        "null_tests": {name: round(float(value), 6) for name, value in sky.null_tests.items()},
    }
    write_json(cli.METRICS / "real.json", metrics)
    what = "observed" if sky.observed else "simulated (mock)"
    noise = None
    if cfg.kind.observed == "survey":  # of a wholly observed pixel
        noise = noise_sigma(cfg) * np.sqrt(np.sum(transfer_kernels(cfg)[1] ** 2))
    picture, title = cli.PLOTS / "null_tests.png", f"{sky.name}: {what} patches"
    sky_figures.null_tests(picture, sky.maps, sky.coverage, (sky.ra, sky.dec), noise, sky.null_tests, title)
    masked = metrics["masked_fraction"]
    print(
        f"{sky.name}: {len(sky.maps)} {what} patches, {masked:.1%} masked; see {picture} and {cli.REAL}/provenance.json"
    )


if __name__ == "__main__":
    cli.run(main)
