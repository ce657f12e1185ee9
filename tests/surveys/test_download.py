"""Downloads against a server on the loopback: verified, continued, atomic, never anything but the file asked for."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from cosmokeras.errors import UserError
from cosmokeras.surveys import http_file
from cosmokeras.surveys.download import fetch_file, fetch_verified, load_manifest

GOOD = os.urandom(1000) * 300  # 300 kB: several chunks
OTHER = os.urandom(1000) * 300
HALF = 2 * http_file.CHUNK
NAME = "cosmos/e1.fits"
REPOSITORY = Path(__file__).parents[2]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves `server.body` with ranges. An entry of `server.plan` is taken for each request and changes the answer."""

    def do_GET(self):
        server, sent = self.server, self.headers
        server.seen.append(dict(sent))
        server.paths.append(self.path)
        plan = server.plan.pop(0) if server.plan else {}
        body, headers, status = plan.get("body", server.body), {}, plan.get("status", 200)
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
        if not plan.get("endless"):
            headers["Content-Length"] = str(len(body))
        for key, value in {**headers, **tags, **plan.get("headers", {})}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body[: plan.get("cut", len(body))])
        if "hold" in plan:
            self.wfile.flush()
            plan["hold"].wait(30)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    one = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    one.body, one.tags, one.ranges = GOOD, {"ETag": '"first"'}, True
    one.plan, one.seen, one.paths = [], [], []
    one.url = f"http://127.0.0.1:{one.server_port}/e1.fits"
    thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield one
    one.shutdown()
    one.server_close()
    thread.join()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "COSMOKERAS_REAL_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COSMOKERAS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def get(server, cache, tmp_path):
    """fetch_verified against the server; changes of the entry as `entry`, pauses in `get.pauses` instead of slept."""

    def fetch(entry=None, **options):
        entry = {"url": server.url, **(entry or {})}
        return fetch_verified(NAME, manifest=manifest(tmp_path, **entry), wait=fetch.pauses.append, **options)

    fetch.pauses = []
    return fetch


def manifest(folder: Path, url: str = "http://127.0.0.1/e1.fits", remove: tuple[str, ...] = (), **change) -> Path:
    entry = {
        "url": url,
        "sha256": sha256(GOOD),
        "bytes": len(GOOD),
        "licence": "none",
        "citation": "nobody",
        "description": "a test",
        "group": "cosmos",
        **change,
    }
    path = folder / "manifest.yaml"
    path.write_text(yaml.safe_dump({"files": {NAME: {k: v for k, v in entry.items() if k not in remove}}}))
    return path


UNKNOWN = {"sha256": None, "bytes": None}


def files_in(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if p.is_file() and p.name != ".lock")


def one_line(error: pytest.ExceptionInfo) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


def begin(get, server, cut=HALF, **entry) -> None:
    """Leave a part of `cut` bytes, as a connection that broke does."""
    server.plan = [{"cut": cut}]
    with pytest.raises(UserError, match=f"{cut} bytes are kept and will be continued"):
        get(entry, retries=0)


# Whole files


def test_a_good_file_is_fetched_once_and_quietly(server, cache, tmp_path, capfd):
    one = manifest(tmp_path, server.url)
    path = fetch_file(NAME, manifest=one)
    assert path == cache / NAME
    assert path.read_bytes() == GOOD
    assert fetch_file(NAME, manifest=one) == path
    assert server.paths == ["/e1.fits"]
    assert files_in(cache) == ["e1.fits"]
    assert capfd.readouterr() == ("", "")


def test_a_damaged_cached_file_is_fetched_again(server, get):
    get().path.write_bytes(GOOD[:100])
    assert get().path.read_bytes() == GOOD
    assert len(server.seen) == 2


def test_a_compressed_copy_is_not_asked_for(server, get):
    get()
    assert server.seen[0]["Accept-Encoding"] == "identity"


# Continued


