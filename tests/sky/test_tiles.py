"""Patches are placed where they keep most observed sky, do not overlap, and are well covered."""

from __future__ import annotations

import numpy as np
import pytest

from cosmokeras.sky.tiles import best_corners, greedy_corners, used_part


def grid(coverage: np.ndarray, size: int, max_masked: float) -> list[tuple[int, int]]:
    height, width = coverage.shape
    places = [(y, x) for y in range(0, height - size + 1, size) for x in range(0, width - size + 1, size)]
    return [(y, x) for y, x in places if np.mean(coverage[y : y + size, x : x + size] < 0.5) <= max_masked]


def fields() -> dict[str, np.ndarray]:
    off = np.zeros((64, 96))
    off[16:48, 16:80] = 1  # two patches of 32 fit, on no grid
    holes = np.ones((150, 200))
    holes[:64, 64:96] = holes[64:68, :64] = 0
    y, x = np.mgrid[:200, :260]
    disc = ((y - 90) ** 2 + (x - 140) ** 2 < 85**2).astype(float)
    slanted = (np.abs(y - 0.4 * x - 30) < 45).astype(float)
    rng = np.random.default_rng(0)
    stars = np.ones((200, 260))
    for a, b in rng.uniform((0, 0), (200, 260), (60, 2)):
        stars[(y - a) ** 2 + (x - b) ** 2 < 36] = 0
    columns = np.zeros((100, 100))
    columns[:96, :32], columns[4:, 40:72] = 1, 1
    return {"off": off, "holes": holes, "disc": disc, "slanted": slanted, "stars": stars, "columns": columns}


@pytest.mark.parametrize("max_masked", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("name", fields())
def test_no_simple_way_keeps_more(name: str, max_masked: float) -> None:
    coverage = fields()[name]
    corners = best_corners(coverage, 32, max_masked)
    times = np.zeros(coverage.shape, int)
    for y, x in corners:
        times[y : y + 32, x : x + 32] += 1
        assert np.mean(coverage[y : y + 32, x : x + 32] < 0.5) <= max_masked
    assert times.max(initial=0) <= 1 and corners == sorted(corners)
    part = used_part(coverage, corners, 32)
    assert part == pytest.approx(coverage[times > 0].sum() / coverage.sum())
    for other in (grid(coverage, 32, max_masked), greedy_corners(coverage, 32, max_masked)):
        assert part >= used_part(coverage, other, 32)
    turned = best_corners(coverage.T, 32, max_masked)
    assert used_part(coverage.T, turned, 32) == pytest.approx(part)


def test_what_fits_is_found() -> None:
    assert best_corners(fields()["off"], 32, 0.0) == [(16, 16), (16, 48)]
    assert len(best_corners(fields()["columns"], 32, 0.0)) == 6, "three in each of two columns that begin apart"
    assert best_corners(np.ones((31, 96)), 32, 0.1) == []
    assert best_corners(np.zeros((64, 96)), 32, 0.1) == []


def test_whole_maps_are_cut_from_the_corner() -> None:
    assert best_corners(np.ones((70, 100)), 32, 0.1) == [(y, x) for y in (0, 32) for x in (0, 32, 64)]
