"""The examples of docs/data.md, "Your own simulations": as somebody would type them, with smaller numbers."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from cosmokeras.common.errors import UserError
from cosmokeras.dataset.generation import generate
from cosmokeras.dataset.shards import open_split
from cosmokeras.project import load_params
from tests.docs.extract import ROOT, blocks, lines, overrides
from tests.suites import stand_ins

PAGE = ROOT / "docs" / "data.md"
HEADING = "Your own simulations"
ANY, CAMELS, FAIR = [line for block in blocks(PAGE, "sh") if block.section == HEADING for line in lines(block)]
TINY = {"model.spectrum_bins": 6, "evaluate.spectrum_bins": 6, "train.batch_size": 16}


@pytest.mark.slow
def test_the_first_example_writes_a_suite_and_reads_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (code,) = [block.text for block in blocks(PAGE, "python") if block.section == HEADING]
    exec("import numpy as np, cosmokeras as ck\ncfg = ck.load_params(overrides={'data.size': 32})\n" + code, {})
    cfg = load_params("params.yaml", overrides(ANY)[0] | {"data.size": 32} | TINY)
    assert generate(cfg, Path("simulations"), 1, progress=False) == {
        "maps": 120, "maps_made": 0, "seconds": pytest.approx(0, abs=1), "bytes": 0,
    }  # fmt: skip
    maps = open_split(cfg, Path("simulations"), "test").read(np.arange(20))
    assert maps.shape == (20, 32, 32, 4)
    assert 1e-3 < maps.std() < 0.1


def test_the_page_says_what_is_found(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Word for word; and empty maps are refused."""
    stand_ins.any_array(folder)
    cfg = load_params(folder / "params.yaml", overrides(ANY)[0])
    with pytest.raises(UserError, match="in all pixels"):
        generate(cfg, folder / "simulations", 1, progress=False)
    said = capsys.readouterr().out.strip().splitlines()[0]
    assert said in " ".join(PAGE.read_text().split())


@pytest.mark.slow
def test_the_other_examples_find_their_files_at_full_size(folder: Path) -> None:
    """Gigabytes that are sparse, opened and divided in seconds."""
    from cosmokeras.suites.opening import open_suite

    stand_ins.published(folder)
    camels = open_suite(load_params(folder / "params.yaml", overrides(CAMELS)[0] | TINY))
    assert {name: len(some) for name, some in camels.chosen.items()} == {
        "train": 12_000,
        "validation": 1500,
        "test": 1500,
    }
    assert not camels.referred  # averaged to 64 pixels
    fair = open_suite(load_params(folder / "params.yaml", overrides(FAIR)[0]))
    assert {name: len(some) for name, some in fair.chosen.items()} == {
        name: 240 * count for name, count in {"train": 69, "validation": 16, "test": 16}.items()
    }
    assert fair.referred
    quijote = open_suite(
        load_params(folder / "params.yaml", overrides("dvc exp run $(cat experiments/quijote_suite.txt)")[0])
    )
    assert len(quijote) == 32_000
    assert os.stat(folder / "WIDE12H_bin2_2arcmin_kappa.npy").st_blocks < 2e5
