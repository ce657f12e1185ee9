"""cosmokeras: cosmological parameters from maps of matter, with deep networks, exact limits and calibrated posteriors.

The names below load what they need when they are first used: importing the package costs little.
"""

from __future__ import annotations

import os
from typing import Any

from cosmokeras.common.backend import prefer_installed
from cosmokeras.common.quiet import import_quietly

__version__ = "0.1.0"

prefer_installed()
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # of TensorFlow's notes on devices that it did not find

_WHERE = {
    "load_params": "cosmokeras.project",
    "sample_prior": "cosmokeras.params.prior",
    "simulate": "cosmokeras.simulators",
    "observe": "cosmokeras.observation.observe",
    "Estimator": "cosmokeras.inference.estimator",
    "UserError": "cosmokeras.common.errors",
}
_MODULES = {
    "limits": "cosmokeras.evaluation.limits",
    "theory": "cosmokeras.theory",
    "simulators": "cosmokeras.simulators",
    "surveys": "cosmokeras.surveys",
    "plot": "cosmokeras.report.plot",
}

__all__ = [*_WHERE, *_MODULES, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_quietly(_WHERE[name]), name)
    if name in _MODULES:
        return import_quietly(_MODULES[name])
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted(__all__)
