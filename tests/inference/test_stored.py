"""Parts of a calibration are stored under names that older versions wrote, and read again by name."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from cosmokeras.inference.misspecification import MapReference, SurveyReference
from cosmokeras.inference.stored import from_arrays, to_arrays


@dataclass(frozen=True)
class Part:
    mean: np.ndarray
    residuals: np.ndarray = field(metadata={"stored": "left"})


def test_a_part_is_read_as_it_was_written() -> None:
    part = Part(mean=np.arange(3), residuals=np.ones(2))
    arrays = to_arrays("part", part)
    assert set(arrays) == {"part.mean", "part.left"}
    again = from_arrays(Part, "part", dict(reversed(arrays.items())))
    assert np.array_equal(again.mean, part.mean)
    assert np.array_equal(again.residuals, part.residuals)
    assert from_arrays(Part, "other", arrays) is None
    with pytest.raises(KeyError, match="part.left"):
        from_arrays(Part, "part", {"part.mean": part.mean})


def test_names_of_arrays_in_saved_models_stay() -> None:
    """Those of model folders of format 2."""
    model = ("bounds", "mean", "log_variance", "whiten", "covariance", "sizes", "degree")
    for kind, more in ((MapReference, ("known",)), (SurveyReference, ("left", "theta", "usual"))):
        arrays = {f"one.{name}": np.zeros(1) for name in (*model, *more)}
        assert set(to_arrays("one", from_arrays(kind, "one", arrays))) == set(arrays)
