"""Second-order perturbation theory where its answer is known, and the maps made of it against linear theory."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pyccl
import pytest
from scipy import fft

from cosmokeras.common.errors import UserError
from cosmokeras.params.config import Config
from cosmokeras.simulators import lpt, mesh, realisations
from cosmokeras.theory import matter
from cosmokeras.theory.ccl import ccl_cosmology

THETA = np.array([0.3])
RADII = (25.0, 35.0)  # of top hats [Mpc/h]


def axes(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, y, z of a box of side 2 pi."""
    x = 2 * np.pi * np.arange(n) / n
    return x[:, None, None], x[None, :, None], x[None, None, :]


@pytest.mark.parametrize("n", [12, 15])
@pytest.mark.parametrize("wave", [(1, 0, 0), (0, 2, 0), (1, 2, 3)])
def test_a_plane_wave_is_displaced_to_first_order_only(n: int, wave: tuple[int, int, int]) -> None:
    x, y, z = axes(n)
    phase = wave[0] * x + wave[1] * y + wave[2] * z
    psi1, psi2 = lpt.displacements(np.cos(phase), 2 * np.pi)
    # phi1 = -cos / k^2, psi1 = -grad phi1
    expected = np.array([-w / sum(w**2 for w in wave) * np.sin(phase) for w in wave])
    assert psi1.shape == psi2.shape == (3, n, n, n)
    assert psi1 == pytest.approx(expected, abs=1e-12)
    assert np.abs(psi2).max() < 1e-12 * np.abs(psi1).max()


@pytest.mark.parametrize(("dtype", "error"), [(np.float64, 1e-12), (np.float32, 1e-5)])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_two_waves_are_displaced_as_calculated(axis: int, dtype: type, error: float) -> None:
    """phi1 = a cos x + b cos y gives phi2 = -(a b / 2) cos x cos y; any pair of axes, a box of another size."""
    a, b, n, box = 0.3, 0.2, 16, 50.0
    unit = box / (2 * np.pi)
    first, second = (axes(n)[(i + axis) % 3] for i in (0, 1))
    delta = -(a * np.cos(first) + b * np.cos(second)) * np.ones((n, n, n))
    psi1, psi2 = lpt.displacements(delta.astype(dtype), box)
    assert psi1.dtype == psi2.dtype == dtype
    whole = np.ones((n, n, n))
    i, j, rest = axis, (axis + 1) % 3, (axis + 2) % 3
    assert psi1[i] == pytest.approx(unit * a * np.sin(first) * whole, abs=error * unit * a)
    assert psi1[j] == pytest.approx(unit * b * np.sin(second) * whole, abs=error * unit * a)
    size = 3 / 7 * a * b / 2 * unit
    assert psi2[i] == pytest.approx(-size * np.sin(first) * np.cos(second) * whole, abs=error * size)
    assert psi2[j] == pytest.approx(-size * np.cos(first) * np.sin(second) * whole, abs=error * size)
    assert np.abs([psi1[rest], psi2[rest]]).max() < error * size


def test_density_moves_particles_by_growth_and_order() -> None:
    """A tiny wave grows by D; the second order by D^2 and Omega_m^(-1/143)."""
    n = 16
    x, y, _ = axes(n)
    delta = 1e-3 * (np.cos(x) + np.cos(y)) * np.ones((n, n, n))

    def mode(i: int, j: int, **how: float) -> float:
        return float(fft.fftn(lpt.density(delta, 2 * np.pi, **how))[i, j, 0].real / n**3)

    for growth in (1.0, 0.5):
        assert mode(1, 0, growth=growth) == pytest.approx(growth * 0.5e-3, rel=2e-3)
    between = [mode(1, 1, growth=g, order=2) - mode(1, 1, growth=g, order=1) for g in (1.0, 0.5)]
    # psi2 adds -div psi2 = (3/7) 1e-6 cos x cos y, a quarter of it at each of four modes
    assert between[0] == pytest.approx(3 / 7 * 1e-6 / 4, rel=0.01)
    assert between[1] == pytest.approx(between[0] / 4, rel=0.01)
    later = mode(1, 1, omega_m_z=0.25) - mode(1, 1, order=1)
    assert later / between[0] == pytest.approx(0.25 ** (-1 / 143), rel=1e-3)


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 9)])
def test_what_is_no_cube_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="must be a cube"):
        lpt.density(np.zeros(shape), 1.0)


