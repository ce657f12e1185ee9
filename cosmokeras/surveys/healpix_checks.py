"""HEALPix maps of a survey, and whether they can be what they are taken for: grid, marks of missing data, noise, rms.

Each problem ends in one line that names the maps, what is wrong with them and what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from cosmokeras.common.errors import UserError
from cosmokeras.params.survey import Survey
from cosmokeras.readers import missing as missing_data
from cosmokeras.sky.patches import UNSEEN_LIMIT
from cosmokeras.sky.pixels import ARCMIN, healpix_side
from cosmokeras.sky.sky_maps import SkyMaps

FACTOR = 3.0  # rms of a bin may be this far off what is expected; harmonics up to l = 2 nside keep 0.58 of the noise
SIGNAL = 0.02  # rms of the convergence itself in pixels of arcmins, at most about this for sources at z = 1
NOISELESS = 0.2  # a piece of sky with less than this part of the expected noise holds no data
NOTHING = 1e-3  # maps with less than this part of the expected noise are empty inside the mask
BAND_LIMITED = 0.95  # maps whose rms is below this part of the expected noise are remarked upon
CELL = 16  # NSIDE of the pieces of sky that are looked at for that
LEAST = 16  # observed pixels that a piece must have
BLOCK = 2**20  # pixels that are sorted into pieces at a time: positions of all of them would be three maps more
PIECE = 8  # pixels along the side of the squares in which filled holes are looked for


def healpix_nside(survey: Survey) -> int:
    """NSIDE that the survey's maps have; an error where its maps are not HEALPix."""
    if survey.made_from != "healpix" or survey.nside is None:
        raise UserError(
            f"lensing.survey={survey.name}: its simulations are not made for HEALPix maps (made_from: "
            f"{survey.made_from}); copy the preset to a new name with `made_from: healpix` and the maps' `nside`"
        )
    return survey.nside


def check_grid(nside: int, name: str, mask: np.ndarray, mask_name: str, survey: Survey) -> None:
    """Maps of `nside`, the first called `name`, and their mask (npix,) must be of the NSIDE that was simulated."""
    want = healpix_nside(survey)
    if nside != want:
        raise UserError(
            f"{name}: NSIDE {nside}, but maps of lensing.survey={survey.name} are simulated for NSIDE {want}; give "
            f"maps of NSIDE {want}, or copy the preset to a new name with `nside: {nside}` and a pixel_arcmin not "
            f"below {healpix_side(nside) / ARCMIN:.1f}"
        )
    if nside_of(mask) != nside:
        raise UserError(
            f"{mask_name}: the mask has NSIDE {nside_of(mask)}, the maps have NSIDE {nside}; bring it to NSIDE {nside} "
            f"by healpy.ud_grade(1.0 * (mask == 1), {nside}) > 0.999, 1 where all of a pixel is observed"
        )


def nside_of(one: np.ndarray) -> int:
    """NSIDE of a map (npix,)."""
    import healpy

    return int(healpy.npix2nside(one.size))


def check_finite(sky: SkyMaps, names: Sequence[str], mask_name: str) -> None:
    """Maps must hold a number wherever the mask says that the sky was observed."""
    for one, name in zip(sky.values, names, strict=True):
        bad = missing(one)
        if bad.any():
            raise UserError(
                f"{name}: NaN, UNSEEN or another mark of missing data in {np.count_nonzero(bad)} of "
                f"{bad.size} pixels of the mask {mask_name}; set the mask to 0 there"
            )


def missing(one: np.ndarray) -> np.ndarray:
    """Pixels that hold no number: NaN, infinite, or marks such as -1.6e30."""
    return ~(np.abs(one) < UNSEEN_LIMIT)  # a comparison with NaN is False


def check_marks(sky: SkyMaps, names: Sequence[str], mask_name: str, noise: np.ndarray) -> None:
    """Refuse maps with values among the pixels of the mask that no observation has.

    `noise` (bins,) is that of a pixel; where there is hardly any, holes were filled or lie beyond the footprint.
    """
    advice = f"remove them from the mask {mask_name}, or set real.missing={{value}} if that marks pixels without data"
    observed = np.ones((1, len(sky.pixels)), bool)
    for one, name in zip(sky.values, names, strict=True):
        missing_data.must_be_marked(one[None, :, None], observed, name, advice)
    missing_data.must_differ(sky.values.T[None], observed, ", ".join(dict.fromkeys(names)))
    for one, name, sigma in zip(sky.values, names, noise, strict=True):
        if noiseless := _noiseless_pixels(sky, one, float(sigma)):
            raise UserError(
                f"{name}: {noiseless} of {len(sky.pixels)} observed pixels have hardly any noise; "
                f"the mask {mask_name} extends beyond the footprint, or holes were filled: remove them from it"
            )


