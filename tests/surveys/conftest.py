"""A manifest of one file, and a server on the loopback that cuts, refuses, changes and stays silent when told to."""

from __future__ import annotations

import hashlib
import random
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from cosmokeras.errors import UserError
from cosmokeras.surveys import http_file
from cosmokeras.surveys.download import Fetched, fetch_verified

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

    def fetch(change: dict | None = None, **options) -> Fetched:
        path = manifest(**(change or {}))
        try:
            return fetch_verified("cosmos/e1.fits", manifest=path, wait=fetch.pauses.append, **options)
        except UserError as error:
            assert "\n" not in str(error)
            raise

    fetch.pauses = []
    return fetch


@pytest.fixture
def files() -> Callable[[Path], list[str]]:
    """`files(folder)`: names of the files in it, without the lock."""

    def names(folder: Path) -> list[str]:
        return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.name != ".lock")

    return names
