"""What moves an answer is found in its band and channel, with the right slope."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from cosmokeras.evaluation.saliency import sensitivity
from cosmokeras.models.layers import band_edges
from cosmokeras.params.config import Config

SIZE, BANDS = 32, 6


def test_only_the_band_and_channel_that_matter_show(config: Callable[..., Config]) -> None:
    edges = band_edges(SIZE, BANDS)
    wave = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE)) * SIZE
    seen = (wave >= edges[2]) & (wave < edges[3])

    def mean(obs: np.ndarray) -> np.ndarray:
        power = np.abs(np.fft.rfft2(obs[..., 1])) ** 2
        return np.stack([0.3 * np.log(power[:, seen].sum(axis=1)), np.zeros(len(obs))], axis=1)

    cfg = config({"data.size": SIZE, "model.spectrum_bins": BANDS})
    est = SimpleNamespace(parameters=("omega_m", "sigma8"), cfg=cfg, mean=mean)
    obs = np.random.default_rng(0).standard_normal((20, SIZE, SIZE, 3)).astype(np.float32)
    k, slopes = sensitivity(est, obs, BANDS)
    assert slopes.shape == (2, 3, BANDS)
    assert slopes[0, 1, 2] == pytest.approx(0.3, rel=0.01)
    rest = slopes.copy()
    rest[0, 1, 2] = 0
    assert rest == pytest.approx(np.zeros_like(rest), abs=1e-4)
    fundamental = 2 * np.pi / (SIZE * cfg.pixel_side)
    assert (k > fundamental * edges[:-1]).all()
    assert (k < fundamental * edges[1:]).all()
