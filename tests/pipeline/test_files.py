"""Suites in files through all stages: a survey's masked convergence, and periodic maps without a survey."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from cosmokeras.simulators.fields import wavenumbers

pytestmark = pytest.mark.slow
SMALL = {
    "data": {"kind": "files", "size": 32, "n_cosmologies": 90, "realisations": 6, "validation": 15, "test": 15},
    "model": {"width": 4, "spectrum_bins": 6}, "train": {"epochs": 6, "batch_size": 32},
    "evaluate": {"samples": 200, "spectrum_bins": 6},
}  # fmt: skip
SIMULATIONS = 120


def fields(theta: np.ndarray, shape: tuple[int, int], count: int, rms: float) -> np.ndarray:
    """Stand-in maps (n, count, y, x): Gaussian fields that get rougher and brighter with the first parameter."""
    rng, side = np.random.default_rng(1), max(shape)
    k = np.maximum(wavenumbers(side, 1.0), 2 * np.pi / side)
    out = np.empty((len(theta), count, *shape), np.float32)
    for maps, (first, *_) in zip(out, theta, strict=True):
        white = rng.standard_normal((count, side, side))
        made = np.fft.irfft2(np.fft.rfft2(white) * k ** (-2 + 2 * first), s=(side, side))
        maps[...] = (made / made.std() * rms * (1 + first))[:, : shape[0], : shape[1]]
    return out


def survey(folder: Path) -> dict[str, Any]:
    """Unmasked pixels of a strip with holes, float16, labels of each map: as FAIR-Universe has them."""
    rng = np.random.default_rng(2)
    theta = np.column_stack([rng.uniform(0.1, 0.5, SIMULATIONS), rng.uniform(0.7, 0.9, SIMULATIONS)])
    mask = np.ones((40, 100), bool)
    mask[4:8, 10:20] = mask[20:30, 60:64] = mask[:, -3:] = False
    maps = fields(theta, mask.shape, 2, 0.015)[..., mask]
    label = np.concatenate([np.repeat(theta[:, None], 2, axis=1), rng.uniform(7, 8, (SIMULATIONS, 2, 1))], axis=-1)
    np.save(folder / "maps.npy", maps.astype(np.float16))
    np.save(folder / "label.npy", label)
    np.save(folder / "mask.npy", mask)
    columns = {"omega_m": {"column": 0, "range": [0.1, 0.5]}, "S8": 1, "T_AGN": {"column": 2, "unit": "dex"}}
    files = {"maps": "maps.npy", "parameters": "label.npy", "mask": "mask.npy", "columns": columns, "pixel_arcmin": 2.0}
    return {"files": files, "lensing": {"survey": "hsc_y3_fair"}, "real": {"source": "mock"}}


def periodic(folder: Path) -> dict[str, Any]:
    """Densities of boxes twice as fine as they are trained on, six of each simulation, with parameters of any name."""
    rng = np.random.default_rng(3)
    theta = rng.uniform([0.1, 0.25], [0.5, 4.0], (SIMULATIONS, 2))
    maps = 10 ** (11 + fields(theta, (64, 64), 6, 0.3)).reshape(-1, 64, 64)
    np.save(folder / "maps.npy", maps.astype(np.float32))
    np.savetxt(folder / "table.txt", theta, header="Om A_SN1")
    files = {
        "maps": "maps.npy", "parameters": "table.txt", "columns": {"omega_m": "Om", "A_SN1": "A_SN1"}, "noise": "none",
        "box_mpc_h": 25.0, "units": "density", "periodic": True, "offset": 11.0, "scale": 0.4,
    }  # fmt: skip
    return {"files": files, "data": {"targets": ["omega_m", "A_SN1"], "dtype": "float32"}}


@pytest.mark.parametrize("make", [survey, periodic], ids=lambda one: one.__name__)
def test_files_go_through_all_stages(
    make: Callable[[Path], dict[str, Any]], params: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COSMOKERAS_WORK", str(tmp_path / "work"))
    raw = yaml.safe_load(params.read_text())
    for blocks in (SMALL, make(tmp_path)):
        for section, keys in blocks.items():
            raw[section] |= keys
    params.write_text(yaml.safe_dump(raw))

    from stages import evaluate, fetch_real, generate, infer, inputs, plots, train

    for stage in (inputs, generate, fetch_real, train, evaluate, infer, plots):
        stage.main(Namespace(params=str(params), workers=1, part="", work_only=False, only=None, stale=False))
    made, judged, inferred = (
        json.loads((tmp_path / "metrics" / f"{name}.json").read_text()) for name in ("generate", "evaluate", "infer")
    )
    assert made["maps"] == judged["n_maps"] * 8
    assert judged["n_cosmologies"] == 15
    assert judged["omega_m"]["rmse"] < 0.75 * judged["omega_m"]["prior_rmse"]  # its mark on the maps is strong
    other = {survey: "S8", periodic: "A_SN1"}[make]
    assert judged[other]["rmse"] > 0.5 * judged[other]["prior_rmse"]  # has none
    assert inferred["omega_m"]["truth"] == pytest.approx(inferred["omega_m"]["mean"], abs=0.2)
    stored = json.loads((tmp_path / "outputs" / "simulations" / "simulation.json").read_text())
    assert {"maps.npy", raw["files"]["parameters"]} <= set(stored["files"])
    for name in ("example_maps", "spectrum", "posterior"):
        assert (tmp_path / "plots" / f"{name}.png").stat().st_size > 1000
    words = (tmp_path / "outputs" / "inference.md").read_text()
    assert words.count(f"**{other} = ") == 1

    # the model needs none of the files
    for name in ("maps.npy", "mask.npy", raw["files"]["parameters"]):
        (tmp_path / name).unlink(missing_ok=True)
    from cosmokeras.inference.estimator import Estimator

    est = Estimator.load(tmp_path / "outputs" / "model")
    assert est.parameters == ("omega_m", other)
    assert np.isfinite(est.mean(np.random.default_rng(1).standard_normal((2, 32, 32, 1)))).all()
