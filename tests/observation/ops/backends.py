"""What one backend makes of the forward model: run as a script in a process of its own, by `test_forward`.

python backends.py OUT.npz, with KERAS_BACKEND set.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[3]
# small maps of each way; `sphere` on a coarse grid, whose geometry is quick to work out
CASES = {
    "sphere": {"data.size": 16, "lensing.mask": "none", "lensing.pixel_arcmin": 10.0},
    "cut": {"data.size": 16, "lensing.survey": "lsst_y1"},
    "field": {"data.size": 32, "lensing.survey": "kids_1000"},
    "patch": {"lensing.survey": "cosmos"},
    "flat": {
        "data.size": 16, "lensing.survey": "hsc_y3_fair", "lensing.mean": "removed_patch",
        "lensing.smoothing_arcmin": 3.0,
    },
    "grf": {"data.kind": "grf", "data.size": 16, "model.spectrum_bins": 4},
    "slabs": {"data.kind": "2lpt", "data.size": 16, "lpt.particles": 16},
}  # fmt: skip


def configured(name: str) -> object:
    """Parameters of a case."""
    from cosmokeras.project import load_params

    keys = {"model.spectrum_bins": 4, "evaluate.spectrum_bins": 4}
    return load_params(ROOT / "params.yaml", keys | CASES[name])


def stream(forward: Any, maps: np.ndarray) -> np.ndarray:
    """Three observed batches, as training reads them from its step 4 on."""
    from itertools import islice

    from keras import ops

    from cosmokeras.dataset.batches import kept_maps
    from cosmokeras.dataset.feeders import endless, training_batches
    from cosmokeras.dataset.shards import Split

    split = Split([maps], np.array([0]), np.arange(len(maps))[:, None], np.arange(len(maps)))
    read = training_batches(kept_maps(split, 2, 3), lambda theta: theta.astype(np.float32), 3, forward.masks, 2)
    return np.stack([ops.convert_to_numpy(forward(*inputs)) for inputs, _ in islice(endless(read, 4), 3)])


def main(out: str) -> None:
    """Observed maps, words and normal numbers."""
    from keras import ops

    from cosmokeras.observation.ops.counters import normal_pairs, pick, rows, words
    from cosmokeras.observation.ops.forward import Forward

    keys = ops.convert_to_tensor(rows(2**40 + 3, 12, 5, 2))
    found = {"words": np.stack([ops.convert_to_numpy(one) for one in words(keys, 100, 6)])}
    found["normal"] = np.stack([ops.convert_to_numpy(one) for pair in normal_pairs(keys, 4096) for one in pair])
    for name in CASES:
        cfg = configured(name)
        forward = Forward(cfg)
        maps = np.random.default_rng(0).normal(0.0, 0.02, (5, cfg.data.size, cfg.data.size, cfg.channels))
        which = pick(1, np.arange(5), forward.masks)
        signal = forward.signal(maps.astype(np.float16), which)
        found[f"{name} turned"] = ops.convert_to_numpy(forward(signal, which, rows(1, 7, 5, 3)))
        found[f"{name} still"] = ops.convert_to_numpy(forward(signal, which, rows(1, 7, 5, 3), turned=False))
    found["stream"] = stream(Forward(cfg), maps.astype(np.float16))
    found["modules"] = np.array([name in sys.modules for name in ("tensorflow", "jax", "torch")])
    np.savez(out, **found)


if __name__ == "__main__":
    main(sys.argv[1])
