"""Published values that a result is laid beside, each with its paper and with what that assumed.

S8 = sigma8 sqrt(omega_m / 0.3) everywhere; errors are 68 %, flat LCDM, a neutrino mass as in the papers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Published:
    """`value` of `parameter` with its 68 % errors `up` and `down` (both positive), and what was `assumed` for it."""

    name: str
    parameter: str
    value: float
    up: float
    down: float
    citation: str
    assumed: str

    @property
    def key(self) -> str:
        """Its name in metrics."""
        return self.name.lower().replace(" ", "_").replace("-", "_")


SHEAR = "cosmology, intrinsic alignments, shear and redshift calibration marginalised"
PUBLISHED = (
    Published(
        "Planck 2018", "omega_m", 0.3153, 0.0073, 0.0073, "Planck Collaboration VI 2020, A&A 641, A6",
        "flat LCDM; TT,TE,EE+lowE+lensing; one massive neutrino of 0.06 eV",
    ),
    Published(
        "DES Y3 3x2pt", "omega_m", 0.339, 0.032, 0.031, "DES Collaboration 2022, PRD 105, 023520",
        "flat LCDM; shear, clustering and their cross-correlation; galaxy bias and nuisances marginalised",
    ),
    Published(
        "DES Y3 cosmic shear", "S8", 0.759, 0.025, 0.023,
        "Amon et al. 2022, PRD 105, 023514; Secco et al. 2022, PRD 105, 023515",
        f"flat LCDM; two-point functions; {SHEAR}",
    ),
    Published(
        "KiDS-1000 cosmic shear", "S8", 0.759, 0.024, 0.021, "Asgari et al. 2021, A&A 645, A104",
        f"flat LCDM; COSEBIs; {SHEAR}",
    ),
)  # fmt: skip


def compare(result: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Difference from each published value of what was inferred, (ours - theirs) / combined error.

    Parameters
    ----------
    result : parameter -> {"mean", "std", ...}

    Returns
    -------
    parameter -> published value's key -> difference [sigma]. Of a published error the side that faces ours counts. The
    two are taken for independent, which they are not where they use the same galaxies.

    Examples
    --------
    >>> compare({"S8": {"mean": 0.80, "std": 0.03}})
    {'S8': {'des_y3_cosmic_shear': 1.05, 'kids_1000_cosmic_shear': 1.067}}
    """
    out: dict[str, dict[str, float]] = {}
    for one in PUBLISHED:
        if one.parameter in result:
            ours = result[one.parameter]
            away = ours["mean"] - one.value
            sigma = np.hypot(ours["std"], one.up if away > 0 else one.down)
            out.setdefault(one.parameter, {})[one.key] = round(float(away / sigma), 3)
    return out
