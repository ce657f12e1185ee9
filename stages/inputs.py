"""Write down for each stage what its result depends on: parameters, content of files, code."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from cosmokeras import load_params
from cosmokeras.common import cli
from cosmokeras.common.files import write_json
from cosmokeras.provenance.stale import stale
from cosmokeras.provenance.statements import FOLDER, STAGES, listed, statement


def main(args: Namespace) -> None:
    """Write a statement for each stage; DVC runs those again whose statement has changed."""
    cfg = load_params(args.params)
    if args.stale:
        found = stale(cfg, Path())
        for stage in STAGES:
            print(f"{stage + ':':<12}{listed(found[stage]) if stage in found else 'of the inputs of today'}")
        return
    for stage in STAGES:
        write_json(FOLDER / f"{stage}.json", statement(cfg, stage))


if __name__ == "__main__":
    words = "report which results in dvc.lock are up to date, and write nothing"
    cli.run(main, stale={"action": "store_true", "help": words})
