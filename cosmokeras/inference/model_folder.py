"""A trained network on disk: all that it takes to use it, in one folder that needs nothing else.

`model.keras` (the network), `estimator.json` (parameters, prior, versions), `calibration.npz` (arrays of `PARTS`), and
the survey preset with the files that it names. Nothing in it is ever run as code.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cosmokeras import __version__, models
from cosmokeras.common import arguments
from cosmokeras.common.checksums import NAME as CHECKSUMS
from cosmokeras.common.checksums import forget_checksums, problem, write_checksums
from cosmokeras.common.errors import UNREADABLE, UserError
from cosmokeras.common.files import atomic, copy, write_json
from cosmokeras.inference.combination import Response
from cosmokeras.inference.measures import Measures
from cosmokeras.inference.misspecification import MapReference, SurveyReference
from cosmokeras.inference.stored import from_arrays, to_arrays
from cosmokeras.models.heads import head_of
from cosmokeras.observation.masks import mask_file
from cosmokeras.observation.suite_mask import mask_path
from cosmokeras.params.config import Config
from cosmokeras.params.survey import SURVEY_FOLDER
from cosmokeras.project import parse_params
from cosmokeras.redshifts.terms import Table

if TYPE_CHECKING:
    from cosmokeras.inference.estimator import Estimator

FORMAT = 2
NEEDED = NETWORK, CALIBRATION, NOTE = "model.keras", "calibration.npz", "estimator.json"
PARTS = {
    "response": Response,
    "measures": Measures,
    "reference": MapReference,
    "survey_reference": SurveyReference,
}
ALONE = ("errors", "stretch")  # arrays beside them


def write(estimator: Estimator, folder: Path) -> None:
    """Write the folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        forget_checksums(folder)
    except OSError as error:
        raise UserError(f"{folder}: cannot be a folder for the model ({error.strerror})") from None
    with atomic(folder / NETWORK) as handle:
        estimator.model.save(handle.name)
    names = [*NEEDED]
    if estimator.cfg.kind.observed == "survey":
        names += _copy_survey(estimator.cfg, folder)
    arrays: dict[str, Any] = {name: array for name in ALONE if (array := getattr(estimator, name)) is not None}
    for name in PARTS:
        if (part := getattr(estimator, name)) is not None:
            arrays |= to_arrays(name, part)
    with atomic(folder / CALIBRATION) as handle:
        np.savez(handle, **arrays)
    note = {
        "format": FORMAT,
        "parameters": list(estimator.parameters),
        "prior": {name: list(row) for name, row in zip(estimator.parameters, estimator.bounds.tolist(), strict=True)},
        "size": estimator.size,
        "channels": estimator.channels,
        "versions": {"cosmokeras": __version__} | {name: version(name) for name in ("keras", "numpy")},
        "config": estimator.cfg.model_dump(mode="json", exclude={"root"}),
    }
    write_json(folder / NOTE, note)
    write_checksums(folder, names)


def read(kind: type[Estimator], folder: Path) -> Estimator:
    """The estimator that was written; one without checksums, of an older version, must at least fit together."""
    if (folder / CHECKSUMS).exists() and (words := problem(folder, NEEDED)):
        raise UserError(f"{folder}: damaged or no trained model: {words}; run `dvc repro train`")
    try:
        note: dict[str, Any] = json.loads((folder / NOTE).read_text())
        if note["format"] != FORMAT:
            raise UserError(
                f"{folder}: a model of format {note['format']}, but this version reads {FORMAT}; run `dvc repro train`"
            )
        cfg = parse_params(note["config"], root=str(folder.resolve()), origin="estimator.json")
        with np.load(folder / CALIBRATION, allow_pickle=False) as stored:
            parts = {name: from_arrays(kind, name, stored) for name, kind in PARTS.items()}
            parts |= {name: stored.get(name) for name in ALONE}
        estimator = kind(cfg=cfg, model=models.load(folder), **parts)
        if (doubt := _contradiction(note, estimator)) is not None:
            raise UserError(f"{folder}: its files are not of one model ({doubt}); run `dvc repro train`")
    except UserError:
        raise
    except FileNotFoundError as error:
        missing = Path(str(error.filename)).name
        raise UserError(f"{folder}: no trained model ({missing} is missing); run `dvc repro train`") from None
    except UNREADABLE as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{folder}: damaged or of another version ({reason}); run `dvc repro train`") from None
    return estimator


def _contradiction(note: Mapping[str, Any], estimator: Estimator) -> str | None:
    """What does not fit together in the files of a model folder, in words."""
    cfg, d = estimator.cfg, len(estimator.parameters)
    maps, response = (estimator.size, estimator.size, estimator.channels), estimator.response
    prior = dict(zip(estimator.parameters, estimator.bounds.tolist(), strict=True))
    pairs: dict[str, tuple[Any, Any]] = {
        "parameters": (note["parameters"], list(estimator.parameters)),
        "prior": ({name: list(row) for name, row in note["prior"].items()}, prior),
        "size": (note["size"], estimator.size),
        "channels": (note["channels"], estimator.channels),
        "input of model.keras": (_known(estimator.model.input_shape[1:], maps), maps),
        "output of model.keras": (estimator.model.output_shape[1:], (head_of(cfg).outputs,)),
    }
    for name in ALONE:
        if (values := getattr(estimator, name)) is not None:
            pairs[f"{name} of calibration.npz"] = (values.shape, (d,))
    if response is not None:
        pairs["prior of calibration.npz"] = (response.bounds.tolist(), cfg.bounds.tolist())
        pairs["parameters of calibration.npz"] = (response.mean.shape[1:], (d,))
    if estimator.measures is not None:
        pairs["channels of calibration.npz"] = (estimator.measures.weights.shape, (estimator.channels,))
    return next(
        (f"{name}: {arguments.shown(a)}, but config: {arguments.shown(b)}" for name, (a, b) in pairs.items() if a != b),
        None,
    )


def _known(shape: tuple[int | None, ...], wanted: tuple[int, ...]) -> tuple[int | None, ...]:
    """A network's shape; where it takes any number, the one that is wanted."""
    if len(shape) != len(wanted):
        return shape
    return tuple(want if have is None else have for have, want in zip(shape, wanted, strict=True))


def _copy_survey(cfg: Config, folder: Path) -> list[str]:
    """The survey preset with the files it names, so that the model folder stands alone; their names in it."""
    source = Path(cfg.root) / SURVEY_FOLDER
    names = [f"{cfg.survey.name}.yaml"]
    names += [os.path.relpath(mask, SURVEY_FOLDER)] if (mask := mask_file(cfg)) is not None else []
    names += [term.file for one in cfg.survey.bins for term in one.n_z if isinstance(term, Table)]
    copied = {os.path.normpath(SURVEY_FOLDER / name): source / name for name in names}
    # found in the folder by its name alone, wherever it was
    if (own := mask_path(cfg)) is not None:
        copied[own.name] = own
    for name, path in copied.items():
        if path.resolve() != (folder / name).resolve():  # a loaded model saved over itself
            copy(path, folder / name)
    return list(copied)
