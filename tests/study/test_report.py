"""The report: what it reads into numbers, what it says when something is missing, and how it looks to a browser."""

from __future__ import annotations

import base64
import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from cosmokeras.common import cli
from cosmokeras.common.errors import UserError
from study.report import experiments, facts, pictures, readings
from study.report.__main__ import main
from study.report.systematics import systematics

ROOT = Path(__file__).parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# Put into copies of the page: counts what a reader would miss, once all is loaded
LOOK = """<script>addEventListener("load", () => {
  const images = [...document.images], root = document.documentElement;
  parent.postMessage(JSON.stringify({
    images: images.length, broken: images.filter(image => image.naturalWidth === 0).length,
    width: innerWidth, content: root.scrollWidth, paper: getComputedStyle(document.body).backgroundColor,
  }), "*");
});</script></body>"""
FRAME = """<!doctype html><link rel="icon" href="data:,"><iframe src="seen.html" width="{width}" height="800"></iframe>
<script>addEventListener("message", event => {{ document.body.append("SEEN" + event.data + "NEES"); }});</script>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of this checkout's own metrics and pictures."""
    out = tmp_path_factory.mktemp("report") / "index.html"
    assert main(["--root", str(ROOT), "--out", str(out)]) == 0
    return out.read_text()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What the report reads, outside of git, free to be spoiled."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name in ("params.yaml", "dvc.yaml", "dvc.lock"):
        shutil.copyfile(ROOT / name, folder / name)
    for name in ("metrics", "plots"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / "data").symlink_to(ROOT / "data", target_is_directory=True)
    return folder


def written(project: Path) -> str:
    """The page of a project."""
    assert main(["--root", str(project), "--out", str(project / "out.html")]) == 0
    return (project / "out.html").read_text()


def refused(project: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that says why there is no page."""
    with pytest.raises(SystemExit, match="2"):
        cli.entry(lambda: main(["--root", str(project), "--out", str(project / "out.html")]))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert not (project / "out.html").exists()
    return lines[0]


@pytest.mark.slow
def test_every_picture_is_inside_and_captioned(page: str) -> None:
    names = {path.relative_to(ROOT / "plots").as_posix() for path in (ROOT / "plots").rglob("*.png")}
    assert set(re.findall(r"<img alt='([^']+)'", page)) == names
    assert "There is no caption" not in page
    captions = [words for section in pictures.CAPTIONS.values() for words in section.values()]
    assert all(words.endswith((".", "?")) and words.count(". ") == 0 for words in captions), "one sentence each"


@pytest.mark.slow
def test_each_picture_can_be_enlarged_and_closed_again(page: str) -> None:
    ids = set(re.findall(r"id='((?:large|at)-[^']+)'", page))
    links = re.findall(r"class='(enlarge|close)' href='#([^']+)'", page)
    assert {target for _, target in links} == ids
    count = page.count("<img ")
    assert len(ids) == 2 * count
    assert [kind for kind, _ in links].count("enlarge") == [kind for kind, _ in links].count("close") == count


@pytest.mark.slow
def test_samples_and_numbers_can_be_saved(project: Path) -> None:
    assert "combined.txt" not in written(project)  # this copy of the project has no outputs
    chains = project / "outputs" / "chains"
    chains.mkdir(parents=True)
    (chains / "combined.txt").write_text("1.0 2.0 0.3\n")
    links = dict(re.findall(r"<a download='([^']+)' href='data:[a-z/]+;base64,([^']+)'", written(project)))
    assert base64.b64decode(links["combined.txt"]) == b"1.0 2.0 0.3\n"
    assert base64.b64decode(links["infer.json"]) == (project / "metrics" / "infer.json").read_bytes()


@pytest.mark.slow
def test_the_answer_comes_first_and_wide_tables_scroll_by_keyboard(page: str) -> None:
    infer = json.loads((ROOT / "metrics" / "infer.json").read_text())
    first = page[page.index("<div class='big'>") :]
    name = readings.targets(infer, "mean")[0]
    assert first.startswith(f"<div class='big'>{infer[name]['mean']:.4f}")
    assert page.count("class='scroll'") == page.count("class='scroll' tabindex='0' role='group' aria-label=") > 0


@pytest.mark.slow
def test_nothing_is_loaded_from_elsewhere(page: str) -> None:
    sources = re.findall(r"""(?:src|href)=["']([^"']{1,40})""", page)
    assert all(source.startswith(("data:", "#")) for source in sources), set(sources)
    assert "@import" not in page
    assert "url(" not in page


class Loads(HTMLParser):
    """What a browser would load of a page, or go to: addresses in any attribute, and tags that run or embed."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "iframe", "object", "embed", "base", "form", "svg", "video", "audio", "source"):
            self.found.append(tag)
        for name, value in attrs:
            if tag == "meta" and name == "http-equiv" and value != "Content-Security-Policy":
                self.found.append(f"meta {value}")
            elif name.startswith("on") or (value and "evil" in value):
                self.found.append(f"{tag} {name}={value}")


HOSTILE = "'\"><img src=http://evil.example/a onerror=x><script src=//evil.example></script>${evil}"
TOLD = f"""# Told {HOSTILE}
![picture](http://evil.example/b.png) [link](http://evil.example/c) <http://evil.example/d> <img src="http://evil.example">
[ref]: http://evil.example/e
![ref] | <meta http-equiv=refresh content="0;url=http://evil.example">
"""


def hostile(node: Any) -> Any:
    """Every text of a JSON content replaced, keys that are of people's choice too."""
    if isinstance(node, dict):
        return {key: hostile(value) for key, value in node.items()}
    if isinstance(node, list):
        return [hostile(value) for value in node]
    return HOSTILE if isinstance(node, str) else node


@pytest.mark.slow
def test_nothing_is_loaded_whatever_text_is_shown(project: Path) -> None:
    for path in (project / "metrics").glob("*.json"):
        path.write_text(json.dumps(hostile(json.loads(path.read_text()))))
    infer = json.loads((project / "metrics" / "infer.json").read_text())
    infer["compared"] = {HOSTILE: 3.0}
    (project / "metrics" / "infer.json").write_text(json.dumps(infer))
    real = json.loads((project / "metrics" / "real.json").read_text())
    real["null_tests"] = {HOSTILE: 1.0}
    (project / "metrics" / "real.json").write_text(json.dumps(real))
    (project / "outputs" / "model").mkdir(parents=True)
    (project / "outputs" / "inference.md").write_text(TOLD)
    versions = {"versions": {HOSTILE: HOSTILE}}
    (project / "outputs" / "model" / "estimator.json").write_text(json.dumps(versions))
    shown, loads = written(project), Loads()
    loads.feed(shown)
    assert loads.found == []
    assert "evil.example" in shown  # it is all there, as text


def test_a_commit_may_have_no_message(tmp_path: Path) -> None:
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path))
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "--allow-empty-message", "-m", ""], check=True)
    found = facts.commit(tmp_path)
    assert found is not None and len(found.name) == 40 and found.subject == ""


