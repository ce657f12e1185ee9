"""Fields on one flat grid: several bins share its centre, and calibration is that of the sphere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from cosmokeras.params.catalogue import Catalogue
from cosmokeras.sky import shear_catalogue
from cosmokeras.surveys.catalogue import flat_field as flat
from cosmokeras.surveys.catalogue.galaxies import read

SIZE, PIXEL, N = 24, 2.0, 20_000
M, C = (0.1, -0.05), ((0.01, 0.0), (0.0, -0.02))


@pytest.fixture(scope="module")
def table() -> Table:
    """Galaxies of 40 by 40 arcmin; those of bin 2 lie east of the others."""
    rng = np.random.default_rng(4)
    number = rng.integers(0, 2, N)
    x = rng.uniform(-20, 20, N) + 2.0 * number
    return Table({
        "ra": 150 + x / 60, "dec": rng.uniform(-20, 20, N) / 60, "e1": rng.normal(0, 0.2, N),
        "e2": rng.normal(0, 0.2, N),
        "w": rng.uniform(0.5, 1.5, N), "bin": number, "p1": rng.normal(0, 0.05, N), "p2": rng.normal(0, 0.05, N),
    })  # fmt: skip


@pytest.fixture(scope="module")
def field(table: Table, tmp_path_factory: pytest.TempPathFactory) -> flat.FlatField:
    path: Path = tmp_path_factory.mktemp("flat") / "shear.fits"
    table.write(path)
    names = {"ra": "ra", "dec": "dec", "e1": "e1", "e2": "e2", "weight": "w", "psf_e1": "p1", "psf_e2": "p2"}
    layout = Catalogue.model_validate({
        "columns": names, "signs": (1, -1), "bins": {"column": "bin", "values": (0, 1)}, "psf_leakage": (0.1, 0.2),
        "calibration": {"method": "lensfit", "m": M, "c": C},
    })  # fmt: skip
    return flat.flat_field(layout, read(layout, [path], rows=3000))


def test_galaxies_are_calibrated_by_the_numbers_of_their_bins(field: flat.FlatField, table: Table) -> None:
    for i, alpha in enumerate((0.1, 0.2)):
        here = np.asarray(table["bin"]) == i
        one = field.of_bin(i)
        # signs (1, -1): x of the catalogue is to the west, as here; c are of x to the east
        for name, psf, c in (("e1", "p1", C[i][0]), ("e2", "p2", -C[i][1])):
            expected = (np.asarray(table[name])[here] - c - alpha * np.asarray(table[psf])[here]) / (1 + M[i])
            np.testing.assert_allclose(getattr(one, name), expected, rtol=1e-12, atol=1e-15)


def test_bins_share_a_grid(field: flat.FlatField) -> None:
    pixel, inside = shear_catalogue.pixel_index(field.galaxies, SIZE, PIXEL)
    for i, maps in enumerate(field.maps(SIZE, PIXEL)):
        here = field.bin[inside] == i
        np.testing.assert_array_equal(maps.counts.ravel(), np.bincount(pixel[here], minlength=SIZE**2))
        weight = np.bincount(pixel[here], field.galaxies.weight[inside][here], SIZE**2)
        mean = np.bincount(pixel[here], (field.galaxies.weight * field.galaxies.e1)[inside][here], SIZE**2)
        np.testing.assert_allclose(maps.g1.ravel() * weight, mean, atol=1e-12)
    used = flat.footprint(field.maps(SIZE, PIXEL))
    assert used.shape == (SIZE, SIZE) and 0.5 < used.mean() < 0.9


def test_noise_is_that_of_galaxies_turned(field: flat.FlatField) -> None:
    """Mean over pixels and 30 rotations: 1 % of standard deviation."""
    noise = field.noise(SIZE, PIXEL)
    rng = np.random.default_rng(0)
    for i in (0, 1):
        counts = field.maps(SIZE, PIXEL)[i].counts
        square = np.zeros((SIZE, SIZE))
        for _ in range(30):
            turned = shear_catalogue.rotated_noise(field.galaxies, rng)
            maps = flat.FlatField(turned, field.bin, field.moments, field.calibration).maps(SIZE, PIXEL)[i]
            square += (maps.g1**2 + maps.g2**2) / 60
        seen = counts > 5
        assert np.mean(square[seen] / noise[i][seen] ** 2) == pytest.approx(1, abs=0.03)
    assert np.isinf(noise).any() or (noise > 0).all()
