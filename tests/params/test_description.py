"""What configurations, estimators and posteriors show of themselves."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cosmokeras.inference.estimator import Estimator
from cosmokeras.inference.posterior import PointPosterior
from cosmokeras.params.config import Config


def test_a_configuration_is_a_few_lines_with_its_parameters(config: Callable[..., Config]) -> None:
    text = repr(config({"prior.sigma8": [0.6, 1.0], "lensing.pixel_arcmin": 10.0}))
    assert text.startswith("Config\n") and len(text.splitlines()) < 10
    for words in (
        "omega_m in [0.1, 0.5]",
        "sigma8 in [0.6, 1]",
        "h = 0.7",
        "64 x 64 pixels of 10 arcmin, 4 bins of des_y3",
    ):
        assert words in text
    assert "sigma8 = " not in text and str(config()) == repr(config())


def test_many_free_parameters_are_counted(config: Callable[..., Config]) -> None:
    text = repr(config({"prior.m_bias": [-0.02, 0.02], "prior.delta_z": [-0.02, 0.02], "data.kind": "lensing"}))
    assert "and 3 more" in text
    assert "delta_z_4" not in text


def test_an_estimator_is_a_few_lines_and_a_table(estimator: Estimator) -> None:
    text, page = repr(estimator), estimator._repr_html_()
    assert text.startswith("Estimator\n") and len(text.splitlines()) < 10
    assert f"{estimator.model.count_params():,} weights" in text
    assert "calibrated  yes" in text
    assert page.count("<tr>") == len(text.splitlines()) - 1 and "omega_m" in page


def test_a_posterior_shows_the_first_maps() -> None:
    posterior = PointPosterior(np.linspace(0.2, 0.4, 9)[:, None], np.array([0.03]), np.array([[0.1, 0.5]]))
    text = repr(posterior)
    assert "maps" in text and "9" in text.splitlines()[1]
    assert "0.2 +- 0.03, 0.225 +- 0.03" in text and "and 5 more" in text
    assert "&" not in posterior._repr_html_()
