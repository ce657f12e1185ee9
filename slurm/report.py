"""What a job runs on: `python -m slurm.report [--gpus N]`; exit code 2 where GPUs were asked for and are not seen."""

from __future__ import annotations

import platform
import shutil
import socket
import subprocess
import sys
from argparse import Namespace
from importlib.metadata import PackageNotFoundError, version

from cosmokeras import UserError, load_params
from cosmokeras.common import cli
from cosmokeras.models.backend import select_backend

PACKAGES = ("keras", "tensorflow", "tensorflow-cpu", "jax", "torch", "dvc")


def packages() -> str:
    """Names and versions of what is installed."""
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def driver() -> str:
    """Driver and GPUs as nvidia-smi tells them."""
    if shutil.which("nvidia-smi") is None:
        return "no nvidia-smi"
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True)
    return " | ".join((done.stdout if done.returncode == 0 else done.stdout + done.stderr).split("\n")).strip(" |")


def gpus_seen(backend: str) -> list[str]:
    """Names of the GPUs that the backend would use."""
    select_backend(backend)
    if backend == "tensorflow":
        import tensorflow as tf

        return [device.name for device in tf.config.list_physical_devices("GPU")]
    if backend == "jax":
        import jax

        return [str(device) for device in jax.local_devices() if device.platform != "cpu"]
    import torch

    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]


def main(args: Namespace) -> None:
    """Say what a job runs on."""
    cfg = load_params(args.params)
    print(f"{socket.gethostname()}: Python {platform.python_version()} in {sys.prefix}; {packages()}")
    if not args.gpus:
        print("no GPU asked for: processors only", flush=True)
        return
    said = driver()
    found = gpus_seen(cfg.train.backend)
    print(f"GPUs: {said}; {cfg.train.backend} sees {', '.join(found) or 'none'}", flush=True)
    if len(found) < args.gpus:
        raise UserError(
            f"{args.gpus} GPUs were asked for on {socket.gethostname()}, train.backend={cfg.train.backend} sees "
            f"{len(found)} (driver: {said}): install it with CUDA (EXTRAS in slurm/site), or set GPUS=0"
        )


if __name__ == "__main__":
    cli.run(main, gpus={"type": cli.whole, "default": 0, "help": "GPUs that the backend must see"})
