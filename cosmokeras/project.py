"""The parameters of a project: read, overridden, checked, and with them the files that they name.

Parameters and the survey preset are checked by `cosmokeras.params`, which looks at nothing else on disk.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from cosmokeras.common import arguments, yaml12
from cosmokeras.common.errors import UserError
from cosmokeras.common.files import project_of_run
from cosmokeras.observation.masks import survey_masks
from cosmokeras.params import config
from cosmokeras.params.config import Config
from cosmokeras.params.registry import SOURCES

PATTERN = {"*", "?"}


def load_params(path: str | Path = "params.yaml", overrides: Mapping[str, Any] | None = None) -> Config:
    """Read, override and check the parameters.

    Parameters
    ----------
    path : the YAML file
    overrides : dotted keys and their values, e.g. `{"data.kind": "grf"}`

    Raises
    ------
    UserError : one line naming the key, the value and what is allowed

    Examples
    --------
    In a folder with `params.yaml`; a pair frees a parameter, a number fixes it:

    >>> cfg = load_params(overrides={"data.kind": "grf", "prior.h": (0.6, 0.8), "prior.n_s": 0.96})
    >>> cfg.prior.h, cfg.prior.n_s, "h" in cfg.parameter_names
    ((0.6, 0.8), 0.96, True)
    """
    path = arguments.path_of("path", path)
    try:
        raw = yaml12.read(path)
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file; run from the project's folder or give the path of params.yaml"
        ) from None
    if not isinstance(raw, dict):
        raise UserError(f"{path}: must be a mapping of sections ({', '.join(config.sections())})")
    raw = copy.deepcopy(raw)
    for key, value in arguments.keyed("overrides", overrides or {}).items():
        config.override(raw, key, value)
    return parse_params(raw, root=str(path.parent), origin=str(path))


def parse_params(raw: Mapping[str, Any], root: str = ".", origin: str = "params") -> Config:
    """Check a nested mapping of parameters, and the files that it names; see `load_params`."""
    cfg = config.parse(raw, root, origin)
    _bring_files(cfg, origin)
    if cfg.from_files:  # by name, so that the code of files counts for no other maps
        cfg = import_module(cfg.kind.module).complete(cfg)
    survey_masks(cfg)  # a missing or too small mask is said now, not after the simulations
    return cfg


def changed(cfg: Config, overrides: Mapping[str, Any]) -> Config:
    """The parameters with some of them changed, dotted keys as in `load_params`, and all that follows from them."""
    raw = cfg.model_dump(mode="json", exclude={"root"})
    for key, value in overrides.items():
        config.override(raw, key, value)
    return parse_params(raw, root=cfg.root)


def _bring_files(cfg: Config, origin: str) -> None:
    """In the folder that DVC makes for a run with --temp or --queue there is only what git and DVC track.

    Other files of the project that parameters name are linked there under the same names, so that a run is the same
    with and without --temp.
    """
    project = project_of_run()
    if project is None:
        return
    for key, name in _named_files(cfg):
        # FILE:KEY and FILE[HDU] name a part of a file; of a pattern all files are brought
        names = (name, re.sub(r"(?<=\w)(:|\[).*$", "", name))
        if any((folder / one).exists() for folder in (Path(), Path(cfg.root)) for one in names):
            continue
        found = [path for one in dict.fromkeys(names) for path in sorted(project.glob(one))]
        for path in found:
            _link(path, Path(cfg.root) / path.relative_to(project))
        if not found and not PATTERN & set(name):
            raise UserError(f"{origin}: {key}={name}: no such file, neither in {project} nor in the folder of this run")


def _named_files(cfg: Config) -> Iterator[tuple[str, str]]:
    """Files of the user's own by the keys that name them, as paths within the project."""
    named: list[tuple[str, str | None]] = [("train.init_from", cfg.train.init_from)]
    if cfg.kind.observed == "survey" and cfg.lensing.mask not in ("survey", "none"):
        named.append(("lensing.mask", cfg.lensing.mask))
    if "path" in SOURCES[cfg.real.source].needs:
        paths = cfg.real.path if isinstance(cfg.real.path, tuple) else (cfg.real.path,)
        named += [*(("real.path", one) for one in paths), ("real.mask", cfg.real.mask)]
    elif cfg.real.source != "mock":
        named.append(("real.mirror", cfg.real.mirror))
    if cfg.from_files:
        maps = (cfg.files.maps,) if isinstance(cfg.files.maps, str) else cfg.files.maps or ()
        named += [*(("files.maps", one) for one in maps)]
        named += [("files.parameters", cfg.files.parameters), ("files.mask", cfg.files.mask)]
    for key, name in named:
        if name is None or Path(name).is_absolute() or ".." in Path(name).parts:
            continue
        if not (key.startswith(("real.", "files.")) and name.startswith("~")):
            yield key, os.path.normpath(name)


def _link(path: Path, place: Path) -> None:
    """A link to a file or folder, unless another stage or process has made it."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        place.symlink_to(path)
