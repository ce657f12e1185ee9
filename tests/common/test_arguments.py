"""What public functions do with arguments that cannot be right: one line that names the argument, and no numbers."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cosmokeras as ck
from cosmokeras import models, simulators
from cosmokeras.common import arguments
from cosmokeras.common.errors import UserError
from cosmokeras.dataset.batches import fresh_maps
from cosmokeras.evaluation import limits
from cosmokeras.inference.posterior import MixturePosterior, PointPosterior
from cosmokeras.params import checked
from cosmokeras.params.config import Config
from cosmokeras.report import plot
from cosmokeras.simulators import lpt
from cosmokeras.sky.patches import cut_patches
from cosmokeras.sky.shear_patches import cut_shear_patches
from cosmokeras.theory import bbks, ccl, limber, matter, skewness
from cosmokeras.theory.table import theory_table

ROOT = Path(__file__).parents[2]
SIZE = 32
MAPS = np.random.default_rng(0).standard_normal((2, SIZE, SIZE, 1)).astype(np.float32)
CUBE = np.random.default_rng(1).standard_normal((8, 8, 8))
HOLE = MAPS.copy()
HOLE[1, 2, 3] = np.nan

NO_ARRAYS: list[Any] = [None, "text", ["a", "b"], {}, 1j, [[0.3], [0.3, 0.4]], [[None]]]
NO_ROWS = [
    *NO_ARRAYS,
    0.3,
    [],
    np.zeros((0, 1)),
    [[0.3, 0.3]],
    [0.3, 0.3],
    np.full((1, 1, 1), 0.3),
    [["0.3"]],
    [[True]],
]
NO_ROWS += [np.array([[0.3]], object), np.array([[0.3]], complex), [[np.nan]], [[np.inf]], [[0.3], [np.nan]]]
NO_ROWS += [np.ma.array([[0.3]], mask=[[True]]), np.array([["2020-01-01"]], "M8[D]")]
# what is outside of the prior box, 0.1 to 0.5
OUTSIDE = [[[0.6]], [[0.0999]], [[-0.3]], [[0.3], [0.50001]], np.array([[0.51]], np.float32), [[1e300]]]
NO_MAPS = [
    *NO_ARRAYS,
    0.3,
    MAPS[0],
    MAPS[..., 0],
    MAPS[:0],
    MAPS[:, :16],
    np.repeat(MAPS, 2, axis=3),
    MAPS.astype(complex),
]
NO_MAPS += [HOLE, HOLE * np.inf, MAPS.astype(str), MAPS.astype(object), MAPS > 0, np.ma.masked_greater(MAPS, 2.0)]
NO_MAPS += [np.full(MAPS.shape, 1e39)]
NO_SPECTRA = [np.zeros_like(MAPS), np.concatenate([MAPS, np.ones_like(MAPS)])]
NO_WHOLE: list[Any] = [None, -1, 1.0, 0.5, np.nan, True, np.True_, "1", [1], np.array([1, 2]), 1j]
NO_NUMBER: list[Any] = [None, np.nan, np.inf, "1", 1j, [1.0], [], True]
NO_AXIS = [*NO_ARRAYS, 100.0, [], [[100.0]], [100.0, np.nan], [np.inf], [-1.0], np.array([1.0], object), ["1"], [True]]
NO_CONFIG = [None, "params.yaml", Path("params.yaml"), {"data": {"size": 32}}, Config]
NO_CUBE = [*NO_ARRAYS, CUBE[0], CUBE[:4], np.zeros((0, 0, 0)), CUBE * np.nan, CUBE.astype(complex), CUBE.astype(str)]
SEED = {"seed": NO_WHOLE}
COUNTED = {"n": [*NO_WHOLE, 0], **SEED}


@pytest.fixture(scope="module")
def gauss(config: Callable[..., Config], tiny: dict[str, Any]) -> Config:
    return config(tiny)


@pytest.fixture(scope="module")
def cube(config: Callable[..., Config], tiny: dict[str, Any]) -> Config:
    return config(tiny | {"data.kind": "2lpt", "lpt.particles": 32})


Call = tuple[Callable[..., Any], dict[str, Any], dict[str, list[Any]]]


@pytest.fixture(scope="module")
def calls(gauss: Config, cube: Config, lensing: Config) -> dict[str, Call]:
    """Public functions by name: what to call, arguments that are right, and for each what is wrong."""
    one, row = np.array([[0.3]]), {"theta": [*NO_ROWS, *OUTSIDE]}
    mixture = MixturePosterior(np.zeros((2, 1)), np.zeros((2, 1, 1)), np.ones((2, 1, 1, 1)), gauss.bounds)
    point = PointPosterior(np.full((2, 1), 0.3), np.array([0.1]), gauss.bounds)
    of_two = {"theta": [*NO_ROWS, one, [[0.3], [np.inf]]]}
    sky = {"healpix_map": np.zeros(192), "mask": np.ones(192), "size": 8, "pixel_arcmin": 60.0, "max_masked": 0.1}
    shear = {"g1": np.zeros(192), "g2": np.zeros(192), **sky}
    del shear["healpix_map"]
    no_sky = [None, "text", 1j, 0.3, np.zeros(191), np.full(192, np.nan), np.zeros(192, complex), np.zeros(192, object)]
    cubes = {"box_size": [*NO_NUMBER, 0.0, -1.0], "delta": NO_CUBE}
    moved = {"growth": [*NO_NUMBER, -0.1], "order": [*NO_WHOLE, 0, 3], "omega_m_z": [*NO_NUMBER, 0.0, 1.1]}
    fields = {"cfg": gauss, "obs": MAPS}, {"cfg": NO_CONFIG, "obs": [*NO_MAPS, *NO_SPECTRA]}
    found: dict[str, Call] = {
        "params.prior.sample_prior": (
            ck.sample_prior, {"cfg": gauss, "n": 2, "seed": 1}, {"cfg": NO_CONFIG, **COUNTED},
        ),
        "simulators.simulate": (
            ck.simulate, {"cfg": gauss, "theta": one, "seed": 1}, {"cfg": NO_CONFIG, **row, **SEED},
        ),
        "observation.observe.observe": (
            ck.observe, {"cfg": gauss, "maps": MAPS, "seed": 1, "batch": 2},
            {"cfg": NO_CONFIG, "maps": [*NO_MAPS, *NO_SPECTRA], "seed": [*NO_WHOLE, 2**63], "batch": [*NO_WHOLE, 0]},
        ),
        "theory.matter.power": (
            matter.power, {"cfg": gauss, "theta": one, "k": [0.1]}, {"cfg": [*NO_CONFIG, lensing], **row, "k": NO_AXIS},
        ),
        "theory.matter.power of 2lpt": (
            matter.power, {"cfg": cube, "theta": one, "k": [0.1]}, {**row, "k": [*NO_AXIS, [0.0], [1e-6], [0.1, 1e4]]},
        ),
        "theory.limber.angular_cl": (
            limber.angular_cl, {"cfg": lensing, "theta": one, "ell": [100]},
            {"cfg": [*NO_CONFIG, gauss, cube], **row, "ell": NO_AXIS},
        ),
        "theory.skewness.kappa_skewness": (
            skewness.kappa_skewness, {"cfg": lensing, "theta": one, "smoothing_arcmin": [5.0]},
            {"cfg": [*NO_CONFIG, gauss, cube], **row, "smoothing_arcmin": [*NO_AXIS, [0.0]]},
        ),
        "evaluation.limits.exact_posterior": (limits.exact_posterior, *fields),
        "evaluation.limits.exact_mean": (limits.exact_mean, *fields),
        "theory.bbks.bbks_transfer": (
            bbks.bbks_transfer, {"q": [0.1]}, {"q": [*NO_ARRAYS, [np.nan], [-1.0], [np.inf]]},
        ),
        "Config.cosmology": (gauss.cosmology, {"theta": [0.3]}, {"theta": [*NO_ROWS, *OUTSIDE, [0.6], [np.nan], one]}),
        "simulators.lpt.displacements": (lpt.displacements, {"delta": CUBE, "box_size": 100.0}, cubes),
        "simulators.lpt.density": (
            lpt.density, {"delta": CUBE, "box_size": 100.0, "growth": 0.5, "order": 2, "omega_m_z": 0.5},
            cubes | moved,
        ),
        "sky.patches.cut_patches": (
            cut_patches, sky,
            {"healpix_map": no_sky, "mask": [*no_sky, np.zeros(192), np.full(192, 0.5)], "size": [*NO_WHOLE, 0],
             "pixel_arcmin": [*NO_NUMBER, 0.0, -1.0, 1e9], "max_masked": [*NO_NUMBER, -0.1, 1.1]},
        ),
        "sky.shear_patches.cut_shear_patches": (
            cut_shear_patches, shear,
            {"g1": no_sky, "g2": no_sky, "mask": [*no_sky, np.zeros(192), np.full(192, 0.5)], "size": [*NO_WHOLE, 0],
             "pixel_arcmin": [*NO_NUMBER, 0.0, -1.0, 1e9], "max_masked": [*NO_NUMBER, -0.1, 1.1]},
        ),
        "report.plot.maps": (
            plot.maps, {"cfg": gauss, "maps": MAPS, "theta": [[0.3], [0.2]]},
            {"cfg": NO_CONFIG, "maps": NO_MAPS, "theta": [one for one in of_two["theta"] if one is not None]},
        ),
        "models.encode": (models.encode, {"cfg": gauss, "theta": one}, {"cfg": NO_CONFIG, **row}),
        "simulators.realisations": (
            simulators.realisations, {"seed": 1, "split": 0, "cosmology": 2},
            {"seed": NO_WHOLE, "split": NO_WHOLE, "cosmology": NO_WHOLE},
        ),
        "simulators.simulator": (simulators.simulator, {"kind": "grf"}, {"kind": [None, "gauss", 3]}),
        "dataset.batches.fresh_maps": (
            fresh_maps, {"cfg": gauss, "batch": 2, "seed": 1},
            {"cfg": NO_CONFIG, "batch": [*NO_WHOLE, 0], "seed": NO_WHOLE},
        ),
        "models.build": (models.build, {"cfg": gauss}, {"cfg": NO_CONFIG}),
    }  # fmt: skip
    for kind, posterior in (("MixturePosterior", mixture), ("PointPosterior", point)):
        found |= {
            f"{kind}.sample": (posterior.sample, {"n": 2, "seed": 1}, COUNTED),
            f"{kind}.log_prob": (posterior.log_prob, {"theta": [[0.3], [0.2]]}, of_two),
            f"{kind}.cdf": (posterior.cdf, {"theta": [[0.3], [0.2]]}, of_two),
            f"{kind}.quantile": (posterior.quantile, {"q": 0.5}, {"q": [*NO_NUMBER, -0.1, 1.1]}),
        }
    return found


def one_line(call: Callable[[], Any]) -> str:
    """The message of the error that a call must end in."""
    with pytest.raises(UserError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 300, message
    return message


def wrong(calls: dict[str, Call]) -> Iterator[tuple[str, str, Any, Callable[[], Any]]]:
    """Each function with each wrong value of each argument, the others right."""
    for name, (function, right, bad) in calls.items():
        for argument, values in bad.items():
            for value in values:
                yield name, argument, value, partial(function, **right | {argument: value})


@pytest.mark.slow
def test_wrong_arguments_end_in_one_line(calls: dict[str, Call]) -> None:
    for function, right, _ in calls.values():
        assert function(**right) is not None
    count, answered = 0, []
    for name, argument, value, call in wrong(calls):
        count += 1
        what = f"{name}({argument}={value!r})"
        try:
            answered.append(f"{what} is answered: {call()!r}")
        except UserError as error:
            assert "\n" not in str(error), what
            assert len(str(error)) < 300, what
        except Exception as error:
            answered.append(f"{what} ends in {type(error).__name__}: {error}")
    assert answered == []
    assert count > 500


def test_every_public_function_is_in_the_table(calls: dict[str, Call]) -> None:
    """What docs/api.md shows; Estimator has a table of its own, and files and networks theirs."""
    page = (ROOT / "docs" / "api.md").read_text()
    shown = re.findall(r"^::: cosmokeras\.(\S+)(?:\n    options:\n      members: \[(.*)\])?", page, re.M)
    names = [f"{module}.{member}" if member else module for module, members in shown for member in members.split(", ")]
    # classes, files, and catalogues, which are objects
    others = re.compile(
        r"project\.|params\.(?!prior)|errors\.|report\.plot\.(?!maps)|models\.(?!build|encode)"
        r"|sky\.shear_catalogue|.*\.[A-Z]"
    )
    inner = {"theory.limber.lensing_kernel", "theory.limber.alignment_kernel", "simulators", "surveys.fetch"}
    left = [name for name in names if not others.match(name) and name not in inner | set(calls)]
    assert left == []
    assert len(names) > 30
    for name in set(ck.__all__) - {"__version__"}:
        if inspect.isfunction(thing := getattr(ck, name)) and name != "load_params":
            assert thing in [function for function, _, _ in calls.values()], name


def test_messages_name_argument_value_and_what_is_allowed(gauss: Config, lensing: Config) -> None:
    message = one_line(lambda: limber.angular_cl(lensing, [[0.2], [0.6], [0.7]], [100]))
    assert message.startswith("theta: omega_m=0.6 in row 1 (2 rows in all) is outside the prior box, 0.1 to 0.5")
    assert "(n, 1), columns omega_m; a column is made by theta[:, None]" in one_line(
        lambda: ck.simulate(gauss, [0.3, 0.2], seed=1)
    )
    assert one_line(lambda: ck.simulate(gauss, [[0.3]], seed=-3)) == "seed=-3: must be a whole number, 0 or more"
    assert "ck.load_params" in one_line(lambda: ck.simulate("params.yaml", [[0.3]], seed=1))
    assert one_line(lambda: arguments.number("q", 2, 0, 1)) == "q=2: must be a finite number from 0 to 1"
    assert one_line(lambda: arguments.number("x", 0, 0, above=True)) == "x=0: must be a finite number above 0"
    assert one_line(lambda: checked.coverage(gauss, np.full((1, 32, 32), 1.5), 1)).startswith("coverage=1.5: must")


def test_what_is_right_is_taken_in_any_form(gauss: Config) -> None:
    want = ck.simulate(gauss, np.array([[0.3]]), seed=5)
    for theta in ([[0.3]], (0.3,), [np.float64(0.3)], np.array([0.3]), np.array([[0.3]], ">f8")):
        assert np.array_equal(ck.simulate(gauss, theta, seed=np.int64(5)), want)
    single = np.array([[0.3]], np.float32)
    assert np.array_equal(ck.simulate(gauss, single, seed=5), ck.simulate(gauss, single.astype(float), seed=5))
    seen = ck.observe(gauss, MAPS, seed=5)
    for maps in (MAPS.astype(float), MAPS.astype(">f4"), list(MAPS), np.asfortranarray(MAPS), np.ma.array(MAPS)):
        assert np.array_equal(ck.observe(gauss, maps, seed=np.uint8(5)), seen)
    assert ck.sample_prior(gauss, np.int32(3), np.int64(1)).shape == (3, 1)


@pytest.mark.parametrize("cfg", NO_CONFIG)
def test_parameters_are_no_file(cfg: Any) -> None:
    assert one_line(lambda: ck.surveys.fetch(cfg)).startswith("cfg=")


@pytest.mark.parametrize("path", [None, 3, b"params.yaml", {}, "a\0b"])
def test_paths_are_paths(path: Any) -> None:
    for call in (ck.load_params, ck.Estimator.load, models.load):
        assert "must be a path" in one_line(lambda call=call: call(path))


@pytest.mark.parametrize("overrides", [[("data.size", 32)], "data.size=32", {1: 2}, {"data.size": np.ones(3)}, {"": 3}])
def test_overrides_are_a_mapping_of_keys(default_params: Path, overrides: Any) -> None:
    one_line(lambda: ck.load_params(default_params, overrides))


def test_edges_of_the_box_belong_to_it(config: Callable[..., Config], tiny: dict[str, Any]) -> None:
    """As float32 too, which may round an edge outwards; the answer is that of the edge."""
    cfg = config(tiny | {"prior.omega_m": [0.11, 0.7]})
    for edge in cfg.bounds[0]:
        rounded = np.array([[edge]], np.float32)
        assert np.array_equal(ck.simulate(cfg, rounded, seed=1), ck.simulate(cfg, [[float(rounded[0, 0])]], seed=1))
        assert 0.11 <= cfg.cosmology(rounded[0])["omega_m"] <= 0.7
        one_line(lambda edge=edge: cfg.cosmology([edge + 3e-7 * np.sign(edge - 0.3)]))
        posterior = MixturePosterior(np.zeros((1, 1)), np.zeros((1, 1, 1)), np.ones((1, 1, 1, 1)), cfg.bounds)
        assert np.isfinite(posterior.log_prob(rounded)).all()
    assert posterior.log_prob([[0.71]]) == -np.inf
    assert (np.array([[0.11], [0.7]], np.float32).astype(float) != cfg.bounds.T).all()


@pytest.mark.slow
@pytest.mark.parametrize("omega_m", [0.301, 0.33, 0.349])
def test_theory_is_the_same_whatever_the_box(config: Callable[..., Config], lensing: Config, omega_m: float) -> None:
    narrow = config({"prior.omega_m": [0.3, 0.35]})
    got, want = (limber.angular_cl(cfg, [[omega_m]], [100, 300, 1000]) for cfg in (narrow, lensing))
    assert got == pytest.approx(want, rel=2e-3)
    for outside in (0.2, 0.29999, 0.36, 0.6):
        assert "0.3 to 0.35" in one_line(lambda outside=outside: limber.angular_cl(narrow, [[outside]], [100]))


@pytest.mark.slow
def test_tables_are_not_asked_outside_of_their_box(config: Callable[..., Config], lensing: Config) -> None:
    table, values = theory_table(lensing), lensing.cosmology([0.3])
    for changed in ({"omega_m": 0.6}, {"omega_m": np.nan}, {"h": 0.71}, {"omega_b": 0.04}):
        assert next(iter(changed)) in one_line(lambda changed=changed: table.linear(values | changed))
    for changed in ({"omega_m": 0.05}, {"h": 0.6}, {"w0": -0.9}):
        assert next(iter(changed)) in one_line(lambda changed=changed: table.background(values | changed))
        one_line(lambda changed=changed: table.power(values | changed))
    # of these it does not depend on
    assert table.linear(values | {"sigma8": 0.9, "n_s": 0.9, "w0": -0.9})[1].min() > 0
    one_line(lambda: table.linear_at(values, np.array([0.1, 1e5])))
    one_line(lambda: table.grown(values, 50.0))
    other = config({"prior.omega_m": [0.1, 0.7]})
    grid = ck.simulators.lensing.prepare(lensing)
    draw = ck.simulators.realisations(1, 3, 0)
    one_line(lambda: ck.simulators.lensing.maps(other, grid, np.array([0.6]), draw, 1))


@pytest.mark.slow
def test_each_simulator_checks_its_row(gauss: Config, cube: Config, lensing: Config) -> None:
    """Those who call `maps` and `spectrum` themselves are told as well."""
    for cfg in (gauss, cube, lensing):
        module = ck.simulators.simulator(cfg.data.kind)
        grid, draw = module.prepare(cfg), ck.simulators.realisations(1, 3, 0)
        for bad in ([0.6], [np.nan], [0.3, 0.3], [[0.3]], ["0.3"]):
            one_line(lambda bad=bad: module.maps(cfg, grid, bad, draw, 1))  # noqa: B023
            one_line(lambda bad=bad: module.spectrum(cfg, [bad], np.array([1.0, 2.0])))  # noqa: B023


@pytest.mark.parametrize(
    "change", [{"omega_m": 1.5}, {"omega_m": np.nan}, {"h": "0.7"}, {"w0": None}, {"omega_b": 0.1, "omega_m": 0.09}]
)
def test_ccl_is_asked_for_what_it_is_trusted_with(lensing: Config, change: dict[str, Any]) -> None:
    values = lensing.cosmology([0.3])
    assert ccl.ccl_cosmology(values, "eisenstein_hu")["h"] == 0.7
    assert next(iter(change)) in one_line(lambda: ccl.ccl_cosmology(values | change, "eisenstein_hu"))
    del values["sigma8"]
    assert "sigma8" in one_line(lambda: ccl.ccl_cosmology(values, "eisenstein_hu"))
