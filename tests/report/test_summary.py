"""The table of patches: one line for each, six decimals, and one for all together."""

from __future__ import annotations

import csv

import numpy as np

from cosmokeras.report.summary import patch_table


class Toy:
    """A posterior of two patches."""

    def mean(self) -> np.ndarray:
        return np.array([[0.3], [0.4]])

    std = mean

    def quantile(self, q: float) -> np.ndarray:
        return self.mean() + q


def test_table_has_a_line_for_each_patch_and_one_for_all() -> None:
    ra = dec = np.array([1.0, np.nan])
    combined = np.random.default_rng(1).normal(0.305, 0.02, (20000, 1))
    text = patch_table(("omega_m",), Toy(), combined, (ra, dec), np.array([0.5, 0.1]), 0.2)
    assert text.endswith("\n") and "\r" not in text
    lines = text.splitlines()
    assert lines[0] == "patch,ra_deg,dec_deg,omega_m_mean,omega_m_std,omega_m_q16,omega_m_q84,surprise_p"
    assert lines[1] == "0,1.000000,1.000000,0.300000,0.300000,0.460000,1.140000,0.500000"
    assert len(lines) == 4
    assert lines[3].startswith("combined,nan,nan,0.3") and lines[3].endswith(",0.200000")
    assert {len(row) for row in csv.reader(lines)} == {8}