def test_a_cut_download_is_continued_in_the_same_run(server, get, cache):
    server.plan = [{"cut": HALF}]
    assert get().path.read_bytes() == GOOD
    assert "Range" not in server.seen[0]
    assert (server.seen[1]["Range"], server.seen[1]["If-Range"]) == (f"bytes={HALF}-", '"first"')
    assert len(server.seen) == 2
    assert get.pauses == [1.0]
    assert files_in(cache) == ["e1.fits"]


def test_a_cut_download_is_continued_in_the_next_run(server, get, cache):
    begin(get, server)
    part = cache / (NAME + ".part")
    assert part.read_bytes() == GOOD[:HALF]
    assert files_in(cache) == ["e1.fits.part", "e1.fits.part.json"]
    # what is here is trusted until the checksum, not fetched again: the server's first half is now another
    server.body = OTHER[:HALF] + GOOD[HALF:]
    assert get().path.read_bytes() == GOOD
    assert server.seen[-1]["Range"] == f"bytes={HALF}-"
    assert files_in(cache) == ["e1.fits"]


def test_many_cuts_are_no_failure_while_bytes_come(server, get, monkeypatch):
    monkeypatch.setattr(http_file, "PROGRESS", http_file.CHUNK)
    server.plan = [{"cut": http_file.CHUNK} for _ in range(4)]
    assert get(retries=1).path.read_bytes() == GOOD
    assert len(server.seen) == 5
    assert set(get.pauses) == {1.0}


def test_a_server_without_ranges_sends_all_again(server, get):
    begin(get, server)
    server.ranges = False
    assert get().path.read_bytes() == GOOD
    assert "Range" in server.seen[-1] and len(server.seen) == 2


@pytest.mark.parametrize(
    ("tags", "if_range"),
    [
        ({"ETag": 'W/"weak"'}, None),
        ({"ETag": 'W/"weak"', "Last-Modified": "Wed, 01 Jan 2025 00:00:00 GMT"}, "Wed, 01 Jan 2025 00:00:00 GMT"),
        ({}, None),
    ],
)
def test_what_a_range_is_tied_to(server, get, tags, if_range):
    server.tags = tags
    begin(get, server)
    assert get().path.read_bytes() == GOOD
    assert server.seen[-1]["Range"] == f"bytes={HALF}-"
    assert server.seen[-1].get("If-Range") == if_range


def test_without_checksum_and_tag_nothing_is_continued(server, get):
    server.tags = {}
    begin(get, server, **UNKNOWN)
    server.body = OTHER
    assert get(UNKNOWN).path.read_bytes() == OTHER
    assert "Range" not in server.seen[-1]


@pytest.mark.parametrize("deaf", [False, True], ids=["If-Range heard", "If-Range ignored"])
def test_a_file_that_changed_meanwhile_is_fetched_anew(server, get, deaf):
    begin(get, server, **UNKNOWN)
    server.body, server.tags = OTHER, {"ETag": '"second"'}
    server.plan = [{"deaf": deaf}]
    assert get(UNKNOWN).path.read_bytes() == OTHER
    assert server.seen[1]["Range"] == f"bytes={HALF}-"
    assert len(server.seen) == (3 if deaf else 2)


def test_parts_of_two_versions_are_found_by_the_checksum(server, get, cache):
    server.body, server.tags = OTHER, {}  # nothing tells the versions apart
    begin(get, server)
    server.body = GOOD
    assert get().path.read_bytes() == GOOD
    assert ["Range" in seen for seen in server.seen] == [False, True, False]
    assert files_in(cache) == ["e1.fits"]


def test_a_part_longer_than_the_servers_file_is_thrown_away(server, get):
    server.body = GOOD + OTHER
    begin(get, server, cut=len(GOOD) + http_file.CHUNK, **UNKNOWN)
    server.body = GOOD
    got = get(UNKNOWN)  # 416, then the whole
    assert got.path.read_bytes() == GOOD
    assert ["Range" in seen for seen in server.seen] == [False, True, False]


