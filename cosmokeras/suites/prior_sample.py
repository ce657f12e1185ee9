"""Prior that a sample of cosmologies has: is it uniform in a box, its density, weights that make it uniform.

Networks learn the distribution of the cosmologies that they are trained on as their prior, whatever box is written
beside it. Latin hypercubes and Sobol sequences are uniform and fill a box more evenly than chance does; grids about a
degeneracy and Gaussian clouds are not uniform.

Uniformity is tested by the Cramer-von Mises statistic of each parameter and by the centred L2 discrepancy of all
together (Hickernell 1998, Math. Comput. 67, 299, eq. 3.9b), a sum of such statistics over all projections. Weights are
inverse densities, by a product of Gaussian kernels reflected at the edges of the box (Silverman 1986, "Density
Estimation for Statistics and Data Analysis", section 2.10), whose widths maximise the leave-one-out likelihood (Duin
1976, IEEE Trans. Comput. C-25, 1175).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from scipy.stats import cramervonmises, qmc

from cosmokeras.common import arguments
from cosmokeras.common.errors import UserError

LEVEL = 0.01  # p-value of all tests together below which a sample is not uniform, or is more even than chance
NULL_SETS = 999  # uniform samples that the discrepancy is compared with: p-values from 0.001
# Cosmologies of a uniform sample, at most: n discrepancy^2 of larger ones has the same law to 2 %
NULL_SIZE = 256
MOST = 4096  # cosmologies of which discrepancy and density are worked out, at most, drawn at random
FIT_ROWS = 1000  # cosmologies that set the width of kernels, at most; it scales as n^(-1 / (p + 4)) from there
WIDTHS = 0.02, 2.0  # of kernels, in standard deviations of each parameter
WIDE = 0.15  # kernel, in units of the box, of which second reflections count: others end within 6 widths, 1e-9
BLOCK = 2**22  # pairs of cosmologies that are held at once
LEAST_EFFECTIVE = 30.0  # cosmologies, by Kish's formula
# Of the box, by volume: no weight fills what has no cosmologies. At 0.8 weighted means of 791 are off by up to 2.5
# times their errors, at 0.9 by up to 1.4, towards those of the sample.
LEAST_COVERED = 0.8
FEWEST = 8  # cosmologies that tests and weights are asked for


@dataclass(frozen=True)
class Uniformity:
    """Tests of n distinct cosmologies in a box: p-values that uniform samples are as uneven as this one.

    `each` (p,) by Cramer-von Mises, `joint` by the centred L2 discrepancy; `joint_even` is the p-value that uniform
    samples are as even as this one; `outside` is how many cosmologies lay outside the box and were left out.
    """

    count: int
    outside: int
    each: np.ndarray
    joint: float
    joint_even: float

    @property
    def uniform(self) -> bool:
        """No test says otherwise, at LEVEL for all together (Bonferroni)."""
        return min(float(self.each.min()), self.joint) * (len(self.each) + 1) >= LEVEL

    @property
    def even(self) -> bool:
        """Uniform, and more even than chance: a designed sample."""
        return self.uniform and self.joint_even < LEVEL


@dataclass(frozen=True)
class Weights:
    """Importance weights (n,) that make a sample uniform in its box, with mean 1; 0 outside the box.

    `effective` is the number of cosmologies by Kish 1965 ("Survey Sampling"), (sum w)^2 / sum w^2; `covered` the part
    of the box's volume that the sample covers, its mean inverse density; `width` that of kernels, in standard
    deviations.
    """

    weights: np.ndarray
    effective: float
    covered: float
    width: float


@dataclass(frozen=True)
class Density:
    """Density of a sample of cosmologies in their box `bounds` (p, 2): kernels of `widths` (p,) at `reference` (m, p).

    Reference and widths are in units of the box.
    """

    bounds: np.ndarray
    reference: np.ndarray
    widths: np.ndarray

    def log(self, theta: np.ndarray) -> np.ndarray:
        """Log density (n,) at theta (n, p) inside the box, in units of one over the box's volume."""
        low, high = self.bounds.T
        return _log_density((theta - low) / (high - low), self.reference, self.widths)


