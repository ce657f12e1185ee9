"""Empty stand-ins of suites in their published layouts: sparse files that take no disk, tables of made-up numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

UNMASKED = 132_019  # pixels of FAIR-Universe


def empty(path: Path, shape: tuple[int, ...], dtype: str) -> None:
    """An array of zeros in a sparse file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    open_memmap(path, "w+", np.dtype(dtype), shape)


def any_array(folder: Path) -> None:
    """The first example of docs/data.md."""
    empty(folder / "suite.npy", (60, 2, 64, 64, 4), "f4")
    np.savetxt(folder / "suite.txt", np.linspace(0.1, 0.5, 60), header="Om")


def published(folder: Path) -> None:
    """CMD, FAIR-Universe and Quijote, by the names of experiments/."""
    rng = np.random.default_rng(1)
    empty(folder / "Maps_Mtot_IllustrisTNG_LH_z=0.00.npy", (15_000, 256, 256), "f4")
    low, high = np.array([0.1, 0.6, 0.25, 0.25, 0.5, 0.5]), np.array([0.5, 1.0, 4, 4, 2, 2])
    np.savetxt(folder / "params_LH_IllustrisTNG.txt", rng.uniform(low, high, (1000, 6)))
    empty(folder / "WIDE12H_bin2_2arcmin_kappa.npy", (101, 256, UNMASKED), "f2")
    np.save(folder / "WIDE12H_bin2_2arcmin_mask.npy", (np.arange(1424 * 176) < UNMASKED).reshape(1424, 176))
    label = rng.uniform([0.09, 0.68, 7.2, 0, -0.06], [0.62, 0.955, 8.5, 0.026, 0.055], (101, 256, 5))
    label[..., :2] = label[:, :1, :2]
    np.save(folder / "label.npy", label)
    for number in range(2000):
        path = folder / "latin_hypercube" / str(number) / "df_m_128_PCS_z=0.npy"
        empty(path, (128, 128, 128), "f4")
    theta = rng.uniform([0.1, 0.03, 0.5, 0.8, 0.6], [0.5, 0.07, 0.9, 1.2, 1.0], (2000, 5))
    np.savetxt(folder / "latin_hypercube_params.txt", theta, header="Omega_m Omega_b h n_s sigma_8")
