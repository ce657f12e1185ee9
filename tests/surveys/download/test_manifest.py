"""The manifest of real data: what an entry must have, and the project's own."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from cosmokeras.common.errors import UserError
from cosmokeras.surveys.download.manifest import load_manifest

NAME = "cosmos/e1.fits"
REPOSITORY = Path(__file__).parents[3]


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
def test_a_wrong_entry_and_key_are_named(change, message, manifest):
    with pytest.raises(UserError, match=re.escape(message)) as error:
        load_manifest(manifest(**change))
    assert f"manifest.yaml: entry '{NAME}': " in str(error.value)


def test_a_manifest_may_not_know_everything(server, manifest):
    entry = load_manifest(manifest(remove=("sha256",), md5=hashlib.md5(server.good).hexdigest(), bytes=None))[NAME]
    assert (entry["sha256"], entry["bytes"]) == (None, None)
    assert load_manifest(manifest(sha256=None))[NAME]["md5"] is None


def test_bad_manifests_are_named(tmp_path):
    with pytest.raises(UserError, match="is missing"):
        load_manifest(tmp_path / "none.yaml")
    for text in ("files: {a: {url: x}}", "files: {a: 1}", "[1, 2]", "files: [", "other: 1", ""):
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(UserError, match="bad.yaml") as error:
            load_manifest(tmp_path / "bad.yaml")
        str(error.value)


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