def test_a_part_that_is_whole_is_not_asked_for_again(server, get, cache):
    begin(get, server)
    (cache / (NAME + ".part")).write_bytes(GOOD)  # killed just before the rename
    assert get().path.read_bytes() == GOOD
    assert len(server.seen) == 1


def test_416_of_a_whole_part_means_whole(server, get, cache):
    begin(get, server, **UNKNOWN)
    notes = cache / (NAME + ".part.json")
    notes.write_text(json.dumps({**json.loads(notes.read_text()), "bytes": None}))  # size never told
    (cache / (NAME + ".part")).write_bytes(GOOD)
    assert get(UNKNOWN).sha256 == sha256(GOOD)
    assert [seen.get("Range") for seen in server.seen] == [None, f"bytes={len(GOOD)}-"]


def test_a_part_of_another_url_is_not_continued(server, get):
    begin(get, server)
    get({"url": server.url + "?version=2"})
    assert "Range" not in server.seen[-1]


# Tried again, or not


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_a_passing_failure_is_tried_again(server, get, status):
    server.plan = [{"status": status}, {"status": status}]
    assert get(retries=2).path.read_bytes() == GOOD
    assert get.pauses == [1.0, 2.0]


@pytest.mark.parametrize(
    ("header", "pause"),
    [
        ("7", 7.0),
        ("0", 1.0),
        ("86400", http_file.LONGEST_ASKED),
        ("Fri, 01 Jan 2100 00:00:00 GMT", http_file.LONGEST_ASKED),
        ("soon", 1.0),
    ],
)
def test_retry_after_is_heard_within_bounds(server, get, header, pause):
    server.plan = [{"status": 429, "headers": {"Retry-After": header}}]
    get()
    assert get.pauses == [pause]


@pytest.mark.parametrize("status", [404, 403, 410, 416])
def test_a_lasting_failure_is_not_tried_again(server, get, cache, status):
    server.plan = [{"status": status}]
    with pytest.raises(UserError, match=f"HTTP {status}; check the URL") as error:
        get(retries=5)
    for part in (NAME, server.url, str(cache / NAME)):
        assert part in one_line(error)
    assert len(server.seen) == 1 and get.pauses == []
    assert files_in(cache) == []


def test_patience_ends(server, get, cache, capfd):
    server.plan = [{"status": 500}] * 9
    with pytest.raises(UserError, match=r"HTTP 500 \(8 further attempts\); try again later") as error:
        get(retries=8)
    assert str(cache / NAME) in one_line(error)
    assert get.pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    assert capfd.readouterr().err.count("HTTP 500; again in") == 8
    assert files_in(cache) == []


def test_a_silent_server_is_tried_again(server, get, monkeypatch):
    monkeypatch.setattr(http_file, "TIMEOUT", (5, 0.1))
    hold = threading.Event()
    server.plan = [{"cut": HALF, "hold": hold}]
    try:
        assert get().path.read_bytes() == GOOD
    finally:
        hold.set()
    assert server.seen[1]["Range"] == f"bytes={HALF}-"


def test_no_network(get, cache):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/good"
    with pytest.raises(UserError, match="no connection") as error:
        get({"url": url}, retries=3)
    for part in (NAME, url, str(cache / NAME), "check the network"):
        assert part in one_line(error)
    assert get.pauses == [1, 2, 4]
    assert files_in(cache) == []


# Checksums


@pytest.mark.parametrize("kind", ["sha256", "md5"])
def test_wrong_bytes_are_refused_and_not_kept(server, get, cache, kind):
    server.body = OTHER
    right = hashlib.new(kind, GOOD).hexdigest()
    with pytest.raises(UserError, match="nothing was kept") as error:
        get({"sha256": None, kind: right})
    for part in (NAME, server.url, right, hashlib.new(kind, OTHER).hexdigest(), str(cache / NAME)):
        assert part in one_line(error)
    assert len(server.seen) == 1 and files_in(cache) == []


