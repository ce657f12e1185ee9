"""Judge the network on maps of cosmologies it has never seen, beside the exact limit and today's analysis."""

from __future__ import annotations

import time
from argparse import Namespace

import numpy as np

from cosmokeras import load_params
from cosmokeras.common import cli, figure_data
from cosmokeras.common.files import write_json
from cosmokeras.common.quiet import import_quietly
from cosmokeras.dataset.shards import open_split
from cosmokeras.models.backend import select_backend
from cosmokeras.provenance.statements import check_record


def main(args: Namespace) -> None:
    """Evaluate outputs/model on the test maps."""
    cfg = load_params(args.params)
    with cli.steps("evaluate", 6) as begin:
        begin("checking maps")
        splits = [open_split(cfg, cli.SIMULATIONS, name) for name in ("train", "validation", "test")]

        begin("loading the network")
        check_record(cli.MODEL, cfg, "model", "train")
        select_backend(cfg.train.backend)
        import_quietly(cfg.train.backend)
        from cosmokeras.evaluation import challenge, systematics
        from cosmokeras.evaluation.metrics import evaluate
        from cosmokeras.evaluation.saliency import sensitivity
        from cosmokeras.inference.estimator import Estimator
        from cosmokeras.simulators import simulator_of

        estimator = Estimator.load(cli.MODEL)
        begin("network, spectra and limit on test maps")
        result = evaluate(estimator, *splits, settings=cfg.evaluate)
        begin("sensitivity to each band and channel")
        k, slopes = sensitivity(estimator, result.obs, cfg.evaluate.spectrum_bins)

        begin("shifts by fixed nuisances")
        start = time.perf_counter()
        shifts = systematics.over_the_prior(estimator, cfg.evaluate.nuisance_maps)
        seconds = time.perf_counter() - start

        begin("metrics")
        names, metrics = estimator.parameters, result.metrics
        if shifts.patch:
            metrics["systematics"] = {"patches": shifts.patches, **shifts.metrics()}
        write_json(cli.METRICS / "evaluate.json", metrics)
        shown = {"prior": "prior_rmse", "power spectrum": "baseline_rmse", "exact limit": "limit_rmse"}
        references = {p: {key: metrics[p][v] for key, v in shown.items() if v in metrics[p]} for p in names}
        rmse = {p: metrics[p]["rmse"] for p in names}
        arrays = ("truth", "mean", "std", "pit", "credibility", "cosmology")
        numbers = {name: np.asarray(getattr(result, name)) for name in arrays}
        words = {"names": names, "rmse": rmse, "references": references}
        xlabel = simulator_of(cfg).LABELS[0]
        figure_data.save("evaluate", k=np.asarray(k), slopes=np.asarray(slopes), xlabel=xlabel, **numbers, **words)
    for p in names:
        m = metrics[p]
        limit = f", {m['efficiency']:.1%} of the exact limit" if "efficiency" in m else ""
        print(
            f"{p}: rmse {m['rmse']:.4f} (prior {m['prior_rmse']:.4f}, power spectrum {m['baseline_rmse']:.4f}{limit}), "
            f"68 % interval covers {m['coverage_68']:.1%}"
        )
    for line in (*challenge.words(metrics), *shifts.words()):
        print(line)
    if shifts.patch:
        print(f"shifts by fixed nuisances were measured in {seconds:.0f} s (evaluate.nuisance_maps)")


if __name__ == "__main__":
    cli.run(main)
