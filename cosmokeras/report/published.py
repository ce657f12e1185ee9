"""Published values that a result is laid beside: read from published.yaml, and compared with what was inferred."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, TypeAdapter, ValidationError

from cosmokeras.common import yaml12
from cosmokeras.common.errors import UserError

FILE = Path(__file__).with_name("published.yaml")


class Published(BaseModel):
    """`value` of `parameter` with its 68 % errors `up` and `down` (both positive), and what was `assumed` for it.

    `date`: year and month in which the paper was made public.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    parameter: str
    value: float
    up: PositiveFloat
    down: PositiveFloat
    date: Annotated[str, Field(pattern=r"^20\d\d-(0[1-9]|1[0-2])$")]
    citation: str
    assumed: str

    @property
    def key(self) -> str:
        """Its name in metrics."""
        return self.name.lower().replace(" ", "_").replace("-", "_")


@cache
def published_values(path: Path = FILE) -> tuple[Published, ...]:
    """All entries of a file of published values.

    Raises
    ------
    UserError : an entry lacks a key, has one that is not known, or a value of another type
    """
    try:
        return TypeAdapter(tuple[Published, ...]).validate_python(yaml12.read(path))
    except ValidationError as error:
        first = error.errors()[0]
        entry, *key = first["loc"] or ("",)
        where = f"entry {entry + 1}" if isinstance(entry, int) else "the whole"
        raise UserError(f"{path}: {where}, {'.'.join(map(str, key)) or 'content'}: {first['msg']}") from None


def compare(result: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Difference from each published value of what was inferred, (ours - theirs) / combined error.

    Parameters
    ----------
    result : parameter -> {"mean", "std", ...}

    Returns
    -------
    parameter -> published value's key -> difference [sigma]. Of a published error the side that faces ours counts. The
    two are taken for independent, which they are not where they use the same galaxies.

    Examples
    --------
    >>> compare({"S8": {"mean": 0.80, "std": 0.03}})["S8"]["des_y3_cosmic_shear"]
    1.05
    """
    out: dict[str, dict[str, float]] = {}
    for one in published_values():
        if one.parameter in result:
            ours = result[one.parameter]
            away = ours["mean"] - one.value
            sigma = np.hypot(ours["std"], one.up if away > 0 else one.down)
            out.setdefault(one.parameter, {})[one.key] = round(float(away / sigma), 3)
    return out
