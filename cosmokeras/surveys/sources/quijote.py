"""Density cubes of N-body simulations, as the Quijote suite has them (Villaescusa-Navarro et al. 2020, ApJS 250, 2).

`real.path` is a cube, a folder of `df_m_*_z=*.npy`, or a list of either; all are taken to be of one cosmology. A cube
(N, N, N) holds the density contrast or 1 + it, which its mean tells; no cell may lie below an empty one. Its
mass-assignment window (the name says CIC or PCS) is divided out, as the simulator divides out its own, unless the name
says that it is `compensated` already; its waves are put on the simulator's mesh, and from there on
it is projected by the simulator's own function. What the mesh folded onto waves near its Nyquist frequency is amplified
with them: take a cube of more cells than data.size. Slabs of one cube are not independent: those of two axes intersect.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft

from cosmokeras.common.errors import UserError
from cosmokeras.params.own_maps import stated
from cosmokeras.readers import array_files, missing
from cosmokeras.simulators.lpt import slab_count
from cosmokeras.simulators.mesh import project
from cosmokeras.surveys import image_checks, image_files
from cosmokeras.surveys.sky import RealSky

if TYPE_CHECKING:
    from cosmokeras.params.config import Config

PATTERN = "df_m_*_z=[0-9]*.npy"
ORDER = {"NGP": 1, "CIC": 2, "TSC": 3, "PCS": 4}  # powers of sinc (Hockney & Eastwood 1988, ch. 5)
MESH = re.compile(r"df_m_(\d+)_[A-Z]+_z=")  # mesh points and scheme, in the names of Quijote
Z_TOLERANCE = 0.01
MEAN_TOLERANCE = 0.01  # of the mean density
EMPTY = 1e-3  # rounding, by which an empty cell may lie below -1
COMPENSATED = re.compile(r"(?<![a-z])(compensated|deconvolved)", re.IGNORECASE)  # division by the window rings below -1
CITATION = "Quijote: Villaescusa-Navarro et al. 2020, ApJS 250, 2, arXiv:1909.05273"


def cube_files(path: str | tuple[str, ...], particles: int, z: float) -> list[Path]:
    """The cubes that real.path names, folders opened, in the order of their names.

    A folder of Quijote has one simulation several times, on meshes of 64^3 to 512^3 points and by two schemes: of names
    with a scheme one is taken, on the simulator's mesh if there is one, else on the next finer, PCS before CIC.
    """
    files: list[Path] = []
    for one in (path,) if isinstance(path, str) else path:
        file = Path(one).expanduser()
        files += _of_folder(file, particles, z) if file.is_dir() else [file]
    if not files:
        raise UserError("real.path=[]: no cube in the list; name at least one")
    return files


def _of_folder(folder: Path, particles: int, z: float) -> list[Path]:
    named = sorted(folder.glob(PATTERN))
    cubes = [file for file in named if (named_z := redshift(file)) is not None and abs(named_z - z) < Z_TOLERANCE]
    if not cubes:
        raise UserError(f"{folder}: no cube {PATTERN} of lpt.redshift={z} in this folder; name another in real.path")
    meshes = {file: int(match.group(1)) for file in cubes if (match := MESH.match(file.stem))}

    def preference(file: Path) -> tuple[bool, int, bool]:
        n = meshes[file]
        return n < particles, abs(n - particles), scheme(file) != "PCS"

    return [file for file in cubes if file not in meshes or file == min(meshes, key=preference)]


def _name(path: Path | str) -> str:
    """What the name of a file, and of the array in it, may tell."""
    file, key = array_files.split(path)
    return file.stem if key is None else f"{file.stem} {key}"


def scheme(path: Path | str) -> str | None:
    """Mass-assignment scheme whose window is still in a cube, if its name tells."""
    name = _name(path)
    if COMPENSATED.search(name):
        return None
    tokens = re.split(r"[^A-Z]+", name.upper())
    return next((name for name in ORDER if name in tokens), None)


def redshift(path: Path | str) -> float | None:
    """Redshift that a cube's name tells, if it does."""
    match = re.search(r"(?:z=|(?<![A-Za-z])z_?(?=\d+\.\d))(\d+(?:\.\d+)?)", _name(path))  # z=0, z0.5, z_0.5
    return float(match.group(1)) if match else None


