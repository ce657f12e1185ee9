"""The invented footprint of mock skies."""

from __future__ import annotations

import healpy as hp
import numpy as np
import pytest

from cosmokeras.surveys.footprint import HOLE_FRACTION, des_like_footprint


def test_the_footprint_has_the_area_of_des_and_three_percent_of_holes() -> None:
    nside = 512
    whole = des_like_footprint(nside, np.random.default_rng(1), hole_fraction=0.0)
    holed = des_like_footprint(nside, np.random.default_rng(1))
    area = np.degrees(np.degrees(hp.nside2pixarea(nside))) * np.count_nonzero(whole)
    assert 4000 < area < 5000
    assert not (holed & ~whole).any()
    assert 1 - holed.sum() / whole.sum() == pytest.approx(HOLE_FRACTION, abs=0.004)
    ra, dec = hp.pix2ang(nside, np.flatnonzero(whole), lonlat=True)
    assert -67 < dec.min() < dec.max() < 8
    assert ((ra < 101) | (ra > 299)).all()
