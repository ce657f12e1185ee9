"""Parameters in, spectra and distances out: BBKS, CCL with CAMB, halofit, BiHalofit, Limber integrals."""

from cosmokeras.theory.limber import (
    alignment_kernel,
    angular_cl,
    kernel,
    lensing_kernel,
    limber_nodes,
    spectra,
)
from cosmokeras.theory.matter import power
from cosmokeras.theory.skewness import kappa_skewness

__all__ = [
    "alignment_kernel",
    "angular_cl",
    "kappa_skewness",
    "kernel",
    "lensing_kernel",
    "limber_nodes",
    "power",
    "spectra",
]