def read_cube(path: Path | str) -> np.ndarray:
    """Density contrast (N, N, N) float32 of a file that holds it, or 1 + it."""
    cube = image_files.read_floats(path)
    if cube.ndim != 3 or len(set(cube.shape)) != 1:
        raise UserError(f"{path}: shape {cube.shape}; must be a cube (N, N, N) of the density")
    bad = ~(np.abs(cube) < np.float32(image_checks.MISSING))
    if bad.any():
        raise UserError(f"{path}: {int(bad.sum())} cells are NaN or infinite; get or make the cube again")
    mean = float(cube.mean(dtype=np.float64))
    if abs(mean) > MEAN_TOLERANCE and abs(mean - 1) > MEAN_TOLERANCE:
        raise UserError(
            f"{path}: its mean is {mean:.4g}, which is neither that of a density contrast (0) nor that of "
            f"1 + contrast (1); "
            f"give rho / mean(rho) - 1{' (1 was subtracted twice)' if abs(mean + 1) <= MEAN_TOLERANCE else ''}"
        )
    what, empty = ("1 + the density contrast", 0.0) if abs(mean - 1) <= MEAN_TOLERANCE else ("a density contrast", -1.0)
    below = cube < empty - EMPTY
    if below.any() and not COMPENSATED.search(_name(path)):
        raise UserError(
            f"{path}: {int(below.sum())} cells are below {empty:g} (lowest {cube.min():.4g}): its mean says {what}, "
            "and no density is negative; give the cube as the mass assignment made it, or, if its window has been "
            "divided out, put `compensated` into its name"
        )
    if cube.std(dtype=np.float64) == 0:
        raise UserError(f"{path}: all cells are the same; get or make the cube again")
    cube = cube.astype(np.float32)
    cube = cube - np.float32(1) if abs(mean - 1) <= MEAN_TOLERANCE else cube
    if np.count_nonzero(cube == 0) >= missing.MIN_FRACTION * cube.size:  # few cells have the mean density exactly
        seen = np.ones((1, cube.size), bool)
        missing.must_be_marked(cube.reshape(1, -1, 1), seen, str(path), image_checks.MAKE_AGAIN, noise=False)
    return cube


def on_mesh(cube: np.ndarray, n: int, assignment: str | None) -> np.ndarray:
    """The cube on a mesh of n^3 points, its assignment window divided out.

    Waves that both meshes have keep their amplitude; those beyond, and at the Nyquist frequency of either, are left
    out. A cube on the right mesh whose window is not known is returned as it is.
    """
    size = len(cube)
    if size == n and assignment is None:
        return cube
    modes = fft.rfftn(cube, workers=1)
    if size != n:
        keep = (min(size, n) - 1) // 2
        waves = np.arange(-keep, keep + 1)
        chosen = np.zeros((n, n, n // 2 + 1), modes.dtype)
        chosen[np.ix_(waves, waves, waves[keep:])] = modes[np.ix_(waves, waves, waves[keep:])]
        modes = chosen * np.float32((n / size) ** 3)
    if assignment is not None:
        # sinc(k cell / 2) with the cells of the file; where they are larger than ours there are no waves beyond theirs
        window = np.sinc(np.minimum(np.abs(np.fft.fftfreq(n, 1 / n)) / size, 0.5)) ** ORDER[assignment]
        factor = (1 / window).astype(np.float32)
        modes *= factor[:, None, None]
        modes *= factor[None, :, None]
        modes *= factor[None, None, : n // 2 + 1]
    return fft.irfftn(modes, s=(n, n, n), overwrite_x=True, workers=1)


def slabs(cfg: Config, path: Path) -> np.ndarray:
    """Mean density contrast in slabs along the three axes, (3 slabs, size, size, 1), in the simulator's order."""
    named_z = redshift(path)
    if named_z is not None and abs(named_z - cfg.lpt.redshift) > Z_TOLERANCE:
        raise UserError(
            f"{path}: a cube of z = {named_z}, but the simulated maps have lpt.redshift={cfg.lpt.redshift}; "
            "change one of the two"
        )
    cube = read_cube(path)
    if len(cube) < cfg.data.size:
        raise UserError(
            f"{path}: {len(cube)} cells on a side are fewer than data.size={cfg.data.size}; "
            "take a finer cube, or lower data.size and train again"
        )
    cube = on_mesh(cube, cfg.lpt.particles, scheme(path))
    return project(cube, slab_count(cfg), cfg.data.size)[..., None].astype(np.float32)


def load(cfg: Config) -> RealSky:
    """All slabs of all cubes that real.path names."""
    files = cube_files(image_files.own_files(cfg), cfg.lpt.particles, cfg.lpt.redshift)
    maps = np.concatenate([slabs(cfg, path) for path in files])
    lpt = cfg.lpt
    windows = {str(path): scheme(path) or "none, or not given by the name: none divided out" for path in files}
    own = stated(cfg)
    return RealSky(
        name="quijote",
        observed=False,
        maps=maps,
        coverage=np.ones(maps.shape[:3], np.float32),
        ra=np.full(len(maps), np.nan),
        dec=np.full(len(maps), np.nan),
        provenance={
            "kind": "simulated",
            "statement": "A SIMULATION by others, not an observation: density cubes, taken to be of one cosmology",
            "files": {str(path): image_files.sha256(path) for path in files},
            "windows": windows,
            "citation": CITATION,
            "steps": [
                f"box side taken to be lpt.box_mpc_h = {lpt.box_mpc_h} Mpc/h: the files do not say",
                "window of the mass assignment divided out where the name tells it",
                f"waves put on the simulator's mesh of {lpt.particles}^3 points",
                f"mean in slabs of {lpt.slab_mpc_h} Mpc/h along the three axes, {cfg.data.size}^2 pixels",
                "slabs of one cube share waves and those of different axes intersect, but the posterior treats them as "
                "independent: its error is too small by up to the square root of the number of axes",
            ],
        },
        truth=own.truth,
    )
