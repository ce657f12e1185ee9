"""The same work by other people's code, one process on one core each, in turns; called by `benchmarks.simulators`.

powerbox (Murray 2018, JOSS 3, 850) draws Gaussian and lognormal fields in two dimensions, JaxPM
(https://github.com/DifferentiableUniverseInitiative/JaxPM) cubes of perturbation theory and of particle meshes, GLASS
(Tessore et al. 2023, OJAp 6, 11) convergence on the full sky. White noise filtered by numpy's rfft2, with a spectrum
that is at hand, is the least that a Gaussian field can cost. What is not installed is left out:
make install EXTRAS=bench.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks import pm_peer
from cosmokeras.params.config import Config
from cosmokeras.project import load_params
from cosmokeras.simulators import realisations, simulator

ROOT = Path(__file__).parents[1]
PM_BAR = 4.0  # times as fast as JaxPM
OURS, FLOOR = "cosmokeras", "bare rfft2"
PEERS = ("powerbox", "glass", "jaxpm")
# the network is not built, but parameters are checked as a whole
UNUSED = {"train.batch_size": 1, "model.spectrum_bins": 4, "evaluate.spectrum_bins": 4, "lensing.mask": "none"}


def configure(keys: dict[str, Any]) -> Config:
    """The committed parameters with overrides, and no more validation and test maps than there must be."""
    return load_params(ROOT / "params.yaml", {"data.validation": 2, "data.test": 2, **UNUSED, **keys})


Maker = Callable[[int], Any]  # makes something of the seed


@dataclass(frozen=True)
class Contest:
    """The same work by several codes: `makers[name]` is a function of a seed and the units of work in a call."""

    unit: str
    makers: dict[str, tuple[Maker, float]]
    bar: float | None = None  # required speed relative to each of the others
    agreement: Callable[[], dict[str, float]] | None = None  # ratios of what the codes make, looked at before the clock


def make_maps(keys: dict[str, Any], count: int, **prepare: Any) -> tuple[Maker, Any]:
    """Our simulator: `count` maps of a new cosmology at each call; and what its cosmologies share."""
    cfg = configure(keys)
    module = simulator(cfg.data.kind)
    prepared = module.prepare(cfg, **prepare)

    def make(seed: int) -> np.ndarray:
        theta = np.random.default_rng(seed).uniform(*cfg.bounds.T)
        return module.maps(cfg, prepared, theta, realisations(seed, 0, 0), count)

    return make, (cfg, prepared)


def steep(k: np.ndarray) -> np.ndarray:
    """A spectrum that costs nothing to evaluate, in favour of the peers; ours evaluate theirs."""
    return 1e-3 * (k + 1e-3) ** -1.5


def plane_peers(n: int, count: int, lognormal: bool) -> dict[str, tuple[Maker, float]]:
    """Fields of n x n pixels by powerbox and by numpy alone, `count` at a call."""
    k = np.hypot(np.fft.fftfreq(n)[:, None], np.fft.rfftfreq(n))
    amplitude = np.sqrt(steep(k))

    def bare(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(count):
            np.fft.irfft2(np.fft.rfft2(rng.standard_normal((n, n))) * amplitude, s=(n, n))

    makers: dict[str, tuple[Maker, float]] = {FLOOR: (bare, count)}
    if installed("powerbox"):
        import powerbox

        box = powerbox.LogNormalPowerBox if lognormal else powerbox.PowerBox

        def draw(seed: int) -> None:
            for i in range(count):
                box(N=n, dim=2, pk=steep, boxlength=10.0, seed=seed * count + i).delta_x()

        makers["powerbox"] = (draw, count)
    return makers


def grf_contests(quick: bool) -> dict[str, Contest]:
    """Gaussian fields."""
    out = {}
    for n in (64,) if quick else (64, 128, 256):
        count = max(4, 2 ** (16 if quick else 21) // n**2)
        ours = make_maps({"data.kind": "grf", "data.size": n}, count)[0]
        out[f"Gaussian {n}^2"] = Contest("maps/s", {OURS: (ours, count), **plane_peers(n, count, lognormal=False)})
    return out


def lensing_contests(quick: bool) -> dict[str, Contest]:
    """Lognormal planes, ours summed up to convergence; and whole convergence maps, counted in pixels of all bins."""
    out = {}
    for n in (64,) if quick else (64, 128, 256):
        keys, per = {"data.kind": "lensing", "data.size": n}, 4
        ours, (cfg, grid) = make_maps(keys, per, padding=1)
        planes = simulator("lensing").shells(cfg, grid, cfg.bounds.mean(axis=1)).shift
        count = max(4, 2 ** (16 if quick else 20) // n**2)
        makers = {OURS: (ours, per * len(planes)), **plane_peers(n, count, lognormal=True)}
        out[f"lognormal {n}^2"] = Contest("planes/s", makers)
    ours, (cfg, _) = make_maps({"data.kind": "lensing", "data.size": 64}, 4)
    makers = {OURS: (ours, 4 * cfg.channels * cfg.data.size**2 / 1e6)}
    if installed("glass"):
        makers["glass"] = full_sky(cfg, nside=32 if quick else 256)
    out["convergence"] = Contest("Mpix/s", makers)
    return out


def full_sky(cfg: Config, nside: int) -> tuple[Maker, float]:
    """Convergence of the survey's bins by GLASS with lmax = nside; spectra and weights are made before the clock."""
    import glass

    from cosmokeras.simulators import glass_theory, sphere

    flat = glass_theory.background(sphere.FIDUCIAL)
    edges = np.arange(0, flat.comoving_distance(cfg.survey.z_max), cfg.lensing.shell_mpc_h / sphere.FIDUCIAL["h"])
    shells = glass.tophat_windows(np.concatenate([[0.0], flat.inv_comoving_distance(edges[1:])]))
    z = np.linspace(0.0, cfg.survey.z_max, 1501)
    weights = glass.multi_plane_weights(glass.partition(z, cfg.survey.n_z(z), shells, method="restrict"), shells, flat)
    fields = glass.lognormal_fields(shells)
    gaussian = glass.solve_gaussian_spectra(fields, glass_theory.shell_spectra(flat, shells, nside))

    def make(seed: int) -> np.ndarray:
        kappa = np.zeros((cfg.channels, 12 * nside**2), np.float32)
        planes = glass.generate(fields, gaussian, nside, ncorr=0, rng=np.random.default_rng(seed))
        for delta, row in zip(planes, weights, strict=True):
            kappa += np.asarray(row, np.float32)[:, None] * delta.astype(np.float32)
        return kappa

    return make, cfg.channels * 12 * nside**2 / 1e6