@pytest.mark.parametrize(
    ("name", "content"),
    [("evaluate", b"{}"), ("train", b"[]"), ("infer", b"\xff\xfe"), ("evaluate", b'{"omega_m": 3}')],
)
def test_damaged_metrics_are_one_line(
    project: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes
) -> None:
    (project / "metrics" / f"{name}.json").write_bytes(content)
    assert refused(project, capsys).startswith("error: ")


@pytest.mark.slow
def test_the_figures_are_those_of_the_metrics(page: str) -> None:
    evaluated = json.loads((ROOT / "metrics" / "evaluate.json").read_text())
    infer = json.loads((ROOT / "metrics" / "infer.json").read_text())
    for name in readings.targets(evaluated, "rmse"):
        one = evaluated[name]
        for key in readings.LADDER.keys() & one.keys():
            assert f"{one[key]:.4f}" in page
        assert f"{one['coverage_68']:.3f}" in page
    for name in readings.targets(infer, "mean"):
        assert f"{infer[name]['mean']:.4f} ± {infer[name]['std']:.4f}" in page


def test_figures_of_two_parameters_are_read_out() -> None:
    merit = {"network": 812.3, "baseline": 640.0, "higher_order": 800.0, "gain_higher_order_std": 0.02}
    score = {"network": 8.1234, "baseline": 7.5, "higher_order": 8.0}

    def rows(gain: float) -> list[readings.Reading]:
        pair = {"omega_m_S8": merit | {"gain_higher_order": gain}}
        return readings.joint({"figure_of_merit": pair, "fair_phase1": score})

    assert [row.value for row in rows(1.1)] == ["812.3", "8.123"]
    assert "power spectra 640, with l1-norm 800" in rows(1.1)[0].against
    assert [rows(gain)[0].mark for gain in (1.1, 1.03, 0.9)] == ["good", "", "look"]
    assert readings.joint({"omega_m": {"rmse": 0.04}}) == []


def test_few_cosmologies_are_not_called_fine() -> None:
    one = {"coverage_68": 0.66, "rmse": 0.04, "prior_rmse": 0.1, "bias": 0.001}
    for n, mark, words in ((12, "", readings.TOO_FEW), (500, "good", "error bars are right")):
        assert [row.mark for row in readings.widths("omega_m", one, n)] == [mark]
        assert words in readings.widths("omega_m", one, n)[0].words
        assert readings.accuracy("omega_m", one, n)[1].mark == mark
    assert readings.widths("omega_m", one | {"coverage_68": 0.2}, 12)[0].mark == "look"