def test_an_md5_will_do(get, cache):
    got = get({"md5": hashlib.md5(GOOD).hexdigest()} | UNKNOWN)
    assert got == (cache / NAME, sha256(GOOD), True)
    assert files_in(cache) == ["e1.fits"], "a published checksum needs no record"


def test_another_size_is_refused_before_the_body(server, get, cache):
    with pytest.raises(UserError, match=f"has {len(GOOD)} bytes, 7 expected") as error:
        get({"bytes": 7})
    assert server.url in one_line(error)
    assert files_in(cache) == []


def test_an_unknown_checksum_is_recorded_and_holds(server, get, cache, tmp_path):
    got = get(UNKNOWN)
    record = cache / (NAME + ".sha256")
    assert got == (cache / NAME, sha256(GOOD), False)
    assert json.loads(record.read_text()) == {"sha256": sha256(GOOD), "url": server.url}
    assert get(UNKNOWN) == got and len(server.seen) == 1

    got.path.write_bytes(OTHER)  # in the cache
    with pytest.raises(UserError, match="delete this one to download it again") as error:
        get(UNKNOWN)
    assert sha256(OTHER) in one_line(error) and str(record) in one_line(error)

    got.path.unlink()
    server.body = OTHER  # a new download
    with pytest.raises(UserError, match="recorded at first use.*nothing was kept") as error:
        get(UNKNOWN)
    assert sha256(GOOD) in one_line(error) and files_in(cache) == ["e1.fits.sha256"]

    mirror = tmp_path / "mirror"
    (mirror / "cosmos").mkdir(parents=True)
    (mirror / NAME).write_bytes(OTHER)  # a mirror
    with pytest.raises(UserError, match="recorded at first use") as error:
        get(UNKNOWN, mirror=mirror)
    assert str(mirror / NAME) in one_line(error)
    (mirror / NAME).write_bytes(GOOD)
    assert get(UNKNOWN, mirror=mirror) == (mirror / NAME, sha256(GOOD), False)


def test_the_first_copy_is_recorded_wherever_it_comes_from(get, cache, tmp_path):
    mirror = tmp_path / "mirror"
    (mirror / "cosmos").mkdir(parents=True)
    (mirror / NAME).write_bytes(OTHER)
    get(UNKNOWN, mirror=mirror)
    assert files_in(mirror) == ["e1.fits"], "a mirror is only read"
    with pytest.raises(UserError, match="recorded at first use"):
        get(UNKNOWN)  # the server has GOOD

    # a cache that serves as a mirror elsewhere brings its record
    shutil.rmtree(cache)
    (mirror / (NAME + ".sha256")).write_text(json.dumps({"sha256": sha256(GOOD)}))
    with pytest.raises(UserError, match=sha256(GOOD)):
        get(UNKNOWN, mirror=mirror)


def test_a_damaged_record_is_named(get, cache):
    record = get(UNKNOWN).path.with_name("e1.fits.sha256")
    for text in ("{", "[]", "{}"):
        record.write_text(text)
        with pytest.raises(UserError, match="not a record of a sha256") as error:
            get(UNKNOWN)
        assert str(record) in one_line(error)


@pytest.mark.parametrize(
    ("plan", "doubt"),
    [
        ({"headers": {"Content-Type": "text/html; charset=utf-8"}}, "sent a web page"),
        ({"headers": {"Content-Encoding": "gzip"}}, r"compressed \(gzip\)"),
        ({"endless": True, "cut": HALF}, "does not say how long it is"),
    ],
)
def test_without_checksum_what_may_not_be_the_file_is_refused(server, get, cache, plan, doubt):
    server.plan = [plan]
    with pytest.raises(UserError, match=doubt) as error:
        get(UNKNOWN)
    assert server.url in one_line(error)
    assert files_in(cache) == []


