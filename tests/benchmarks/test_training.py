"""The network in plain torch is ours, and so is the loop; what the benchmark writes agrees with itself."""

import json
import os
import re
import statistics
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from multiprocessing import get_context

import numpy as np
import pytest

from benchmarks import training

pytestmark = pytest.mark.slow

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")
NAMES = {  # of our layers, in torch
    r"level(\d)_conv": lambda m: f"levels.{int(m[1]) - 1}",
    r"stage(\d)_block(\d)_(conv\d|around)": lambda m: f"blocks.{2 * int(m[1]) + int(m[2])}.{m[3]}",
    r"stage(\d)_block1_1_norm": lambda m: f"blocks.{2 * int(m[1]) + 1}.before.0",
    r"stage(\d)_block(\d)_2_norm": lambda m: f"blocks.{2 * int(m[1]) + int(m[2])}.norm2",
    r"stage(\d)_block(\d)_gain": lambda m: f"blocks.{2 * int(m[1]) + int(m[2])}",
    r"last_norm": "last",
}
KINDS = {"kernel": "weight", "gamma": "weight", "beta": "bias"}


def copied(model, network):
    """Give the network in torch the weights of ours; the number of weights of both."""
    import torch

    state = network.state_dict()
    for weight in model.weights:
        layer, name = weight.path.split("/")[-2:]
        for ours, theirs in NAMES.items():
            layer = re.sub(f"^{ours}$", theirs, layer)
        name = f"{layer}.{KINDS.get(name, name)}"
        value = torch.tensor(np.asarray(weight.numpy()))
        axes = (3, 2, 0, 1) if value.ndim == 4 else tuple(reversed(range(value.ndim)))
        assert state[name].shape == value.permute(axes).shape, name
        state[name] = value.permute(axes)
    network.load_state_dict(state)
    return model.count_params(), sum(value.numel() for value in state.values())


def both(case, last, spoil=False):
    """Weights, outputs and losses of our network and loop and of theirs, in a process without TensorFlow."""
    os.environ["KERAS_BACKEND"] = "torch"
    import keras
    import torch

    from benchmarks import plain_torch
    from cosmokeras import models

    cfg, steps = case.config(quick=True), 3
    maps, u = training.sample(cfg, steps)
    model = training.keras_model(cfg, steps, xla=False)
    rng = np.random.default_rng(1)
    for weight in model.trainable_weights:  # none is left at zero, where it would say nothing
        weight.assign(weight.numpy() + 0.05 * rng.standard_normal(weight.shape))
    models.standardise(model, maps)
    network = plain_torch.build(cfg)
    counts = copied(model, network)
    if spoil:
        network.stem.padding_mode = "zeros"
    with torch.no_grad():
        theirs = network(torch.tensor(maps).permute(0, 3, 1, 2)).numpy()
    ours = keras.ops.convert_to_numpy(model(maps))
    turn = plain_torch.trainer(cfg, network, maps, u, last)
    fit = model.fit(maps, u, batch_size=cfg.train.batch_size, shuffle=False, verbose=0, epochs=2)
    return counts, ours, theirs, fit.history["loss"], [turn(), turn()]


def apart(*arguments):
    """`both` in a process of its own: torch and TensorFlow do not share one."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(both, *arguments).result()


@needs_torch
@pytest.mark.parametrize(
    ("case", "last"),
    [
        pytest.param(case, i % 2 == 0, marks=[pytest.mark.long] if i else [], id=case.name)
        for i, case in enumerate(training.CASES)
    ],
)
def test_the_network_and_the_loop_in_torch_are_ours(case, last):
    counts, ours, theirs, losses, their_losses = apart(case, last)
    assert counts[0] == counts[1]
    assert np.std(ours, axis=0).max() > 1e-2  # outputs do depend on the map
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-4)
    # weights move, and alike
    assert abs(losses[1] - losses[0]) > 4 * np.abs(np.subtract(losses, their_losses)).max()


@needs_torch
def test_another_network_is_told_from_ours():
    _, ours, theirs, *_ = apart(training.CASES[0], False, True)
    assert np.abs(ours - theirs).max() > 1e-3


@needs_torch
def test_the_ratio_is_of_the_medians_of_the_fastest(tmp_path):
    assert training.main(["--quick", "--rounds", "3", "--out", str(tmp_path), "cosmonet"]) == 0
    (row,) = json.loads((tmp_path / "metrics" / "bench_training.json").read_text()).values()
    assert set(row["runs"]) == {*training.OURS, *training.THEIRS}
    for who, runs in row["runs"].items():
        assert len(runs) == 3
        assert row["maps_per_second"][who] == pytest.approx(statistics.median(runs), rel=2e-3)
    rate = row["maps_per_second"]
    best = [max(rate[who] for who in side) for side in (training.OURS, training.THEIRS)]
    assert row["ratio"] == pytest.approx(best[0] / best[1], rel=2e-3)
    assert [rate[who] for who in row["fastest"]] == best
    assert row["machine"]["cores"] == min(training.CORES, len(os.sched_getaffinity(0)))
    assert {"keras", "torch"} <= set(row["machine"]["versions"])


def test_a_slower_network_misses_its_bar(capsys):
    row = {"maps_per_second": {}, "fastest": ["jax", "torch"], "ratio": 0.9}
    assert not training.report("cosmonet grf", row, quick=False)
    assert "FAIL cosmonet grf: jax / torch" in capsys.readouterr().out
    assert training.report("cosmonet grf", row, quick=True)
    assert training.report("cosmonet grf", row | {"ratio": 1.1}, quick=False)


def test_an_unknown_network_is_refused(capsys):
    with pytest.raises(SystemExit):
        training.main(["transformer"])
    assert "no network named transformer" in capsys.readouterr().err
