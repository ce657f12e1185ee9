"""All pictures of a run, and its result in words, from what the stages kept for them (`common.figure_data`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosmokeras.common.files import write_text
from cosmokeras.report import evaluation, footprint, inference_text, maps, posterior, sky_checks, spectra, training
from cosmokeras.surveys.pixel_histograms import PixelHistograms

TEXT = Path("outputs/inference.md")
Content = Mapping[str, Any]


@dataclass(frozen=True)
class Drawing:
    """The pictures of a stage, by name, and the function that draws them into a folder."""

    pictures: tuple[str, ...]
    draw: Callable[[Path, Content], None]


def _generate(folder: Path, kept: Content) -> None:
    maps.example_maps(folder / "example_maps.png", kept["maps"], kept["titles"], kept["unit"])
    curves = {name: kept[name] for name in ("x", "measured", "error", "theory", "labels", "xlabel", "ylabel")}
    spectra.spectra(folder / "spectrum.png", **curves, reference=kept.get("reference", "theory"))


def _fetch_real(folder: Path, kept: Content) -> None:
    pixels = PixelHistograms(**{name: kept[name] for name in PixelHistograms.__dataclass_fields__})
    places = kept["ra"], kept["dec"]
    sky_checks.null_tests(folder / "null_tests.png", pixels, kept["masked"], places, kept["null_tests"], kept["title"])


def _train(folder: Path, kept: Content) -> None:
    training.training_curves(folder / "training.png", kept["history"])


def _evaluate(folder: Path, kept: Content) -> None:
    names, estimates = kept["names"], (kept["truth"], kept["mean"], kept["std"])
    evaluation.predicted_true(folder / "predicted_true.png", *estimates, names, kept["rmse"], kept["references"])
    evaluation.residuals(folder / "residuals.png", *estimates, names)
    evaluation.coverage(folder / "coverage.png", kept["pit"], kept["credibility"], kept["cosmology"], names)
    evaluation.saliency(folder / "saliency.png", kept["k"], kept["slopes"], names, kept["xlabel"])


def _infer(folder: Path, kept: Content) -> None:
    title, names, result, note = kept["title"], kept["names"], kept["result"], kept["note"]
    samples = kept["patch_samples"], kept["combined"]
    posterior.posterior(folder / "posterior.png", *samples, names, kept["bounds"], note["truth"], title)
    posterior.curves(folder / "posterior", kept["combined"], names, kept["bounds"])
    patches = (kept[name] for name in ("maps", "coverage", "ra", "dec", "title", "unit"))
    maps.gallery(folder / "real_maps.png", *patches)
    distances, limits = (kept["reference"], kept["distances"]), (kept["surprise_p"], kept["threshold"])
    sky_checks.surprise(folder / "surprise.png", *distances, *limits, title)
    pulls = (kept["patch_mean"][:, 0] - result[names[0]]["mean"]) / kept["patch_std"][:, 0]
    footprint.footprint(folder / "footprint.png", (kept["ra"], kept["dec"]), pulls, kept["patch_p"], names[0], title)
    truth = {name: m["truth"] for name, m in result.items() if "truth" in m}
    rows = posterior.comparison_rows(result, note["observed"])
    posterior.comparison(folder / "comparison.png", rows, truth, title)
    words = (kept[name] for name in ("note", "metrics", "assumed", "real", "max_masked", "threshold"))
    write_text(TEXT, inference_text.text(*words))


DRAWINGS = {
    "generate": Drawing(("example_maps.png", "spectrum.png"), _generate),
    "fetch_real": Drawing(("null_tests.png",), _fetch_real),
    "train": Drawing(("training.png",), _train),
    "evaluate": Drawing(("predicted_true.png", "residuals.png", "coverage.png", "saliency.png"), _evaluate),
    "infer": Drawing(("posterior.png", "real_maps.png", "footprint.png", "surprise.png", "comparison.png"), _infer),
}
