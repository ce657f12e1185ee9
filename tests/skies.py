"""What tests of several sources share.

For downloads: a manifest of one file, and a server on the loopback that cuts, refuses, changes and stays silent when
told to. For HEALPix maps: stand-ins at low resolution, SIMULATIONS, and a place to put them under the names of files.
"""

from __future__ import annotations

import hashlib
import random
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import yaml

from cosmokeras.common.errors import UserError
from cosmokeras.common.files import sha256
from cosmokeras.params.config import Config
from cosmokeras.project import load_params
from cosmokeras.sky.footprint import des_like_footprint
from cosmokeras.surveys import RealSky, fetch
from cosmokeras.surveys.download import http_file
from cosmokeras.surveys.download.fetch import Fetched, fetch_verified

ROOT = Path(__file__).parents[1]
CHUNKED = {"Transfer-Encoding": "chunked"}


class Handler(BaseHTTPRequestHandler):
    """Serves `server.body` with ranges. For each request an entry of `server.plan` is taken, which changes the answer.

    `status`, `headers`; `framing`: headers instead of Content-Length; `cut`: bytes of the body after which the
    connection ends; `hold`: an event to wait for before it ends; `deaf`: do as if there were no If-Range.
    """

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server, sent = self.server, self.headers
        server.seen.append(dict(sent))
        plan = server.plan.pop(0) if server.plan else {}
        body, headers, status = server.body, {}, plan.get("status", 200)
        tags = {key: value for key, value in server.tags.items() if value}
        asked = re.fullmatch(r"bytes=(\d+)-", sent.get("Range", ""))
        same = sent.get("If-Range") in (None, *tags.values()) or plan.get("deaf")
        if status == 200 and asked and same and server.ranges:
            start = int(asked[1])
            if start >= len(body):
                status, headers, body = 416, {"Content-Range": f"bytes */{len(body)}"}, b""
            else:
                status = 206
                headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
                body = body[start:]
        self.send_response(status)
        self.close_connection = True
        headers |= plan.get("framing", {"Content-Length": str(len(body))})
        for key, value in {**headers, **tags, **plan.get("headers", {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if plan.get("framing") == CHUNKED:
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        self.wfile.write(body[: plan.get("cut", len(body))])
        if "hold" in plan:
            self.wfile.flush()
            plan["hold"].wait(30)

    def log_message(self, *_):
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    """Serves `body`, first `good`, with `tags`; answers as `plan` says; what it was asked is in `seen`, by headers."""
    one = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    one.good, one.other = (random.Random(seed).randbytes(300_000) for seed in (1, 2))
    one.half = 2 * http_file.CHUNK  # bytes: whole chunks, so that a cut loses none
    one.body, one.tags, one.ranges = one.good, {"ETag": '"first"'}, True
    one.plan, one.seen = [], []
    one.url = f"http://127.0.0.1:{one.server_port}/e1.fits"
    thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield one
    one.shutdown()
    one.server_close()
    thread.join()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder, not there yet."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "COSMOKERAS_REAL_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COSMOKERAS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def manifest(tmp_path: Path, server: ThreadingHTTPServer) -> Callable[..., Path]:
    """`manifest(**change)`: path of a manifest whose only entry, cosmos/e1.fits, is the server's good file."""

    def write(remove: tuple[str, ...] = (), **change) -> Path:
        entry = {
            "url": server.url,
            "sha256": hashlib.sha256(server.good).hexdigest(),
            "bytes": len(server.good),
            "licence": "none",
            "citation": "nobody",
            "description": "a test",
            "group": "cosmos",
            **change,
        }
        kept = {key: value for key, value in entry.items() if key not in remove}
        path = tmp_path / "manifest.yaml"
        path.write_text(yaml.safe_dump({"files": {"cosmos/e1.fits": kept}}))
        return path

    return write


@pytest.fixture
def get(cache: Path, manifest: Callable[..., Path]) -> Callable[..., Fetched]:
    """`get(change of the entry, **options)` is `fetch_verified`; pauses are not slept but noted in `get.pauses`."""

    def one(change: dict | None = None, **options) -> Fetched:
        path = manifest(**(change or {}))
        try:
            return fetch_verified("cosmos/e1.fits", manifest=path, wait=one.pauses.append, **options)
        except UserError as error:
            assert "\n" not in str(error)
            raise

    one.pauses = []
    return one


@pytest.fixture
def files() -> Callable[[Path], list[str]]:
    """`files(folder)`: names of the files in it, without the lock."""

    def names(folder: Path) -> list[str]:
        return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.name != ".lock")

    return names


@dataclass
class Place:
    """A folder with params.yaml, presets of NSIDE 64, whose noise is white, and a mirror with a manifest."""

    nside: ClassVar[int] = 64
    npix: ClassVar[int] = 12 * 64**2
    size: ClassVar[int] = 16
    pixel: ClassVar[float] = 60.0
    max_masked: ClassVar[float] = 0.3

    root: Path
    overrides: dict[str, Any] = field(default_factory=dict)

    @property
    def mirror(self) -> Path:
        return self.root / "mirror"

    @property
    def settings(self) -> dict[str, Any]:
        """What is not as in params.yaml."""
        small = {"data.size": self.size, "model.spectrum_bins": 6, "evaluate.spectrum_bins": 6}
        return small | {"lensing.mask": "none", "real.max_masked": self.max_masked} | self.overrides

    def config(self, **overrides: Any) -> Config:
        return load_params(self.root / "params.yaml", self.settings | overrides)

    def fetch(self, **overrides: Any) -> RealSky:
        return fetch(self.config(**overrides))

    def complaint(self, **overrides: Any) -> str:
        with pytest.raises(UserError) as caught:
            self.fetch(**overrides)
        message = str(caught.value)
        assert "\n" not in message
        return message

    def publish(self) -> None:
        """Write the manifest of what lies in the mirror."""
        entry = {"url": "https://example.org/x", "licence": "a simulation", "citation": "none"}
        entry |= {"description": "a simulation"}
        files = {
            str(path.relative_to(self.mirror)): {
                **entry,
                "group": path.parent.name,
                "sha256": sha256(path),
                "bytes": path.stat().st_size,
            }
            for path in self.mirror.rglob("*.*")
        }
        (self.root / "data" / "manifest.yaml").write_text(yaml.safe_dump({"files": files}))

    def change_preset(self, name: str, **change: Any) -> None:
        path = self.root / "data" / "surveys" / f"{name}.yaml"
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | change))

    def write(self, name: str, columns: np.ndarray, nest: bool = False, dtype: Any = np.float32) -> Path:
        """A FITS map; columns are RING."""
        import healpy

        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        stored = healpy.reorder(np.atleast_2d(columns), r2n=True) if nest else np.atleast_2d(columns)
        names = [f"BIN{i}" for i in range(len(stored))]
        healpy.write_map(path, stored, nest=nest, coord="C", dtype=dtype, column_names=names, overwrite=True)
        return path

    def own(self, maps: np.ndarray, mask: np.ndarray, **more: Any) -> Place:
        """Maps of one's own as one file and a mask beside it."""
        self.write("maps.fits", maps, **more)
        self.write("mask.fits", mask.astype(np.float32))
        self.overrides = {"real.source": "healpix", "real.path": "maps.fits", "real.mask": "mask.fits"}
        return self