def lpt_contests(quick: bool) -> dict[str, Contest]:
    """Cubes of as many cells as particles; ours also projected along all axes, JaxPM's along one."""
    n = 32 if quick else 128
    keys = {"data.kind": "2lpt", "data.size": n, "lpt.particles": n}
    cfg = configure(keys)
    ours = make_maps(keys, 3 * round(cfg.lpt.box_mpc_h / cfg.lpt.slab_mpc_h))[0]
    makers = {OURS: (ours, 1.0)}
    if installed("jaxpm"):
        makers["jaxpm"] = (jax_cube(n, cfg.lpt.box_mpc_h), 1.0)
    return {f"2LPT {n}^3": Contest("cubes/s", makers)}


def jax_cube(n: int, box_mpc_h: float) -> Maker:
    """2LPT, clouds in cells and projection by JaxPM, compiled at the first call."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import jax
    import jax.numpy as jnp
    import jax_cosmo as jc
    from jaxpm.painting import cic_paint_dx
    from jaxpm.pm import linear_field, lpt

    @jax.jit
    def run(omega_m: float, key: jax.Array) -> jax.Array:
        # a cosmology keeps the growth it was asked for first: the power and the motion need two different ones
        one, other = (jc.Planck15(Omega_c=omega_m - 0.049) for _ in range(2))
        k = jnp.logspace(-4, 1, 128)
        power = jc.power.linear_matter_power(one, k)
        mesh, box = (n,) * 3, (box_mpc_h,) * 3
        start = linear_field(mesh, box, lambda x: jnp.interp(x.reshape(-1), k, power).reshape(x.shape), seed=key)
        return cic_paint_dx(lpt(other, start, a=1.0, order=2)[0]).sum(-1)

    return lambda seed: run(0.3, jax.random.PRNGKey(seed)).block_until_ready()


def pm_contests(quick: bool) -> dict[str, Contest]:
    """Particle-mesh boxes from waves that are at hand to particles today."""
    n, steps = (32, 4) if quick else (128, pm_peer.STEPS)
    waves, mine = pm_peer.waves(n, 0), pm_peer.ours(n, steps)
    makers: dict[str, tuple[Maker, float]] = {OURS: (lambda seed: mine(waves, seed), steps)}
    agreement = None
    if installed("jaxpm"):
        other = pm_peer.theirs(n, steps)
        makers["jaxpm"] = (lambda seed: other(waves), steps)
        agreement = partial(pm_peer.agreement, n, steps)
    name = f"particle mesh {n}^3, {steps} steps"
    return {name: Contest("steps/s", makers, bar=None if quick else PM_BAR, agreement=agreement)}


CONTESTS = {"grf": grf_contests, "lensing": lensing_contests, "2lpt": lpt_contests, "pm": pm_contests}


def compare(kind: str, runs: int, quick: bool) -> dict[str, Any]:
    """Rates of all codes, in turns, on one core; `ratio` is the median of ours over theirs within a turn."""
    if hasattr(os, "sched_setaffinity"):  # before any library asks how many cores there are
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    out = {}
    with threadpool_limits(1):
        for name, contest in CONTESTS[kind](quick).items():
            same = contest.agreement() if contest.agreement else {}
            for make, _ in contest.makers.values():
                make(0)  # compiled, and in memory
            rates = {who: [] for who in contest.makers}
            for turn in range(1, runs + 1):
                for who, (make, work) in contest.makers.items():
                    start = perf_counter()
                    make(turn)
                    rates[who].append(work / (perf_counter() - start))
            ours = np.array(rates[OURS])
            out[name] = {
                "unit": contest.unit,
                "rate": {who: float(np.median(rate)) for who, rate in rates.items()},
                "ratio": {who: float(np.median(ours / rate)) for who, rate in rates.items() if who != OURS},
            }
            out[name] |= {"power_ratio": same} if same else {}
            out[name] |= {"bar": contest.bar} if contest.bar and out[name]["ratio"] else {}
    return out


def installed(name: str) -> bool:
    """Whether a package is there."""
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True
