"""The site builds without a complaint and needs no network to be read."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.extract import ROOT

SCRIPTS = re.compile(r"<(?:script|link|img|iframe)\b[^>]*?(?:src|href)=\"(https?:[^\"]+|//[^\"]+)\"")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
def test_every_page_is_built(site: Path) -> None:
    for page in (ROOT / "docs").glob("*.md"):
        assert (site / f"{page.stem}.html").stat().st_size > 5000, page.name


@pytest.mark.slow
def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = [url for url in SCRIPTS.findall(page.read_text()) if 'rel="canonical"' not in url]
        assert not loaded, f"{page.name}: {loaded}"


@pytest.mark.slow
def test_pictures_and_formulas_are_there(site: Path) -> None:
    for page in site.glob("*.html"):
        text = page.read_text()
        for name in re.findall(r'<img[^>]+src="([^"]+)"', text):
            assert (page.parent / name).is_file(), f"{page.name}: {name}"
        assert "arithmatex" not in text, f"{page.name}: a formula was left as it is"
    theory = (site / "theory.html").read_text()
    assert theory.count("<math") > 50
    assert "<merror" not in theory


@pytest.mark.slow
def test_the_api_page_has_the_public_names(site: Path) -> None:
    import cosmokeras

    text = (site / "api.html").read_text()
    for name in ("load_params", "sample_prior", "simulate", "observe", "Estimator", "exact_posterior", "angular_cl"):
        assert f'.{name}"' in text, name
    assert {"load_params", "Estimator"} <= set(cosmokeras.__all__)


@pytest.mark.slow
def test_the_api_page_has_every_member_that_it_names(site: Path) -> None:
    """mkdocstrings leaves out in silence what is not in the module."""
    built = (site / "api.html").read_text()
    blocks = re.findall(
        r"^::: (\S+)\n    options:\n      members: \[(.+)\]", (ROOT / "docs/api.md").read_text(), re.MULTILINE
    )
    assert len(blocks) > 10
    lost = [
        f"{module}.{name}"
        for module, names in blocks
        for name in names.split(", ")
        if f'id="{module}.{name}"' not in built
    ]
    assert not lost


@pytest.mark.slow
def test_drawings_take_the_colours_of_the_site(site: Path) -> None:
    for picture in (ROOT / "docs" / "assets").glob("*.svg"):
        pages = [page for page in site.glob("*.html") if picture.read_text() in page.read_text()]
        assert pages, picture.name
