"""Noise and kappa of the forward model in `keras.ops` beside those of the observation by steps: spectra by band.

Maps of DES Y3 (Kaiser-Squires on the sphere, behind the masks of the survey), KiDS-1000 (on the plane), LSST (white in
HEALPix pixels) and HSC (white in flat pixels): 10,000 of each. Kappa is white noise as faint as the signal, the same
for both, so that every mode counts. Cross spectra of channels too: two of them share a complex field.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.peers import configure
from study.observation_by_steps import last_steps, survey_steps
from study.requirements import required

SURVEYS = ("des_y3", "kids_1000", "lsst_y1", "hsc_y3_fair")
MAPS, BATCH, BANDS, SIGNAL, SEED = 10_000, 100, 12, 0.02, 91_000
BAR = 0.01


def check(maps: int = MAPS, surveys: tuple[str, ...] = SURVEYS) -> tuple[dict[str, Any], bool]:
    """Largest relative difference of the power in a band, for noise alone and with kappa, beside 1 % (or its error)."""
    found: dict[str, Any] = {}
    good = []
    for survey in surveys:
        mask = "survey" if survey == "des_y3" else "none"
        cfg = configure({"lensing.survey": survey, "lensing.mask": mask})
        for name, scatter in (("noise", 0.0), ("kappa", SIGNAL)):
            power, error, cross = _spectra(cfg, scatter, maps)
            off = power[0] / power[1] - 1
            allowed = np.maximum(BAR, 4 * error)
            found[f"{survey}_{name}"] = {
                "difference": off.round(5).tolist(), "standard_error": error.round(5).tolist(),
                "cross_correlation": cross.round(5).tolist(),
            }  # fmt: skip
            worst = int(np.argmax(np.abs(off) / allowed))
            words = f"{survey}, {name}: power of band {worst + 1} of {BANDS} over that by steps, less 1"
            good.append(required(words, float(off[worst]), -float(allowed[worst]), float(allowed[worst])))
    return found, all(good)


def _spectra(cfg: Any, scatter: float, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Power (2, bands) by both ways, the error of their ratio, the correlation of the first two channels."""
    from keras import ops

    from cosmokeras.observation.observer import Observer
    from cosmokeras.observation.ops.counters import pick, rows
    from cosmokeras.observation.ops.forward import Forward

    observer, forward, rng = Observer(cfg), Forward(cfg), np.random.default_rng(SEED)
    k = np.hypot(*np.meshgrid(*2 * [np.fft.fftfreq(cfg.data.size)]))
    which_band = np.minimum(k * BANDS / 0.7072, BANDS - 1).astype(int).ravel()
    weights = (which_band[:, None] == np.arange(BANDS)) / np.bincount(which_band)
    each: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    cross = []
    for batch in range(-(-count // BATCH)):
        shape = (BATCH, cfg.data.size, cfg.data.size, cfg.channels)
        maps = (scatter * rng.standard_normal(shape)).astype(np.float32)
        which = pick(SEED, np.arange(BATCH) + batch * BATCH, forward.masks)
        new = ops.convert_to_numpy(forward(forward.signal(maps, which), which, rows(SEED, batch, BATCH)))
        by_steps = last_steps(observer, survey_steps(observer, maps, which, rng), which)
        for one, into in zip((new, by_steps), each, strict=True):
            modes = np.fft.fft2(one, axes=(1, 2)).reshape(BATCH, -1, cfg.channels)
            into.append(np.mean(np.abs(modes) ** 2, axis=2) @ weights)
            if into is each[0] and cfg.channels > 1:
                pair = np.real(modes[..., 0] * np.conj(modes[..., 1]))
                size = np.sqrt(np.mean(np.abs(modes[..., 0]) ** 2) * np.mean(np.abs(modes[..., 1]) ** 2))
                cross.append(np.mean(pair / size, axis=0) @ weights)
    power = [np.concatenate(some) for some in each]
    error = np.hypot(*(one.std(axis=0) / one.mean(axis=0) / np.sqrt(len(one)) for one in power))
    return np.stack([one.mean(axis=0) for one in power]), error, np.mean(cross, axis=0) if cross else np.zeros(BANDS)
