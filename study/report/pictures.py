"""The pictures of the report: where each belongs, what to look for in it, and its bytes as a data URI."""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass
from html import escape
from pathlib import Path

from cosmokeras.common.errors import UserError

PNG = b"\x89PNG\r\n\x1a\n"
# section -> picture below plots/ -> what to look for
CAPTIONS: dict[str, dict[str, str]] = {
    "accuracy": {
        "predicted_true.png":
            "Points should lie along the line with no gap of their own; near the ends of the prior they bend "
            "inwards, as means of posteriors inside a box must.",
        "residuals.png":
            "Left, means should touch zero away from the ends of the prior; right, errors in units of the claimed"
            " width should follow the unit normal.",
        "saliency.png":
            "Which scales and channels move the answer: a curve that is large where noise rules would be a reason"
            " to doubt.",
    },
    "widths": {
        "coverage.png":
            "All curves should stay near the diagonal, and the histogram flat, within the grey bands: a sag below"
            " the diagonal on the left means error bars that are too narrow.",
    },
    "sky": {
        "posterior.png":
            "The combined posterior should sit where single patches crowd; for a mock, on the dashed truth.",
        "comparison.png":
            "The result beside the truth of a mock or beside published values: do the intervals overlap?",
        "surprise.png":
            "Patches of the sky should be spread over distances as the simulated maps are; a tail to the right is"
            " what no training map looked like.",
        "real_maps.png": "Look for stripes, edges and holes that the mask does not know.",
        "null_tests.png":
            "Pixels beside the noise that is expected: a wider or lopsided histogram wants an explanation before "
            "any network sees it.",
    },
    "run": {
        "example_maps.png":
            "Training maps without noise: contrast should change down the rows, from one cosmology to the next.",
        "spectrum.png": "Measured spectra should follow theory; below, points should scatter about 1 by their bars.",
        "training.png":
            "The two losses should fall together; a validation loss that turns up while the other falls means too"
            " few maps.",
    },
    "studies": {
        "domain_gap.png":
            "Networks shown maps that they do not know: framed rows are wrong without raising an alarm.",
        "fine_tuning.png":
            "How many new maps a network needs, with and without a start from another simulator's maps.",
        "bench_simulators.png": "Maps a second of each simulator, and how fast it is beside other people's code.",
        "bench_training.png": "Maps a second of training, beside the same networks in plain torch.",
        "physics/maps_grf.png": "The same random numbers at three Omega_m: with more matter the small scales gain.",
        "physics/power_grf.png": "Power of Gaussian fields should lie on BBKS, within the bars.",
        "physics/transfer.png": "How far the BBKS transfer function, which grf uses, is from CAMB's.",
        "physics/maps_2lpt.png": "Slabs of second-order perturbation theory: filaments, and no haloes.",
        "physics/power_2lpt.png":
            "Power should follow linear theory on large scales; where it leaves halofit, trust ends.",
        "physics/power_quijote.png": "Perturbation theory over N-body simulations: the wavenumber of a loss of 10 %.",
        "physics/skewness_2lpt.png": "Skewness should meet what tree-level perturbation theory says for each order.",
        "physics/maps_lensing.png": "Convergence in each bin: farther sources see more structure, and smoother.",
        "physics/spectra_lensing.png": "Spectra of all pairs of bins should lie on those of CCL.",
        "physics/skewness_kappa.png": "Solid lines should be flat: skewness must not hang on how thick shells are.",
        "physics/nuisances.png": "What each nuisance does to spectra: points should lie on the lines of CCL.",
        "physics/one_point.png":
            "Gaussian fields should follow the Gaussian; matter has the long tail of dense pixels.",
        "physics/xi_des_y3.png": "Correlations of simulated patches beside those observed by DES Y3.",
        "study/ml_from_scratch.png": "A network written by hand, the same one in Keras, and the exact answer.",
    },
}  # fmt: skip


@dataclass(frozen=True)
class Picture:
    """A PNG file below plots/ and its caption."""

    path: Path
    name: str
    caption: str


def size(content: bytes, path: Path) -> tuple[int, int]:
    """Width and height of a PNG file [pixels]."""
    if len(content) < 24 or not content.startswith(PNG):
        raise UserError(f"{path}: not a PNG picture; delete it and run what makes it again, e.g. `dvc repro`")
    width, height = struct.unpack(">II", content[16:24])
    return width, height


def pictures(plots: Path) -> dict[str, list[Picture]]:
    """All pictures below `plots`, by section; those without a caption of their own are last among the studies."""
    found = {path.relative_to(plots).as_posix(): path for path in sorted(plots.rglob("*.png"))}
    sections = {
        section: [Picture(found.pop(name), name, words) for name, words in captions.items() if name in found]
        for section, captions in CAPTIONS.items()
    }
    sections["studies"] += [
        Picture(path, name, "No caption is known for this picture.") for name, path in found.items()
    ]
    return sections


def is_wide(width: int, height: int) -> bool:
    """Whether a picture takes the whole width of the page."""
    return width > 2 * height


def figure(picture: Picture) -> str:
    """HTML of a picture with its caption, the bytes inside."""
    content = picture.path.read_bytes()
    width, height = size(content, picture.path)
    data = base64.b64encode(content).decode()
    wide = " class='wide'" if is_wide(width, height) else ""
    return (
        f"<figure{wide}><img alt='{escape(picture.name, quote=True)}' width='{width}' height='{height}' "
        f"src='data:image/png;base64,{data}'><figcaption>{escape(picture.caption)} "
        f"<code>plots/{escape(picture.name)}</code></figcaption></figure>"
    )


def gallery(some: list[Picture]) -> str:
    """Pictures side by side where there is room, the widest last."""
    ordered = sorted(some, key=lambda one: is_wide(*size(one.path.read_bytes(), one.path)))
    return f"<div class='gallery'>{''.join(map(figure, ordered))}</div>" if some else ""
