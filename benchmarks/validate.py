"""Slow checks from maps to posteriors, `make validate`: each figure with its requirement, all in metrics/validate.json.

Each check is a module of `benchmarks.checks`; `python -m benchmarks.validate NAME ...` runs some of them.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from cosmokeras.common import cli
from cosmokeras.common.files import read_json
from study import recorded

RESULT = Path(__file__).parents[1] / "metrics" / "validate.json"
CHECKS = (
    "table",
    "nonlinear",
    "nonlinear_wide",
    "lensing",
    "skewness",
    "pm",
    "pm_fine",
    "pm_sky",
    "pixels",
    "lpt",
    "sphere",
    "forward",
    "grf",
    "two_parameters",
    "few_cosmologies",
    "ensemble",
    "fair",
    "flow",
    "mocks",
    "surveys",
    "evaluate",
    "xi",
    "des_y3",
    "skies",
    "catalogue",
    "catalogue_sky",
    "partial_sky",
    "memory",
    "damage",
    "kills",
)


def main() -> int:
    """Run the checks that are asked for; exit 1 if a requirement is missed."""
    parser = cli.Parser("benchmarks.validate", __doc__)
    parser.add_subset("checks", "check", CHECKS)
    options = parser.parse_args()
    passed = True
    for name in options.checks:
        figures, good = import_module(f"benchmarks.checks.{name}").check()
        passed &= good
        # read only now: checks take hours, and others may have been written meanwhile
        recorded.write(RESULT, {**read_json(RESULT), name: figures}, f"benchmarks.checks.{name}", name)
    return 0 if passed else 1


if __name__ == "__main__":
    cli.entry(main)
