"""Train the network on the simulated maps and calibrate it on the validation maps."""

from __future__ import annotations

from argparse import Namespace

import numpy as np

from cosmokeras import load_params
from cosmokeras.common import cli, figure_data
from cosmokeras.common.files import work_folder, write_json, write_text
from cosmokeras.common.quiet import import_quietly
from cosmokeras.dataset.shards import open_split, simulation_folder
from cosmokeras.models.backend import select_backend
from cosmokeras.params.config import fingerprint
from cosmokeras.provenance.statements import NOTE, statement


def main(args: Namespace) -> None:
    """Train; goes on where an interrupted run with the same parameters and maps stopped."""
    cfg = load_params(args.params)
    made_with = {name: statement(cfg, name) for name in ("weights", "model")}
    simulations = simulation_folder(cfg) if args.work_only else cli.SIMULATIONS
    training = open_split(cfg, simulations, "train")
    validation = open_split(cfg, simulations, "validation")
    calibration = open_split(cfg, simulations, "calibration") if cfg.data.calibration else None

    select_backend(cfg.train.backend)
    import_quietly(cfg.train.backend)
    from cosmokeras.inference.calibrate import calibrate
    from cosmokeras.inference.estimator import Estimator
    from cosmokeras.inference.model_card import card
    from cosmokeras.training.loop import train

    curves = None if args.work_only else cli.PLOTS / "training"
    run = train(cfg, training, validation, work_folder("train", fingerprint(made_with["weights"])), curves)
    if not run.devices.main:
        return
    progress = run.progress
    if args.work_only:
        epochs = f"{len(progress.history)} epochs, best {progress.best_epoch}"
        print(f"trained for {epochs}; `dvc repro` writes its outputs")
        return
    with cli.steps("train", 3) as begin:
        begin("calibrating on validation maps")
        estimator = calibrate(Estimator(cfg, run.model), training, validation, calibration)
        begin("validation error")
        error = validation_rmse(estimator, validation)
        begin("saving")
        (cli.MODEL / NOTE).unlink(missing_ok=True)  # until the model is whole nothing says what it was made with
        estimator.save(cli.MODEL)
        simulations = len(np.unique(training.cosmology))
        write_text(cli.MODEL / "README.md", card(estimator, str(cli.MODEL), len(training), simulations, error))
        write_json(cli.MODEL / NOTE, made_with["model"])
        figure_data.save("train", history=progress.history)
    metrics = {
        "rmse": error,
        "loss": round(progress.best_loss, 6),
        "epochs": len(progress.history),
        "best_epoch": progress.best_epoch,
        "seconds": round(progress.seconds, 1),
        "maps_per_second": round(run.maps_per_second, 1),
        "weights": int(run.model.count_params()),
        "backend": cfg.train.backend,
        "precision": cfg.train.precision,
        **{name: progress.trained_on[name] for name in ("devices", "device_names", "peak_memory_mb")},
    }
    if cfg.train.ensemble > 1:
        metrics["members"] = cfg.train.ensemble
    write_json(cli.METRICS / "train.json", metrics)
    listed = ", ".join(f"{name} {value:.4f}" for name, value in error.items())
    print(
        f"trained {metrics['weights']} weights for {metrics['epochs']} epochs, best {progress.best_epoch}: "
        f"validation rmse {listed}; curves are in {cli.PLOTS}/training"
    )


def validation_rmse(estimator, validation) -> dict[str, float]:
    """Error of each target on validation maps."""
    from cosmokeras.inference.features import observed_features
    from cosmokeras.observation.ops.forward import forward_of
    from cosmokeras.training.loop import VALIDATION_NOISE

    means = observed_features(validation, forward_of(estimator.cfg), estimator.mean, [VALIDATION_NOISE])[0]
    truth = validation.theta[:, estimator.cfg.target_columns]
    errors = np.sqrt(np.mean((means - truth) ** 2, axis=0)).round(6).tolist()
    return dict(zip(estimator.parameters, errors, strict=True))


if __name__ == "__main__":
    work_only = {"action": "store_true", "help": "maps from the work folder, the run's state into it, and no outputs"}
    cli.run(main, **{"work-only": work_only})
