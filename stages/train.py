"""Train the network on the simulated maps and calibrate it on the validation maps."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import numpy as np

from cosmokeras import cli, figures, load_params
from cosmokeras.backend import select_backend
from cosmokeras.code import code_fingerprint
from cosmokeras.config import fingerprint, survey_masks
from cosmokeras.dataset.shards import open_split
from cosmokeras.files import sha256, sha256_of, work_folder, write_json
from cosmokeras.surveys.patches import MARGIN

CODE = ("dataset", "models", "observation.py", "kaiser_squires.py", "surveys", "training")  # that a run depends on


def main(args: Namespace) -> None:
    """Train; goes on where an interrupted run with the same parameters and maps stopped."""
    cfg = load_params(args.params)
    training = open_split(cfg, cli.SIMULATIONS, "train")
    validation = open_split(cfg, cli.SIMULATIONS, "validation")

    select_backend(cfg.train.backend)
    cli.import_quietly("tensorflow")
    from cosmokeras.inference.calibrate import calibrate
    from cosmokeras.inference.estimator import Estimator
    from cosmokeras.training.devices import peak_memory
    from cosmokeras.training.loop import train

    key = cfg.model_dump(mode="json", include={"prior", "data", "lensing", "grf", "lpt", "model", "train"})
    key |= {"code": code_fingerprint(*CODE), "maps": sha256(cli.SIMULATIONS / "simulation.json")}
    key["masks"] = sha256_of(survey_masks(cfg, MARGIN))
    if cfg.train.init_from:
        key["init_from"] = sha256(Path(cfg.train.init_from) / "model.keras")
    run = train(cfg, training, validation, work_folder("train", fingerprint(key)), cli.PLOTS / "training")
    if not run.devices.main:
        return
    with cli.steps("train", 3) as begin:
        begin("calibrating on validation maps")
        estimator = calibrate(Estimator(cfg, run.model), training, validation)
        begin("saving")
        estimator.save(cli.MODEL)
        figures.training_curves(cli.PLOTS / "training.png", run.history)
        begin("validation error")
        error = validation_rmse(estimator, validation)
    metrics = {
        "rmse": error,
        "loss": round(run.best_loss, 6),
        "epochs": len(run.history),
        "best_epoch": run.best_epoch,
        "seconds": round(run.seconds, 1),
        "maps_per_second": round(run.maps_per_second, 1),
        "weights": int(run.model.count_params()),
        "backend": cfg.train.backend,
        "precision": cfg.train.precision,
        "devices": run.devices.count,
        "device_names": list(run.devices.names),
        "peak_memory_mb": peak_memory(),
    }
    write_json(cli.METRICS / "train.json", metrics)
    listed = ", ".join(f"{k} {v:.4f}" for k, v in error.items()) if isinstance(error, dict) else f"{error:.4f}"
    print(
        f"trained {metrics['weights']} weights for {metrics['epochs']} epochs, best {run.best_epoch}: validation rmse "
        f"{listed}; see {cli.PLOTS}/training.png"
    )


def validation_rmse(estimator, validation) -> float | dict[str, float]:
    """Error on validation maps: a number for one target, by name for several."""
    from cosmokeras.dataset.pipeline import observed
    from cosmokeras.observation import Observer
    from cosmokeras.training.loop import VALIDATION_NOISE

    obs = observed(validation, Observer(estimator.cfg), VALIDATION_NOISE)
    truth = validation.theta[:, estimator.cfg.target_columns]
    errors = np.sqrt(np.mean((estimator.mean(obs) - truth) ** 2, axis=0)).round(6).tolist()
    return errors[0] if len(errors) == 1 else dict(zip(estimator.parameters, errors, strict=True))


if __name__ == "__main__":
    cli.run(main)
