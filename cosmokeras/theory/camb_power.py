"""Non-linear power of CAMB over that of halofit in a universe of massless neutrinos, fitted over the prior box.

CAMB (Lewis, Challinor & Lasenby 2000, ApJ 538, 473) has what our own halofit has not: HMCode-2020 without and with
baryons (Mead et al. 2021, MNRAS 502, 1401), and massive neutrinos. It takes seconds for a cosmology; so it is called at
nodes of the box, and the logarithm of its ratio to halofit, which is smooth, is interpolated. With this ratio a theory
table gives CAMB's power at the price of halofit's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline

from cosmokeras.common.code import code_fingerprint
from cosmokeras.common.errors import UserError
from cosmokeras.common.files import work_folder
from cosmokeras.params.config import Config, fingerprint
from cosmokeras.params.neutrinos import N_EFF, omega_nu
from cosmokeras.params.registry import COSMOLOGY
from cosmokeras.theory.polynomials import Polynomials, fit_polynomials, read_fits, write_fits

VERSIONS = {"halofit": "takahashi", "hmcode2020": "mead2020"}  # as CAMB calls them, by `theory.nonlinear`
NAMES = (*COSMOLOGY, "log_t_agn")  # what the ratio depends on
# Total degree of the polynomials by number of free ones among NAMES; `python -m benchmarks.validate nonlinear`
DEGREE = {0: 0, 1: 9, 2: 7, 3: 6, 4: 5, 5: 4, 6: 4, 7: 4, 8: 4}
A_S = 2e-9  # of the linear spectra, until sigma8 is known
Nodes = Callable[[dict[str, Any]], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class PowerRatio:
    """ln of CAMB's power over that of halofit, and of the power with baryons over that without.

    `fit` gives both, one after the other, (2, n_k, n_z), of the free ones among NAMES, `names`. The first n_k nodes in
    k times the sound horizon are meant; beyond them the ratios stay as they are there. `box` has the range of each
    parameter for which it was made.
    """

    fit: Polynomials
    names: tuple[str, ...]
    box: dict[str, tuple[float, float]]
    redshifts: int

    def __call__(self, values: dict[str, Any], count: int) -> np.ndarray:
        """ln of the ratio at `count` nodes in k, (count, n_z), for a cosmology's parameters by name."""
        for name, (low, high) in self.box.items():
            value, slack = values.get(name), 1e-6 * max(abs(low), abs(high))
            if value is not None and not low - slack <= value <= high + slack:
                allowed = f"{low:g} to {high:g}" if low < high else f"{low:g}"
                raise UserError(f"{name}={value:g}: the theory table was made for {allowed} (prior.{name})")
        # without baryons any value will do: the power of matter alone does not depend on it
        point = [self.box[name][0] if values.get(name) is None else values[name] for name in self.names]
        found = self.fit(np.array(point)).reshape(2, -1, self.redshifts)
        ratio = found[0] if values.get("log_t_agn") is None else found[0] + found[1]
        return ratio[np.minimum(np.arange(count), len(ratio) - 1)]


def needed(cfg: Config) -> bool:
    """Whether the power of these parameters is not that of our halofit: HMCode, or massive neutrinos."""
    return cfg.kind.observed == "survey" and (cfg.theory.nonlinear != "halofit" or cfg.prior.m_nu != 0)


def power_ratio(cfg: Config, z: np.ndarray, kr: np.ndarray, nodes: Nodes, progress: bool) -> PowerRatio:
    """The ratio for this prior box, from the work folder when it was fitted before.

    Parameters
    ----------
    z : (n_z,) redshifts from 0 on
    kr : (n_k,) wavenumbers times the sound horizon, up to which the ratio is fitted
    nodes : of a cosmology's parameters by name, the wavenumbers of kr [h/Mpc] and ln P [(Mpc/h)^3] of halofit at
        these and z, (n_k, n_z)
    """
    given = {name: getattr(cfg.prior, name) for name in NAMES}
    key = {"prior": given, "nonlinear": cfg.theory.nonlinear, "z": z.tolist()}
    code = code_fingerprint("cosmokeras.theory.table")
    path = work_folder("theory", fingerprint({"code": code, **key})) / "ratio.npz"
    stored = read_fits(path, ("ratio",))
    if stored is None:

        def function(values: dict[str, Any]) -> np.ndarray:
            return _log_ratio(values, cfg.theory.nonlinear, z, len(kr), nodes)

        fit = fit_polynomials(cfg, NAMES, _plain, function, progress, DEGREE)
        write_fits(path, {"ratio": fit})
    else:
        fit = stored[0][0]
    ends = {name: np.ravel(value) for name, value in given.items() if value is not None}
    box = {name: (float(pair[0]), float(pair[-1])) for name, pair in ends.items()}
    return PowerRatio(fit=fit[0], names=fit[1], box=box, redshifts=len(z))


