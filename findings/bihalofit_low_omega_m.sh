#!/usr/bin/env bash
# BiHalofit far from the cosmologies it was fitted to: at Omega_m = 0.1 the equilateral reduced bispectrum reaches 200.
#
# Seen with fastnc 1.1.22 (numpy 2.4.6, scipy 1.17.1, Python 3.11), whose module `halofit` has the fitting formula of Takahashi
# et al. 2020 (arXiv:1911.07886). Input: flat LCDM, sigma8 = 0.8, n_s = 0.965, a BBKS spectrum; equilateral triangles.
# Q = B / (3 P^2), with P by halofit of the same module:
#
#   Omega_m   z   k = 1   k = 5 h/Mpc
#     0.3     0    2.56     3.27
#     0.3     2    2.54     7.48
#     0.15    2   18.0     68.9
#     0.1     2   75.5    216
#
# Clustered matter has Q of a few, and at second order 4/7. This is no defect of the code: the formula was fitted to simulations of
# cosmologies about Planck's, and nothing says where it ends. A wide prior, as those of surveys of lensing, reaches
# beyond. What follows from it for smoothed convergence is small where low redshifts and k below 1 count, and large where a source
# bin is distant and pixels are small.
# (Beside: the constructor `Halofit(k, pklin, z, lgr, cosmo)` raises AttributeError in this version, as it uses `cosmo` before it
# has it; the script sets the three by their methods on an object that was not constructed.)
#
# Exit 0: seen again. Exit 1: the behaviour has changed. Needs bash, Python 3.11 to 3.13 with venv (PYTHON=... picks it) and a
# package index; half a minute.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps fastnc==1.1.22 numpy==2.4.6 scipy==1.17.1
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.util
import sys
from importlib.metadata import distribution

import numpy as np

# the package itself imports MPI, which this module has no use for
path = distribution("fastnc").locate_file("fastnc/halofit.py")
spec = importlib.util.spec_from_file_location("halofit", path)
halofit = importlib.util.module_from_spec(spec)
spec.loader.exec_module(halofit)
H, N_S, SIGMA8, OMEGA_B = 0.7, 0.965, 0.8, 0.05


def model(omega_m):
    """BiHalofit of a BBKS spectrum (Bardeen et al. 1986) with LCDM growth."""
    k = np.geomspace(1e-5, 500, 3000)
    q = k / (omega_m * H * np.exp(-OMEGA_B * (1 + np.sqrt(2 * H) / omega_m)))
    transfer = np.log(1 + 2.34 * q) / (2.34 * q)
    transfer *= (1 + 3.89 * q + (16.1 * q) ** 2 + (5.46 * q) ** 3 + (6.71 * q) ** 4) ** -0.25
    z, a = np.linspace(0, 3, 61), np.geomspace(1e-3, 1, 4000)
    rate = np.sqrt(omega_m / a**3 + 1 - omega_m)
    inner = (a * rate) ** -3
    growth = rate * np.concatenate([[0], np.cumsum(np.diff(a) * (inner[1:] + inner[:-1]) / 2)])
    out = halofit.Halofit.__new__(halofit.Halofit)
    dark = {"Om0": omega_m, "Ode0": 1 - omega_m, "w0": -1.0, "wa": 0.0, "fnu0": 0.0}
    out.set_cosmology(dark | {"ns": N_S, "sigma8": SIGMA8})
    out.set_lgr(z, np.interp(1 / (1 + z), a, growth / growth[-1]))
    out.set_pklin(k, k**N_S * transfer**2)  # which it brings to sigma8 itself
    return out


found = {}
for omega_m, z in ((0.3, 0.0), (0.3, 2.0), (0.15, 2.0), (0.1, 2.0)):
    one = model(omega_m)
    for k in (1.0, 5.0):
        side = np.array([k])
        power = np.ravel(one.get_pkhalofit(side, np.array([z])))[0]
        bispectrum = np.ravel(one.get_bihalofit(side, side, side, np.array([z])))[0]
        found[omega_m, z, k] = bispectrum / (3 * power**2)
        print(f"Omega_m {omega_m}, z {z:g}, k {k:g}: Q = {found[omega_m, z, k]:.2f}")
seen = found[0.1, 2.0, 5.0] > 150 and found[0.15, 2.0, 5.0] > 40 and found[0.3, 0.0, 1.0] < 3
print("seen again" if seen else "CHANGED")
sys.exit(not seen)
PYTHON