# Disk, lock, processes


@pytest.mark.parametrize(("entry", "asked"), [({}, 0), (UNKNOWN, 1)], ids=["manifest's size", "server's size"])
def test_a_full_disk_is_found_before_writing(server, get, cache, monkeypatch, entry, asked):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=len(GOOD) - 1))
    with pytest.raises(
        UserError, match=f"needs {len(GOOD)} bytes in .*, {len(GOOD) - 1} are free; free space"
    ) as error:
        get(entry)
    assert NAME in one_line(error) and str(cache) in one_line(error)
    assert len(server.seen) == asked and files_in(cache) == []


def test_only_the_rest_of_a_file_needs_space(server, get, monkeypatch):
    begin(get, server)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=len(GOOD) - HALF))
    assert get().path.read_bytes() == GOOD


def test_an_unwritable_cache_is_named(get, cache):
    cache.write_text("a file where the cache folder should be")
    with pytest.raises(UserError, match="COSMOKERAS_CACHE") as error:
        get()
    assert str(cache) in one_line(error)


def start(cache: Path, one: Path) -> subprocess.Popen:
    code = f"from cosmokeras.surveys.download import fetch_file; fetch_file({NAME!r}, manifest={str(one)!r})"
    return subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, stdout=subprocess.DEVNULL)


def until(condition, seconds=20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def test_two_processes_fetch_one_file_once(server, cache, tmp_path):
    one, hold = manifest(tmp_path, server.url), threading.Event()
    server.plan = [{"cut": HALF, "hold": hold}]
    part = cache / (NAME + ".part")
    first = start(cache, one)
    until(lambda: part.exists() and part.stat().st_size == HALF)
    second = start(cache, one)
    time.sleep(0.5)  # time to do harm
    assert second.poll() is None and part.stat().st_size == HALF and len(server.seen) == 1
    hold.set()  # the first one's connection breaks and it goes on
    assert (first.wait(20), second.wait(20)) == (0, 0)
    assert (cache / NAME).read_bytes() == GOOD and files_in(cache) == ["e1.fits"]
    assert [seen.get("Range") for seen in server.seen] == [None, f"bytes={HALF}-"]


def test_a_killed_download_leaves_a_part_that_is_continued(server, get, cache, tmp_path):
    hold = threading.Event()
    server.plan = [{"cut": HALF, "hold": hold}]
    part = cache / (NAME + ".part")
    process = start(cache, manifest(tmp_path, server.url))
    until(lambda: part.exists() and part.stat().st_size == HALF)
    process.send_signal(signal.SIGKILL)
    process.wait(20)
    hold.set()
    assert files_in(cache) == ["e1.fits.part", "e1.fits.part.json"]
    assert get().path.read_bytes() == GOOD
    assert server.seen[-1]["Range"] == f"bytes={HALF}-"


# Without a network


def test_offline_says_where_to_put_the_file(server, get, cache):
    with pytest.raises(UserError, match="real.offline is true") as error:
        get(offline=True)
    for part in (NAME, server.url, str((cache / NAME).absolute())):
        assert part in one_line(error)
    assert not cache.exists()
    (cache / "cosmos").mkdir(parents=True)
    (cache / NAME).write_bytes(OTHER)
    with pytest.raises(UserError, match=sha256(OTHER)) as error:
        get(offline=True)
    assert str(cache / NAME) in one_line(error)
    (cache / NAME).write_bytes(GOOD)
    assert get(offline=True).path == cache / NAME
    assert server.seen == []


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_a_mirror_is_read_in_place_without_network(server, cache, tmp_path, monkeypatch, how):
    one = manifest(tmp_path, server.url)
    mirror = tmp_path / "mirror"
    (mirror / "cosmos").mkdir(parents=True)
    (mirror / NAME).write_bytes(GOOD)
    if how == "environment":
        monkeypatch.setenv("COSMOKERAS_REAL_DATA", str(mirror))
    argument = str(mirror) if how == "argument" else None
    assert fetch_file(NAME, argument, one, offline=True) == mirror / NAME

    (mirror / NAME).write_bytes(OTHER)
    with pytest.raises(UserError, match=sha256(OTHER)):
        fetch_file(NAME, argument, one)

    (mirror / NAME).unlink()
    with pytest.raises(UserError, match="is missing; put it there") as error:
        fetch_file(NAME, argument, one)
    assert str(mirror / NAME) in one_line(error)
    assert server.seen == [], "a mirror never falls back to a download"
    assert not cache.exists(), "published checksums need no cache"


def test_an_unknown_name_lists_the_known(cache, tmp_path):
    with pytest.raises(UserError, match="no file 'cosmos/e3.fits'.*known: cosmos/e1.fits"):
        fetch_file("cosmos/e3.fits", manifest=manifest(tmp_path))


# The manifest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sha256": "abc"}, "its sha256 is not 64 hexadecimal digits: 'abc'"),
        ({"md5": "ABC"}, "its md5 is not 32 hexadecimal digits"),
        ({"md5": 10**31}, "its md5 was read as a number"),
        ({"remove": ("sha256",)}, "lacks sha256 or md5"),
        ({"remove": ("bytes", "citation")}, "lacks citation, bytes"),
        ({"mdf": None}, "unknown key mdf"),
        ({"bytes": "1 MB"}, "its bytes is '1 MB'"),
        ({"bytes": True}, "its bytes is True"),
        ({"bytes": 0}, "its bytes is 0"),
        ({"licence": None}, "its licence is None"),
        ({"url": "ftp://x/y"}, "its url is 'ftp://x/y'"),
        ({"group": "hsc"}, "its group is 'hsc'"),
    ],
)
def test_a_wrong_entry_and_key_are_named(tmp_path, change, message):
    with pytest.raises(UserError, match=re.escape(message)) as error:
        load_manifest(manifest(tmp_path, **change))
    assert f"manifest.yaml: entry '{NAME}': " in one_line(error)


