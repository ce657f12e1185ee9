"""TensorFlow, JAX and torch give the same numbers for the same weights, and read each other's files."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from itertools import permutations, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from cosmokeras.params.config import Config
from cosmokeras.params.registry import MODELS

if TYPE_CHECKING:
    import keras

BACKENDS = ("tensorflow", "jax", "torch")
KINDS = {"grf": 1, "lensing": 4}  # channels; periodic maps and patches
CASES = [f"{name}-{kind}" for name, kind in product(MODELS, KINDS)]
CLOSE = 1e-5  # absolute: of what the head puts out, and of means in units of the prior's width

Results = Callable[[str, str, str], dict[str, np.ndarray]]
pytestmark = pytest.mark.slow


def save_networks(backend: str, cases: dict[str, Config], folder: Path) -> None:
    """Build all networks on one backend, note what they make of the maps, and save them."""
    os.environ["KERAS_BACKEND"] = backend
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # they take longer than all else here
    import keras

    from cosmokeras import models

    assert keras.backend.backend() == backend
    for case, cfg in cases.items():
        model = models.build(cfg)
        draw_weights(model)
        models.standardise(model, np.load(folder / f"{cfg.data.kind}.npy"))
        home = folder / backend / case
        home.mkdir(parents=True)
        model.save(home / "model.keras")
        note_results(cfg, model, folder, result(folder, case, backend, backend))


def read_networks(backend: str, cases: dict[str, Config], folder: Path) -> None:
    """Note what this backend makes of the networks that the others saved."""
    from cosmokeras import models

    for origin, (case, cfg) in product(BACKENDS, cases.items()):
        if origin != backend:
            model = models.load(folder / origin / case)
            model.compile(run_eagerly=True)  # saves a compilation for each file
            note_results(cfg, model, folder, result(folder, case, origin, backend))


def note_results(cfg: Config, model: keras.Model, folder: Path, path: Path) -> None:
    from cosmokeras.inference.estimator import Estimator

    maps = np.load(folder / f"{cfg.data.kind}.npy")
    low, high = cfg.bounds[cfg.target_columns].T
    means = (Estimator(cfg, model).mean(maps) - low) / (high - low)
    np.savez(path, raw=model.predict(maps, batch_size=256, verbose=0), means=means)


def result(folder: Path, case: str, origin: str, reader: str) -> Path:
    return folder / f"{case}-{origin}-{reader}.npz"


def draw_weights(model: keras.Model) -> None:
    """The same on every backend; biases and scales are not what they begin as."""
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        start = 1.0 if variable.name in ("gamma", "gain") else 0.0
        spread = 1 / np.sqrt(np.prod(variable.shape[:-1])) if len(variable.shape) > 1 else 0.3
        variable.assign(start + spread * rng.standard_normal(variable.shape))


def red_maps(size: int, channels: int) -> np.ndarray:
    """Maps of unit variance whose power falls with wavenumber, and whose channels go together."""
    rng = np.random.default_rng(1)
    k = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)[None, :]) * size
    noise = rng.standard_normal((24, size, size, channels))
    noise += 0.5 * noise[..., :1]
    maps = np.fft.ifft2(np.fft.fft2(noise, axes=(1, 2)) / (1 + k)[None, :, :, None], axes=(1, 2)).real
    return (maps / maps.std()).astype(np.float32)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, config: Callable[..., Config], tiny: dict[str, Any]) -> Results:
    """`results(case, origin, reader)`: what the backend `reader` makes of the network that `origin` saved."""
    for backend in BACKENDS:
        if find_spec(backend) is None:
            pytest.fail(f"{backend} is not installed, and this test needs all backends: pip install -e '.[dev]'")
    folder, cases = tmp_path_factory.mktemp("backends"), {}
    for kind, channels in KINDS.items():
        np.save(folder / f"{kind}.npy", red_maps(tiny["data.size"], channels))
        for name in MODELS:
            cases[f"{name}-{kind}"] = config({**tiny, "data.kind": kind, "model.name": name})
    # one process for each backend, in which it is the only one
    spawn = multiprocessing.get_context("spawn")
    processes = {backend: ProcessPoolExecutor(1, spawn) for backend in BACKENDS}
    try:
        for job in (save_networks, read_networks):
            running = [process.submit(job, backend, cases, folder) for backend, process in processes.items()]
            for future in running:
                future.result(timeout=280)
    finally:
        for process in processes.values():
            process.shutdown(wait=False, cancel_futures=True)

    def read(case: str, origin: str, reader: str) -> dict[str, np.ndarray]:
        with np.load(result(folder, case, origin, reader)) as stored:
            return dict(stored)

    return read


@pytest.mark.timeout(600)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("backend", BACKENDS[1:])
def test_same_weights_give_the_same_numbers(results: Results, case: str, backend: str) -> None:
    expected, found = (results(case, b, b) for b in (BACKENDS[0], backend))
    for what, numbers in found.items():
        assert numbers == pytest.approx(expected[what], abs=CLOSE, rel=0), what
        # the maps tell numbers apart, which else would be the same for nothing
        assert numbers.std(axis=0).min() > 100 * CLOSE


@pytest.mark.timeout(600)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("origin", "reader"), list(permutations(BACKENDS, 2)))
def test_files_of_one_backend_are_read_by_another(results: Results, case: str, origin: str, reader: str) -> None:
    expected, found = results(case, origin, origin), results(case, origin, reader)
    for what, numbers in found.items():
        assert numbers == pytest.approx(expected[what], abs=CLOSE, rel=0), what