def uniformity(theta: np.ndarray, bounds: np.ndarray, seed: int = 0) -> Uniformity:
    """Test whether cosmologies theta (n, p) are uniform in a box `bounds` (p, 2); equal rows are one cosmology."""
    unit, inside, _ = _distinct(theta, bounds)
    points, rng = unit[inside], np.random.default_rng(seed)
    _must_be_some(len(points), len(unit))
    each = np.array([cramervonmises(column, "uniform").pvalue for column in points.T])
    chosen = _some(points, MOST, rng)
    found = len(chosen) * qmc.discrepancy(chosen, method="CD")
    n, p = min(len(points), NULL_SIZE), points.shape[1]
    null = n * np.array([qmc.discrepancy(rng.random((n, p)), method="CD") for _ in range(NULL_SETS)])
    beyond, below = int(np.sum(null >= found)), int(np.sum(null <= found))
    return Uniformity(
        count=len(points),
        outside=int(np.sum(~inside)),
        each=each,
        joint=(1 + beyond) / (1 + NULL_SETS),
        joint_even=(1 + below) / (1 + NULL_SETS),
    )


def uniform_weights(theta: np.ndarray, bounds: np.ndarray, seed: int = 0) -> Weights:
    """Weights that make cosmologies theta (n, p) a sample of the uniform law in a box `bounds` (p, 2).

    Rows that are the same cosmology share its weight. See `must_be_enough` for what weights cannot mend.
    """
    unit, inside, which = _distinct(theta, bounds)
    points = unit[inside]
    fitted = _fitted(points, len(unit), bounds, seed)
    inverse = np.exp(-_log_density(points, fitted.reference, fitted.widths))
    each = np.zeros(len(unit))
    each[inside] = inverse
    rows = each[which] / np.bincount(which)[which]
    return Weights(
        weights=rows / rows.mean(),
        effective=float(inverse.sum() ** 2 / np.sum(inverse**2)),
        covered=float(inverse.mean()),
        width=float(np.max(fitted.widths / points.std(axis=0))),
    )


def density(theta: np.ndarray, bounds: np.ndarray, seed: int = 0) -> Density:
    """Density that cosmologies theta (n, p) have in a box `bounds` (p, 2); equal rows are one cosmology."""
    unit, inside, _ = _distinct(theta, bounds)
    return _fitted(unit[inside], len(unit), bounds, seed)


def must_be_enough(found: Weights, name: str = "files.prior=uniform", least: float = LEAST_EFFECTIVE) -> None:
    """Refuse weights that leave fewer than `least` effective cosmologies, or a box of which a part is empty."""
    if found.effective < least:
        raise UserError(
            f"{name}: weights that make the cosmologies uniform leave {found.effective:.0f} effective ones, "
            f"fewer than {least:g}; take a narrower box, or the prior as it was sampled"
        )
    if found.covered < LEAST_COVERED:
        raise UserError(
            f"{name}: the cosmologies cover {found.covered:.0%} of the box, less than {LEAST_COVERED:.0%}; "
            "take a narrower box, or the prior as it was sampled"
        )


def sentence(names: Sequence[str], bounds: np.ndarray, tests: Uniformity, weights: Weights | None = None) -> str:
    """The prior that a network is trained under, in one line: what the sample is, and what weights make of it.

    Parameters
    ----------
    names : (p,) of the parameters
    bounds : (p, 2) box that `tests` and `weights` are of
    weights : if training uses them, else the sample is the prior
    """
    box = ", ".join(f"{name} {low:.4g} to {high:.4g}" for name, (low, high) in zip(names, bounds, strict=True))
    left = f" ({tests.outside} outside)" if tests.outside else ""
    worst = ", ".join(f"{name} p = {p:.2g}" for name, p in zip(names, tests.each, strict=True))
    if tests.even:
        what = f"uniform, more even than chance (p = {tests.joint_even:.2g}), as a Latin hypercube or a Sobol sequence"
    elif tests.uniform:
        what = f"uniform (jointly p = {tests.joint:.2g})"
    else:
        what = f"not uniform ({worst}, jointly p = {tests.joint:.2g})"
    if weights is not None:
        prior = (
            f"weighted by inverse density the prior is the box: {weights.effective:.0f} effective cosmologies, "
            f"{min(weights.covered, 1.0):.0%} of it covered"
        )
    else:
        prior = "the prior is the box" if tests.uniform else "the prior is this sample, not the box"
    return f"{tests.count} cosmologies{left} in {box}: {what}; {prior}"