def test_a_manifest_may_not_know_everything(tmp_path):
    entry = load_manifest(manifest(tmp_path, remove=("sha256",), md5=hashlib.md5(GOOD).hexdigest(), bytes=None))[NAME]
    assert (entry["sha256"], entry["bytes"]) == (None, None)
    assert load_manifest(manifest(tmp_path, sha256=None))[NAME]["md5"] is None


def test_bad_manifests_are_named(tmp_path):
    with pytest.raises(UserError, match="is missing"):
        load_manifest(tmp_path / "none.yaml")
    for text in ("files: {a: {url: x}}", "files: {a: 1}", "[1, 2]", "files: [", "other: 1", ""):
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(UserError, match="bad.yaml") as error:
            load_manifest(tmp_path / "bad.yaml")
        one_line(error)


def test_the_projects_manifest():
    entries = load_manifest(REPOSITORY / "data/manifest.yaml")
    for column in ("ra", "dec", "e1", "e2", "nhweight_int"):
        entry = entries[f"cosmos/{column}.fits"]
        assert entry["sha256"] and entry["url"].startswith("https://") and entry["url"].endswith(f"/{column}.fits")
    for kind in ("KS", "nullB"):
        for part in ("full", "tomo1", "tomo2", "tomo3", "tomo4"):
            assert entries[f"des_y3/{kind}_{part}.fits"]["url"].endswith(f"/massmaps/{kind}_{part}.fits")
    assert entries["des_y3/glimpse_mask.fits"]["group"] == "des_y3"
    assert entries["des_y3_shear/karmma_data.zip"]["md5"] == "899c63d4a64a2ef70fc3f3fb39e51d70"
    known = [entry["sha256"] for entry in entries.values() if entry["sha256"]]
    assert len(set(known)) == len(known)
    assert len({entry["url"] for entry in entries.values()}) == len(entries)
