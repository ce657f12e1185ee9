"""Surveys whose sources the shells of matter do not resolve are refused before maps are made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from cosmokeras.common.errors import UserError
from cosmokeras.params.config import Config
from cosmokeras.project import load_params
from cosmokeras.simulators import lensing
from cosmokeras.theory import limber

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FIXED = {"lensing.survey": "case", "lensing.mask": "none"}
Make = Callable[..., Config]


@pytest.fixture
def case(tmp_path: Path) -> Make:
    """`case(mean, sigma, overrides)`: a survey of one Gaussian bin."""
    (tmp_path / "data" / "surveys").mkdir(parents=True)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())

    def make(mean: float, sigma: float, overrides: dict | None = None) -> Config:
        term = {"kind": "gaussian", "weight": 1.0, "mean": mean, "sigma": sigma}
        preset = {"name": "case", "title": "-", "citation": "-", "pixel_arcmin": 5.0, "made_from": "flat"}
        preset["bins"] = [{"n_eff": 1.0, "sigma_e": 0.3, "n_z": [term]}]
        (tmp_path / "data" / "surveys" / "case.yaml").write_text(yaml.safe_dump(preset))
        return load_params(tmp_path / "params.yaml", FIXED | (overrides or {}))

    return make


@pytest.mark.parametrize(
    ("mean", "sigma", "overrides", "said"),
    [
        (0.1, 0.02, {}, "sources of bin 1 of case at omega_m 0.5 are 289 Mpc/h away; at most 57 is allowed"),
        (0.22, 0.02, {"prior.delta_z": (-0.1, 0.1)}, "sources of bin 1 of case"),
        (1.0, 0.0005, {"prior.a_ia": 1.0}, "n.z. of bin 1 of case at omega_m 0.5 is 2.5 Mpc/h wide"),
        (1.0, 0.01, {"prior.a_ia": (0.0, 1.0)}, "with alignments .prior.a_ia. at most 25 is allowed"),
    ],
)
def test_shells_that_are_too_thick_are_refused(
    case: Make, mean: float, sigma: float, overrides: dict, said: str
) -> None:
    with pytest.raises(UserError, match=rf"^lensing.shell_mpc_h=100: .*{said}"):
        lensing.prepare(case(mean, sigma, overrides))


def test_the_thickness_that_is_named_is_accepted(case: Make) -> None:
    lensing.prepare(case(0.1, 0.02, {"lensing.shell_mpc_h": 57.0}))
    lensing.prepare(case(1.0, 0.01, {"lensing.shell_mpc_h": 25.0, "prior.a_ia": (0.0, 1.0)}))


def test_a_narrow_bin_without_alignments_has_the_theory_of_a_wide_one(case: Make) -> None:
    ell = np.array([100.0, 1000.0])
    want = limber.angular_cl(case(1.0, 0.003), [[0.3]], ell)
    for mean, sigma in ((1.0, 0.0005), (1.0007, 0.0002)):
        cfg = case(mean, sigma)
        lensing.prepare(cfg)
        assert limber.angular_cl(cfg, [[0.3]], ell) == pytest.approx(want, rel=2e-3)


@pytest.mark.parametrize(("mean", "sigma"), [(1.0, 0.0005), (1.0007, 0.0005), (0.5, 0.003), (2.0, 0.01), (0.08, 0.01)])
def test_alignments_in_a_narrow_bin_are_integrated(
    case: Make, mean: float, sigma: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against 50 times as many steps."""
    cfg, ell = case(mean, sigma, {"prior.a_ia": 1.0}), np.array([100.0, 1000.0])
    mine = limber.angular_cl(cfg, [[0.3]], ell)
    monkeypatch.setattr(limber, "NODES", 20000)
    assert mine == pytest.approx(limber.angular_cl(cfg, [[0.3]], ell), rel=1e-3)


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("cosmos", "lsst_y1")]  # theory tables of their own


@pytest.mark.parametrize("name", ["des_y1", "des_y3", "hsc_y3", "hsc_y3_fair", "kids_1000", *SLOW])
def test_presets_are_resolved_with_alignments_and_shifts(config: Make, name: str) -> None:
    more = {"lensing.survey": name, "lensing.mask": "none", "prior.a_ia": (-2, 2), "prior.delta_z": (-0.03, 0.03)}
    lensing.prepare(config(more | {"real.source": "mock"}))


@pytest.mark.parametrize("shift", [(-0.3, 0.3), -0.3, (-0.01, 0.3)])
def test_shifts_that_take_n_z_out_of_its_range_are_refused(case: Make, shift: object) -> None:
    with pytest.raises(UserError, match=r"prior.delta_z=.* takes \d+% of n.z. of bin 1 of case out of 0 < z < 3"):
        case(0.15 if shift != (-0.01, 0.3) else 2.9, 0.03, {"prior.delta_z": shift})
