"""Boxes of particle-mesh maps: how they follow pixel and field, and what they cannot show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cosmokeras.common.errors import UserError
from cosmokeras.params.boxes import boxes
from cosmokeras.params.config import Config

PM = {"lensing.matter": "pm"}
LARGE = {"data.size": 128, "lensing.mask": "none", "model.spectrum_bins": 16, "evaluate.spectrum_bins": 8}


@pytest.mark.parametrize(
    ("overrides", "near", "far"),
    [
        ({}, (128.0, 128), (256.0, 128)),
        ({"lensing.pm": "fine"}, (128.0, 256), (256.0, 256)),
        ({"lensing.pixel_arcmin": 10.0, "data.size": 32}, (256.0, 128), (512.0, 128)),
        ({"lensing.pixel_arcmin": 15.0}, (384.0, 128), (768.0, 128)),
        (LARGE, (128.0, 128), (512.0, 256)),
        ({"lensing.survey": "lsst_y10"}, (240.64, 128), (481.28, 128)),
    ],
)
def test_boxes_follow_pixel_and_field(
    config: Callable[..., Config], overrides: dict[str, Any], near: tuple[float, int], far: tuple[float, int]
) -> None:
    found = boxes(config(PM | overrides))
    assert [(box.side, box.particles) for box in found] == [pytest.approx(near), pytest.approx(far)]
    # without a gap between them, and as far as 24 near boxes
    assert found[0].farthest == pytest.approx(found[1].nearest)
    assert found[1].farthest == pytest.approx(24 * near[0])


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"lensing.survey": "lsst_y1"}, ["lsst_y1", "HEALPix", "lensing.matter=lognormal"]),
        ({"lensing.survey": "hsc_y3"}, ["2 arcmin", "lensing.pixel_arcmin", "at least 4", "lensing.pm=fine"]),
        ({"data.size": 256}, ["21.3 deg", "fill 10.7 deg", "data.size"]),
        (
            {"lensing.mean": "removed_field", "lensing.field_deg": 12.0},
            ["12 deg", "fill 10.7 deg", "lensing.field_deg"],
        ),
        (LARGE | {"lensing.pm": "fine"}, ["512^3", "at most 256^3", "lensing.pm=fast"]),
        ({"lensing.pm": "finer"}, ["lensing.pm", "fast", "fine"]),
    ],
)
def test_what_boxes_cannot_show_is_refused_in_one_line(
    config: Callable[..., Config], overrides: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(UserError) as error:
        config(PM | overrides)
    line = str(error.value)
    assert "\n" not in line
    assert [word for word in words if word not in line] == []


def test_keys_of_another_matter_do_not_count(config: Callable[..., Config]) -> None:
    """Boxes for lognormal shells, the thickness of lognormal shells for boxes."""
    plain, through = config().simulation_key()["lensing"], config(PM).simulation_key()["lensing"]
    assert "pm" not in plain
    assert "shell_mpc_h" in plain
    assert through["pm"] == "fast"
    assert "shell_mpc_h" not in through
