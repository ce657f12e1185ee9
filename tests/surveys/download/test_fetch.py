"""What is fetched is verified, whole, recorded, and never anything but the file that was asked for."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cosmokeras.common.errors import UserError
from cosmokeras.surveys.download.fetch import fetch_file

NAME = "cosmos/e1.fits"
UNKNOWN = {"sha256": None, "bytes": None}
REPOSITORY = Path(__file__).parents[3]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def start(cache: Path, one: Path) -> subprocess.Popen:
    code = f"from cosmokeras.surveys.download.fetch import fetch_file; fetch_file({NAME!r}, manifest={str(one)!r})"
    return subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, stdout=subprocess.DEVNULL)


def until(condition, seconds=20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def test_a_good_file_is_fetched_once_and_quietly(server, cache, capfd, manifest, files):
    one = manifest()
    path = fetch_file(NAME, manifest=one)
    assert path == cache / NAME
    assert path.read_bytes() == server.good
    assert fetch_file(NAME, manifest=one) == path
    assert len(server.seen) == 1
    assert files(cache) == ["e1.fits"]
    assert capfd.readouterr() == ("", "")


def test_a_damaged_cached_file_is_fetched_again(server, get):
    get().path.write_bytes(server.good[:100])
    assert get().path.read_bytes() == server.good
    assert len(server.seen) == 2


@pytest.mark.parametrize("kind", ["sha256", "md5"])
def test_wrong_bytes_are_refused_and_not_kept(server, get, cache, kind, files):
    server.body = server.other
    right = hashlib.new(kind, server.good).hexdigest()
    with pytest.raises(UserError, match="nothing was kept") as error:
        get({"sha256": None, kind: right})
    for part in (NAME, server.url, right, hashlib.new(kind, server.other).hexdigest(), str(cache / NAME)):
        assert part in str(error.value)
    assert len(server.seen) == 1 and files(cache) == []


def test_an_md5_will_do(get, cache, server, files):
    got = get({"md5": hashlib.md5(server.good).hexdigest()} | UNKNOWN)
    assert got == (cache / NAME, sha256(server.good), True)
    assert files(cache) == ["e1.fits"], "a published checksum needs no record"


def test_an_unknown_checksum_is_recorded_and_holds(server, get, cache, tmp_path, files):
    got = get(UNKNOWN)
    record = cache / (NAME + ".sha256")
    assert got == (cache / NAME, sha256(server.good), False)
    assert json.loads(record.read_text()) == {"sha256": sha256(server.good), "url": server.url}
    assert get(UNKNOWN) == got and len(server.seen) == 1

    got.path.write_bytes(server.other)  # in the cache
    with pytest.raises(UserError, match="delete this one to download it again") as error:
        get(UNKNOWN)
    assert sha256(server.other) in str(error.value) and str(record) in str(error.value)

    got.path.unlink()
    server.body = server.other  # a new download
    with pytest.raises(UserError, match="recorded at first use.*nothing was kept") as error:
        get(UNKNOWN)
    assert sha256(server.good) in str(error.value) and files(cache) == ["e1.fits.sha256"]

    mirror = tmp_path / "mirror"
    (mirror / "cosmos").mkdir(parents=True)
    (mirror / NAME).write_bytes(server.other)  # a mirror
    with pytest.raises(UserError, match="recorded at first use") as error:
        get(UNKNOWN, mirror=mirror)
    assert str(mirror / NAME) in str(error.value)
    (mirror / NAME).write_bytes(server.good)
    assert get(UNKNOWN, mirror=mirror) == (mirror / NAME, sha256(server.good), False)


def test_the_first_copy_is_recorded_wherever_it_comes_from(get, cache, tmp_path, server, files):
    mirror = tmp_path / "mirror"
    (mirror / "cosmos").mkdir(parents=True)
    (mirror / NAME).write_bytes(server.other)
    get(UNKNOWN, mirror=mirror)
    assert files(mirror) == ["e1.fits"], "a mirror is only read"
    with pytest.raises(UserError, match="recorded at first use"):
        get(UNKNOWN)  # the server has server.good

    # a cache that serves as a mirror elsewhere brings its record
    shutil.rmtree(cache)
    (mirror / (NAME + ".sha256")).write_text(json.dumps({"sha256": sha256(server.good)}))
    with pytest.raises(UserError, match=sha256(server.good)):
        get(UNKNOWN, mirror=mirror)


def test_a_file_put_there_by_hand_is_recorded_once(server, get, cache):
    (cache / "cosmos").mkdir(parents=True)
    (cache / NAME).write_bytes(server.other)
    assert get(UNKNOWN, offline=True) == (cache / NAME, sha256(server.other), False)
    record = cache / (NAME + ".sha256")
    assert json.loads(record.read_text())["sha256"] == sha256(server.other)
    written = record.stat().st_ino
    get(UNKNOWN)
    assert record.stat().st_ino == written, "a cache that one may only read will do"


def test_a_damaged_record_is_named(get, cache):
    record = get(UNKNOWN).path.with_name("e1.fits.sha256")
    for text in ("{", "[]", "{}"):
        record.write_text(text)
        with pytest.raises(UserError, match="not a record of a sha256") as error:
            get(UNKNOWN)
        assert str(record) in str(error.value)


def test_an_unwritable_cache_is_named(get, cache):
    cache.write_text("a file where the cache folder should be")
    with pytest.raises(UserError, match="COSMOKERAS_CACHE") as error:
        get()
    assert str(cache) in str(error.value)


@pytest.mark.slow
def test_two_processes_fetch_one_file_once(server, cache, manifest, files):
    one, hold = manifest(), threading.Event()
    server.plan = [{"cut": server.half, "hold": hold}]
    part = cache / (NAME + ".part")
    first = start(cache, one)
    until(lambda: part.exists() and part.stat().st_size == server.half)
    second = start(cache, one)
    time.sleep(0.5)  # time to do harm
    assert second.poll() is None and part.stat().st_size == server.half and len(server.seen) == 1
    hold.set()  # the first one's connection breaks and it goes on
    assert (first.wait(20), second.wait(20)) == (0, 0)
    assert (cache / NAME).read_bytes() == server.good and files(cache) == ["e1.fits"]
    assert [seen.get("Range") for seen in server.seen] == [None, f"bytes={server.half}-"]


def test_a_killed_download_leaves_a_part_that_is_continued(server, get, cache, manifest, files):
    hold = threading.Event()
    server.plan = [{"cut": server.half, "hold": hold}]
    part = cache / (NAME + ".part")
    process = start(cache, manifest())
    until(lambda: part.exists() and part.stat().st_size == server.half)
    process.send_signal(signal.SIGKILL)
    process.wait(20)
    hold.set()
    assert files(cache) == ["e1.fits.part", "e1.fits.part.json"]
    assert get().path.read_bytes() == server.good
    assert server.seen[-1]["Range"] == f"bytes={server.half}-"


def test_offline_says_where_to_put_the_file(server, get, cache):
    with pytest.raises(UserError, match="real.offline is true") as error:
        get(offline=True)
    for part in (NAME, server.url, str((cache / NAME).absolute())):
        assert part in str(error.value)
    assert not cache.exists()
    (cache / "cosmos").mkdir(parents=True)
    (cache / NAME).write_bytes(server.other)
    with pytest.raises(UserError, match=sha256(server.other)) as error:
        get(offline=True)
    assert str(cache / NAME) in str(error.value)
    (cache / NAME).write_bytes(server.good)
    assert get(offline=True).path == cache / NAME
    assert server.seen == []


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_a_mirror_is_read_in_place_without_network(server, cache, tmp_path, monkeypatch, how, manifest):
    one = manifest()
    mirror = tmp_path / "mirror"
    (mirror / "cosmos").mkdir(parents=True)
    (mirror / NAME).write_bytes(server.good)
    if how == "environment":
        monkeypatch.setenv("COSMOKERAS_REAL_DATA", str(mirror))
    argument = str(mirror) if how == "argument" else None
    assert fetch_file(NAME, argument, one, offline=True) == mirror / NAME

    (mirror / NAME).write_bytes(server.other)
    with pytest.raises(UserError, match=sha256(server.other)):
        fetch_file(NAME, argument, one)

    (mirror / NAME).unlink()
    with pytest.raises(UserError, match="is missing; put it there") as error:
        fetch_file(NAME, argument, one)
    assert str(mirror / NAME) in str(error.value)
    assert server.seen == [], "a mirror never falls back to a download"
    assert not cache.exists(), "published checksums need no cache"


def test_an_unknown_name_lists_the_known(cache, manifest):
    with pytest.raises(UserError, match="no file 'cosmos/e3.fits'.*known: cosmos/e1.fits"):
        fetch_file("cosmos/e3.fits", manifest=manifest())