@pytest.mark.parametrize(
    ("ratio", "error", "mark", "words"),
    [
        (1.001, 0.005, "good", "agrees with theory"),
        (0.95, 0.005, "look", "differs from theory"),
        (0.95, 0.03, "", "Too few maps"),
        (0.6, 0.03, "look", "differs from theory"),
        (1.0, None, "", "Too few maps"),
    ],
)
def test_the_power_of_maps_is_judged_within_its_error(ratio: float, error: float | None, mark: str, words: str) -> None:
    made = {"maps": 9, "bytes": 9, "spectrum_ratio": ratio, "spectrum_ratio_error": error}
    row = readings.run(made, {"best_epoch": 1, "epochs": 2, "rmse": 0.04}, None)[1]
    assert row.mark == mark and words in row.words


def test_shifts_by_fixed_nuisances_are_a_table() -> None:
    one = {"omega_m": 0.5, "omega_m_error": 0.01, "omega_m_survey": 0.6, "omega_m_survey_error": 0.02}
    header, (line,) = systematics({"systematics": {"patches": 9, "m_bias": one}}) or ([], [[]])
    assert header == [
        "fixed nuisance",
        "uncertainty",
        "shift of omega_m, one map",
        "shift of omega_m, survey",
        "source of the uncertainty",
    ]
    assert line[:4] == ["m bias", "0.008", "+0.0040 ± 0.0001", "+0.0048 ± 0.0002"] and "MacCrann" in line[4]
    assert systematics({"omega_m": {"rmse": 0.04}}) is None


