"""Shards: the same bytes however they are made, and none used that is not whole."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosmokeras.common.errors import UserError
from cosmokeras.dataset.generation import cosmologies_csv, generate, generate_part
from cosmokeras.dataset.shards import (
    made_with,
    open_split,
    plan,
    simulation_folder,
    split_theta,
)
from cosmokeras.params.config import Config
from cosmokeras.project import load_params
from cosmokeras.simulators import grf, realisations

CHILD = """
import sys
from pathlib import Path
from cosmokeras.project import load_params
from cosmokeras.dataset import generation, shards
import json
if __name__ == "__main__":
    params, overrides, out = sys.argv[1:]
    shards.SHARD_BYTES = 2**18
    generation.generate(load_params(params, json.loads(overrides)), Path(out), workers=2, progress=False)
"""


@pytest.fixture
def cfg(params: Path, tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A small problem with a work folder of its own."""
    monkeypatch.setenv("COSMOKERAS_WORK", str(tmp_path / "work"))
    return load_params(params, tiny)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.slow
def test_same_bytes_with_one_worker_and_with_two(cfg: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note = generate(cfg, tmp_path / "one", workers=1, progress=False)
    assert note["maps"] == note["maps_made"] == (32 + 8 + 8) * 2
    monkeypatch.setenv("COSMOKERAS_WORK", str(tmp_path / "other"))
    assert generate(cfg, tmp_path / "two", workers=2, progress=False)["maps_made"] == 96
    one = contents(tmp_path / "one")
    assert one == contents(tmp_path / "two")
    assert {"cosmologies.csv", "simulation.json", "train/shard-00000.npy", "test/shard-00001.json"} <= set(one)
    assert note["bytes"] == sum(len(b) for name, b in one.items() if name.endswith(".npy"))


@pytest.mark.slow
def test_maps_are_those_of_the_simulator(cfg: Config, tmp_path: Path) -> None:
    generate(cfg, tmp_path / "out", workers=1, progress=False)
    split = open_split(cfg, tmp_path / "out", "validation")
    assert len(split) == 16
    # map 11 is realisation 1 of cosmology 5
    expected = grf.maps(cfg, grf.prepare(cfg), split_theta(cfg, "validation")[5], realisations(1, 1, 5), 2)[1:]
    found = split.read(np.array([11]))
    assert found.dtype == np.float32
    assert (found == expected.astype(np.float16)).all()
    assert split.cosmology[11] == 5
    assert (split.theta[11] == split_theta(cfg, "validation")[5]).all()
    assert (split.read(np.array([15, 0, 11]))[2] == found[0]).all()
    assert len(split.head(3)) == 3


def test_second_run_makes_nothing(cfg: Config, tmp_path: Path) -> None:
    generate(cfg, tmp_path / "out", workers=1, progress=False)
    first = contents(tmp_path / "out")
    assert generate(cfg, tmp_path / "out", workers=1, progress=False)["maps_made"] == 0
    assert contents(tmp_path / "out") == first
    # another problem shares nothing with it
    other = cfg.model_copy(update={"data": cfg.data.model_copy(update={"seed": 2})})
    assert generate(other, tmp_path / "other", workers=1, progress=False)["maps_made"] == 96
    assert contents(tmp_path / "other")["test/shard-00000.npy"] != first["test/shard-00000.npy"]


@pytest.mark.slow
def test_killed_half_way_it_goes_on_to_the_same_bytes(
    params: Path, tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = {**tiny, "data.size": 64, "data.n_cosmologies": 160, "data.realisations": 8}
    cfg = load_params(params, overrides)
    monkeypatch.setattr("cosmokeras.dataset.shards.SHARD_BYTES", 2**18)
    shards = plan(cfg)
    assert len(shards) > 30
    monkeypatch.setenv("COSMOKERAS_WORK", str(tmp_path / "killed"))
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(params), json.dumps(overrides), str(tmp_path / "out")],
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    work = tmp_path / "killed" / "generate"
    try:
        deadline = time.monotonic() + 60
        while len(list(work.rglob("shard-*.json"))) < 3 and child.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    assert child.returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    folder = next(work.iterdir())
    whole = [s for s in shards if made_with(folder / f"{s.name}.npy") == folder.name]
    assert 3 <= len(whole) < len(shards)
    before = {s.name: (folder / f"{s.name}.npy").stat().st_mtime_ns for s in whole}
    note = generate(cfg, tmp_path / "out", workers=1, progress=False)
    assert note["maps_made"] == note["maps"] - 8 * sum(s.stop - s.start for s in whole)
    assert before == {s.name: (folder / f"{s.name}.npy").stat().st_mtime_ns for s in whole}
    # an undisturbed run says the same; half-written files of the killed one are not among the results
    monkeypatch.setenv("COSMOKERAS_WORK", str(tmp_path / "undisturbed"))
    generate(cfg, tmp_path / "reference", workers=1, progress=False)
    assert contents(tmp_path / "out") == contents(tmp_path / "reference")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def lose_the_note(path: Path) -> None:
    path.with_suffix(".json").unlink()


def another_note(content: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.with_suffix(".json").write_bytes(content)

    return write


def name_other_inputs(path: Path) -> None:
    note = path.with_suffix(".json")
    note.write_text(note.read_text().replace('"inputs": "', '"inputs": "0'))


def count_otherwise(path: Path) -> None:
    note = path.with_suffix(".json")
    note.write_text(note.read_text().replace('"maps": ', '"maps": 1'))


NOTES = [another_note(content) for content in (b"{", b"{}", b"[]", b"3", b"\xff\xfe", b"", b"null")]


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, lose_the_note, name_other_inputs, count_otherwise, *NOTES])
def test_damaged_shard_is_named_and_made_again(
    cfg: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None]
) -> None:
    out = tmp_path / "out"
    generate(cfg, out, workers=1, progress=False)
    first = contents(out)
    path = next((tmp_path / "work" / "generate").iterdir()) / "validation" / "shard-00001.npy"
    damage(path)
    capsys.readouterr()
    assert generate(cfg, out, workers=1, progress=False)["maps_made"] == cfg.data.realisations
    said = capsys.readouterr()
    assert "validation/shard-00001.npy is damaged" in said.out + said.err
    assert contents(out) == first


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, lose_the_note])
def test_open_split_refuses_a_damaged_shard(cfg: Config, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    out = tmp_path / "out"
    generate(cfg, out, workers=1, progress=False)
    damage(out / "test" / "shard-00001.npy")
    with pytest.raises(UserError, match="test/shard-00001.npy is damaged") as caught:
        open_split(cfg, out, "test")
    assert "\n" not in str(caught.value)
    open_split(cfg, out, "train")


def test_damage_in_the_output_folder_is_mended_by_generate(cfg: Config, tmp_path: Path) -> None:
    out = tmp_path / "out"
    generate(cfg, out, workers=1, progress=False)
    first = contents(out)
    # outputs are linked to the work folder: a flipped bit is in both, a new file is not
    flip_a_bit(out / "test" / "shard-00000.npy")
    (out / "test" / "shard-00001.npy").unlink()
    (out / "test" / "shard-00001.npy").write_bytes(b"nothing")
    generate(cfg, out, workers=1, progress=False)
    assert contents(out) == first


def test_missing_shard_is_named(cfg: Config, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="train/shard-00000.npy is missing.*dvc repro"):
        open_split(cfg, tmp_path / "nowhere", "train")


OTHERS = {
    "data.seed": (2, "data.seed=1, now 2"),
    "prior.omega_m": ([0.2, 0.4], "prior.omega_m=[0.1, 0.5], now [0.2, 0.4]"),
    "data.realisations": (3, "data.realisations=2, now 3"),
    "grf.box_mpc_h": (64.0, "grf.box_mpc_h=128.0, now 64.0"),
    "data.test": (9, "data.test=8, now 9"),
}


@pytest.mark.parametrize("key", OTHERS)
def test_maps_of_another_run_are_not_opened(
    cfg: Config, params: Path, tiny: dict[str, Any], tmp_path: Path, key: str
) -> None:
    generate(cfg, tmp_path / "out", workers=1, progress=False)
    value, words = OTHERS[key]
    with pytest.raises(UserError) as caught:
        open_split(load_params(params, {**tiny, key: value}), tmp_path / "out", "train")
    assert str(caught.value) == f"{tmp_path / 'out'} was made with other inputs: {words}; run `dvc repro generate`"


def test_shards_of_another_run_among_the_right_ones_are_named(
    cfg: Config, params: Path, tiny: dict[str, Any], tmp_path: Path
) -> None:
    other = load_params(params, {**tiny, "data.seed": 2})
    generate(cfg, tmp_path / "out", workers=1, progress=False)
    generate(other, tmp_path / "other", workers=1, progress=False)
    for ending in (".npy", ".json"):
        name = f"train/shard-00003{ending}"
        (tmp_path / "out" / name).unlink()
        (tmp_path / "out" / name).write_bytes((tmp_path / "other" / name).read_bytes())
    with pytest.raises(UserError, match=r"train/shard-00003.npy is of another run; delete .* and run `dvc repro"):
        open_split(cfg, tmp_path / "out", "train")
    open_split(cfg, tmp_path / "out", "test")


def test_labels_are_those_that_were_written_with_the_maps(
    cfg: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    generate(cfg, out, workers=1, progress=False)
    expected = np.repeat(split_theta(cfg, "train"), cfg.data.realisations, axis=0)
    # another version of a library draws other numbers: the maps keep theirs
    monkeypatch.setattr("cosmokeras.dataset.shards.split_theta", lambda cfg, split: np.full((32, 1), 0.3))
    np.testing.assert_array_equal(open_split(cfg, out, "train").theta, expected)
    text = (out / "cosmologies.csv").read_text()
    (out / "cosmologies.csv").write_text(text.replace("train,3,0.", "train,3,0.1"))
    with pytest.raises(UserError, match=r"cosmologies.csv is damaged or of another run"):
        open_split(cfg, out, "train")
    (out / "cosmologies.csv").unlink()
    with pytest.raises(UserError, match=r"cosmologies.csv is missing; run `dvc repro generate`"):
        open_split(cfg, out, "train")


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"format": 1, "fingerprint": "0", "prior": {}}', None])
def test_a_folder_that_does_not_say_what_it_holds_is_refused(cfg: Config, tmp_path: Path, content: str | None) -> None:
    out = tmp_path / "out"
    generate(cfg, out, workers=1, progress=False)
    (out / "simulation.json").unlink()
    if content is not None:
        (out / "simulation.json").write_text(content)
    with pytest.raises(UserError, match=r"run `dvc repro generate`"):
        open_split(cfg, out, "train")


@pytest.mark.slow
def test_an_interrupted_collection_says_nothing_of_its_content(
    cfg: Config, params: Path, tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while shards are put in place, it leaves no note of the run before."""
    generate(cfg, tmp_path / "out", workers=1, progress=False)

    def killed(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("cosmokeras.dataset.generation._describe", killed)
        with pytest.raises(KeyboardInterrupt):
            generate(load_params(params, {**tiny, "data.seed": 2}), tmp_path / "out", workers=1, progress=False)
    with pytest.raises(UserError, match="is of another run|is missing"):
        open_split(cfg, tmp_path / "out", "train")


def test_maps_follow_the_content_of_a_redshift_table(
    params: Path, tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same file name, other sources: kappa of sources at z = 1.5 is more than twice that of sources at 0.5."""
    (tmp_path / "data").unlink()
    surveys = tmp_path / "data" / "surveys"
    surveys.mkdir(parents=True)
    z = np.arange(0.0, 3.0, 0.05)

    def write(mean: float) -> None:
        np.savetxt(surveys / "nz.txt", np.c_[z, np.exp(-0.5 * ((z - mean) / 0.1) ** 2)])

    write(0.5)
    (surveys / "mine.yaml").write_text(
        "{name: mine, title: m, citation: x, made_from: flat, pixel_arcmin: 10.0, mask: null, z_max: 3.0,"
        " bins: [{n_eff: 10.0, sigma_e: 0.26, n_z: [{kind: table, file: nz.txt}]}]}"
    )
    numbers = {"data.n_cosmologies": 8, "data.validation": 2, "data.test": 2, "train.batch_size": 8}
    own = {"data.kind": "lensing", "lensing.survey": "mine", "lensing.mask": "none"}
    cfg = load_params(params, {**tiny, **numbers, **own, "evaluate.spectrum_bins": 8})
    assert generate(cfg, tmp_path / "out", workers=1, progress=False)["maps_made"] == 24
    near = open_split(cfg, tmp_path / "out", "train").read(np.arange(16)).std()
    write(1.5)
    with pytest.raises(UserError, match=r"other inputs: content of data/surveys/nz.txt; run `dvc repro generate`"):
        open_split(cfg, tmp_path / "out", "train")
    assert generate(cfg, tmp_path / "out", workers=1, progress=False)["maps_made"] == 24
    far = open_split(cfg, tmp_path / "out", "train").read(np.arange(16)).std()
    assert far > 2 * near


def test_splits_share_no_cosmology(cfg: Config) -> None:
    draws = [split_theta(cfg, split) for split in ("train", "validation", "test")]
    assert [len(d) for d in draws] == [32, 8, 8]
    together = np.concatenate(draws)
    assert len(np.unique(together, axis=0)) == 48


def test_calibration_maps_are_a_split_of_their_own(
    cfg: Config, params: Path, tiny: dict[str, Any], tmp_path: Path
) -> None:
    """Asked for, they have cosmologies and random numbers of their own; other splits keep theirs."""
    more = load_params(params, tiny | {"data.calibration": 4})
    generate(cfg, tmp_path / "without", workers=1, progress=False)
    generate(more, tmp_path / "with", workers=1, progress=False)
    without = open_split(cfg, tmp_path / "without", "validation").read(np.arange(16))
    assert np.array_equal(open_split(more, tmp_path / "with", "validation").read(np.arange(16)), without)
    split = open_split(more, tmp_path / "with", "calibration")
    assert len(split) == 8
    assert not set(split.theta[:, 0]) & {
        x for name in ("train", "validation", "test") for x in split_theta(more, name)[:, 0]
    }
    assert np.abs(split.read(np.arange(8)) - without[:8]).max() > 0


def test_plan_covers_every_cosmology_once(params: Path) -> None:
    for overrides in ({}, {"data.n_cosmologies": 17, "train.batch_size": 8}, {"data.dtype": "float32"}):
        cfg = load_params(params, {**overrides, "data.validation": 2})
        shards = plan(cfg)
        assert len({s.name for s in shards}) == len(shards)
        for split, count in (("train", cfg.data.n_cosmologies), ("validation", 2), ("test", cfg.data.test)):
            covered = [i for s in shards if s.split == split for i in range(s.start, s.stop)]
            assert covered == list(range(count))
        maps = max(s.stop - s.start for s in shards) * cfg.data.realisations
        assert maps * 64 * 64 * 4 * np.dtype(cfg.data.dtype).itemsize <= 16 * 2**20


def test_cosmologies_csv_holds_the_exact_numbers(cfg: Config) -> None:
    rows = list(csv.DictReader(cosmologies_csv(cfg).splitlines()))
    assert [row["split"] for row in rows] == ["train"] * 32 + ["validation"] * 8 + ["test"] * 8
    assert [float(row["omega_m"]) for row in rows[:32]] == split_theta(cfg, "train")[:, 0].tolist()


def test_parts_are_what_the_whole_is_made_of(cfg: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [generate_part(cfg, part, 3, workers=1) for part in range(3)]
    assert sum(note["maps_made"] for note in found) == sum(note["maps"] for note in found) == 96
    assert all(note["maps"] < 96 for note in found)
    # a part that is made again, and the whole, find everything there
    assert generate_part(cfg, 1, 3, workers=1)["maps_made"] == 0
    # who trains from the work folder finds there what a stage before would have put into its outputs
    work = {name: data for name, data in contents(simulation_folder(cfg)).items() if "lock" not in name}
    assert generate(cfg, tmp_path / "out", workers=1, progress=False)["maps_made"] == 0
    assert contents(tmp_path / "out") == work
    monkeypatch.setenv("COSMOKERAS_WORK", str(tmp_path / "other"))
    generate(cfg, tmp_path / "whole", workers=1, progress=False)
    assert contents(tmp_path / "whole") == work


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_asked_to_stop_it_leaves_and_can_go_on(
    cfg: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setenv("COSMOKERAS_STOP_FILE", str(tmp_path / "stop"))
    (tmp_path / "stop").touch()
    with pytest.raises(SystemExit) as left:
        generate(cfg, tmp_path / "out", workers=workers, progress=False)
    assert left.value.code == 75
    assert not (tmp_path / "out").exists()
    (tmp_path / "stop").unlink()
    made = generate(cfg, tmp_path / "out", workers=workers, progress=False)["maps_made"]
    assert made == 96 if workers == 1 else 0 < made <= 96
    assert len(open_split(cfg, tmp_path / "out", "train")) == 64


@pytest.mark.parametrize("part", ["2", "2/2", "-1/2", "a/b", "1/2/3"])
def test_a_part_that_is_none_is_refused(part: str) -> None:
    from stages.generate import whole_numbers

    with pytest.raises(UserError, match=r"--part=.*: must be I/N"):
        whole_numbers(part)
