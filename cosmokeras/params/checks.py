"""Combinations of parameters that cannot work, refused before any work starts: one line each, with the way out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np

from cosmokeras.common.errors import UserError
from cosmokeras.params import files
from cosmokeras.params.boxes import check_boxes
from cosmokeras.params.neutrinos import omega_nu
from cosmokeras.params.own_maps import check_truth
from cosmokeras.params.registry import KINDS, MODELS, RANGES, SOURCES
from cosmokeras.params.survey import MAX_OUTSIDE, MIN_MEAN_Z
from cosmokeras.sky.patches import MAX_SIDE_DEG

if TYPE_CHECKING:
    from cosmokeras.params.config import Config

SIMULATED = ("hsc_y3", "quijote")  # sources of simulated maps that may be the user's own
OWN = tuple(name for name, source in SOURCES.items() if source.own)


def check(config: Config, origin: str) -> None:
    """Combinations that no type can express."""

    def fail(message: str) -> None:
        raise UserError(f"{origin}: {message}")

    if config.data.kind not in KINDS:
        fail(f"data.kind={config.data.kind!r}: no such kind of maps; allowed: {', '.join(KINDS)}")
    if config.model.name not in MODELS:
        fail(f"model.name={config.model.name!r}: no such network; allowed: {', '.join(MODELS)}")
    _check_prior(config, fail)
    _check_theory(config, fail)
    _check_data(config, fail)
    _check_train(config, fail)
    if config.data.kind == "2lpt":
        _check_lpt(config, fail)
    _check_mask(config.lensing.mask, fail)
    if config.kind.observed == "survey":
        _check_lensing(config, fail)
    _check_real(config, fail)


def _check_prior(config: Config, fail: Callable[[str], None]) -> None:
    if config.from_files:
        files.check(config, fail)
    else:
        _check_ranges(config, fail)
    for name in config.targets:
        if name not in config.parameter_names:
            fail(f"data.targets: {name!r} is not free; free parameters: {', '.join(config.parameter_names)}")
    if not config.targets or len(set(config.targets)) != len(config.targets):
        fail(f"data.targets={list(config.targets)}: name each target once; free: {', '.join(config.parameter_names)}")


def _check_ranges(config: Config, fail: Callable[[str], None]) -> None:
    for name, (low, high) in RANGES.items():
        value = getattr(config.prior, name)
        if value is None:  # no baryons of HMCode
            continue
        ends = value if isinstance(value, tuple) else (value, value)
        if isinstance(value, tuple) and not value[0] < value[1]:
            fail(f"prior.{name}={list(value)}: low must be below high")
        if ends[0] < low or ends[1] > high:
            fail(f"prior.{name}={value}: must lie within {low} to {high}")
        if isinstance(value, tuple) and name not in config.kind.parameters:
            fail(f"prior.{name}={list(value)}: {config.data.kind} maps do not depend on it; fix it by a number")
    lowest_m = np.min(config.prior.omega_m)
    if np.max(config.prior.omega_b) >= lowest_m:
        fail(f"prior.omega_b={config.prior.omega_b}: must stay below prior.omega_m (lowest value {lowest_m})")
    if not config.parameter_names:
        fail("prior: no parameter is free; give at least one as a list [low, high], e.g. omega_m: [0.1, 0.5]")


def _check_theory(config: Config, fail: Callable[[str], None]) -> None:
    """Baryons and neutrinos that go with the non-linear power, and with what maps are made by."""
    prior, model = config.prior, config.theory.nonlinear
    if prior.log_t_agn is not None and model != "hmcode2020":
        fail(
            f"prior.log_t_agn={prior.log_t_agn}: baryons of theory.nonlinear=hmcode2020, but theory.nonlinear={model}; "
            "set one of the two, or use prior.baryons"
        )
    if prior.baryons != 0 and model != "halofit":
        fail(
            f"prior.baryons={prior.baryons}: baryons of theory.nonlinear=halofit, but theory.nonlinear={model}, whose "
            "are prior.log_t_agn; set it to 0"
        )
    if prior.m_nu == 0:
        return
    key = f"prior.m_nu={prior.m_nu}"
    if config.data.kind == "2lpt":
        fail(f"{key}: 2lpt maps are made with massless neutrinos; set it to 0")
    for name, other, good in (("matter", "pm", "lognormal"), ("third_moment", "bihalofit", "shift")):
        if config.kind.observed == "survey" and getattr(config.lensing, name) == other:
            fail(f"{key}: lensing.{name}={other} was made for massless neutrinos; set it to 0, or use {good}")
    lightest, neutrinos = np.min(prior.omega_m), omega_nu(float(np.max(prior.m_nu)), float(np.min(prior.h)))
    if neutrinos + np.max(prior.omega_b) >= lightest:
        fail(
            f"{key}: neutrinos (up to {neutrinos:.3f} of the critical density) and prior.omega_b={prior.omega_b} must "
            f"stay below prior.omega_m (lowest value {lightest})"
        )


def _check_data(config: Config, fail: Callable[[str], None]) -> None:
    data = config.data
    if data.size % 2:
        fail(f"data.size={data.size}: must be even")
    if data.n_cosmologies * data.realisations < config.train.batch_size:
        have = data.n_cosmologies * data.realisations
        fail(f"train.batch_size={config.train.batch_size}: more than the {have} training maps; lower it")
    if data.calibration and config.from_files:
        fail(f"data.calibration={data.calibration}: only of maps that are simulated here; 0 for data.kind=files")
    for section in ("model", "evaluate"):
        if (bins := getattr(config, section).spectrum_bins) > data.size // 2:
            fail(f"{section}.spectrum_bins={bins}: at most data.size / 2 = {data.size // 2}")


def _check_train(config: Config, fail: Callable[[str], None]) -> None:
    train = config.train
    if train.fresh_maps and not config.kind.fresh:
        kinds = ", ".join(name for name, kind in KINDS.items() if kind.fresh)
        fail(
            f"train.fresh_maps=true: data.kind={config.data.kind} maps are too slow to simulate for it; allowed with "
            f"data.kind {kinds}"
        )
    if train.freeze != "none" and train.init_from is None:
        fail(f"train.freeze={train.freeze}: would freeze random weights; name a trained model in train.init_from")


def _check_lpt(config: Config, fail: Callable[[str], None]) -> None:
    lpt, size = config.lpt, config.data.size
    if lpt.particles % size:
        fail(f"lpt.particles={lpt.particles}: must be a multiple of data.size={size}")
    slabs = lpt.box_mpc_h / lpt.slab_mpc_h
    if slabs < 1 or lpt.particles % round(slabs) or abs(slabs - round(slabs)) > 1e-6 * slabs:
        fail(
            f"lpt.slab_mpc_h={lpt.slab_mpc_h}: must divide lpt.box_mpc_h={lpt.box_mpc_h} into slabs of whole planes of "
            f"the mesh (lpt.particles={lpt.particles})"
        )
    if lpt.redshift == 0 and isinstance(config.prior.w0, tuple):
        fail(f"prior.w0={list(config.prior.w0)}: 2lpt maps at lpt.redshift=0 do not depend on it; fix it by a number")


def _check_lensing(config: Config, fail: Callable[[str], None]) -> None:
    side = config.data.size * config.pixel_arcmin / 60
    if side > MAX_SIDE_DEG:
        fail(
            f"data.size={config.data.size}: a patch of {side:.0f} deg (lensing.pixel_arcmin={config.pixel_arcmin}) is "
            f"larger than the tangent plane allows; size * pixel must be at most {MAX_SIDE_DEG:.0f} deg"
        )
    if config.mean == "removed_field" and config.field_deg is None:
        fail("lensing.mean=removed_field: needs lensing.field_deg, the side [deg] of the field whose mean is removed")
    if config.mean == "removed_field" and config.field_deg is not None and config.field_deg < side:
        fail(
            f"lensing.field_deg={config.field_deg}: smaller than a map, {side:.3g} deg; must be that at least, or use "
            "lensing.mean=removed_patch"
        )

    if config.lensing.field_deg is not None and config.mean != "removed_field":
        fail(
            f"lensing.field_deg={config.lensing.field_deg}: is for lensing.mean=removed_field, but the mean is "
            f"{config.mean}; set lensing.mean, or lensing.field_deg to null"
        )

    if not config.from_files:
        _check_shift(config, fail)
    if config.lensing.matter == "pm":
        check_boxes(config, fail)


def _check_shift(config: Config, fail: Callable[[str], None]) -> None:
    """Most of n(z) must stay in its range wherever delta_z takes it; the survey's own n(z) is checked as it is read."""
    survey, shifts = config.survey, np.atleast_1d(config.prior.delta_z)
    key = f"prior.delta_z={config.prior.delta_z}"
    before = survey.n_z_inside()[0]
    for shift in shifts:
        part, mean = survey.n_z_inside(float(shift))
        if (lost := 1 - part / before).max() > MAX_OUTSIDE:
            number = lost.argmax() + 1
            fail(
                f"{key}: a shift of {shift:g} takes {lost.max():.0%} of n(z) of bin {number} of {survey.name} out of "
                f"0 < z < {survey.z_max:g}; at most {MAX_OUTSIDE:.0%} is allowed"
            )
        if mean.min() < MIN_MEAN_Z:
            fail(
                f"{key}: a shift of {shift:g} takes bin {mean.argmin() + 1} of {survey.name} to a mean redshift of "
                f"{mean.min():.2g}; at least {MIN_MEAN_Z:g} is allowed"
            )


