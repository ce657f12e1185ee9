"""The check of shear catalogues on a few galaxies."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.checks import catalogue, catalogue_sky
from cosmokeras.surveys.catalogue.galaxies import read


def test_the_table_is_one_and_what_it_takes_is_noted(tmp_path: Path, monkeypatch, capsys) -> None:
    for name, value in {"ROWS": 4000, "PIECE": 1000, "FINE": 8}.items():
        monkeypatch.setattr(catalogue, name, value)
    catalogue.write_table(tmp_path / "shear.fits")
    catalogue.measured(str(tmp_path / "shear.fits"))
    noted = json.loads(capsys.readouterr().out)
    assert noted["seconds"] >= 0 and noted["memory_gb"] > 0.05 and len(noted["n_eff"]) == 4
    # 4,000 galaxies in four bins on the 5,000 deg^2, in pixels of 54 deg^2
    assert sum(noted["n_eff"]) == pytest.approx(4000 / (5000 * 3600), rel=0.2)


def test_galaxies_of_the_sky_have_its_shear(tmp_path: Path) -> None:
    """Half a million in one pixel: the mean ellipticity over the mean response is the shear, x being to the west."""
    size, nside = 500_000, 16
    shear = np.repeat(np.array([[0.02], [-0.03]]), size, axis=1)
    rng = np.random.default_rng(0)
    block = catalogue_sky._block(
        np.dtype(list(catalogue_sky.NAMES.items())), np.full(size, 1200), shear, nside, 0.25, 2, rng
    )
    assert set(block["BIN"]) == {2}
    for name, response, sign, expected in (("1", "R11", 1, 0.02), ("2", "R22", -1, -0.03)):
        psf = block[f"PSF{name}"].astype(float)
        e = block[f"E{name}"] - catalogue_sky.LEAK * psf
        assert sign * e.mean() / block[response].mean() == pytest.approx(expected, abs=4 * 0.25 / np.sqrt(size))
    from astropy.io import fits

    fits.BinTableHDU(block).writeto(tmp_path / "one.fits")
    one = np.concatenate([piece.e2 for piece in read(catalogue_sky.LAYOUT, [tmp_path / "one.fits"])])
    np.testing.assert_allclose(one, -block["E2"].astype(float))
