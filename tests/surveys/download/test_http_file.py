"""Downloads under stress: cut, refused, changed meanwhile, out of disk; see `server` in conftest.py."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import socket
import threading
from types import SimpleNamespace

import pytest

from cosmokeras.common.errors import UserError
from cosmokeras.surveys.download import http_file

NAME = "cosmos/e1.fits"
UNKNOWN = {"sha256": None, "bytes": None}


def begin(get, server, cut=None, **entry) -> None:
    """Leave a part of `cut` bytes, default the server's half, as a connection that broke does."""
    cut = cut or server.half
    server.plan = [{"cut": cut}]
    with pytest.raises(UserError, match=f"{cut} bytes are kept and will be continued"):
        get(entry, retries=0)


def test_a_compressed_copy_is_not_asked_for(server, get):
    get()
    assert server.seen[0]["Accept-Encoding"] == "identity"


def test_a_cut_download_is_continued_in_the_same_run(server, get, cache, files):
    server.plan = [{"cut": server.half}]
    assert get().path.read_bytes() == server.good
    assert "Range" not in server.seen[0]
    assert (server.seen[1]["Range"], server.seen[1]["If-Range"]) == (f"bytes={server.half}-", '"first"')
    assert len(server.seen) == 2
    assert get.pauses == [1.0]
    assert files(cache) == ["e1.fits"]


def test_a_cut_download_is_continued_in_the_next_run(server, get, cache, files):
    begin(get, server)
    part = cache / (NAME + ".part")
    assert part.read_bytes() == server.good[: server.half]
    assert files(cache) == ["e1.fits.part", "e1.fits.part.json"]
    # what is here is trusted until the checksum, not fetched again: the server's first half is now another
    server.body = server.other[: server.half] + server.good[server.half :]
    assert get().path.read_bytes() == server.good
    assert server.seen[-1]["Range"] == f"bytes={server.half}-"
    assert files(cache) == ["e1.fits"]


def test_a_cut_of_unknown_length_is_found(server, get):
    server.plan = [{"framing": {"Transfer-Encoding": "chunked"}, "cut": server.half}]
    assert get(UNKNOWN).path.read_bytes() == server.good
    assert server.seen[1]["Range"].startswith("bytes=")


def test_many_cuts_are_no_failure_while_bytes_come(server, get, monkeypatch):
    monkeypatch.setattr(http_file, "PROGRESS", http_file.CHUNK)
    server.plan = [{"cut": http_file.CHUNK} for _ in range(4)]
    assert get(retries=1).path.read_bytes() == server.good
    assert len(server.seen) == 5
    assert set(get.pauses) == {1.0}


def test_a_server_without_ranges_sends_all_again(server, get):
    begin(get, server)
    server.ranges = False
    assert get().path.read_bytes() == server.good
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
    assert get().path.read_bytes() == server.good
    assert server.seen[-1]["Range"] == f"bytes={server.half}-"
    assert server.seen[-1].get("If-Range") == if_range


def test_without_checksum_and_tag_nothing_is_continued(server, get):
    server.tags = {}
    begin(get, server, **UNKNOWN)
    server.body = server.other
    assert get(UNKNOWN).path.read_bytes() == server.other
    assert "Range" not in server.seen[-1]


@pytest.mark.parametrize("deaf", [False, True], ids=["If-Range heard", "If-Range ignored"])
def test_a_file_that_changed_meanwhile_is_fetched_anew(server, get, deaf):
    begin(get, server, **UNKNOWN)
    server.body, server.tags = server.other, {"ETag": '"second"'}
    server.plan = [{"deaf": deaf}]
    assert get(UNKNOWN).path.read_bytes() == server.other
    assert server.seen[1]["Range"] == f"bytes={server.half}-"
    assert len(server.seen) == (3 if deaf else 2)


def test_parts_of_two_versions_are_found_by_the_checksum(server, get, cache, files):
    server.body, server.tags = server.other, {}  # nothing tells the versions apart
    begin(get, server)
    server.body = server.good
    assert get().path.read_bytes() == server.good
    assert ["Range" in seen for seen in server.seen] == [False, True, False]
    assert files(cache) == ["e1.fits"]


def test_a_part_longer_than_the_servers_file_is_thrown_away(server, get):
    server.body = server.good + server.other
    begin(get, server, cut=len(server.good) + http_file.CHUNK, **UNKNOWN)
    server.body = server.good
    got = get(UNKNOWN)  # 416, then the whole
    assert got.path.read_bytes() == server.good
    assert ["Range" in seen for seen in server.seen] == [False, True, False]


def test_a_part_that_is_whole_is_not_asked_for_again(server, get, cache):
    begin(get, server)
    (cache / (NAME + ".part")).write_bytes(server.good)  # killed just before the rename
    assert get().path.read_bytes() == server.good
    assert len(server.seen) == 1


def test_416_of_a_whole_part_means_whole(server, get, cache):
    begin(get, server, **UNKNOWN)
    notes = cache / (NAME + ".part.json")
    notes.write_text(json.dumps({**json.loads(notes.read_text()), "bytes": None}))  # size never told
    (cache / (NAME + ".part")).write_bytes(server.good)
    assert get(UNKNOWN).path.read_bytes() == server.good
    assert [seen.get("Range") for seen in server.seen] == [None, f"bytes={len(server.good)}-"]


