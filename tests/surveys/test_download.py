"""Downloads against a server on the loopback: verified, atomic, and never anything but the file that was asked for."""

from __future__ import annotations

import hashlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
import yaml

from cosmokeras.errors import UserError
from cosmokeras.surveys.download import fetch_file, load_manifest

GOOD = b"shear" * 1000
REPOSITORY = Path(__file__).parents[2]


class Handler(BaseHTTPRequestHandler):
    requests: ClassVar[list[str]] = []

    def do_GET(self):
        self.requests.append(self.path)
        status, body = {"/good": (200, GOOD), "/wrong": (200, b"something else"), "/broken": (500, b"oops")}.get(
            self.path, (404, b"not here")
        )
        if self.path == "/shaky":  # fails once
            status, body = (500, b"oops") if len(self.requests) == 1 else (200, GOOD)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    Handler.requests = []
    one = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=one.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{one.server_port}"
    one.shutdown()
    one.server_close()
    thread.join()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "COSMOKERAS_REAL_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COSMOKERAS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def manifest(folder: Path, url: str, **change) -> Path:
    entry = {
        "url": url,
        "sha256": hashlib.sha256(GOOD).hexdigest(),
        "bytes": len(GOOD),
        "licence": "none",
        "citation": "nobody",
        "description": "a test",
        "group": "cosmos",
    }
    path = folder / "manifest.yaml"
    path.write_text(yaml.safe_dump({"files": {"cosmos/e1.fits": {**entry, **change}}}))
    return path


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_good_file_is_fetched_once_and_quietly(server, cache, tmp_path, capfd):
    one = manifest(tmp_path, f"{server}/good")
    path = fetch_file("cosmos/e1.fits", manifest=one)
    assert path == cache / "cosmos/e1.fits"
    assert path.read_bytes() == GOOD
    assert fetch_file("cosmos/e1.fits", manifest=one) == path
    assert Handler.requests == ["/good"]
    assert capfd.readouterr() == ("", "")


def test_a_damaged_cached_file_is_fetched_again(server, cache, tmp_path):
    one = manifest(tmp_path, f"{server}/good")
    fetch_file("cosmos/e1.fits", manifest=one).write_bytes(GOOD[:100])
    assert fetch_file("cosmos/e1.fits", manifest=one).read_bytes() == GOOD


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        (
            "wrong",
            [hashlib.sha256(GOOD).hexdigest(), hashlib.sha256(b"something else").hexdigest(), "nothing was kept"],
        ),
        ("missing", ["HTTP 404"]),
        ("broken", ["HTTP 500"]),
    ],
)
def test_failures_say_what_to_do_and_leave_nothing(server, cache, tmp_path, path, parts):
    with pytest.raises(UserError) as error:
        fetch_file("cosmos/e1.fits", manifest=manifest(tmp_path, f"{server}/{path}"), retries=0)
    message = str(error.value)
    for part in [*parts, "cosmos/e1.fits", f"{server}/{path}", str(cache / "cosmos/e1.fits")]:
        assert part in message
    assert "\n" not in message
    assert files_in(cache) == []


def test_no_network(cache, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/good"
    with pytest.raises(UserError, match="no connection") as error:
        fetch_file("cosmos/e1.fits", manifest=manifest(tmp_path, url), retries=0)
    for part in ("cosmos/e1.fits", url, str(cache / "cosmos/e1.fits")):
        assert part in str(error.value)
    assert files_in(cache) == []


def test_a_passing_failure_is_tried_again(server, cache, tmp_path):
    path = fetch_file("cosmos/e1.fits", manifest=manifest(tmp_path, f"{server}/shaky"), retries=1)
    assert path.read_bytes() == GOOD
    assert len(Handler.requests) == 2


def test_an_unwritable_cache_is_named(server, cache, tmp_path):
    cache.write_text("a file where the cache folder should be")
    with pytest.raises(UserError, match="COSMOKERAS_CACHE") as error:
        fetch_file("cosmos/e1.fits", manifest=manifest(tmp_path, f"{server}/good"), retries=0)
    assert str(cache) in str(error.value)


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_a_mirror_is_read_in_place_without_network(server, cache, tmp_path, monkeypatch, how):
    one = manifest(tmp_path, f"{server}/good")
    mirror = tmp_path / "mirror"
    (mirror / "cosmos").mkdir(parents=True)
    (mirror / "cosmos/e1.fits").write_bytes(GOOD)
    if how == "environment":
        monkeypatch.setenv("COSMOKERAS_REAL_DATA", str(mirror))
    argument = str(mirror) if how == "argument" else None
    assert fetch_file("cosmos/e1.fits", argument, one) == mirror / "cosmos/e1.fits"

    (mirror / "cosmos/e1.fits").write_bytes(b"something else")
    with pytest.raises(UserError, match=hashlib.sha256(b"something else").hexdigest()):
        fetch_file("cosmos/e1.fits", argument, one)

    (mirror / "cosmos/e1.fits").unlink()
    with pytest.raises(UserError, match="is missing; put it there") as error:
        fetch_file("cosmos/e1.fits", argument, one)
    assert str(mirror / "cosmos/e1.fits") in str(error.value)
    assert Handler.requests == [], "a mirror never falls back to a download"


def test_an_unknown_name_lists_the_known(cache, tmp_path):
    with pytest.raises(UserError, match="no file 'cosmos/e3.fits'.*known: cosmos/e1.fits"):
        fetch_file("cosmos/e3.fits", manifest=manifest(tmp_path, "http://127.0.0.1/"))


def test_bad_manifests_are_named(tmp_path):
    with pytest.raises(UserError, match="is missing"):
        load_manifest(tmp_path / "none.yaml")
    with pytest.raises(UserError, match="entry 'cosmos/e1.fits': its sha256"):
        load_manifest(manifest(tmp_path, "http://127.0.0.1/", sha256="abc"))
    for text in ("files: {a: {url: x}}", "[1, 2]", "files: {a: ["):
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(UserError, match="bad.yaml") as error:
            load_manifest(tmp_path / "bad.yaml")
        assert "\n" not in str(error.value)


def test_the_projects_manifest():
    entries = load_manifest(REPOSITORY / "data/manifest.yaml")
    for column in ("ra", "dec", "e1", "e2", "nhweight_int"):
        entry = entries[f"cosmos/{column}.fits"]
        assert entry["url"].startswith("https://") and entry["url"].endswith(f"/{column}.fits")
    for name, entry in entries.items():
        assert name.startswith(f"{entry['group']}/") and entry["bytes"] > 0
        assert entry["citation"] and entry["licence"] and entry["description"]
    assert len({entry["sha256"] for entry in entries.values()}) == len(entries)
