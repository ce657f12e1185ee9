"""Processing of DES Y3 on small files of the published names and format, from the server to the patches."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.checks import des_y3

pytestmark = pytest.mark.slow

pytest.importorskip("glass")
SMALL = {
    "data": {"size": 16}, "lensing": {"mask": "none"}, "model": {"spectrum_bins": 6}, "evaluate": {"spectrum_bins": 6},
    "real": {"source": "des_y3", "max_masked": 0.4},
}  # fmt: skip


@pytest.mark.slow
def test_files_are_downloaded_checked_and_cut(tmp_path: Path) -> None:
    des_y3.simulate(tmp_path / "site", nside=64, lmax=128)
    assert len(list((tmp_path / "site").iterdir())) == 9
    found = des_y3.fetch(tmp_path / "run", tmp_path / "site", SMALL, nside=64, lmax=128, pixel_arcmin=60.0)
    assert found["patches"] >= 5
    assert 0 < found["masked_fraction"] < 0.4
    assert 0.1 < found["gb"] < 8 and found["seconds"] > 0
    cached = sorted(p.name for p in (tmp_path / "run" / "cache" / "des_y3").glob("*.fits"))
    assert cached == sorted(p.name for p in (tmp_path / "site").iterdir())
    # E and B of a noisy sky are alike to a few per cent in scatter, and neither is empty
    scatter = [value for name, value in found["null_tests"].items() if "b_" in name and "std" in name]
    assert scatter and all(0.5 < value < 1.5 for value in scatter)
