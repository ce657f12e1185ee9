"""Signal of training maps on disk: what is the same at every step of a run is done once, before the first.

Each map has one mask for the whole run. Its way to shear, behind the mask and back is a linear map without random
numbers; what comes out is written as sealed `.npy` arrays beside the run's state, and all processes read them.
Where a survey maps no shear the signal is the simulated map, and nothing is written.
"""

from __future__ import annotations

import mmap
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from cosmokeras.common.files import locked, sha256_of
from cosmokeras.common.sealed import is_whole, read_mapping, say_damaged, sealed, write_mapping
from cosmokeras.dataset.masks import mask_numbers
from cosmokeras.dataset.shards import Maps, Split
from cosmokeras.observation.ops.blocks import BLOCK, in_blocks
from cosmokeras.observation.ops.forward import Forward

NOTE = "signal.json"


def signal_on_disk(
    split: Split, forward: Forward, seed: int, folder: Path, process: int = 0, processes: int = 1
) -> Split:
    """A split whose arrays hold the signal behind masks `pick(seed, number of the map, forward.masks)`.

    Parameters
    ----------
    folder : on a disk that all processes share; what is there already is not made again
    process, processes : which of several this is: each begins with other arrays, and all end with all of them
    """
    if not forward.through_shear:
        return split
    which = mask_numbers(split, seed, np.arange(len(split)), forward.masks)
    windows = {name: sha256_of(one) for name, one in sorted(forward.signal_arrays.items())}
    made_of = {
        "masks": sha256_of(which), "windows": windows, "parameters": sha256_of(split.theta),
        "maps": [sha256_of(one[:1]) for one in split.arrays],
    }  # fmt: skip
    with locked(folder):
        if read_mapping(folder / NOTE) != made_of:
            for old in folder.glob("*.npy"):
                old.unlink()
            write_mapping(folder / NOTE, made_of)
    count = len(split.arrays)
    paths = [folder / f"signal-{i:05d}.npy" for i in range(count)]
    for i in np.roll(np.arange(count), -(process * count // processes)).tolist():
        with locked(folder, f".lock-{i:05d}"):
            whole = is_whole(paths[i])
            if paths[i].exists() and not whole:
                say_damaged(paths[i])
            if not whole:
                start = int(split.offsets[i])
                numbers = which[start : start + len(split.arrays[i])]
                with sealed(paths[i]) as handle:
                    _write(handle, split.arrays[i], numbers, forward)
                release_pages(split.arrays[i])  # steps read the signal alone
    return replace(split, arrays=[np.load(path, mmap_mode="r", allow_pickle=False) for path in paths])


def release_pages(array: Any) -> None:
    """Let go of what was read of a memory-mapped array: it counts as memory of the process until then.

    Read again it comes from the file, so that nothing is lost; an array that may be written to is left as it is.
    """
    mapped = getattr(array, "base", None)
    if isinstance(mapped, mmap.mmap) and not array.flags.writeable and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def _write(handle: IO[bytes], maps: Maps, which: np.ndarray, forward: Forward) -> None:
    """The signal of an array of maps, of its own type, block by block."""
    header = {"descr": np.lib.format.dtype_to_descr(maps.dtype), "fortran_order": False, "shape": maps.shape}
    np.lib.format.write_array_header_1_0(handle, header)
    for start in range(0, len(maps), BLOCK):
        part = slice(start, start + BLOCK)
        signal = in_blocks(forward.signal, (maps[part], which[part]))
        handle.write(signal.astype(maps.dtype).tobytes())
