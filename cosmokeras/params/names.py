"""Parameters as papers print them, in TeX without dollar signs."""

from __future__ import annotations

TEX = {
    "omega_m": r"\Omega_m", "sigma8": r"\sigma_8", "S8": "S_8", "h": "h", "omega_b": r"\Omega_b", "n_s": "n_s",
    "w0": "w_0", "m_nu": r"\sum m_\nu", "log_t_agn": r"\log_{10} T_\mathrm{AGN}",
}  # fmt: skip


def tex(name: str) -> str:
    """Name of a parameter in TeX; others upright, as they are."""
    return TEX.get(name) or "\\mathrm{" + name.replace("_", r"\_") + "}"