def _check_mask(mask: str, fail: Callable[[str], None]) -> None:
    if mask in ("survey", "none"):
        return
    path = PurePath(mask)
    # a trained model takes its masks along, under the same name below its own folder
    if path.suffix not in (".npy", ".npz") or path.is_absolute() or ".." in path.parts:
        fail(
            f"lensing.mask={mask!r}: allowed are survey, none, and the name of an .npy or .npz file below the folder "
            "of params.yaml, e.g. data/masks/NAME.npy"
        )


def _check_real(config: Config, fail: Callable[[str], None]) -> None:
    name, kind, real = config.real.source, config.data.kind, config.real
    if name not in SOURCES:
        fail(f"real.source={name!r}: no such source; allowed: {', '.join(SOURCES)}")
    source = SOURCES[name]
    family = "lensing" if config.kind.observed == "survey" else kind  # maps of files may be a survey's too
    if source.kinds and family not in source.kinds:
        good = ", ".join(other for other, one in SOURCES.items() if not one.kinds or family in one.kinds)
        fail(f"real.source={name}: holds {' or '.join(source.kinds)} maps; data.kind={kind} goes with {good}")
    if source.survey and config.lensing.survey != source.survey:
        fail(
            f"real.source={name}: its maps are those of lensing.survey={source.survey}, "
            f"but lensing.survey={config.lensing.survey}; change one of the two"
        )
    for key in source.needs:
        if getattr(real, key) is None:
            fail(f"real.{key}=null: real.source={name} needs it; see the comments in params.yaml")
    if real.mock == "pm" and not (name == "mock" and config.kind.observed == "survey" and config.survey.mock):
        fail(
            f"real.mock=pm: goes with real.source=mock and a survey that has a mock sky, but real.source={name}, "
            f"lensing.survey={config.lensing.survey}; set it to lognormal"
        )
    _check_own(config, fail)


def _check_own(config: Config, fail: Callable[[str], None]) -> None:
    """Keys that speak of maps of the user's own."""
    name, real = config.real.source, config.real
    own = [one for one in OWN if one == name]
    if real.missing is not None and not (own and config.kind.observed == "survey"):
        what = (
            f"data.kind={config.data.kind} maps have no mask"
            if own
            else f"real.source={name} defines its own missing values"
        )
        fail(f"real.missing={real.missing}: {what}; it is for lensing maps of {', '.join(OWN[:-1])}; set it to null")
    if name == "catalogue" and real.missing is not None:
        fail(f"real.missing={real.missing}: of maps; rows of a catalogue are cut by catalogue.select of the preset")
    if name == "quijote" and real.mask is not None:
        fail(f"real.mask={real.mask}: density cubes are periodic and have no mask; set it to null")
    if not own:
        for key in ("observed", "truth"):
            if (value := getattr(real, key)) is not None:
                fail(f"real.{key}={value}: only for maps of your own ({', '.join(OWN)}); set it to null for {name}")
    if name in SIMULATED and real.observed:
        fail(f"real.observed=true: the maps of real.source={name} are simulated; set it to null or false")
    check_truth(config, fail)