def _noiseless_pixels(sky: SkyMaps, one: np.ndarray, sigma: float) -> int:
    """Observed pixels in squares of PIECE^2 pixels that have hardly any noise; see `missing.noiseless_pixels`."""
    import healpy

    if sky.nside < PIECE or sky.nside & (sky.nside - 1):
        return 0

    def squares(pixels: np.ndarray) -> np.ndarray:
        return healpy.ring2nest(sky.nside, pixels) // PIECE**2  # nested numbers count square by square

    hits, first, second = _sums(sky, one, squares, 12 * (sky.nside // PIECE) ** 2)
    count = np.maximum(hits, 1)
    scatter = np.sqrt(np.maximum(second / count - (first / count) ** 2, 0))
    return int(hits[missing_data.lacks_noise(scatter, hits >= PIECE**2 // 2, sigma)].sum())


def _sums(
    sky: SkyMaps, one: np.ndarray, piece_of: Callable[[np.ndarray], np.ndarray], pieces: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels in each piece of the sky, (pieces,), and the sums of their values (m,) and of the squares of these."""
    hits, first, second = np.zeros(pieces, np.int64), np.zeros(pieces), np.zeros(pieces)
    for start in range(0, len(one), BLOCK):
        piece = piece_of(sky.pixels[start : start + BLOCK])
        values = one[start : start + BLOCK].astype(np.float64)
        hits += np.bincount(piece, minlength=pieces)
        first += np.bincount(piece, values, pieces)
        second += np.bincount(piece, values**2, pieces)
    return hits, first, second


def check_values(sky: SkyMaps, names: Sequence[str], mask_name: str, survey: Survey) -> list[str]:
    """Convergence of this survey? Its rms is known beforehand: mostly shape noise.

    Returns
    -------
    warnings : what looks odd but may be right
    """
    noise = survey.kappa_noise(sky.nside)
    measured = np.array([one.std(dtype=np.float64) for one in sky.values])
    for one, name, sigma, rms in zip(sky.values, names, noise, measured, strict=True):
        noiseless = noiseless_fraction(sky, one, float(sigma))
        if noiseless > 0.05:
            raise UserError(
                f"{mask_name}: {noiseless:.0%} of the area that the mask calls observed has hardly any noise in {name}"
                "; the mask is inverted or extends beyond the footprint (give that of these maps), or they are smoothed"
            )
        low, high = sigma / FACTOR, FACTOR * np.hypot(sigma, SIGNAL)
        if not low <= rms <= high:
            advice = (
                "give convergence of this survey: not percent, not ellipticities, not sums over galaxies"
                if rms > high
                else "give the plain Kaiser-Squires convergence, noise included: not smoothed, filtered or rescaled"
            )
            raise UserError(
                f"{name}: rms {rms:.3g} inside the mask, but {sigma:.3g} of shape noise is expected of lensing.survey="
                f"{survey.name} at NSIDE {sky.nside} (allowed {low:.2g} to {high:.2g}); {advice}"
            )
    odd = [bins_out_of_order(measured, noise), _less_noise(measured / noise)]
    return [one for one in odd if one is not None]


def _less_noise(ratio: np.ndarray) -> str | None:
    """A warning where most maps, signal included, have less power than the noise that is simulated for them."""
    if np.median(ratio) >= BAND_LIMITED:
        return None
    listed = ", ".join(f"{one:.2f}" for one in ratio)
    return (
        f"rms over the noise that simulated maps have in a pixel, per bin: {listed}; if these maps were made with "
        "another lmax than the preset says (null: white noise), copy it to a new name and change its `lmax`"
    )


def noiseless_fraction(sky: SkyMaps, one: np.ndarray, sigma: float) -> float:
    """Fraction of the observed sky, in pieces, in which the rms is under NOISELESS times the noise `sigma` of a pixel.

    Where even the noisiest pieces have less than `sigma`, theirs counts: a map smoothed all over has no noiseless part.
    `one` (m,) is a map of the sky.
    """
    import healpy

    cell = min(CELL, max(sky.nside // 4, 1))

    def cells(pixels: np.ndarray) -> np.ndarray:
        return healpy.vec2pix(cell, *healpy.pix2vec(sky.nside, pixels))

    hits, _, square = _sums(sky, one, cells, 12 * cell**2)
    good = hits >= LEAST
    if not good.any():
        good = hits > 0
    hits, rms = hits[good], np.sqrt(square[good] / hits[good])
    noisiest = np.quantile(rms, 0.99)
    if noisiest < NOTHING * sigma:
        return 1.0
    return float(hits[rms < NOISELESS * min(sigma, noisiest)].sum() / hits.sum())


def bins_out_of_order(rms: np.ndarray, expected: np.ndarray) -> str | None:
    """A warning where the rms of the bins fit the expected ones much better in another order.

    A factor common to all bins says nothing about their order and is taken out. Bins that differ by less than 5 %
    cannot be told apart.
    """
    ranks = np.argsort(np.argsort(rms, kind="stable"), kind="stable")
    best = np.argsort(expected, kind="stable")[ranks]  # bin whose noise each map has

    def misfit(order: np.ndarray) -> float:
        ratio = np.log(rms / expected[order])
        return float(np.abs(ratio - np.median(ratio)).max())

    here, there = misfit(np.arange(len(rms))), misfit(best)
    moved = [i for i, j in enumerate(best) if abs(np.log(expected[i] / expected[j])) > 0.05]
    if not moved or here < 0.05 or there > here / 2:
        return None
    listed = ", ".join(f"map {i + 1} like bin {best[i] + 1}" for i in moved)
    return f"the noise of the maps fits the bins of the survey better in another order ({listed}); check their order"
