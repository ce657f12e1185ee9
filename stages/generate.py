"""Simulate the training, validation and test maps, and check their spectra against theory."""

from __future__ import annotations

from argparse import Namespace

import numpy as np

from cosmokeras import UserError, load_params
from cosmokeras.common import cli, figure_data
from cosmokeras.common.files import write_json
from cosmokeras.common.heartbeat import doing
from cosmokeras.dataset.check import spectrum_check
from cosmokeras.dataset.generation import generate, generate_part
from cosmokeras.dataset.shards import open_split


def main(args: Namespace) -> None:
    """Simulate all maps: resumable shard by shard, on every core."""
    cfg = load_params(args.params)
    if args.part:
        made = generate_part(cfg, *whole_numbers(args.part), args.workers)
        print(f"part {args.part}: {made['maps']} maps, {made['maps_made']} made now")
        return
    made = generate(cfg, cli.SIMULATIONS, args.workers)
    rate = made["maps_made"] / made["seconds"] if made["maps_made"] else 0.0
    test = open_split(cfg, cli.SIMULATIONS, "test")

    order = np.argsort(test.theta[:, 0])[[0, len(test) // 2, len(test) - 1]]
    name = cfg.parameter_names[0]
    titles = [f"{name} = {value:.3f}" for value in test.theta[order, 0]]
    doing("power of the test maps")
    check = spectrum_check(cfg, test)
    curves = dict(zip(("x", "measured", "error", "theory"), check.curves, strict=True))
    words = {"titles": titles, "unit": cfg.kind.unit, "labels": check.labels, "reference": check.reference}
    axes = {"xlabel": check.xlabel, "ylabel": check.ylabel}
    figure_data.save("generate", maps=test.read(order), **curves, **words, **axes)

    metrics = {
        "maps": made["maps"],
        "maps_per_second": round(rate, 1),
        "bytes": made["bytes"],
        "spectrum_ratio": round(check.ratio, 4),
        "spectrum_ratio_error": round(check.ratio_error, 4) if np.isfinite(check.ratio_error) else None,
    }
    write_json(cli.METRICS / "generate.json", metrics)
    print(
        f"{made['maps']} maps ({made['maps_made']} made now, {rate:.0f} a second); measured / {check.reference} "
        f"spectrum {check.ratio:.3f} +- {check.ratio_error:.3f}"
    )


def whole_numbers(part: str) -> tuple[int, int]:
    """`I/N` as two numbers."""
    first, _, second = part.partition("/")
    if not (first.isdecimal() and second.isdecimal() and int(first) < int(second)):
        raise UserError(f"--part={part}: must be I/N, the number of a part, from 0, and how many there are, e.g. 0/8")
    return int(first), int(second)


if __name__ == "__main__":
    cli.run(
        main,
        workers={"type": cli.count, "default": None, "metavar": "N", "help": "processes (default: one for each core)"},
        part={"default": "", "help": "I/N: make a part of the shards, in the work folder only; I from 0 to N - 1"},
    )
