"""How wrong are networks on maps unlike their training maps, and does the misspecification test detect them?

    python -m study.domain_gap [NETWORK ...]

trains a network on each kind of map, tests it on maps of other kinds and on maps in which one thing was changed
(`study.variants`), and writes, for each trained network and each kind of maps that it is tested on,

- `bias_sigma`: mean of (estimate - truth) / claimed error, of Omega_m;
- `rmse_ratio`: rms error over that on maps of the network's own kind at the same cosmologies;
- `detected`: fraction of the groups of 16 maps of one cosmology with `survey_surprise` below 0.01;
- `detected_single`: fraction of the maps with `surprise` below 0.05

and the number of maps into metrics/domain_gap.json, and a picture of it. Networks are kept in the work folder; the one
of `make repro` (outputs/model) serves for lensing where it was trained on the parameters that are wanted.
docs/domain_gap.md explains.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cosmokeras.common import cli
from cosmokeras.common.errors import UserError
from cosmokeras.common.files import locked, read_json, work_folder
from cosmokeras.params.config import Config, fingerprint
from cosmokeras.params.prior import sample_prior
from cosmokeras.project import load_params
from cosmokeras.provenance.statements import NOTE, check_record, statement
from study import gap_pictures, recorded, variants
from study.options import parser as study_parser
from study.runs import run_in
from study.setting import ROOT, STANDARD

if TYPE_CHECKING:
    from cosmokeras.inference.estimator import Estimator

PARAMETER = "omega_m"
OWN_KIND = "home"
SEED = 7_000_003  # of the cosmologies and maps of the tests, which no network has seen
SKY_SEED = 500
CLAIMED_FLOOR = 1e-3  # least claimed error, in widths of the prior
ALARM, ALARM_SINGLE = 0.01, 0.05  # p-values below which maps count as detected
# The prior, whatever `params.yaml` says at the moment; maps of all kinds that wrap around have a side of 512 Mpc/h
COMMON = {name: value for name, value in STANDARD.items() if name.startswith("prior.")} | {
    "data.size": 64, "data.targets": None, "grf.box_mpc_h": 512.0, "lpt.box_mpc_h": 512.0, "lpt.particles": 64,
    "lpt.slab_mpc_h": 64.0, "lpt.redshift": 0.0, "real.source": "mock",
}  # fmt: skip
# Of the networks that are trained here, in minutes each; that of `lensing` is as `params.yaml` has it
SMALL = {
    "data.n_cosmologies": 1250, "data.realisations": 4, "data.validation": 400, "data.test": 200, "model.width": 8,
    "model.head": "posterior", "train.backend": "tensorflow", "train.epochs": 15, "train.init_from": None,
    "train.freeze": "none", "train.fresh_maps": False,
}  # fmt: skip
NETWORKS: dict[str, dict[str, Any]] = {
    "lensing": {"data.kind": "lensing", "lensing.survey": "des_y3", "lensing.mask": "survey"},
    "lensing_one_bin": {"data.kind": "lensing", "lensing.survey": "cosmos", "lensing.mask": "survey", **SMALL},
    "2lpt": {"data.kind": "2lpt", **SMALL},
    "grf": {"data.kind": "grf", **SMALL},
}
# The kinds with one channel, which a network of another such kind can be shown
ONE_CHANNEL = {"lensing": "lensing_one_bin", "2lpt": "2lpt", "grf": "grf"}
# What a stage writes last
FINISHED = {"generate": cli.SIMULATIONS / "simulation.json", "train": cli.MODEL / NOTE}
CHANGES: dict[str, dict[str, variants.Variant]] = {
    "lensing": {
        "gaussian": variants.gaussian,
        "aligned": variants.aligned,
        "noisier": variants.noisier,
        "unmasked": variants.unmasked,
        "periodic": variants.periodic,
        "third_moment": variants.third_moment,
        "nbody": variants.nbody,
    },
    "2lpt": {"zeldovich": variants.zeldovich},
}


@dataclass(frozen=True)
class Effort:
    """How much to compute: cosmologies of a cell, maps of each, GLASS skies and their NSIDE (None: the survey's)."""

    cosmologies: int = 32
    maps: int = 16
    skies: int = 3
    nside: int | None = None
    overrides: dict[str, Any] = field(default_factory=dict)


FULL = Effort()
TINY = {
    "data.size": 32, "data.n_cosmologies": 24, "data.realisations": 2, "data.validation": 12, "data.test": 8,
    "grf.box_mpc_h": 256.0, "lpt.box_mpc_h": 256.0, "lpt.particles": 32, "lensing.pixel_arcmin": 10.0,
    "model.width": 4, "model.components": 2, "model.spectrum_bins": 6, "train.epochs": 2, "train.batch_size": 16,
    "evaluate.samples": 100, "evaluate.spectrum_bins": 6,
}  # fmt: skip
QUICK = Effort(cosmologies=4, maps=4, skies=1, nside=64, overrides=TINY)


def config(name: str, effort: Effort) -> Config:
    """Parameters of a network."""
    return load_params(ROOT / "params.yaml", {**COMMON, **NETWORKS[name], **effort.overrides})


def network(name: str, effort: Effort) -> Path:
    """Folder of a trained network: outputs/model if that is it, else its own in the work folder, trained if need be."""
    cfg = config(name, effort)
    if _same(cfg, cli.MODEL):
        return cli.MODEL
    return trained(cfg) / cli.MODEL


def _same(cfg: Config, folder: Path) -> bool:
    """Whether the network in a folder was trained with these inputs."""
    try:
        check_record(folder, cfg, "model", "train")
    except UserError:
        return False
    return True


def trained(cfg: Config, stages: tuple[str, ...] = tuple(FINISHED)) -> Path:
    """Folder of the work folder in which these stages have run with these parameters."""
    raw = cfg.model_dump(mode="json", exclude={"root"})
    key = {"params": raw} | {stage: statement(cfg, stage) for stage in FINISHED}
    folder = work_folder("domain-gap", fingerprint(key)).resolve()
    with locked(folder):
        for stage in (one for one in stages if not (folder / FINISHED[one]).exists()):
            try:
                run_in(folder, raw, [stage])
            except subprocess.CalledProcessError:
                raise UserError(f"stages.{stage} failed in {folder}; see its last line") from None
    return folder


@dataclass(frozen=True)
class Answers:
    """What a network says of maps (n,): errors, claimed errors, and whether it is alarmed by a map, and by groups."""

    error: np.ndarray
    claimed: np.ndarray
    alarmed: np.ndarray
    alarmed_groups: np.ndarray

    @property
    def rmse(self) -> float:
        """Root mean square error."""
        return float(np.sqrt(np.mean(self.error**2)))

    def summary(self, reference: Answers) -> dict[str, Any]:
        """The figures of a cell, `reference` being the network's own kind of maps at the same cosmologies."""
        figures = {
            "bias_sigma": np.mean(self.error / self.claimed),
            "rmse_ratio": self.rmse / reference.rmse,
            "detected": np.mean(self.alarmed_groups),
            "detected_single": np.mean(self.alarmed),
        }
        return {name: round(float(value), 3) for name, value in figures.items()} | {"maps": len(self.error)}


def ask(est: Estimator, skies: list[np.ndarray], theta: np.ndarray, group: int) -> Answers:
    """Show a network the maps of each of some cosmologies (n, p); groups of `group` maps are judged together."""
    column = est.parameters.index(PARAMETER)
    truth = np.repeat(theta[:, est.cfg.parameter_names.index(PARAMETER)], [len(sky) for sky in skies])
    obs = np.concatenate(skies)
    posterior = est.posterior(obs)
    parts = [sky[i : i + group] for sky in skies for i in range(0, len(sky) - group + 1, group)]
    # far from the training distribution a claimed error may come out as 0
    least = CLAIMED_FLOOR * np.ptp(est.bounds[column])
    return Answers(
        posterior.mean()[:, column] - truth,
        np.maximum(posterior.std()[:, column], least),
        est.surprise(obs) < ALARM_SINGLE,
        np.array([est.survey_surprise(part) < ALARM for part in parts]),
    )


def row(name: str, effort: Effort) -> dict[str, dict[str, Any]]:
    """All cells of one network."""
    from cosmokeras.inference.estimator import Estimator

    est = Estimator.load(network(name, effort))
    theta, found = sample_prior(est.cfg, effort.cosmologies, SEED), {}

    def shown(variant: variants.Variant) -> Answers:
        obs = variant(est.cfg, theta, effort.maps, SEED)
        return ask(est, np.split(obs, len(theta)), theta, effort.maps)

    def note(cell: str, answers: Answers, reference: Answers) -> None:
        found[cell] = answers.summary(reference)
        print(f"{name} network, {cell}: {found[cell]}", flush=True)

    own = shown(variants.as_trained)
    note(OWN_KIND, own, own)
    for cell, variant in tests(name, effort).items():
        note(cell, shown(variant), own)
    if name == "lensing":
        theta, skies = glass(est.cfg, effort)
        same = [variants.as_trained(est.cfg, row[None], len(sky), SEED) for row, sky in zip(theta, skies, strict=True)]
        note("glass", *(ask(est, maps, theta, effort.maps) for maps in (skies, same)))
    return found


def tests(name: str, effort: Effort) -> dict[str, variants.Variant]:
    """The maps that a network is shown, beside its own kind and GLASS skies."""
    others = {} if name == "lensing" else {kind: other for kind, other in ONE_CHANNEL.items() if other != name}
    foreign = {kind: variants.of_kind(config(other, effort)) for kind, other in others.items()}
    return CHANGES.get(name, {}) | foreign


def glass(cfg: Config, effort: Effort) -> tuple[np.ndarray, list[np.ndarray]]:
    """Cosmologies (skies, p), evenly spread over the prior of Omega_m, and the patches of a GLASS sky of each."""
    low, high = cfg.bounds.T
    theta = np.tile((low + high) / 2, (effort.skies, 1))
    column = cfg.parameter_names.index(PARAMETER)
    theta[:, column] = low[column] + (high - low)[column] * (np.arange(effort.skies) + 0.5) / effort.skies
    nside = effort.nside or cfg.survey.nside
    return theta, [variants.glass_sky(cfg, row, nside, SKY_SEED + i) for i, row in enumerate(theta)]


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = study_parser("study.domain_gap", __doc__, "plots/domain_gap.png", "metrics/domain_gap.json")
    parser.add_subset("networks", "network", list(NETWORKS))
    options = parser.parse_args(arguments)
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    effort = QUICK if options.quick else FULL
    cli.writable(options.metrics, options.out)
    table = read_json(options.metrics)
    for name in options.networks:
        table[name] = row(name, effort)  # networks that are not asked for keep their earlier figures
        table = {one: table[one] for one in NETWORKS if one in table}
        recorded.write(options.metrics, table, "study.domain_gap", name)
        gap_pictures.domain_gap(options.out, table)
    return 0


if __name__ == "__main__":
    cli.entry(main)
