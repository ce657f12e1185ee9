"""Sums over all galaxies of each tomographic bin, from which calibration, density and shape noise follow."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cosmokeras.common.errors import UserError
from cosmokeras.params.catalogue import SHEARED
from cosmokeras.surveys.catalogue.galaxies import NONE, Galaxies

Term = Callable[[Galaxies], np.ndarray]
# Names of sums: what is added up for each galaxy. Those whose columns a catalogue has not are left out.
BASIC: dict[str, Term] = {
    "n": lambda g: np.ones(g.ra.size),
    "w": lambda g: g.weight,
    "w2": lambda g: g.weight**2,
    "we1": lambda g: g.weight * g.e1,
    "we2": lambda g: g.weight * g.e2,
    "w2ee": lambda g: g.weight**2 * (g.e1**2 + g.e2**2),
}
OPTIONAL: dict[tuple[str, ...], dict[str, Term]] = {
    ("r11", "r22"): {"wr1": lambda g: g.weight * g.more["r11"], "wr2": lambda g: g.weight * g.more["r22"]},
    ("w1", "w2"): {"dwe1": lambda g: g.more["w1"] * g.e1, "dwe2": lambda g: g.more["w2"] * g.e2},
    ("e_rms",): {"wrms2": lambda g: g.weight * g.more["e_rms"] ** 2},
    ("m",): {"wm": lambda g: g.weight * g.more["m"]},
    ("sigma_m",): {"w2mm": lambda g: g.weight**2 * g.more["sigma_m"] ** 2},
    ("psf1", "psf2"): {
        "wp1": lambda g: g.weight * g.more["psf1"],
        "wp2": lambda g: g.weight * g.more["psf2"],
        "wpp": lambda g: g.weight * (g.more["psf1"] ** 2 + g.more["psf2"] ** 2),
        "wep": lambda g: g.weight * (g.e1 * g.more["psf1"] + g.e2 * g.more["psf2"]),
    },
}


class Moments:
    """Sums of each bin, `sums[name]` (bins,), added up piece by piece."""

    def __init__(self, bins: int) -> None:
        self.bins = bins
        self.sums: dict[str, np.ndarray] = {}

    def add(self, found: Galaxies) -> None:
        """Add a piece."""
        inside = found.bin != NONE
        one = found if inside.all() else found.only(inside)
        terms = dict(BASIC)
        for needed, more in OPTIONAL.items():
            if all(name in one.more for name in needed):
                terms |= more
        for name, term in terms.items():
            self._add(name, one.bin, term(one))
        for key, (number, weight) in found.sheared.items():
            inside = number != NONE
            self._add(f"w_{key}", number[inside], weight[inside])
            # the ellipticity of the images that were not sheared, of galaxies selected on those that were
            e = found.e1 if key[0] == "1" else found.e2
            self._add(f"we_{key}", number[inside], (weight * e)[inside])

    def _add(self, name: str, number: np.ndarray, values: np.ndarray) -> None:
        self.sums[name] = self.sums.get(name, 0.0) + np.bincount(number, values, self.bins)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.sums[name]

    def __contains__(self, name: str) -> bool:
        return name in self.sums

    def mean(self, name: str, over: str = "w") -> np.ndarray:
        """Weighted means (bins,)."""
        return np.asarray(self.sums[name] / self.sums[over])

    def pair(self, name: str, over: str = "w") -> np.ndarray:
        """Weighted means of both components, (bins, 2)."""
        return np.stack([self.mean(f"{name}1", over), self.mean(f"{name}2", over)], axis=1)

    def check(self) -> None:
        """Refuse bins without galaxies or without weight."""
        if not self.sums or not self.sums["n"].any():
            raise UserError("shear catalogue: no galaxy is left; check catalogue.select and catalogue.bins")
        for i, (n, w) in enumerate(zip(self.sums["n"], self.sums["w"], strict=True), start=1):
            if n == 0:
                raise UserError(f"shear catalogue: no galaxy in bin {i}; check catalogue.select and catalogue.bins")
            if w == 0:
                raise UserError(f"shear catalogue: all {n:.0f} weights of bin {i} are zero; check columns.weight")
        for key in SHEARED:
            if f"w_{key}" in self.sums and not self.sums[f"w_{key}"].all():
                raise UserError(f"shear catalogue: a bin under shear {key} is empty; check calibration.selected")
