"""Pages without dead ends: links, pictures, quoted errors, measured numbers."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from cosmokeras.evaluation.nuisances import nuisances
from cosmokeras.params.registry import SOURCES
from cosmokeras.project import load_params
from tests.docs.extract import FENCE, PAGES, ROOT, blocks, spans

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)|(?<=<img src=\")([^\"]+)")
LINKED = [*PAGES, ROOT / "CHANGELOG.md"]


def anchors(page: Path) -> set[str]:
    """Names of the headings, as GitHub and the site make them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in map("".join, LINK.findall(FENCE.sub("", page.read_text()))):
        if re.match(r"https?:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), f"{page.name}: {target} does not exist"
        assert ROOT in path.parents, f"{page.name}: {target} leads out of the repository"
        if anchor:
            assert anchor in anchors(path), f"{page.name}: no heading {anchor!r} in {path.name}"


FILE = re.compile(r"(?:cosmokeras|stages|study|benchmarks|tests|slurm|docs|experiments|findings)/[\w/.-]*")
MODULE = re.compile(r"(?:cosmokeras|stages|study|benchmarks|docs)(?:\.\w+)+")
OWN = {"slurm/site", *(block.title for block in blocks(ROOT / "docs" / "extend.md", "python", "yaml"))}  # the user's


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_modules_that_a_page_names_are_there(page: Path) -> None:
    named = [word.rstrip(".,") for span in spans(page.read_text()) for word in span.split()]
    if page.name == "architecture.md":  # its paths are those of the package
        named = [f"cosmokeras/{w}" if "/" in w and not (ROOT / w.split("/")[0]).exists() else w for w in named]
    lost = [word for word in named if FILE.fullmatch(word) and not (ROOT / word).exists() and word not in OWN]
    for name in filter(MODULE.fullmatch, named):
        path = ROOT / name.replace(".", "/")
        if not (path.is_dir() or path.with_suffix(".py").is_file() or path.parent.with_suffix(".py").is_file()):
            lost.append(name)
    assert not lost


def test_every_preset_and_every_source_is_in_a_table() -> None:
    text = (ROOT / "docs" / "data.md").read_text()
    presets = [path.stem for path in (ROOT / "data" / "surveys").glob("*.yaml")]
    assert len(presets) > 5
    assert not [name for name in (*presets, *SOURCES) if not re.search(rf"^\| `{name}` \|", text, re.MULTILINE)]


def test_every_picture_is_shown_somewhere() -> None:
    shown = "\n".join(page.read_text() for page in PAGES)
    dvc = (ROOT / "dvc.yaml").read_text()
    for picture in sorted((ROOT / "plots").rglob("*.png")):
        name = picture.relative_to(ROOT).as_posix()
        assert name in shown or name in dvc, f"{name} is in no page and no stage"
    for picture in sorted(one for end in ("png", "svg") for one in (ROOT / "docs").rglob(f"*.{end}")):
        assert picture.relative_to(ROOT / "docs").as_posix() in shown, f"{picture} is in no page"


def test_every_page_is_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert f": {page.name}" in text, f"{page.name} is not in mkdocs.yml"


def messages() -> str:
    """All text that the code can print, with a break wherever something is filled in."""
    found = [(ROOT / "Makefile").read_text()]
    for path in [*(ROOT / "cosmokeras").rglob("*.py"), *(ROOT / "stages").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                found.append("\0".join(p.value for p in node.values if isinstance(p, ast.Constant)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


def test_quoted_errors_are_those_of_the_code() -> None:
    code = messages()
    text = (ROOT / "docs" / "troubleshooting.md").read_text()
    quoted = [row.split("|")[1].strip() for row in text.splitlines() if row.startswith("| `")]
    assert len(quoted) > 50
    parts = [(line, part.strip(" =:;,()")) for line in quoted for part in line.strip("`").split("...")]
    lost = [f"{line}: {part!r}" for line, part in parts if len(part) > 3 and part not in code]
    assert not lost, "in no message of the code:\n" + "\n".join(lost)


def test_numbers_of_the_readme_are_those_of_the_metrics() -> None:
    """Each number in the tables of results is one of the metrics, to the digits given."""
    text = (ROOT / "README.md").read_text()
    tables = re.search(r"<!-- results -->\n(.*?)<!-- end of results -->", text, re.DOTALL)
    assert tables
    metrics = {name: json.loads((ROOT / "metrics" / f"{name}.json").read_text()) for name in ("evaluate", "train")}
    slow = json.loads((ROOT / "metrics" / "validate.json").read_text())
    two, grf = slow["two_parameters"], slow["grf"]
    lensing = [
        (metrics["train"], metrics["evaluate"], "omega_m"),
        (two["train"], two["evaluate"], "S8"),
    ]
    gaussian = [(grf[name]["train"], grf[name]["evaluate"], "omega_m") for name in grf]
    for table, runs in zip(tables[1].strip().split("\n\n"), (lensing, gaussian), strict=True):
        header, _, *rows = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in table.splitlines()]
        assert len(rows) == len(runs)
        assert ("exact posterior" in header) == (runs is gaussian)
        for row, (train, evaluate, target) in zip(rows, runs, strict=True):
            one = evaluate[target]
            known = {
                "weights": train["weights"],
                "error": one["rmse"],
                "no map": one["prior_rmse"],
                "power spectra": one["baseline_rmse"],
                "exact posterior": one.get("limit_rmse"),
                "exact / error": one.get("efficiency"),
                "truth in 68 %": one["coverage_68"],
                "in 95 %": one["coverage_95"],
                "minutes": train["seconds"] / 60,
            }
            for name, cell in list(zip(header, row, strict=True))[2:]:
                value = known[name]
                shown = float(cell.replace(",", "").rstrip("k"))
                value = value / 1000 if cell.endswith("k") else value
                digits = len(cell.split(".")[1]) if "." in cell else 0
                off = f"README.md: {name} is {value}, not {cell}"
                assert shown == pytest.approx(value, abs=0.51 * 10**-digits), off


def test_results_in_words_are_those_of_the_metrics() -> None:
    """What a run ends with, the gains, and what fixed nuisances would do beside the error of the sky."""
    text = " ".join((ROOT / "README.md").read_text().split())
    evaluated, infer = (json.loads((ROOT / "metrics" / f"{name}.json").read_text()) for name in ("evaluate", "infer"))
    sky, one = infer["omega_m"], evaluated["omega_m"]
    posterior = f"{sky['mean']:.4f} +- {sky['std']:.4f}"
    known = f"truth {sky['truth']:.4f}, pull {sky['pull']:+.2f}"
    assert f"omega_m = {posterior} from {infer['n_patches']} patches, {known}" in text
    for key in ("gain", "gain_higher_order"):
        assert f"{one[key]:.3f} +- {one[f'{key}_std']:.3f}" in text
    widths = {name: entry.width for name, entry in nuisances().items()}
    shifts = {name: row["omega_m_survey"] for name, row in evaluated["systematics"].items() if name in widths}
    fixed = sum((shift * widths[name]) ** 2 for name, shift in shifts.items()) ** 0.5
    assert f"by {fixed:.3f} (in quadrature), beside a statistical error of {sky['std']:.3f}" in text


def test_gains_on_lognormal_and_n_body_maps_are_those_of_the_metrics() -> None:
    text = (ROOT / "docs" / "domain_gap.md").read_text()
    figures = json.loads((ROOT / "metrics" / "matter_networks.json").read_text())["gain"]
    for kind in ("lognormal", "pm"):
        for name, label in (("omega_m", "Omega_m"), ("sigma8", "sigma8"), ("S8", "S8")):
            one = figures[kind][name]
            gains = " | ".join(f"{one[key]:.3f} +- {one[f'{key}_std']:.3f}" for key in ("gain", "gain_higher_order"))
            row = f"| {label} | {one['rmse']:.4f} | {one['prior_rmse']:.4f} | {gains} | {one['coverage_68']:.3f} |"
            assert row in text, f"{kind}: {row}"
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert f"{figures['pm']['S8']['gain_higher_order'] - 1:.0%}".replace("%", " %") + " in the error of S8" in readme


def test_rates_beside_other_codes_are_those_of_the_metrics() -> None:
    text = (ROOT / "docs" / "benchmarks.md").read_text()
    shown = 0
    for found in json.loads((ROOT / "metrics" / "bench_simulators.json").read_text()).values():
        for name, one in found["peers"].items():
            others = [who for who in one["ratio"] if who != "bare rfft2"] or ["bare rfft2"]
            for who in others:
                theirs = "numpy's rfft2 alone" if who == "bare rfft2" else who
                rates = [f"{one['rate'][code]:.4g}" for code in ("cosmokeras", who)]
                rates = [f"{float(rate):g}" for rate in rates]  # no powers of ten
                row = f"| {name} | {one['unit']} | {rates[0]} | {theirs} | {rates[1]} | {one['ratio'][who]:.3g} |"
                assert row in text, row
                shown += 1
    assert shown == len(re.findall(r"^\| .* (?:maps|planes|cubes|steps|Mpix)/s \|", text, re.MULTILINE))


def test_posteriors_beside_other_libraries_are_those_of_the_metrics() -> None:
    text = (ROOT / "docs" / "benchmarks.md").read_text()
    figures = json.loads((ROOT / "metrics" / "bench_npe.json").read_text())
    assert f"the exact posterior of the Gaussian fields has {figures['grf']['exact_nll']:.3f}" in " ".join(text.split())
    for found in figures.values():
        for rows in found["maps"].values():
            for who, one in rows.items():
                beside = ""
                if "difference" in one:
                    beside = f"{-one['difference']:+.3f} +- {one['difference_error']:.3f}"
                assert f"| {who} | {one['nll']:.3f} | {beside} | {one['coverage_68']:.3f} |" in text, who


def test_assumptions_of_the_default_run_are_its_parameters() -> None:
    text = " ".join((ROOT / "README.md").read_text().split())
    cfg = load_params(ROOT / "params.yaml")
    prior, survey = cfg.prior, cfg.survey
    assert f"Omega_m, uniform between {prior.omega_m[0]} and {prior.omega_m[1]};" in text
    fixed = f"sigma8 = {prior.sigma8}, h = {prior.h}, Omega_b = {prior.omega_b}, n_s = {prior.n_s}"
    assert f"{fixed}, w = {prior.w0:g}, massless" in text
    assert cfg.parameter_names == ("omega_m",)
    assert not (prior.m_nu or prior.a_ia or prior.m_bias or prior.delta_z or prior.baryons or prior.log_t_agn)
    lensing, low, high = cfg.lensing, min(survey.sigma_e), max(survey.sigma_e)
    assert f"lognormal shells of {lensing.shell_mpc_h:g} Mpc/h with the {cfg.theory.nonlinear} power spectrum" in text
    noise = f"n_eff {np.mean(survey.n_eff):.1f} per square arcmin and sigma_e {low:.2f} to {high:.2f}"
    assert f"{noise} in each of four bins" in text
    assert len(survey.bins) == 4
    assert f"mask and lmax = {survey.lmax}" in text
    assert f"{cfg.data.size} x {cfg.data.size} pixels of {cfg.pixel_arcmin:g} arcmin" in text
    assert f"above `infer.threshold` ({cfg.infer.threshold})" in text


def test_citation_file_says_the_same_as_the_package() -> None:
    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors", "license", "version"} <= set(cff)
    assert f'version = "{cff["version"]}"' in (ROOT / "pyproject.toml").read_text()
    assert cff["license"] == "MIT"


def test_issue_forms_are_well_formed() -> None:
    forms = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
    assert len(forms) >= 3
    for form in forms:
        content = yaml.safe_load(form.read_text())
        if form.name == "config.yml":
            continue
        assert {"name", "description", "body"} <= set(content), form.name
        ids = [field["id"] for field in content["body"] if field["type"] != "markdown"]
        assert len(ids) == len(set(ids)), form.name
        assert all(field["attributes"].get("label") for field in content["body"] if field["type"] != "markdown")


def test_no_span_of_code_is_left_open() -> None:
    for page in PAGES:
        for line in FENCE.sub("", page.read_text()).splitlines():
            assert line.count("`") % 2 == 0, f"{page.name}: {line}"
        assert all(spans(page.read_text()))
