"""Maps that a start from cheap ones saves: on curves that are known."""

from __future__ import annotations

import numpy as np
import pytest

from study.saving import needed, savings, worth

NUMBERS = [50, 100, 200, 400, 800]
LAW = [n**-0.25 for n in NUMBERS]  # straight in logarithms: interpolation is exact


@pytest.mark.parametrize("maps", [50.0, 77.0, 200.0, 640.0, 799.0])
def test_a_power_law_is_interpolated_exactly(maps: float) -> None:
    found, kind = needed(NUMBERS, LAW, maps**-0.25)
    assert found == pytest.approx(maps, rel=1e-9)
    assert kind == ""


def test_beyond_its_ends_a_curve_gives_a_bound() -> None:
    assert needed(NUMBERS, LAW, 0.9 * LAW[-1]) == (800, "more")
    assert needed(NUMBERS, LAW, 1.1 * LAW[0]) == (50, "less")


def test_an_error_that_rises_by_chance_needs_no_more_maps() -> None:
    bumpy = [0.1, 0.05, 0.06, 0.04]
    assert needed([10, 20, 40, 80], bumpy, 0.055)[0] == pytest.approx(needed([10, 20], bumpy[:2], 0.055)[0])
    assert 40 < needed([10, 20, 40, 80], bumpy, 0.045)[0] < 80  # from the 0.05 of before


def test_savings_are_of_the_same_seed_and_say_how_many_are_bounds() -> None:
    scratch = {str(n): [error, 2 * error] for n, error in zip(NUMBERS, LAW, strict=True)}
    eightfold = {"0": [1.0], "50": [400**-0.25, 2 * 400**-0.25], "100": [800**-0.25, 0.01], "200": [10.0]}
    found = savings({"scratch": scratch, "fine_tuned": eightfold}, "scratch")
    assert list(found) == ["fine_tuned"]
    assert list(found["fine_tuned"]) == ["50", "100", "200"]
    first, second, third = found["fine_tuned"].values()
    np.testing.assert_allclose(first["seeds"], 8, rtol=1e-3)
    assert (first["median"], first["low"], first["high"], first["more"], first["less"]) == (8, 8, 8, 0, 0)
    assert (second["seeds"], second["more"]) == ([8, 8], 1)  # 0.01 is nowhere on the curve: 8 at least
    assert (third["seeds"], third["less"]) == ([0.25], 1)


def test_what_an_untouched_network_is_worth() -> None:
    scratch = {str(n): [error, 2 * error] for n, error in zip(NUMBERS, LAW, strict=True)}
    found = worth(scratch, 300**-0.25)
    assert found["seeds"][0] == pytest.approx(300, rel=1e-4)
    assert (found["seeds"][1], found["more"]) == (800, 1)  # twice the error: more maps than the curve has