@pytest.fixture
def place(tmp_path: Path) -> Place:
    surveys = tmp_path / "data" / "surveys"
    surveys.mkdir(parents=True)
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    for path in (ROOT / "data" / "surveys").glob("*.yaml"):
        preset = yaml.safe_load(path.read_text())
        if preset["made_from"] == "healpix":
            preset |= {"nside": Place.nside, "lmax": None, "pixel_arcmin": Place.pixel, "mask": None, "mock": None}
        (surveys / path.name).write_text(yaml.safe_dump(preset))
    (tmp_path / "mirror").mkdir()
    return Place(tmp_path)


@pytest.fixture(scope="module")
def mask() -> np.ndarray:
    return des_like_footprint(Place.nside, np.random.default_rng(1), hole_fraction=0.0)


@pytest.fixture(scope="module")
def signal() -> np.ndarray:
    """Skewed convergence, (4, npix), growing with the bin."""
    import healpy

    rng = np.random.default_rng(2)
    lmax = 2 * Place.nside
    alm = rng.standard_normal((2, healpy.Alm.getsize(lmax)))
    alm = healpy.almxfl(alm[0] + 1j * alm[1] * (healpy.Alm.getlm(lmax)[1] > 0), 1 / (np.arange(lmax + 1) + 5.0))
    kappa = healpy.alm2map(alm, Place.nside, lmax=lmax, pixwin=False)
    kappa = np.exp(0.7 * kappa / kappa.std())
    kappa = (kappa - kappa.mean()) / kappa.std()
    return np.array([0.001, 0.0015, 0.002, 0.0025])[:, None] * kappa


@pytest.fixture(scope="module")
def noise_sigma() -> np.ndarray:
    """Shape noise of des_y3 in a HEALPix pixel, (4,)."""
    preset = yaml.safe_load((ROOT / "data" / "surveys" / "des_y3.yaml").read_text())
    area = 4 * np.pi / Place.npix * (180 / np.pi * 60) ** 2  # [arcmin^2]
    return np.array([one["sigma_e"] / np.sqrt(one["n_eff"] * area) for one in preset["bins"]])


@pytest.fixture(scope="module")
def maps(signal: np.ndarray, mask: np.ndarray, noise_sigma: np.ndarray) -> np.ndarray:
    """Noisy convergence of des_y3, (4, npix) float32, 0 outside the mask."""
    noise = noise_sigma[:, None] * np.random.default_rng(3).standard_normal((4, Place.npix))
    return ((signal + noise) * mask).astype(np.float32)
