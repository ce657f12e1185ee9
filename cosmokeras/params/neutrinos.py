"""Density of massive neutrinos."""

from __future__ import annotations

N_EFF = 3.044  # effective number of neutrinos (Bennett et al. 2021, JCAP 04, 073)
EV = 94.07  # sum of masses [eV] at which three neutrinos in equilibrium would have Omega h^2 = 1, as CAMB has it


def omega_nu(m_nu: float, h: float) -> float:
    """Density today, in units of the critical density, of neutrinos with a sum of masses `m_nu` [eV].

    They no longer are relativistic (Lesgourgues & Pastor 2006, Phys. Rep. 429, 307, with CAMB's constants).

    Examples
    --------
    >>> round(omega_nu(0.06, 0.7), 5)
    0.00132
    """
    return m_nu / EV * (N_EFF / 3) ** 0.75 / h**2
