"""Which devices share a run: one, all of a node, or, on the JAX backend, all of many nodes.

Several processes find each other by three environment variables: COSMOKERAS_COORDINATOR (host:port of the first one),
COSMOKERAS_PROCESSES (how many) and COSMOKERAS_PROCESS (which one this is, from 0).
"""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from cosmokeras.common.errors import UserError


@dataclass(frozen=True)
class Devices:
    """The devices of a run: `names` of those of this process, `count` over all `processes`."""

    names: tuple[str, ...]
    count: int = 1
    process: int = 0
    processes: int = 1
    strategy: Any = None  # of TensorFlow, when there are several

    @property
    def main(self) -> bool:
        """Whether this process writes the files."""
        return self.process == 0

    def share(self, batch: int) -> slice:
        """The part of a batch of all devices that this process feeds to its own."""
        part = batch // self.processes
        return slice(self.process * part, (self.process + 1) * part) if self.processes > 1 else slice(None)

    @contextmanager
    def distributed(self) -> Iterator[None]:
        """Where the model is built and trained on all devices; what is built after it lives on one."""
        if keras.backend.backend() == "jax" and self.count > 1:
            keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
            try:
                yield
            finally:
                keras.distribution.set_distribution(None)
            if self.processes > 1:
                import jax

                # together: what the first process does afterwards, it does alone; who leaves early waits for nobody
                jax.distributed.shutdown()
        else:
            with self.strategy.scope() if self.strategy else nullcontext():
                yield


def find_devices() -> Devices:
    """All GPUs that this process sees, or the CPU; joins the other processes where there are any.

    Before any other use of the backend's devices.
    """
    backend = keras.backend.backend()
    return {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[backend]()


def _processes() -> tuple[str, int, int]:
    """Coordinator, number of processes, which one this is."""
    names = ("COSMOKERAS_COORDINATOR", "COSMOKERAS_PROCESSES", "COSMOKERAS_PROCESS")
    coordinator, processes, process = (os.environ.get(name, "") for name in names)
    if not processes or processes == "1":
        return "", 1, 0
    if not (coordinator and processes.isdigit() and process.isdigit() and int(process) < int(processes)):
        raise UserError(
            f"{names[0]}={coordinator!r}, {names[1]}={processes!r}, {names[2]}={process!r}: "
            "must be host:port, the number of processes, and which one this is, from 0"
        )
    return coordinator, int(processes), int(process)


def _refuse_processes(backend: str, why: str) -> None:
    if _processes()[1] > 1:
        raise UserError(f"train.backend={backend}: {why}; for several nodes use train.backend=jax")


def _tensorflow() -> Devices:
    import tensorflow as tf

    _refuse_processes("tensorflow", "Keras 3 cannot fit under MultiWorkerMirroredStrategy (keras issue 20585)")
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        # Its rewriting of graphs differs from process to process, and the order of additions with it: without it two
        # runs with one seed end with the same bytes, and no slower. GPUs need it for the layout of their memory.
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    details = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
    logical = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    names = tuple(details) or (cpu_name(),) * len(logical)
    if len(logical) == 1:
        return Devices(names)
    strategy = tf.distribute.MirroredStrategy([device.name for device in logical])
    return Devices(names, strategy.num_replicas_in_sync, strategy=strategy)


def _jax() -> Devices:
    import jax

    coordinator, processes, process = _processes()
    if processes > 1:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")  # GPUs have their own
        keras.distribution.initialize(coordinator, processes, process)
    names = tuple(cpu_name() if d.platform == "cpu" else d.device_kind for d in jax.local_devices())
    return Devices(names, jax.device_count(), process, processes)


def _torch() -> Devices:
    import torch

    _refuse_processes("torch", "runs on one device")
    return Devices((torch.cuda.get_device_name(0) if torch.cuda.is_available() else cpu_name(),))


def cpu_name() -> str:
    """What the processor calls itself."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return model or platform.processor() or platform.machine()


def release_memory() -> None:
    """Give memory that is free back to the system: the C library keeps what a training step needed for the next one."""
    gc.collect()
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):  # of glibc alone
        libc.malloc_trim(0)


def peak_memory() -> dict[str, int]:
    """Largest memory so far [MB]: of this process, and of its first GPU where it has one."""
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    out = {"process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit // 2**20}
    gpu = 0
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if tf.config.list_logical_devices("GPU"):
            gpu = tf.config.experimental.get_memory_info("GPU:0")["peak"]
    elif keras.backend.backend() == "jax":
        import jax

        gpu = (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0)
    else:
        import torch

        gpu = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
    return out | ({"device": gpu // 2**20} if gpu else {})
