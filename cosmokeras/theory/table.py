"""Emulator of matter power spectra and distances over the prior box: milliseconds, where CCL takes half a second.

CCL (with CAMB) is called at nodes of the box and interpolated where it is slow: the linear transfer function, which in
physical units depends on Omega_m h^2 and Omega_b h^2 alone, and distances and growth, which depend on Omega_m, h and
w0. Spectral index, sigma8 and non-linear growth (`cosmokeras.theory.halofit`) are worked out for each cosmology. With
`theory.nonlinear: hmcode2020`, and with massive neutrinos, the power is CAMB's (`cosmokeras.theory.camb_power`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from scipy.interpolate import CubicSpline, RectBivariateSpline

from cosmokeras.common.code import code_fingerprint
from cosmokeras.common.errors import UserError
from cosmokeras.common.files import work_folder
from cosmokeras.params.config import Config, fingerprint
from cosmokeras.theory import camb_power
from cosmokeras.theory.camb_power import PowerRatio
from cosmokeras.theory.ccl import ccl_cosmology
from cosmokeras.theory.halofit import FINE, halofit, non_linear_scale
from cosmokeras.theory.polynomials import Polynomials, fit_polynomials, read_fits, write_fits

HUBBLE_DISTANCE = 2997.92458  # c / H0 [Mpc/h]
SHAPE = ("omega_m", "h", "omega_b")  # parameters that the shape of the linear spectrum depends on
EXPANSION = ("omega_m", "h", "w0")  # parameters of distances and growth
# Nodes in k times the sound horizon: acoustic oscillations keep their phase there. Twelve or more to an oscillation.
KR = np.concatenate([np.geomspace(3e-3, 0.5, 24)[:-1], np.arange(0.5, 60, 0.5), np.geomspace(60, 1e5, 60)])
# What a transfer function is multiplied by before it is fitted: all of its range counts alike. It is fitted itself and
# not its logarithm, as it comes close to 0 where baryons make up half of the matter.
FALL = (1 + KR) ** 1.5 / (1 + np.log1p(KR))
LAST = int(np.searchsorted(KR, 3000.0))  # nodes at which CAMB's non-linear power is known; about to 30 h/Mpc
Redshift = TypeVar("Redshift", float, np.ndarray)


def sound_horizon(values: dict[str, Any]) -> float:
    """Approximate sound horizon [Mpc/h] (Eisenstein & Hu 1998, ApJ 496, 605, eq. 26)."""
    matter, baryons = values["omega_m"] * values["h"] ** 2, values["omega_b"] * values["h"] ** 2
    return values["h"] * 44.5 * np.log(9.83 / matter) / np.sqrt(1 + 10 * baryons**0.75)


@dataclass(frozen=True)
class Background:
    """Distances and growth of one cosmology, (n,) each.

    `z` increases from 0, `chi` is comoving [Mpc/h], `growth` the linear growth factor, 1 at z = 0.
    """

    z: np.ndarray
    chi: np.ndarray
    growth: np.ndarray
    omega_m: float

    def z_of(self, chi: np.ndarray) -> np.ndarray:
        """Redshift at comoving distance `chi` [Mpc/h]."""
        return np.interp(chi, self.chi, self.z)


@dataclass(frozen=True)
class TheoryTable:
    """Interpolated CCL over the prior box.

    `transfer` gives FALL times the linear transfer function, up to a factor, at KR over the sound horizon;
    `log_expansion` ln(chi / z) [Mpc/h] and ln((1 + z) D) at the nodes `z` but the first, one after the other. Both are
    functions of the free ones among SHAPE and EXPANSION. With a `ratio` the non-linear power is CAMB's. `box` has the
    range of each of these for which it was made, equal ends for fixed ones; outside of it, and of the tabulated
    wavenumbers and redshifts, it is not defined.
    """

    z: np.ndarray
    transfer: Polynomials
    log_expansion: Polynomials
    shape_names: tuple[str, ...]
    expansion_names: tuple[str, ...]
    box: dict[str, tuple[float, float]]
    ratio: PowerRatio | None = None

    def _inside(self, values: dict[str, Any], names: tuple[str, ...]) -> None:
        for name in names:
            low, high = self.box[name]
            slack = 1e-6 * max(abs(low), abs(high))
            if not low - slack <= values[name] <= high + slack:
                allowed = f"{low:g} to {high:g}" if low < high else f"{low:g}"
                raise UserError(f"{name}={values[name]:g}: the theory table was made for {allowed} (prior.{name})")

    def linear(self, values: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        """Wavenumbers [h/Mpc] and linear P [(Mpc/h)^3] today, (n_k,) each, of a cosmology's parameters by name."""
        self._inside(values, SHAPE)
        k = KR / sound_horizon(values)
        transfer = np.abs(self.transfer(_physical(values, self.shape_names)) / FALL)
        log_power = 2 * np.log(transfer) + values["n_s"] * np.log(k)
        delta2 = _delta2(k, log_power)
        x = 8 * FINE
        top_hat = 3 * np.where(x < 1e-2, 1 / 3 - x**2 / 30, (np.sin(x) - x * np.cos(x)) / x**3)
        variance = np.sum(delta2 * top_hat**2) * np.log(FINE[1] / FINE[0])
        return k, np.exp(log_power) * values["sigma8"] ** 2 / variance

    def linear_at(self, values: dict[str, Any], k: np.ndarray) -> np.ndarray:
        """Linear P(k) [(Mpc/h)^3] today at wavenumbers k [h/Mpc]."""
        nodes, power = self.linear(values)
        if not (np.min(k) >= nodes[0] and np.max(k) <= nodes[-1]):
            allowed = f"P(k) is tabulated from {nodes[0]:.3g} to {nodes[-1]:.3g}"
            raise UserError(f"k from {np.min(k):.3g} to {np.max(k):.3g} h/Mpc: {allowed}")
        return np.exp(CubicSpline(np.log(nodes), np.log(power))(np.log(k)))

    def grown(self, values: dict[str, Any], z: float) -> tuple[float, float]:
        """Linear growth factor, 1 today, and Omega_m, both at redshift `z`."""
        back = self.background(values)
        if not 0 <= z <= back.z[-1]:
            raise UserError(f"z={z:g}: growth is tabulated from 0 to {back.z[-1]:g}")
        return float(np.interp(z, back.z, back.growth)), float(omega_m_at(values, z))

    def power(self, values: dict[str, Any]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        """P(k, z) [(Mpc/h)^3] of a cosmology's parameters by name; k in h/Mpc; arguments broadcast.

        `baryons` scales the suppression of Schneider & Teyssier (2015, JCAP 12, 049) as CCL has it: 0 none, 1 theirs,
        but never above 1. `log_t_agn`, if it is not None, gives those of HMCode.
        """
        k, log_power = self.halofit_nodes(values)
        if self.ratio is not None:
            log_power = log_power + self.ratio(values, len(k))
        strength = values.get("baryons")
        suppression = _suppression(k, self.z) if strength else None
        spline = RectBivariateSpline(np.log(k), self.z, log_power)

        def evaluate(k: np.ndarray, z: np.ndarray) -> np.ndarray:
            log_k, z = np.broadcast_arrays(np.log(k), z)
            dark_matter = np.exp(spline.ev(log_k, z))
            if suppression is None:
                return dark_matter
            return dark_matter * (1 + strength * (suppression(log_k, z) - 1))

        return evaluate

    def halofit_nodes(self, values: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        """Wavenumbers (n_k,) [h/Mpc], and ln of halofit's power [(Mpc/h)^3] there and at the nodes in z, (n_k, n_z)."""
        k, linear = self.linear(values)
        growth = self._expansion(values)[1]
        scale = non_linear_scale(_delta2(k, np.log(linear)), growth)
        return k, np.log(halofit(k, linear, growth, scale, omega_m_at(values, self.z), values["w0"]))

    def background(self, values: dict[str, Any]) -> Background:
        """Distances and growth of a cosmology's parameters by name, out to the last node in z."""
        distance, growth = self._expansion(values)
        z = np.linspace(0.0, self.z[-1], 2001)
        # both are smooth without their main dependence on z
        chi = z * CubicSpline(self.z, distance)(z)
        grown = CubicSpline(self.z, growth * (1 + self.z))(z) / (1 + z)
        return Background(z=z, chi=chi, growth=grown, omega_m=values["omega_m"])

    def _expansion(self, values: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        """chi / z [Mpc/h] and growth at the nodes in z."""
        self._inside(values, EXPANSION)
        distance, growth = np.exp(self.log_expansion(_plain(values, self.expansion_names))).reshape(2, -1)
        return np.append(HUBBLE_DISTANCE, distance), np.append(1.0, growth / (1 + self.z[1:]))


def _delta2(k: np.ndarray, log_power: np.ndarray) -> np.ndarray:
    """Dimensionless power at FINE; as power laws beyond the ends of k."""
    log_k, x = np.log(k), np.log(FINE)
    log_p = CubicSpline(log_k, log_power)(np.clip(x, log_k[0], log_k[-1]))
    for end, sign in ((0, -1), (-1, 1)):
        beyond = np.maximum(sign * (x - log_k[end]), 0.0) * sign
        inner = 1 if end == 0 else -2
        log_p += beyond * (log_power[end] - log_power[inner]) / (log_k[end] - log_k[inner])
    return np.exp(log_p + 3 * x) / (2 * np.pi**2)


def has_baryons(values: dict[str, Any]) -> bool:
    """Whether baryons change the power at a cosmology's parameters by name."""
    return bool(values.get("baryons")) or values.get("log_t_agn") is not None


def without_baryons(values: dict[str, Any]) -> dict[str, Any]:
    """The same parameters, for the power of matter that feels gravity alone."""
    return values | {"baryons": 0.0, "log_t_agn": None}


def omega_m_at(values: dict[str, Any], z: Redshift) -> Redshift:
    """Omega_m at redshift `z`, in flat space without radiation."""
    matter = values["omega_m"] * (1 + z) ** 3
    return matter / (matter + (1 - values["omega_m"]) * (1 + z) ** (3 * (1 + values["w0"])))


def _box(cfg: Config) -> dict[str, tuple[float, float]]:
    """Ranges of the parameters that a table depends on."""
    ends = {name: np.ravel(getattr(cfg.prior, name)) for name in dict.fromkeys(SHAPE + EXPANSION)}
    return {name: (float(pair[0]), float(pair[-1])) for name, pair in ends.items()}


def _z_max(cfg: Config) -> float:
    """Redshift that maps reach."""
    return cfg.survey.z_max if cfg.kind.observed == "survey" else max(cfg.lpt.redshift, 1.0)


def _suppression(k: np.ndarray, z: np.ndarray) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Factor by which baryons change P at (log k, z), between nodes k (n_k,) [h/Mpc] and z (n_z,).

    With k in h/Mpc it is the same in every cosmology. At most 1: the part of the fit that stands for stars grows as
    k^2, above 1 beyond 28 h/Mpc today (15 h/Mpc at z = 3) and to 24 at 300 h/Mpc, scales that it was not made for.
    """
    from pyccl.baryons import BaryonsSchneider15

    # the fit is smooth, and interpolated as it is; cut off afterwards
    spline = RectBivariateSpline(np.log(k), z, BaryonsSchneider15().boost_factor({"h": 1.0}, k, 1 / (1 + z)).T)
    return lambda log_k, z: np.minimum(spline.ev(log_k, z), 1.0)


def _plain(values: dict[str, Any], names: tuple[str, ...]) -> np.ndarray:
    return np.array([values[name] for name in names])


def _physical(values: dict[str, Any], names: tuple[str, ...]) -> np.ndarray:
    """What transfer functions depend on: Omega_m h^2 and the share of baryons; a single free parameter by itself."""
    if len(names) < 2:
        return _plain(values, names)
    return np.array([values["omega_m"] * values["h"] ** 2, values["omega_b"] / values["omega_m"]])


def build_theory_table(cfg: Config, progress: bool = False) -> TheoryTable:
    """Call CCL at nodes over the prior box and fit by Chebyshev polynomials of bounded total degree."""
    z = np.concatenate([np.arange(0, 1.0, 0.05), np.arange(1.0, _z_max(cfg) + 0.1, 0.1)])
    a = 1 / (1 + z[1:])

    def transfer(values: dict[str, Any]) -> np.ndarray:
        k = KR / sound_horizon(values)
        squared = ccl_cosmology(values).linear_matter_power(k * values["h"], 1.0) / k
        return FALL * np.sqrt(squared / np.mean(squared[KR < 0.02]))

    def log_expansion(values: dict[str, Any]) -> np.ndarray:
        cosmo = ccl_cosmology(values, transfer="bbks")  # the background alone is asked for
        distance = cosmo.comoving_radial_distance(a) * values["h"] / z[1:]
        return np.log(np.concatenate([distance, cosmo.growth_factor(a) / a]))

    shape = fit_polynomials(cfg, SHAPE, _physical, transfer, progress)
    expansion = fit_polynomials(cfg, EXPANSION, _plain, log_expansion, progress)
    return _table(cfg, z, shape, expansion)


def _table(
    cfg: Config,
    z: np.ndarray,
    shape: tuple[Polynomials, tuple[str, ...]],
    expansion: tuple[Polynomials, tuple[str, ...]],
) -> TheoryTable:
    return TheoryTable(
        z=z,
        transfer=shape[0],
        log_expansion=expansion[0],
        shape_names=shape[1],
        expansion_names=expansion[1],
        box=_box(cfg),
    )


def theory_table(cfg: Config, progress: bool = False) -> TheoryTable:
    """The table for this prior box, from the work folder when it was built before."""
    table = _linear_table(cfg, progress)
    if not camb_power.needed(cfg):
        return table
    ratio = camb_power.power_ratio(cfg, table.z, KR[:LAST], table.halofit_nodes, progress)
    return replace(table, ratio=ratio)


def _linear_table(cfg: Config, progress: bool) -> TheoryTable:
    names = tuple(dict.fromkeys(SHAPE + EXPANSION))
    key = {"prior": {name: getattr(cfg.prior, name) for name in names}, "z_max": _z_max(cfg)}
    code = code_fingerprint("cosmokeras.theory.table")
    path = work_folder("theory", fingerprint({"code": code, **key})) / "table.npz"
    stored = read_fits(path, ("shape", "expansion"))
    if stored is not None:
        return _table(cfg, stored[1]["z"], *stored[0])
    table = build_theory_table(cfg, progress)
    fits = {
        "shape": (table.transfer, table.shape_names),
        "expansion": (table.log_expansion, table.expansion_names),
    }
    write_fits(path, fits, z=table.z)
    return table
