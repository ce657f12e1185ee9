"""Draw every picture, and write the result in words, from what the other stages kept for it in outputs/figures."""

from __future__ import annotations

from argparse import Namespace

from cosmokeras.common import cli, figure_data
from cosmokeras.report.draw import DRAWINGS, TEXT


def main(args: Namespace) -> None:
    """Draw all pictures of plots/ and write outputs/inference.md; simulates, trains and infers nothing."""
    stages = [args.only] if args.only else list(DRAWINGS)
    kept = {stage: figure_data.load(stage) for stage in stages}  # all are there before anything is written
    for stage, content in kept.items():
        DRAWINGS[stage].draw(cli.PLOTS, content)
    count = sum(len(DRAWINGS[stage].pictures) for stage in stages)
    words = f"; the result in words: {TEXT}" if "infer" in stages else ""
    print(f"{count} picture{'s' if count > 1 else ''} in {cli.PLOTS}/{words}")


if __name__ == "__main__":
    cli.run(main, only={"choices": tuple(DRAWINGS), "help": "draw only the figures of this stage, which must have run"})
