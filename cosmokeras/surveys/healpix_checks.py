"""HEALPix maps of a survey, and whether they can be what they are taken for: grid, marks of missing data, noise, rms.

Each problem ends in one line that names the maps, what is wrong with them and what to do.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cosmokeras.common.errors import UserError
from cosmokeras.params.survey import Survey
from cosmokeras.readers import missing as missing_data
from cosmokeras.sky.patches import UNSEEN_LIMIT
from cosmokeras.sky.pixels import ARCMIN, healpix_side
from cosmokeras.surveys.healpix_files import nside_of

FACTOR = 3.0  # rms of a bin may be this far off what is expected; harmonics up to l = 2 nside keep 0.58 of the noise
SIGNAL = 0.02  # rms of the convergence itself in pixels of arcmins, at most about this for sources at z = 1
NOISELESS = 0.2  # a piece of sky with less than this part of the expected noise holds no data
NOTHING = 1e-3  # maps with less than this part of the expected noise are empty inside the mask
BAND_LIMITED = 0.95  # maps whose rms is below this part of the expected noise are remarked upon
CELL = 16  # NSIDE of the pieces of sky that are looked at for that
LEAST = 16  # observed pixels that a piece must have
PIECE = 8  # pixels along the side of the squares in which filled holes are looked for


def healpix_nside(survey: Survey) -> int:
    """NSIDE that the survey's maps have; an error where its maps are not HEALPix."""
    if survey.made_from != "healpix" or survey.nside is None:
        raise UserError(
            f"lensing.survey={survey.name}: its simulations are not made for HEALPix maps (made_from: "
            f"{survey.made_from}); copy the preset to a new name with `made_from: healpix` and the maps' `nside`"
        )
    return survey.nside


def check_grid(maps: np.ndarray, names: Sequence[str], mask: np.ndarray, mask_name: str, survey: Survey) -> None:
    """Maps (bins, npix) and mask (npix,) must be of the NSIDE that was simulated, and finite where observed."""
    want, got = healpix_nside(survey), nside_of(maps[0])
    if got != want:
        raise UserError(
            f"{names[0]}: NSIDE {got}, but maps of lensing.survey={survey.name} are simulated for NSIDE {want}; give "
            f"maps of NSIDE {want}, or copy the preset to a new name with `nside: {got}` and a pixel_arcmin not "
            f"below {healpix_side(got) / ARCMIN:.1f}"
        )
    if mask.size != maps.shape[1]:
        raise UserError(
            f"{mask_name}: the mask has NSIDE {nside_of(mask)}, the maps have NSIDE {got}; bring it to NSIDE {got} "
            f"by healpy.ud_grade(1.0 * (mask == 1), {got}) > 0.999, 1 where all of a pixel is observed"
        )
    for one, name in zip(maps, names, strict=True):
        bad = missing(one) & mask
        if bad.any():
            raise UserError(
                f"{name}: NaN, UNSEEN or another mark of missing data in {np.count_nonzero(bad)} of "
                f"{np.count_nonzero(mask)} pixels of the mask {mask_name}; set the mask to 0 there"
            )


def missing(one: np.ndarray) -> np.ndarray:
    """Pixels that hold no number: NaN, infinite, or marks such as -1.6e30."""
    return ~(np.abs(one) < UNSEEN_LIMIT)  # a comparison with NaN is False


def check_marks(maps: np.ndarray, names: Sequence[str], mask: np.ndarray, mask_name: str, noise: np.ndarray) -> None:
    """Refuse maps (bins, npix) with values among the pixels of the mask (npix,) that no observation has.

    `noise` (bins,) is that of a pixel; where there is hardly any, holes were filled or lie beyond the footprint.
    """
    advice = f"remove them from the mask {mask_name}, or set real.missing={{value}} if that marks pixels without data"
    for one, name in zip(maps, names, strict=True):
        missing_data.must_be_marked(one[None, mask, None], np.ones((1, int(mask.sum())), bool), name, advice)
    missing_data.must_differ(
        maps[:, mask].T[None], np.ones((1, int(mask.sum())), bool), ", ".join(dict.fromkeys(names))
    )
    for one, name, sigma in zip(maps, names, noise, strict=True):
        if noiseless := _noiseless_pixels(one, mask, float(sigma)):
            raise UserError(
                f"{name}: {noiseless} of {np.count_nonzero(mask)} observed pixels have hardly any noise; "
                f"the mask {mask_name} extends beyond the footprint, or holes were filled: remove them from it"
            )


def _noiseless_pixels(one: np.ndarray, mask: np.ndarray, sigma: float) -> int:
    """Observed pixels in squares of PIECE^2 pixels that have hardly any noise; see `missing.noiseless_pixels`."""
    import healpy

    nside = nside_of(mask)
    if nside < PIECE or nside & (nside - 1):
        return 0
    seen = np.flatnonzero(mask)
    piece = healpy.ring2nest(nside, seen) // PIECE**2  # nested numbers count square by square
    hits = np.bincount(piece)
    values = one[seen].astype(np.float64)
    first, second = (np.bincount(piece, x) / np.maximum(hits, 1) for x in (values, values**2))
    scatter = np.sqrt(np.maximum(second - first**2, 0))
    return int(hits[missing_data.lacks_noise(scatter, hits >= PIECE**2 // 2, sigma)].sum())


def check_values(maps: np.ndarray, names: Sequence[str], mask: np.ndarray, mask_name: str, survey: Survey) -> list[str]:
    """Convergence of this survey? Its rms is known beforehand: mostly shape noise.

    Returns
    -------
    warnings : what looks odd but may be right
    """
    nside = nside_of(mask)
    noise = survey.kappa_noise(nside)
    for one, name, sigma in zip(maps, names, noise, strict=True):
        noiseless, rms = noiseless_fraction(one, mask, float(sigma)), float(one[mask].std(dtype=np.float64))
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
                f"{survey.name} at NSIDE {nside} (allowed {low:.2g} to {high:.2g}); {advice}"
            )
    measured = np.array([one[mask].std(dtype=np.float64) for one in maps])
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


def noiseless_fraction(one: np.ndarray, mask: np.ndarray, sigma: float) -> float:
    """Fraction of the observed sky, in pieces, in which the rms is under NOISELESS times the noise `sigma` of a pixel.

    Where even the noisiest pieces have less than `sigma`, theirs counts: a map smoothed all over has no noiseless part.
    """
    import healpy

    nside = nside_of(mask)
    cell = min(CELL, max(nside // 4, 1))
    seen = np.flatnonzero(mask)
    cells = healpy.vec2pix(cell, *healpy.pix2vec(nside, seen))
    hits = np.bincount(cells, minlength=12 * cell**2)
    square = np.bincount(cells, one[seen].astype(np.float64) ** 2, 12 * cell**2)
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
