#!/usr/bin/env bash
# HealSparse: neither way to a coarser mask gives the observed part of its pixels, if the mask is of zeros and ones.
#
# Seen with healsparse 1.15.0 (astropy 8.0.2, numpy 2.4.6, Python 3.11). Input: masks of NSIDE 256 brought to NSIDE 64, where a
# pixel has 16 of them. In one of these 1 of 16 is observed, in one 8 of 16, in one none.
#
#   mask                                    degrade(64)           fracdet_map(64)        observed part
#   logical (False is absent)               1, 1, absent          0.0625, 0.5, 0         0.0625, 0.5, 0
#   floats 0 and 1, from a HEALPix map      0.0625, 0.5, 0        1, 1, 1                0.0625, 0.5, 0
#
# degrade averages over the pixels that are in the map, so a logical mask comes out as 1 wherever a single fine pixel is
# observed: a footprint grows by its whole edge, and holes vanish. fracdet_map counts pixels that are in the map, whatever
# they hold: a mask of zeros and ones that came from a full HEALPix map is observed everywhere. Each is right for one kind of mask and
# wrong for the other, without a word. Masks of zeros and ones: make zeros absent first, then fracdet_map.
#
# Exit 0: seen again. Exit 1: the behaviour has changed. Needs bash, Python 3.11 to 3.13 with venv (PYTHON=... picks it) and a
# package index; half a minute.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check healsparse==1.15.0 astropy==8.0.2 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import healsparse
import numpy as np

warnings.filterwarnings("ignore")
print("healsparse", healsparse.__version__)
FINE, COARSE = 256, 64
observed = np.concatenate([[0], np.arange(16, 24)])  # one of the 16 of pixel 0, eight of those of pixel 1
logical = healsparse.HealSparseMap.make_empty(8, FINE, bool)
logical[observed] = True
whole = np.zeros(12 * FINE**2)
whole[observed] = 1
floats = healsparse.HealSparseMap(healpix_map=whole, nside_coverage=8, nest=True)
found = {}
for name, mask in (("logical", logical), ("floats", floats)):
    degraded, part = mask.degrade(COARSE)[np.arange(3)], mask.fracdet_map(COARSE)[np.arange(3)]
    found[name] = [round(float(x), 4) if x > -1 else None for x in degraded], part.round(4).tolist()
    print(f"{name:8} degrade {found[name][0]}  fracdet_map {found[name][1]}")
again = found["logical"] == ([1.0, 1.0, None], [0.0625, 0.5, 0.0])
again &= found["floats"] == ([0.0625, 0.5, 0.0], [1.0, 1.0, 1.0])
print("seen again" if again else "CHANGED")
sys.exit(not again)
PYTHON