def _fitted(points: np.ndarray, all_of_them: int, bounds: np.ndarray, seed: int) -> Density:
    """Density of points (n, p) in the unit box, of width that maximises the leave-one-out likelihood."""
    _must_be_some(len(points), all_of_them)
    scale = points.std(axis=0)
    if not scale.all():
        raise UserError(f"theta: column {int(np.argmin(scale))} has one value; a constant has no distribution")
    rng = np.random.default_rng(seed)
    chosen, reference = _some(points, FIT_ROWS, rng), _some(points, MOST, rng)

    def loss(log_width: float) -> float:
        return -float(np.mean(_log_density(chosen, chosen, np.exp(log_width) * scale, leave_out=True)))

    low, high = (float(np.log(width)) for width in WIDTHS)
    best = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 0.02})
    width = float(np.exp(best.x)) * (len(reference) / len(chosen)) ** (-1 / (points.shape[1] + 4))
    return Density(bounds=bounds, reference=reference, widths=width * scale)


def _distinct(theta: np.ndarray, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct cosmologies in units of the box (m, p), whether each lies inside (m,), and that of each row (n,)."""
    theta, bounds = arguments.finite("theta", theta), arguments.finite("bounds", bounds)
    if theta.ndim != 2 or not theta.size:
        raise UserError(f"theta of shape {theta.shape}: must be (n, p), a row for each cosmology")
    if bounds.shape != (theta.shape[1], 2):
        raise UserError(f"bounds of shape {bounds.shape}: must be ({theta.shape[1]}, 2), the edges of each parameter")
    low, high = bounds.T
    if not (low < high).all():
        j = int(np.argmin(high - low))
        raise UserError(f"bounds: {low[j]:g} to {high[j]:g} in row {j}; must rise")
    rows, which = np.unique(arguments.on_edges(theta, bounds), axis=0, return_inverse=True)
    unit = (rows - low) / (high - low)
    return unit, np.all((unit >= 0) & (unit <= 1), axis=1), which.ravel()


def _must_be_some(inside: int, all_of_them: int) -> None:
    if inside < FEWEST:
        raise UserError(
            f"theta: {inside} of {all_of_them} distinct cosmologies lie in the box; "
            f"their distribution needs {FEWEST} or more"
        )


def _some(points: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """At most `most` of the points, drawn at random."""
    return points if len(points) <= most else points[rng.choice(len(points), most, replace=False)]


def _log_density(points: np.ndarray, reference: np.ndarray, widths: np.ndarray, leave_out: bool = False) -> np.ndarray:
    """Log density (n,) at points (n, p) of the unit box, of kernels at a reference (m, p).

    Kernels are products of Gaussians of `widths` (p,), and what leaves the box is reflected at its edges. With
    `leave_out`, the reference is the points themselves, and the kernel of each is left out of its own density.
    """
    n, m = len(points), len(reference)
    out, rows = np.empty(n), max(1, BLOCK // m)
    for start in range(0, n, rows):
        part = points[start : start + rows]
        log_kernel = np.zeros((len(part), m))
        for x, y, width in zip(part.T, reference.T, widths, strict=True):
            apart, mirrored = x[:, None] - y, x[:, None] + y
            images = [apart, mirrored, mirrored - 2, *([apart - 2, apart + 2] if width > WIDE else [])]
            kernel = sum(np.exp(-0.5 * (image / width) ** 2) for image in images)
            log_kernel += np.log(np.maximum(kernel, 1e-300)) - np.log(np.sqrt(2 * np.pi) * width)
        if leave_out:
            log_kernel[np.arange(len(part)), start + np.arange(len(part))] = -np.inf
        out[start : start + rows] = logsumexp(log_kernel, axis=1)
    return out - np.log(m - 1 if leave_out else m)
