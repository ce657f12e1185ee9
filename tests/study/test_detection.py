"""The phase-2 score of the misspecification test: its parts on maps whose scores are known, and a quick run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cosmokeras.evaluation.challenge import FALSE_POSITIVE_RATES, phase2_score
from study import detection
from study.detection import SpectraChi2, summary

pytestmark = pytest.mark.slow

BOUNDS = np.array([[0.1, 0.5]])
SLOPE = np.array([3.0, 2.0, 1.0, 0.0, 0.0, 0.0])  # of mean features, of which the parameter knows the direction
NODES = np.linspace(0.1, 0.5, 200)[:, None]


def features(n: int, seed: int, shift: np.ndarray | float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, 8) the first six of them spectra of unit scatter, and the parameter (n, 1) of maps."""
    rng = np.random.default_rng(seed)
    theta = rng.uniform(0.15, 0.45, (n, 1))
    values = 10 * theta * SLOPE + shift + rng.standard_normal((n, 6))
    return np.hstack([values, 1e3 * rng.standard_normal((n, 2))]), theta


@pytest.fixture(scope="module")
def spectra() -> SpectraChi2:
    return SpectraChi2.fit(*features(5000, 0), BOUNDS, 6, NODES)


def test_chi2_of_ordinary_maps_has_as_many_degrees_as_it_should(spectra: SpectraChi2) -> None:
    found = spectra(features(4000, 1)[0])
    assert found.mean() == pytest.approx(5, abs=0.15)  # six spectra, one parameter fitted
    assert found.var() == pytest.approx(10, rel=0.1)


def test_chi2_sees_what_no_parameter_explains_and_nothing_else(spectra: SpectraChi2) -> None:
    ordinary = spectra(features(4000, 1)[0])
    across = spectra(features(4000, 2, np.array([0, 0, 0, 3.0, 0, 0]))[0])
    along = spectra(features(4000, 3, 0.3 * SLOPE)[0])
    assert across.mean() == pytest.approx(5 + 9, abs=0.6)
    assert along.mean() == pytest.approx(ordinary.mean(), abs=0.2)


def test_a_reference_that_holds_the_odd_maps_does_not_find_them(spectra: SpectraChi2) -> None:
    shift = np.array([0, 0, 0, 4.0, 0, 0])
    ordinary, odd = features(4000, 1)[0], features(1000, 2, shift)[0]
    (clean, theta), (dirty, same) = features(2500, 0), features(2500, 4, shift)
    broken = SpectraChi2.fit(np.vstack([clean, dirty]), np.vstack([theta, same]), BOUNDS, 6, NODES)
    assert phase2_score(spectra(ordinary), spectra(odd)) > 0.3
    assert phase2_score(broken(ordinary), broken(odd)) < 0.05


def scores(n: int, seed: int, shift: float = 0.0) -> dict[str, np.ndarray]:
    return {"one": shift + np.random.default_rng(seed).standard_normal(n)}


def test_a_summary_has_scores_and_their_errors() -> None:
    ordinary = scores(4000, 0)
    assert summary(ordinary, {"one": ordinary["one"] + 50}, 4) == {"one": 1.0, "one_std": 0.0}
    blind = summary(ordinary, scores(1000, 1), 4)
    assert blind["one"] == pytest.approx(FALSE_POSITIVE_RATES.mean(), abs=4 * blind["one_std"])
    seen = summary(ordinary, scores(1000, 2, 2.0), 4)
    many = [summary(scores(4000, 10 + i), scores(1000, 50 + i, 2.0), 4)["one"] for i in range(15)]
    assert seen["one_std"] == pytest.approx(np.std(many), rel=0.6)


def test_maps_of_one_cosmology_are_drawn_together() -> None:
    rng = np.random.default_rng(3)
    ordinary = {"one": np.repeat(rng.standard_normal(200), 20)}
    other = {"one": np.repeat(1.5 + rng.standard_normal(50), 20)}
    assert summary(ordinary, other, 20)["one_std"] > 1.5 * summary(ordinary, other, 1)["one_std"]


def test_lensing_networks_are_shown_all_changes_of_lensing() -> None:
    shown = {name: set(detection.tests(name, detection.domain_gap.QUICK)) for name in detection.domain_gap.NETWORKS}
    changes = {"gaussian", "aligned", "noisier", "unmasked", "periodic", "third_moment", "nbody"}
    assert shown["lensing"] == changes
    assert shown["lensing_one_bin"] == changes | {"2lpt", "grf"}
    assert shown["2lpt"] == {"zeldovich", "lensing", "grf"}


def test_the_command_scores_a_network_and_keeps_others(tmp_path: Path) -> None:
    path = tmp_path / "detection.json"
    path.write_text(json.dumps({"lensing": {"kept": 1}}))
    assert detection.main(["--quick", "grf", "--metrics", str(path)]) == 0
    table = json.loads(path.read_text())
    assert list(table) == ["lensing", "grf"]
    assert table["lensing"] == {"kept": 1}
    found = table["grf"]
    assert found.pop("maps") == {"ordinary": 32, "other": 16}
    assert list(found) == ["home", "lensing", "2lpt", "together"]
    names = {f"{name}{end}" for name in ("p_value", "tests", "distance", "spectra") for end in ("", "_std")}
    assert all(set(cell) == names for cell in found.values())
    assert all(0 <= value <= 1 for cell in found.values() for value in cell.values())
    # maps of other kinds have spectra that no Omega_m of a Gaussian field gives
    assert found["together"]["spectra"] > 5 * FALSE_POSITIVE_RATES.mean()
