#!/usr/bin/env bash
# numpy.sort of float16: two million numbers and more come back out of order, numpy.unique with repeated values.
#
# Seen with numpy 2.4.6 (Python 3.11, x86-64 with AVX512_ICL, an AMD EPYC), default kind. Input: standard normal numbers,
# cast to float16; neither NaN nor infinities. Neighbours of numpy.sort(x) that descend, for four seeds:
#
#   2,000,000 numbers     0    0    0    0
#   2,097,152             3   17    5    5
#   2,500,000           123  112   86  129
#   3,000,000           343  242  283  272
#
# All numbers are there, some a few places from where they belong, by one or two units in the last place; so
# numpy.unique(x) of the 3,000,000 has 26,191 values where there are 25,708, and is not ascending. Right: kind="stable",
# numpy.argsort, the same sort as float32 or of the bits as uint16, numpy.median, and uniform numbers of the same size.
# Faults of the same 16-bit kernels were mended before (numpy pull requests 25376 and 29908); this one was not found there.
# Who keeps maps in float16 meets it: a map of 1,500 x 1,500 pixels is enough. Cast to float32 before sorting.
#
# Exit 0: seen again, or the processor lacks AVX512_ICL, which is said. Exit 1: the behaviour has changed. Needs bash, Python
# 3.11 to 3.13 with venv (PYTHON=... picks it) and a package index; half a minute.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
from numpy._core._multiarray_umath import __cpu_features__ as features

print("numpy", np.__version__, "AVX512_ICL", features.get("AVX512_ICL", False), "AVX512_SPR", features.get("AVX512_SPR", False))
if not features.get("AVX512_ICL") or features.get("AVX512_SPR"):
    print("this processor takes another way; nothing to see here")
    sys.exit(0)


def descents(values):
    return int(np.count_nonzero(np.diff(values) < 0))


found = {}
for count in (2_000_000, 2_097_152, 2_500_000, 3_000_000):
    numbers = [np.random.default_rng(seed).standard_normal(count).astype(np.float16) for seed in range(4)]
    found[count] = [descents(np.sort(one)) for one in numbers]
    print(f"{count:>10,} numbers: descents", found[count], "stable", [descents(np.sort(one, kind="stable")) for one in numbers])
one = np.random.default_rng(1).standard_normal(3_000_000).astype(np.float16)
ours, right = np.unique(one), np.unique(one.astype(np.float32))
print("unique values", ours.size, "of float32", right.size, "descents", descents(ours))
seen = (
    max(found[2_000_000]) == 0
    and min(found[3_000_000]) > 0
    and descents(np.sort(one, kind="stable")) == 0
    and descents(one[np.argsort(one)]) == 0
    and np.array_equal(np.sort(np.sort(one).view(np.uint16)), np.sort(one.view(np.uint16)))  # none is lost
    and ours.size > right.size
)
print("seen again" if seen else "CHANGED")
sys.exit(not seen)
PYTHON