def ccl_linear(cosmo: pyccl.Cosmology, k: np.ndarray) -> np.ndarray:
    """Linear power of CCL today [(Mpc/h)^3], k in h/Mpc; 0 at k = 0."""
    h, some = cosmo["h"], k > 0
    out = np.zeros(k.shape)
    out[some] = cosmo.linear_matter_power(k[some] * h, 1.0) * h**3
    return out


@pytest.fixture(scope="module")
def linear() -> Callable[[np.ndarray], np.ndarray]:
    """Linear power at z = 0 of a cosmology with sigma8 = 0.25, where perturbation theory holds."""
    values = {"omega_m": 0.3175, "sigma8": 0.25, "h": 0.6711, "omega_b": 0.049, "n_s": 0.9624, "w0": -1.0}
    return partial(ccl_linear, ccl_cosmology(values))


BOX, MESH = 1500.0, 128


def wavenumbers(n: int, box: float) -> np.ndarray:
    return 2 * np.pi / box * np.sqrt(mesh.squared_modes(n))


@pytest.fixture(scope="module")
def field(linear: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """A linear cube of 1500 Mpc/h."""
    amplitude = np.sqrt(linear(wavenumbers(MESH, BOX)) / BOX**3) * MESH**3
    modes = lpt.gaussian_modes(np.random.default_rng(11), amplitude.astype(np.float32))
    return fft.irfftn(modes, s=(MESH,) * 3)


def top_hat(k: np.ndarray, radius: float) -> np.ndarray:
    x = np.maximum(k * radius, 1e-3)
    return 3 * (np.sin(x) - x * np.cos(x)) / x**3


def skewness(linear_field: np.ndarray, evolve: Callable[[np.ndarray], np.ndarray]) -> list[float]:
    """S3 in top hats of RADII.

    Of a field and its negative together: the chance skewness of the Gaussian field itself, ten times the scatter of
    what it grows into, cancels.
    """
    k = wavenumbers(MESH, BOX)
    moments = np.zeros((len(RADII), 2))
    for sign in (1, -1):
        modes = fft.rfftn(evolve(sign * linear_field))
        for i, radius in enumerate(RADII):
            smooth = fft.irfftn(modes * top_hat(k, radius), s=(MESH,) * 3).astype(float)
            moments[i] += np.mean(smooth**3) / 2, np.mean(smooth**2) / 2
    return [third / second**2 for third, second in moments]


@pytest.fixture(scope="module")
def expected(linear: Callable[[np.ndarray], np.ndarray]) -> Callable[[float], np.ndarray]:
    """Leading order + dln sigma^2 / dlnR over the waves of the box (Bernardeau 1994, A&A 291, 697)."""
    k = wavenumbers(MESH, BOX)
    weight = np.full(k.shape, 2.0)
    weight[..., 0] = weight[..., -1] = 1.0
    power = weight * linear(k)
    slope = [
        (np.log(np.sum(power * top_hat(k, r * 1.01) ** 2)) - np.log(np.sum(power * top_hat(k, r / 1.01) ** 2)))
        / np.log(1.01**2)
        for r in RADII
    ]
    return lambda leading: leading + np.array(slope)


@pytest.mark.slow
def test_skewness_is_that_of_second_order_and_not_of_zeldovich(
    field: np.ndarray, expected: Callable[[float], np.ndarray]
) -> None:
    """Within 10 % at both radii; the pair's scatter is 0.3 % (seen in four boxes)."""
    second = skewness(field, lambda delta: lpt.density(delta, BOX))
    first = skewness(field, lambda delta: lpt.density(delta, BOX, order=1))
    assert second == pytest.approx(expected(34 / 7), rel=0.1)
    assert first == pytest.approx(expected(4.0), rel=0.1)
    for wrong in (first, second):
        other = expected(34 / 7 if wrong is first else 4.0)
        assert (np.abs(wrong / other - 1) > 0.2).all()


@pytest.mark.slow
def test_skewness_would_be_wrong_with_cic(field: np.ndarray, expected: Callable[[float], np.ndarray]) -> None:
    """Clouds of one cell have a kink at the mesh points, where the particles start."""

    def evolve(delta: np.ndarray) -> np.ndarray:
        start = np.arange(MESH) * np.float32(BOX / MESH)
        psi1, psi2 = lpt.displacements(delta, BOX)
        psi1 += psi2
        psi1 += np.array(np.meshgrid(start, start, start, indexing="ij"))
        modes = fft.rfftn(mesh.assign(psi1, MESH, BOX, "cic"))
        for factor in mesh.window(MESH, "cic"):
            modes /= factor
        return fft.irfftn(modes, s=delta.shape)

    assert (skewness(field, evolve) / expected(34 / 7) > 1.3).all()


def test_large_scales_grow_as_in_linear_theory(field: np.ndarray, linear: Callable[[np.ndarray], np.ndarray]) -> None:
    """Power within 2 % of the linear field's for k < 0.05 h/Mpc, and within 3 % to half the Nyquist frequency.

    The field itself has the linear spectrum within the scatter of its waves.
    """
    for growth in (1.0, 0.6):
        grown = mesh.power_spectrum(lpt.density(field, BOX, growth=growth), BOX)
        start = mesh.power_spectrum(field, BOX)
        ratio = grown.power / start.power / growth**2
        large, half = start.k < 0.05, start.k < np.pi * MESH / BOX / 2
        assert np.average(ratio[large], weights=start.modes[large]) == pytest.approx(1, abs=0.02)
        assert ratio[half] == pytest.approx(1, abs=0.03)
    deviation = (start.power / linear(start.k) - 1) * np.sqrt(start.modes / 2)
    assert abs(deviation[2:].mean()) < 4 / np.sqrt(len(deviation) - 2)
    assert np.abs(deviation[2:]).max() < 5


def test_response_is_the_central_difference_for_particles_at_rest() -> None:
    n, cell = 32, 2.0
    k = 2 * np.pi * np.fft.fftfreq(n, cell)[: n // 4]
    along = lpt.response(n, n * cell, 0.0)[: n // 4, 0, 0]
    assert along == pytest.approx(np.sinc(k * cell / np.pi) / np.sinc(k * cell / (2 * np.pi)) ** 3, rel=2e-3)
    assert along[2] == pytest.approx(1 - (k[2] * cell) ** 2 / 24, abs=1e-3)
    assert lpt.response(n, n * cell, 0.6 * cell) == pytest.approx(1, abs=0.01)
    assert lpt.response(n, n * cell, 0.0).min() == 0.5


@pytest.fixture(scope="module")
def cfg(config: Callable[..., Config]) -> Config:
    """Cubes of 500 Mpc/h and 64^3 particles in 8 slabs of 32^2 pixels."""
    return config(
        {
            "data.kind": "2lpt", "data.size": 32, "lpt.particles": 64, "lpt.box_mpc_h": 500.0, "lpt.slab_mpc_h": 62.5,
            "prior.sigma8": 0.3,
        }
    )  # fmt: skip


def maps_of(cfg: Config, count: int, seed: int = 1, theta: np.ndarray = THETA) -> np.ndarray:
    return lpt.maps(cfg, lpt.prepare(cfg), theta, realisations(seed, 0, 5), count)


def test_maps_depend_on_the_cosmology_and_the_draw_alone(cfg: Config) -> None:
    """More of them begin with the same ones, a second cube after the 24 of the first."""
    maps = maps_of(cfg, 26)
    assert maps.shape == (26, 32, 32, 1)
    assert maps.dtype == np.float32
    assert maps_of(cfg, 3).tobytes() == maps[:3].tobytes()
    assert not (maps_of(cfg, 3, seed=2) == maps[:3]).all(axis=(1, 2, 3)).any()
    assert not (maps_of(cfg, 3, theta=np.array([0.31])) == maps[:3]).all(axis=(1, 2, 3)).any()
    second = lpt.maps(cfg, lpt.prepare(cfg), THETA, lambda r: realisations(1, 0, 5)(r + 1), 2)
    assert second.tobytes() == maps[24:].tobytes()


def test_density_is_the_same_on_many_threads() -> None:
    delta = np.random.default_rng(0).standard_normal((32, 32, 32), dtype=np.float32)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: lpt.density(delta, 250.0).tobytes(), range(8)))
    assert set(found) == {lpt.density(delta, 250.0).tobytes()}


@pytest.fixture(scope="module", params=[0.0, 1.0], ids=["z=0", "z=1"])
def sample(cfg: Config, config: Callable[..., Config], request: pytest.FixtureRequest) -> tuple[Config, np.ndarray]:
    """All maps of 40 cubes, (960, 32, 32) float64."""
    overrides = {"data.kind": "2lpt", "data.size": 32, "prior.sigma8": 0.3} | {
        f"lpt.{key}": value for key, value in cfg.lpt.model_dump().items()
    }
    one = config(overrides | {"lpt.redshift": request.param})
    return one, maps_of(one, 40 * 24)[..., 0].astype(float)


@pytest.mark.slow
def test_mean_and_variance_are_those_of_slabs(sample: tuple[Config, np.ndarray]) -> None:
    """The slabs of an axis average to 0; the variance is that of linear theory within 4 %."""
    cfg, maps = sample
    assert np.abs(maps.reshape(40, 8, 3, 32, 32).mean(axis=(1, 3, 4))).max() < 1e-6
    n, box = 32, 500.0
    kx = 2 * np.pi * np.fft.fftfreq(n, box / n)
    k = np.hypot(kx[:, None], kx[None])
    inside = k > 0
    power = lpt.spectrum(cfg, THETA[None], k[inside])[0, 0]
    per_cube = (maps - maps.mean(axis=(1, 2), keepdims=True)).reshape(40, -1).var(axis=1)
    within = per_cube.mean()
    error = per_cube.std() / np.sqrt(40) / within
    assert error < 0.02
    assert within == pytest.approx(power.sum() / box**2, rel=0.04)


@pytest.mark.slow
def test_spectra_are_those_of_slabs(sample: tuple[Config, np.ndarray]) -> None:
    """Linear theory as the pixels show it, within 5 % (4 standard errors at the longest waves) for k < 0.15 h/Mpc."""
    cfg, maps = sample
    n, box = 32, 500.0
    power = (np.abs(np.fft.fft2(maps)) ** 2 * box**2 / n**4).reshape(40, 24, n, n).mean(axis=1)
    kx = 2 * np.pi * np.fft.fftfreq(n, box / n)
    k = np.hypot(kx[:, None], kx[None])
    edges = np.array([0.5, 2.5, 4.5, 6.5, 8.5, 10.5, 12.0]) * 2 * np.pi / box
    theory = np.zeros((n, n))
    theory[k > 0] = lpt.spectrum(cfg, THETA[None], k[k > 0])[0, 0]
    for low, high in itertools.pairwise(edges):
        inside = (k > low) & (k <= high)
        ratio = power[:, inside].mean(axis=1) / theory[inside].mean()
        error = ratio.std() / np.sqrt(len(ratio))
        assert abs(ratio.mean() - 1) < max(0.05, 4 * error), f"{low:.3f} < k < {high:.3f} h/Mpc"
        assert error < 0.03


@pytest.mark.slow
@pytest.mark.parametrize("axis", [1, 2])
def test_maps_wrap_around(sample: tuple[Config, np.ndarray], axis: int) -> None:
    _, maps = sample
    inside = np.mean(np.diff(maps, axis=axis) ** 2)
    across = np.mean((maps.take(0, axis) - maps.take(-1, axis)) ** 2)
    assert across == pytest.approx(inside, rel=0.05)
    assert np.mean((maps.take(0, axis) - maps.take(16, axis)) ** 2) > 1.5 * inside


def test_linear_theory_is_that_of_ccl(cfg: Config) -> None:
    """Power, D and Omega_m with a cosmological constant."""
    k = np.geomspace(2e-3, 1.0, 100)
    assert matter.linear(cfg, THETA[None], k)[0] == pytest.approx(
        ccl_linear(ccl_cosmology(cfg.cosmology(THETA)), k), rel=2e-3
    )
    table, values = lpt.prepare(cfg).table, cfg.cosmology(THETA)
    assert table.grown(values, 0.0) == pytest.approx((1.0, 0.3), rel=1e-4)
    grown, omega_m_z = table.grown(values, 1.0)
    assert omega_m_z == pytest.approx(0.3 * 8 / (0.3 * 8 + 0.7), rel=1e-3)
    # Carroll, Press & Turner 1992, ARA&A 30, 499, eq. 29, good to about 1 %

    def fit(matter: float) -> float:
        return 2.5 * matter / (matter ** (4 / 7) - (1 - matter) + (1 + matter / 2) * (1 + (1 - matter) / 70))

    assert grown == pytest.approx(fit(omega_m_z) / fit(0.3) / 2, rel=0.01)
