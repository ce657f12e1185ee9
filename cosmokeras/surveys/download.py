"""Real data from where it is published, each file checked against the sha256 in data/manifest.yaml.

With a mirror folder (argument `mirror` or environment COSMOKERAS_REAL_DATA) the same files are taken from
`<mirror>/<name>`, checked in the same way and read in place: no network, no copy, and no fallback to a download.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from cosmokeras.errors import UserError

MANIFEST = Path("data/manifest.yaml")
_KEYS = ("url", "sha256", "bytes", "licence", "citation", "description", "group")


def load_manifest(manifest: Path | str = MANIFEST) -> dict[str, dict[str, Any]]:
    """Read and check the manifest: file name, such as "cosmos/e1.fits", to its entry."""
    manifest = Path(manifest)
    if not manifest.exists():
        raise UserError(f"{manifest} is missing; run in the repository root, after `dvc pull data.dvc`")
    try:
        entries = yaml.safe_load(manifest.read_text())["files"]
        for name, entry in entries.items():
            missing = [key for key in _KEYS if key not in entry]
            if missing or not re.fullmatch(r"[0-9a-f]{64}", str(entry["sha256"])):
                wrong = f"lacks {', '.join(missing)}" if missing else "its sha256 is not 64 hexadecimal digits"
                raise UserError(f"{manifest}: entry {name!r}: {wrong}")
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{manifest}: not a manifest ({_one_line(error)})") from None
    return entries


def fetch_file(
    name: str,
    mirror: Path | str | None = None,
    manifest: Path | str = MANIFEST,
    retries: int = 2,
    offline: bool = False,
) -> Path:
    """Path of a verified local copy of the file `name` of the manifest.

    Parameters
    ----------
    name : key in the manifest, "<group>/<file>"
    mirror : folder that holds "<group>/<file>"; default the environment variable COSMOKERAS_REAL_DATA, else download
        into the cache (environment COSMOKERAS_CACHE, default the operating system's cache folder)
    retries : further attempts after a failed download
    offline : never download
    """
    entries = load_manifest(manifest)
    if name not in entries:
        raise UserError(f"no file {name!r} in {manifest}; known: {', '.join(sorted(entries))}")
    mirror = mirror or os.environ.get("COSMOKERAS_REAL_DATA")
    if mirror:
        return _from_mirror(name, entries[name]["sha256"], Path(mirror))
    if offline:
        raise UserError(f"{name}: real.offline=true; put it in a folder and name that folder in real.mirror")
    return _download(name, entries[name], retries)


def _from_mirror(name: str, sha256: str, mirror: Path) -> Path:
    import pooch

    path = mirror / name
    if not path.is_file():
        msg = f"{path} is missing; put it there, or unset real.mirror and COSMOKERAS_REAL_DATA to download it"
        raise UserError(msg)
    got = pooch.file_hash(str(path))
    if got != sha256:
        raise UserError(f"{path}: sha256 is {got}, expected {sha256}; replace the file by the published one")
    return path


def _download(name: str, entry: dict[str, Any], retries: int) -> Path:
    import pooch
    import requests

    url, sha256 = entry["url"], entry["sha256"]
    files = pooch.create(
        path=pooch.os_cache("cosmokeras"),
        base_url="",
        registry={name: f"sha256:{sha256}"},
        urls={name: url},
        env="COSMOKERAS_CACHE",
        retry_if_failed=retries,
    )
    target = Path(files.abspath) / name
    by_hand = f"or fetch it by hand to {target}"
    try:
        with _quiet(pooch.get_logger()):
            # pooch downloads to a temporary name in the same folder, checks the sha256, then renames
            return Path(files.fetch(name, downloader=pooch.HTTPDownloader(progressbar=sys.stderr.isatty())))
    except requests.HTTPError as error:
        status = error.response.status_code
        raise UserError(f"{name}: {url} answered HTTP {status}; try again later, {by_hand}") from None
    except requests.RequestException as error:
        why = type(error).__name__
        raise UserError(f"{name}: no connection to {url} ({why}); check the network, {by_hand}") from None
    except ValueError as error:  # what pooch raises on a wrong hash
        got = re.search(r"got\W+([0-9a-f]{64})", str(error))
        found = got.group(1) if got else _one_line(error)
        msg = f"{name}: {url} gave sha256 {found}, expected {sha256}; nothing was kept: try again, {by_hand}"
        raise UserError(msg) from None
    except OSError as error:
        why = error.strerror or _one_line(error)
        msg = f"{name}: cannot write {target} ({why}); free space or set COSMOKERAS_CACHE"
        raise UserError(msg) from None


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """No "Downloading ..." lines: only the progress bar, and only on a terminal."""
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
