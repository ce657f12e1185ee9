"""Periodic boxes that a particle-mesh light cone is made of: a near one and a far one, sized by pixel and field.

Near the observer a field is small and structures are far below the cells of a large box; far away a small box would be
seen several times side by side. Two boxes serve both (`lensing.matter: pm`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cosmokeras.params.config import Config

SIDE, PIXEL = 64 * 5.0, 5.0  # field and pixel [arcmin] that boxes of 128 and 256 Mpc/h are for
PARTICLES = {"coarse": 64, "fast": 128, "fine": 256}  # on a side of a box
FINEST = {"coarse": 8.0, "fast": 4.0, "fine": 2.0}  # pixel [arcmin]: smaller ones would show the cells of the boxes
LARGEST = 2.0  # field, in units of what the boxes are for: at most so often a box is seen side by side
MOST_PARTICLES = 256


@dataclass(frozen=True)
class Box:
    """A periodic cube of `side` [Mpc/h] with `particles` on a side, and the shells that it fills.

    The shells are as thick as the box: `shells` of them from `nearest` [Mpc/h] on. Its particles begin with `early`
    steps, followed by one for each shell. `beyond`: its last early step stands for all that is farther away.
    """

    side: float
    particles: int
    nearest: float
    shells: int
    early: int
    beyond: bool

    @property
    def farthest(self) -> float:
        """Comoving distance at which the shells end [Mpc/h]."""
        return self.nearest + self.shells * self.side

    @property
    def snapshots(self) -> int:
        """Times at which the box is projected, from the nearest to the farthest."""
        return self.shells + self.beyond

    def plane_size(self, snapshot: int) -> int:
        """Mesh points on a side of the planes that a snapshot is projected on; 0 is the nearest snapshot."""
        finer = not self.beyond and snapshot < self.shells // 2
        return (4 if finer else 2) * self.particles


def boxes(cfg: Config) -> tuple[Box, Box]:
    """The near and the far box of maps with these parameters."""
    pixels = max(1.0, cfg.pixel_arcmin / PIXEL)
    near, n = 128.0 * pixels, PARTICLES[cfg.lensing.pm]
    far = 2 if _field(cfg) > SIDE * pixels * (1 + 1e-9) else 1
    return (
        Box(side=near, particles=n, nearest=0.0, shells=8, early=7, beyond=False),
        Box(side=2 * near * far, particles=n * far, nearest=8 * near, shells=8 // far, early=3, beyond=True),
    )


def _field(cfg: Config) -> float:
    """Side [arcmin] of a map, or of the field whose mean is removed."""
    side = cfg.data.size * cfg.pixel_arcmin
    return max(side, 60 * cfg.field_deg) if cfg.mean == "removed_field" and cfg.field_deg else side


def check_boxes(cfg: Config, fail: Callable[[str], None]) -> None:
    """Refuse maps that boxes of these kinds cannot show."""
    preset = cfg.lensing.pm
    if cfg.data.kind != "lensing":
        fail(
            f"lensing.matter=pm: is for data.kind=lensing, but data.kind={cfg.data.kind}; use lensing.matter=lognormal"
        )
    if cfg.survey.pixels == "cut":
        fail(
            f"lensing.matter=pm: maps of lensing.survey={cfg.lensing.survey} are cut out of averages over HEALPix "
            "pixels, which only lensing.matter=lognormal supports; use a survey with lmax, or flat pixels"
        )
    if cfg.pixel_arcmin < FINEST[preset]:
        finer = "" if preset == "fine" else f" ({FINEST['fine']:g} with lensing.pm=fine)"
        fail(
            f"lensing.matter=pm: pixels of {cfg.pixel_arcmin:g} arcmin are too small for the cells of the boxes; "
            f"lensing.pixel_arcmin must be at least {FINEST[preset]:g}{finer}"
        )
    most = LARGEST * SIDE * max(1.0, cfg.pixel_arcmin / PIXEL)
    if _field(cfg) > most * (1 + 1e-9):
        what = "lensing.field_deg" if _field(cfg) > cfg.data.size * cfg.pixel_arcmin else "data.size"
        fail(
            f"lensing.matter=pm: a field of {_field(cfg) / 60:.3g} deg is larger than the boxes, which fill "
            f"{most / 60:.3g} deg; lower {what}"
        )
    if boxes(cfg)[1].particles > MOST_PARTICLES:
        fail(
            f"lensing.matter=pm: a field of {_field(cfg) / 60:.3g} deg with lensing.pm={preset} needs boxes of "
            f"{boxes(cfg)[1].particles}^3 particles; at most {MOST_PARTICLES}^3 are allowed: use lensing.pm=fast"
        )
