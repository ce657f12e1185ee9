"""What the cutter does to noise: its geometry, moire pattern, partly observed pixels; against the cutter itself."""

from __future__ import annotations

import healpy
import numpy as np
import pytest

from cosmokeras.sky.patches import cut_patches, sub_points, tangent_frame, tangent_grid
from cosmokeras.sky.pixels import ARCMIN
from cosmokeras.sky.transfer import WHOLE_SKY, noise_boost, noise_covariance, noise_geometry, pointings

NSIDE, PIXEL = 1024, 5.0
AREA = (PIXEL * ARCMIN) ** 2 / healpy.nside2pixarea(NSIDE)  # of a flat pixel, in HEALPix pixels
BOXES = ((-60.0, 100.0, -65.0, -34.0), (-48.0, 60.0, -7.0, 4.0))


def test_pointings_fill_boxes_evenly() -> None:
    ra, dec = np.array(pointings(BOXES, 2000)).T
    ra = (ra + 180) % 360 - 180
    first, second = ((ra >= w) & (ra < e) & (dec > s) & (dec < n) for w, e, s, n in BOXES)
    assert (first ^ second).all()
    areas = [(e - w) * np.diff(np.sin(np.radians([s, n])))[0] for w, e, s, n in BOXES]
    assert first.mean() == pytest.approx(areas[0] / sum(areas), abs=0.002)
    assert np.median(ra[first]) == pytest.approx(20, abs=2)
    middle = np.degrees(np.arcsin(np.sin(np.radians([-65, -34])).mean()))
    assert np.median(dec[first]) == pytest.approx(middle, abs=0.3)
    assert np.mean(np.array(pointings(WHOLE_SKY, 1000))[:, 1] > 30) == pytest.approx(0.25, abs=0.005)


def test_the_geometry_is_that_of_the_cutter() -> None:
    """Noise put through it by hand is what `cut_patches` makes of the same HEALPix pixels."""
    white = np.random.default_rng(0).standard_normal(12 * 256**2)
    patches = cut_patches(white, np.ones(white.size, bool), 16, 20.0)
    one = int(np.abs(patches.dec + 50).argmin())
    ra, dec = float(patches.ra[one]), float(patches.dec[one])
    pixels, parts = noise_geometry(256, 20.0, 16, ((ra, ra + 1e-9, dec, dec + 1e-9),))
    assert pixels.shape == parts.shape == (256, 256, pixels.shape[2])
    below = np.unique(sub_points(256, tangent_grid(16 * 20.0 * ARCMIN, 64), ra, dec))
    mine = np.sum(white[below][pixels[0]] * parts[0], axis=-1).reshape(16, 16)
    np.testing.assert_allclose(mine, patches.maps[one, ..., 0], atol=1e-6)
    np.testing.assert_array_equal(parts.astype(float).sum(axis=2), 1.0)


@pytest.mark.slow
def test_the_noise_variance_has_a_moire_pattern() -> None:
    """The variance of a pixel depends on where it lies; its mean is that of the mean covariance."""
    _pixels, parts = noise_geometry(NSIDE, PIXEL, 64)
    variance = AREA * np.sum(parts.astype(float) ** 2, axis=2)
    assert variance.mean() == pytest.approx(noise_covariance(NSIDE, PIXEL)[4, 4], rel=0.005)
    assert 0.08 < variance.std() / variance.mean() < 0.12


def test_latitudes_differ() -> None:
    """Why a survey says where it lies: near the southern edge of DES neighbours in Dec are correlated more."""
    south, equator = (noise_covariance(NSIDE, PIXEL, (box,)) for box in BOXES)
    assert south[3, 4] / south[4, 3] > 1.2
    assert equator[3, 4] / equator[4, 3] < 0.9


@pytest.mark.slow
def test_a_partly_observed_pixel_has_the_noise_that_the_cutter_leaves_it() -> None:
    rng = np.random.default_rng(2)
    _ra, dec = healpy.pix2ang(NSIDE, np.arange(12 * NSIDE**2), lonlat=True)
    mask = (dec > -60) & (dec < -25)
    for centre in rng.choice(np.flatnonzero(mask), 15_000):
        hole = healpy.query_disc(NSIDE, healpy.pix2vec(NSIDE, centre), rng.uniform(2, 8) * ARCMIN)
        mask[hole] = False
    noise = rng.standard_normal((4, mask.size), dtype=np.float32)
    patches = cut_patches(noise, mask, 64, PIXEL, max_masked=0.5)
    variance = np.mean(patches.maps.astype(float) ** 2, axis=-1)
    whole = variance[patches.coverage == 1].mean()
    boost = noise_boost(NSIDE, PIXEL)
    assert boost[16] == 1.0
    for hits in range(8, 16):
        here = patches.coverage * 16 == hits
        assert here.sum() > 1000
        found = variance[here].mean() / whole
        assert boost[hits] ** 2 == pytest.approx(found, rel=0.07)
        if hits > 12:
            assert found > 1.06 * 16 / hits, "1 / coverage is too little where a small part is lost"


def test_the_tangent_frame_is_right_angled_and_points_west_and_north() -> None:
    outwards, west, north = tangent_frame(30.0, 40.0)
    np.testing.assert_allclose(outwards, healpy.ang2vec(30.0, 40.0, lonlat=True), atol=1e-12)
    np.testing.assert_allclose(
        np.stack([outwards, west, north]) @ np.stack([outwards, west, north]).T, np.eye(3), atol=1e-12
    )
    ra, dec = healpy.vec2ang(outwards + 0.01 * west, lonlat=True)
    assert ra[0] < 30.0 and dec[0] == pytest.approx(40.0, abs=0.01)
    assert healpy.vec2ang(outwards + 0.01 * north, lonlat=True)[1][0] > 40.0