def test_a_systematic_error_is_compared_with_the_statistical_one() -> None:
    m = {"mean": 0.3, "std": 0.004, "q16": 0.296, "q84": 0.304}
    sky = {"omega_m": m, "n_patches": 9, "in_distribution": True, "surprise_p": 0.5}
    rows = readings.sky(sky | {"systematic": {"omega_m": {"error": 0.03, "a_ia": 0.03}}}, 0.01)
    (row,) = [one for one in rows if "systematic" in one.name]
    assert (row.value, row.against, row.mark) == ("0.0300", "statistical 0.0040", "look")
    assert not any("systematic" in one.name for one in readings.sky(sky, 0.01))


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_all_of_it_without_complaint(page: str, width: int, scheme: str, tmp_path: Path) -> None:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"no browser to look with: none of {', '.join(BROWSERS)} is installed")
    opened = page.replace("style-src 'unsafe-inline'", "style-src 'unsafe-inline'; script-src 'unsafe-inline'")
    (tmp_path / "seen.html").write_text(opened.replace("</body>", LOOK))
    (tmp_path / "frame.html").write_text(FRAME.format(width=width))
    options = [
        "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", "--enable-logging=stderr",
        f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=20000",
        f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}",
    ]  # fmt: skip
    command = [browser, *options, (tmp_path / "frame.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    stated = re.search(r"SEEN(.*)NEES", html.unescape(done.stdout).replace('SEEN" +', ""))
    assert stated, done.stderr
    seen = json.loads(stated[1])
    assert seen["images"] == len(list((ROOT / "plots").rglob("*.png")))
    assert seen["broken"] == 0
    assert seen["width"] == width
    assert seen["content"] <= width, "the page scrolls sideways"
    assert (min(map(int, re.findall(r"\d+", seen["paper"]))) < 64) == (scheme == "dark")
    assert "CONSOLE" not in done.stderr, done.stderr


@pytest.mark.parametrize("stage", facts.NEEDED)
def test_missing_metrics_are_one_line_and_no_page(
    stage: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "metrics" / f"{stage}.json").unlink()
    line = refused(project, capsys)
    assert f"metrics/{stage}.json" in line
    assert f"`dvc repro {stage}`" in line


def test_a_missing_picture_is_one_line(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "plots" / "coverage.png").unlink()
    line = refused(project, capsys)
    assert "plots/coverage.png" in line
    assert "`dvc repro plots`" in line


def test_a_damaged_file_is_one_line(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "plots" / "coverage.png").write_bytes(b"not a picture")
    assert "plots/coverage.png: not a PNG" in refused(project, capsys)
    (project / "metrics" / "train.json").write_text('{"rmse": ')
    assert "metrics/train.json: not valid JSON" in refused(project, capsys)


@pytest.mark.slow
def test_without_a_sky_the_rest_is_shown(project: Path) -> None:
    for name in ("infer", "real"):
        (project / "metrics" / f"{name}.json").unlink()
    text = written(project)
    assert "Not run yet" in text
    assert "No sky has been analysed yet" in text
    assert "outside of git" in text


@pytest.mark.slow
def test_figures_that_are_not_finite_are_shown_and_to_be_looked_at(project: Path) -> None:
    for name, keys in {"evaluate": ("bias", "r2", "rmse", "gain", "coverage_68"), "infer": ("mean", "std")}.items():
        path = project / "metrics" / f"{name}.json"
        content = json.loads(path.read_text())
        content["omega_m"] |= dict.fromkeys(keys)
        path.write_text(json.dumps(content))
    generate = project / "metrics" / "generate.json"
    generate.write_text(json.dumps(json.loads(generate.read_text()) | {"spectrum_ratio": None}))
    text = written(project)
    assert ">nan<" in text
    off = text[: text.index("<nav")].partition("look closer at:")[2]
    assert "mean error" in off and "power / theory" in off


@pytest.mark.slow
def test_a_sky_that_is_off_is_said_at_the_top(project: Path) -> None:
    path = project / "metrics" / "infer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"in_distribution": False, "surprise_p": 0.0001}))
    text = written(project)
    assert "should not be quoted" in text[: text.index("<nav")]


@pytest.mark.slow
def test_the_words_of_infer_are_shown_and_cannot_bring_markup(project: Path) -> None:
    text = written(project)
    assert "which is missing" in text
    assert "it says nothing about the universe" in text
    (project / "outputs").mkdir()
    words = "# Result\n\n- **bold** <script>alert(1)</script>\n\n## Care\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
    (project / "outputs" / "inference.md").write_text(words)
    text = written(project)
    assert "<strong>bold</strong>" in text
    assert "<h4>Care</h4>" in text
    assert "<td>2</td>" in text
    assert "<script" not in text


def test_parameters_other_than_those_of_the_run_are_shown(project: Path) -> None:
    path = project / "params.yaml"
    path.write_text(path.read_text().replace("width: 16 ", "width: 24 ").replace("xla: auto ", "xla: 'off' "))
    given = {one.key: one for one in facts.parameters(project)}
    assert given["model.width"] == facts.Parameter("model.width", "24", None, None, "16")
    assert given["train.xla"] == facts.Parameter("train.xla", "off", "auto", None, "auto")
    assert [one for one in given.values() if one.run] == [given["model.width"], given["train.xla"]]


def test_hashes_are_of_the_data_and_of_what_stages_made() -> None:
    found = [path for path, _, _ in facts.hashes(ROOT)]
    assert {"data", "outputs/simulations", "outputs/model"} <= set(found)
    assert all(path.split("/")[0] in ("data", "outputs") for path in found)


@pytest.mark.parametrize(
    ("ratio", "words", "mark"),
    [(1.08, "7.4&nbsp;% smaller", "good"), (1.01, "No measurable", ""), (0.8, "larger", "look")],
)
def test_a_gain_counts_beyond_two_errors(ratio: float, words: str, mark: str) -> None:
    said, found = readings.better(ratio, 0.01, "others")
    assert words in said
    assert found == mark


@pytest.mark.parametrize(("inside", "verdict"), [(0.67, "right"), (0.60, "too narrow"), (0.75, "too wide")])
def test_coverage_is_compared_with_its_scatter(inside: float, verdict: str) -> None:
    (row,) = readings.widths("omega_m", {"coverage_68": inside}, 500)
    assert verdict in row.words
    assert row.mark == ("good" if verdict == "right" else "look")


def test_the_ladder_is_in_parts_of_its_longest() -> None:
    steps = readings.ladder({"prior_rmse": 0.2, "rmse": 0.05, "limit_rmse": 0.04, "bias": 9.0})
    assert [part for _, _, part, _ in steps] == pytest.approx([1, 0.25, 0.2])
    assert [ours for *_, ours in steps] == [False, True, False]


def row(name: str, epochs: int, rmse: float, **more: Any) -> dict[str, Any]:
    """A row of `dvc exp show --json`."""
    params = {"params.yaml": {"data": {"train": {"epochs": epochs, "lr": 0.1}}}}
    measured = {"metrics/evaluate.json": {"data": {"omega_m": {"rmse": rmse, "prior_rmse": 1.0}}}}
    return {
        "rev": "0123456789",
        "name": name,
        "data": {"params": params, "metrics": measured, "timestamp": None},
    } | more


def test_experiments_show_what_differs() -> None:
    failed = {"rev": "fedcba9876", "name": None, "data": None, "error": {"msg": "broken"}}
    below = [{"revs": [row("long", 50, 0.25)], "name": "long"}, {"revs": [failed], "name": None}]
    header, lines = experiments.table([row("main", 20, 0.5, experiments=below)])
    assert header == ["experiment", "when", "omega_m.rmse", "train.epochs"]
    assert lines == [["main", "", "0.5", "20"], ["long", "", "0.25", "50"], ["fedcba9", "broken", "", ""]]
    assert experiments.table([row("main", 20, 0.5)]) == ([], [])


def test_other_bytes_are_no_picture(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a PNG"):
        pictures.size(pictures.PNG, tmp_path / "short.png")