def _plain(values: dict[str, Any], names: tuple[str, ...]) -> np.ndarray:
    return np.array([values[name] for name in names])


def log_powers(values: dict[str, Any], k: np.ndarray, z: np.ndarray, nonlinear: str) -> list[np.ndarray]:
    """ln of the non-linear power of all matter [(Mpc/h)^3], (n_k, n_z), by CAMB; and with baryons, with `log_t_agn`.

    Parameters
    ----------
    values : parameters of a cosmology by name; sigma8 is that of all matter today, neutrinos included, omega_m too;
        `m_nu` [eV] is shared by three neutrinos of equal mass; `log_t_agn` is log10 of the heating temperature [K] of
        Mead et al. 2021, or None
    k : (n_k,) wavenumbers [h/Mpc], ascending
    z : (n_z,) redshifts, ascending from 0
    nonlinear : one of VERSIONS
    """
    import camb

    try:
        results = _transfers(values, k[-1], z)
        power = results.Params.InitPower
        results.calc_power_spectra()
        power.As = A_S * (values["sigma8"] / results.get_sigma8_0()) ** 2
        results.Params.NonLinear = camb.model.NonLinear_pk
        out = [_spectra(results, k, {"halofit_version": VERSIONS[nonlinear]})]
        if values.get("log_t_agn") is not None:
            feedback = {"halofit_version": "mead2020_feedback", "HMCode_logT_AGN": float(values["log_t_agn"])}
            out.append(_spectra(results, k, feedback))
    except camb.CAMBError as error:
        where = ", ".join(f"{name}={values[name]:g}" for name in NAMES if values.get(name) is not None)
        raise UserError(
            f"CAMB has no power at {where} ({' '.join(str(error).split())[:100]}); narrow the prior"
        ) from None
    return out


def _transfers(values: dict[str, Any], highest: float, z: np.ndarray) -> Any:
    """CAMB's results with transfer functions up to the wavenumber `highest` [h/Mpc]."""
    import camb

    h, m_nu = values["h"], values["m_nu"]
    cold = values["omega_m"] - values["omega_b"] - omega_nu(m_nu, h)
    params = camb.set_params(
        H0=100 * h, ombh2=values["omega_b"] * h**2, omch2=cold * h**2, omk=0.0, mnu=m_nu, nnu=N_EFF,
        num_massive_neutrinos=3 if m_nu else 0, w=values["w0"], ns=values["n_s"], As=A_S, WantCls=False,
    )  # fmt: skip
    params.NonLinear = camb.model.NonLinear_none
    params.set_matter_power(redshifts=z.tolist(), kmax=1.05 * highest * h, nonlinear=False, silent=True)
    return camb.get_transfer_functions(params)


def _spectra(results: Any, k: np.ndarray, model: dict[str, Any]) -> np.ndarray:
    """ln P (n_k, n_z) at wavenumbers k [h/Mpc] and the redshifts of `results`, by one of CAMB's non-linear models."""
    results.Params.NonLinearModel.set_params(**model)
    results.calc_power_spectra()
    theirs, _, power = results.get_nonlinear_matter_power_spectrum(hubble_units=True, k_hunit=True)
    spline = CubicSpline(np.log(theirs), np.log(power), axis=1)
    out: np.ndarray = spline(np.log(np.clip(k, theirs[0], theirs[-1]))).T
    return out


def _log_ratio(values: dict[str, Any], nonlinear: str, z: np.ndarray, count: int, nodes: Nodes) -> np.ndarray:
    """What PowerRatio interpolates, flat."""
    k, log_power = (one[:count] for one in nodes(values))
    spectra = log_powers(values, k, z, nonlinear)
    return np.array([spectra[0] - log_power, spectra[-1] - spectra[0]]).ravel()
