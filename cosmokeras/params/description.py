"""What objects show of themselves at a prompt and in a notebook: a few rows of words, as text and as a table."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from cosmokeras.params.registry import RANGES

if TYPE_CHECKING:
    from cosmokeras.params.config import Config

SHOWN = 6  # free parameters by name, at most

Rows = dict[str, str]  # what a row is about: what there is to say


class Described:
    """Objects with `_rows`: short at a prompt, a table in a notebook."""

    def _rows(self) -> Rows:
        raise NotImplementedError

    def __repr__(self) -> str:
        rows = self._rows()
        width = max(map(len, rows))
        lines = [f"  {label:<{width}}  {words}" for label, words in rows.items()]
        return "\n".join([type(self).__name__, *lines])

    __str__ = __repr__

    def _repr_html_(self) -> str:
        cells = (f"<tr><th>{escape(label)}</th><td>{escape(words)}</td></tr>" for label, words in self._rows().items())
        return f"<table><caption>{escape(type(self).__name__)}</caption>{''.join(cells)}</table>"


def of_problem(cfg: Config) -> Rows:
    """Maps and parameters of a configuration."""
    size, lensing = cfg.data.size, cfg.kind.observed == "survey"
    pixels = f"{size} x {size} pixels" + (f" of {cfg.pixel_arcmin:g} arcmin" if lensing else "")
    bins = f", {cfg.channels} bins of {cfg.survey.name}" if lensing else ""
    free = [f"{name} in [{low:g}, {high:g}]" for name, (low, high) in zip(cfg.parameter_names, cfg.bounds, strict=True)]
    more = f" and {len(free) - SHOWN} more" if len(free) > SHOWN else ""
    used = [name for name in RANGES if name in cfg.kind.parameters and not cfg.from_files]
    values = {name: getattr(cfg.prior, name) for name in used}
    fixed = [f"{name} = {value:g}" for name, value in values.items() if not isinstance(value, tuple | None)]
    rows = {"maps": f"{cfg.data.kind}, {pixels}{bins}", "free": ", ".join(free[:SHOWN]) + more}
    rows |= {"targets": ", ".join(cfg.targets)}
    return rows | ({"fixed": ", ".join(fixed)} if fixed else {})


def of_network(cfg: Config) -> Rows:
    """Network and training of a configuration."""
    model, train = cfg.model, cfg.train
    return {
        "network": f"{model.name}, {model.width} filters, head {model.head}",
        "training": f"{train.epochs} epochs of batches of {train.batch_size}, on {train.backend}",
    }