def test_a_part_of_another_url_is_not_continued(server, get):
    begin(get, server)
    get({"url": server.url + "?version=2"})
    assert "Range" not in server.seen[-1]


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_a_passing_failure_is_tried_again(server, get, status):
    server.plan = [{"status": status}, {"status": status}]
    assert get(retries=2).path.read_bytes() == server.good
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
def test_a_lasting_failure_is_not_tried_again(server, get, cache, status, files):
    server.plan = [{"status": status}]
    with pytest.raises(UserError, match=f"HTTP {status}; check the URL") as error:
        get(retries=5)
    for part in (NAME, server.url, str(cache / NAME)):
        assert part in str(error.value)
    assert len(server.seen) == 1 and get.pauses == []
    assert files(cache) == []


def test_patience_ends(server, get, cache, capfd, files):
    server.plan = [{"status": 500}] * 9
    with pytest.raises(UserError, match=r"HTTP 500 \(8 further attempts\); try again later") as error:
        get(retries=8)
    assert str(cache / NAME) in str(error.value)
    assert get.pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    assert capfd.readouterr().err.count("HTTP 500; again in") == 8
    assert files(cache) == []


def test_a_silent_server_is_tried_again(server, get, monkeypatch):
    monkeypatch.setattr(http_file, "TIMEOUT", (5, 0.1))
    hold = threading.Event()
    server.plan = [{"cut": server.half, "hold": hold}]
    try:
        assert get().path.read_bytes() == server.good
    finally:
        hold.set()
    assert server.seen[1]["Range"] == f"bytes={server.half}-"


def test_no_network(get, cache, files):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/good"
    with pytest.raises(UserError, match="no connection") as error:
        get({"url": url}, retries=3)
    for part in (NAME, url, str(cache / NAME), "check the network"):
        assert part in str(error.value)
    assert get.pauses == [1, 2, 4]
    assert files(cache) == []


def test_more_than_the_stated_size_is_not_kept(server, get, cache, files, monkeypatch):
    """A server that sends without end must not fill the disk: it is left after a chunk too much."""
    written = []

    class Counting(io.FileIO):
        def write(self, content):
            written.append(len(content))
            return super().write(content)

    monkeypatch.setattr(http_file, "open", Counting, raising=False)
    monkeypatch.setattr(http_file, "CHUNK", 100)
    size = server.half
    server.plan = 2 * [{"framing": {"Transfer-Encoding": "chunked"}}]
    with pytest.raises(UserError, match=f"sent more than {size} bytes"):
        get({"bytes": size}, retries=0)
    assert sum(written) <= size + 100
    assert files(cache) == []


def test_another_size_is_refused_before_the_body(server, get, cache, files):
    with pytest.raises(UserError, match=f"has {len(server.good)} bytes, 7 expected") as error:
        get({"bytes": 7})
    assert server.url in str(error.value)
    assert files(cache) == []


@pytest.mark.parametrize(
    ("plan", "doubt"),
    [
        ({"headers": {"Content-Type": "text/html; charset=utf-8"}}, "sent a web page"),
        ({"headers": {"Content-Encoding": "gzip"}}, r"compressed \(gzip\)"),
        ({"framing": {}}, "does not say how long it is"),
    ],
)
def test_without_checksum_what_may_not_be_the_file_is_refused(server, get, cache, plan, doubt, files):
    server.plan = [plan]
    with pytest.raises(UserError, match=doubt) as error:
        get(UNKNOWN)
    assert server.url in str(error.value)
    assert files(cache) == []


@pytest.mark.parametrize(("entry", "asked"), [({}, 0), (UNKNOWN, 1)], ids=["manifest's size", "server's size"])
def test_a_full_disk_is_found_before_writing(server, get, cache, monkeypatch, entry, asked, files):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=len(server.good) - 1))
    with pytest.raises(
        UserError, match=f"needs {len(server.good)} bytes in .*, {len(server.good) - 1} are free; free space"
    ) as error:
        get(entry)
    assert NAME in str(error.value) and str(cache) in str(error.value)
    assert len(server.seen) == asked and files(cache) == []


def test_only_the_rest_of_a_file_needs_space(server, get, monkeypatch):
    begin(get, server)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=len(server.good) - server.half))
    assert get().path.read_bytes() == server.good


def test_a_disk_that_fills_keeps_the_part(server, get, cache, monkeypatch, files):
    class Filling(io.FileIO):
        def write(self, content):
            if self.tell() >= server.half:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(content)

    with monkeypatch.context() as patch:
        patch.setattr(http_file, "open", Filling, raising=False)
        with pytest.raises(UserError, match="No space left on device.*free space or set COSMOKERAS_CACHE") as error:
            get()
    assert str(cache / NAME) in str(error.value) and get.pauses == []
    assert files(cache) == ["e1.fits.part", "e1.fits.part.json"]
    assert get().path.read_bytes() == server.good
    assert server.seen[-1]["Range"] == f"bytes={server.half}-"
