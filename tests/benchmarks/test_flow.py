"""The flow is a density and can be told from a mixture; the verdict counts cosmologies, not maps."""

import keras
import numpy as np
import pytest

from benchmarks.checks import flow
from cosmokeras.common.errors import UserError

pytestmark = pytest.mark.slow

SIZE = 3
CELL = 0.05


def head_of(name, size):
    """With its weights."""
    head = flow.HEADS[name](size, 2)
    head((np.zeros((1, size), np.float32), np.zeros((1, 2), np.float32)))
    return head


@pytest.fixture
def heads():
    """Every head with other weights than it begins with, by name."""
    keras.utils.set_random_seed(0)
    built = {name: head_of(name, SIZE) for name in flow.HEADS}
    rng = np.random.default_rng(0)
    for head in built.values():
        for weight in head.weights:
            weight.assign(weight.numpy() + 0.3 * rng.standard_normal(weight.shape) / np.sqrt(weight.shape[0]))
    return built


def total(head):
    """Integral of a head's density over the plane, for one summary."""
    axis = np.arange(-8, 8, CELL)
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2).astype(np.float32)
    summary = np.tile(np.float32([0.5, -1.0, 2.0]), (len(points), 1))
    return np.exp(keras.ops.convert_to_numpy(head((summary, points))).astype(float)).sum() * CELL**2


def test_every_head_is_a_normalised_density(heads):
    assert {name: total(head) for name, head in heads.items()} == pytest.approx(dict.fromkeys(heads, 1), abs=2e-3)


def test_heads_are_equally_large():
    """On the summaries of the default width."""
    weights = [head_of(name, 64).count_params() for name in ("flow", flow.SHIPPED)]
    assert weights[0] == pytest.approx(weights[1], rel=0.1)


def test_a_flow_without_its_slopes_is_none(heads, monkeypatch):
    monkeypatch.setattr(flow, "spline", lambda x, raw, whole=flow.spline: (whole(x, raw)[0], keras.ops.zeros_like(x)))
    assert abs(total(heads["flow"]) - 1) > 0.02


def test_the_integral_of_the_slope_is_the_spline():
    rng = np.random.default_rng(1)
    raw = np.tile(rng.standard_normal(3 * flow.BINS - 1).astype(np.float32), (2001, 1, 1))
    x = np.linspace(-5, 5, 2001, dtype=np.float32)[:, None]
    y, log_slope = (keras.ops.convert_to_numpy(part)[:, 0] for part in flow.spline(x, raw))
    slope = np.exp(log_slope)
    integral = np.cumsum((slope[1:] + slope[:-1]) / 2 * np.diff(x[:, 0]))
    assert y[1:] - y[0] == pytest.approx(integral, abs=2e-3)
    outside = np.abs(x[:, 0]) > flow.EDGE
    assert y[outside] == pytest.approx(x[outside, 0])
    assert np.ptp(slope) > 0.5  # it does bend


def around(summary, left):
    """u (n, 2) that lie `left` (n, 2) from a centre that the summary tells."""
    return flow.Sample(summary.astype(np.float32), (0.5 * summary[:, :2] + left).astype(np.float32))


def nine(n, rng):
    """Nine spots: more than four Gaussians can be."""
    return around(rng.standard_normal((n, SIZE)), rng.integers(-1, 2, (n, 2)) + 0.1 * rng.standard_normal((n, 2)))


def one(n, rng):
    """One Gaussian: nothing to be gained."""
    return around(rng.standard_normal((n, SIZE)), 0.5 * rng.standard_normal((n, 2)))


@pytest.mark.slow
@pytest.mark.parametrize(("sample", "better"), [(nine, True), (one, False)])
def test_a_flow_is_better_where_it_is(sample, better, lensing, monkeypatch):
    rng = np.random.default_rng(2)
    monkeypatch.setattr(flow, "EPOCHS", 8)
    monkeypatch.setattr(flow, "TRANSFORMS", 1)
    monkeypatch.setattr(flow, "SEEDS", (1, 2))
    monkeypatch.setattr(flow, "HEADS", {name: flow.HEADS[name] for name in (flow.SHIPPED, "flow")})
    parts = [sample(n, rng) for n in (8192, 1024, 2048)]
    found = flow.measure(*parts, np.arange(2048), lensing.train, np.array([[0.1, 0.5], [0.6, 1.0]]))
    assert found[flow.SHIPPED]["difference"] == 0
    assert (-found["flow"]["difference"] > flow.least_gain(found, "flow")) == better


def test_copies_of_a_map_are_no_new_measurement():
    rng = np.random.default_rng(3)
    ours, theirs = rng.standard_normal((2, 200))
    mean, error = flow.difference(ours, theirs, np.arange(200))
    assert mean == pytest.approx(np.mean(theirs - ours))
    assert error == pytest.approx(np.std(theirs - ours, ddof=1) / np.sqrt(200))
    copied = flow.difference(np.tile(ours, 9), np.tile(theirs, 9), np.tile(np.arange(200), 9))
    assert copied == pytest.approx((mean, error))
    assert flow.difference(np.tile(ours, 9), np.tile(theirs, 9), np.arange(1800))[1] < 0.5 * error


def test_a_gain_within_the_scatter_over_seeds_is_none():
    rng = np.random.default_rng(4)
    shipped, cosmology = rng.standard_normal((3, 400)), np.arange(400)
    shipped[1:] = shipped[0]
    better = shipped - 0.1 - 0.01 * rng.standard_normal((3, 400))
    found = flow.compare({flow.SHIPPED: shipped, "flow": better}, cosmology)
    assert -found["flow"]["difference"] > flow.least_gain(found, "flow")
    unsteady = better + np.array([[-0.2], [0.0], [0.2]])
    found = flow.compare({flow.SHIPPED: shipped, "flow": unsteady}, cosmology)
    assert -found["flow"]["difference"] < flow.least_gain(found, "flow")


def test_densities_are_those_over_the_box():
    """A unit normal in u is the prior: uniform."""
    u = np.random.default_rng(5).standard_normal((100, 2))
    log_density = -0.5 * np.sum(u**2, axis=1) - np.log(2 * np.pi)
    assert flow.in_box(log_density, u, np.array([[0.1, 0.5], [0.6, 1.0]])) == pytest.approx(np.full(100, np.log(0.16)))


def test_without_a_network_it_says_what_to_run(tmp_path, monkeypatch):
    monkeypatch.setenv("COSMOKERAS_WORK", str(tmp_path))
    with pytest.raises(UserError, match="two_parameters"):
        flow.check()
