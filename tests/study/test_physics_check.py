"""The physics check in tiny numbers: every picture is there, figures meet their bars, and broken physics is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from matplotlib.image import imread

from cosmokeras.simulators import grf, lensing, lpt
from study import perturbation, physics_check

pytestmark = pytest.mark.slow
PICTURES = {
    "maps_grf", "maps_2lpt", "maps_lensing", "power_grf", "power_2lpt", "skewness_2lpt", "transfer", "spectra_lensing",
    "skewness_kappa", "nuisances", "one_point",
}  # fmt: skip


def run(folder: Path, *parts: str) -> tuple[int, dict]:
    """Exit status and figures."""
    metrics = folder / "metrics" / "physics.json"
    status = physics_check.main(["--quick", *parts, "--out", str(folder / "plots"), "--metrics", str(metrics)])
    return status, json.loads(metrics.read_text())


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, dict]:
    """A run of all parts: its folder, exit status and figures."""
    folder = tmp_path_factory.mktemp("physics")
    return folder, *run(folder)


def test_every_picture_is_there_and_readable(done: tuple[Path, int, dict]) -> None:
    found = {path.stem for path in (done[0] / "plots").iterdir()}
    assert found - {"power_quijote"} == PICTURES
    assert ("power_quijote" in found) == (perturbation.quijote_spectrum(0) is not None)
    for path in (done[0] / "plots").iterdir():
        image = imread(path)
        assert 1000 <= image.shape[1] <= 1200, path.name
        assert len(np.unique(image[..., 0])) > 20, path.name


def test_figures_are_within_their_bars(done: tuple[Path, int, dict]) -> None:
    _, status, result = done
    assert status == 0
    assert set(physics_check.PARTS) - set(result) <= {"maps", "quijote"}  # no figures, no data
    held = 0
    for part, figures in result.items():
        assert figures["missed"] == [], part
        for name, bar in figures["bars"].items():
            low, high = map(float, bar.split(" to "))
            assert low <= figures[name] <= high, f"{part}.{name}"
            held += 1
    assert held > 30


def test_a_part_draws_the_same_bytes_again(done: tuple[Path, int, dict], tmp_path: Path) -> None:
    """Alone as with the others, and leaves the figures of others where they were."""
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "physics.json").write_text(json.dumps({"lensing": {"kept": 1}, "grf": {"old": 1}}))
    _, result = run(tmp_path, "grf")
    assert result["lensing"] == {"kept": 1}
    assert result["grf"] == done[2]["grf"]
    assert [path.name for path in (tmp_path / "plots").iterdir()] == ["power_grf.png"]
    assert (tmp_path / "plots" / "power_grf.png").read_bytes() == (done[0] / "plots" / "power_grf.png").read_bytes()


def stronger(function: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """A simulator with 1.2 times the power."""
    return lambda *args, **kwargs: np.sqrt(np.float32(1.2)) * function(*args, **kwargs)


@pytest.mark.parametrize(
    ("part", "module", "name", "missed"),
    [
        ("grf", grf, "maps", {"power_ratio", "power_worst_sigma"}),
        ("2lpt", lpt, "density", {"power_ratio_sigma8_0.25"}),
        ("2lpt", lpt, "maps", {"map_power_ratio_sigma8_0.25"}),
        ("lensing", lensing, "maps", {"c_ell_maps_ratio_plain", "c_ell_maps_ratio_a_ia_1"}),
    ],
)
def test_too_much_power_is_told(
    part: str, module: ModuleType, name: str, missed: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, stronger(getattr(module, name)))
    status, result = run(tmp_path, part)
    assert status == 1
    assert missed <= set(result[part]["missed"])


def test_wrong_skewness_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of Zel'dovich's approximation in place of the second order; of thin shells without the third-moment shift."""
    density = lpt.density
    monkeypatch.setattr(lpt, "density", lambda delta, box, order=2: density(delta, box, order=1))
    monkeypatch.setattr(lensing, "third_moment_shift", lambda variance, thickness: np.ones_like(variance))
    status, result = run(tmp_path, "skewness", "shells")
    assert status == 1
    assert {"s3_ratio_order2_r25", "s3_ratio_order2_r35"} <= set(result["skewness"]["missed"])
    assert not {"s3_ratio_order1_r25", "s3_ratio_order1_r35"} & set(result["skewness"]["missed"])
    assert "thickness_worst" in result["shells"]["missed"]


def test_a_forgotten_nuisance_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Maps without alignments where CCL has them."""
    kernel = lensing.limber.kernel
    monkeypatch.setattr(lensing.limber, "kernel", lambda s, b, chi, values: kernel(s, b, chi, values | {"a_ia": 0.0}))
    status, result = run(tmp_path, "nuisances")
    assert status == 1
    assert result["nuisances"]["missed"] == ["a_ia_worst"]


def test_without_simulations_of_others_the_comparison_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(perturbation, "REAL", tmp_path / "nothing")
    status, result = run(tmp_path, "quijote")
    assert (status, result) == (0, {})
    assert "set COSMOKERAS_REAL_DATA" in capsys.readouterr().out


def test_an_unknown_part_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(tmp_path, "gfr")
    assert "no part named gfr; there are maps, grf" in capsys.readouterr().err
