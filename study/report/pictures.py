"""The pictures of the report: where each belongs, what to look for in it, and its bytes as a data URI."""

from __future__ import annotations

import base64
import re
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
            "Points should scatter about the line; near the ends of the prior they bend inwards, as posterior means "
            "under a bounded prior must.",
        "residuals.png":
            "Left, the mean error should be near zero away from the ends of the prior; right, errors in units of the"
            " claimed width should follow the unit normal.",
        "saliency.png":
            "Sensitivity of the estimate to each scale and channel: a large value where noise dominates would be"
            " suspicious.",
    },
    "widths": {
        "coverage.png":
            "All curves should stay near the diagonal, and the histogram flat, within the grey bands: a curve below"
            " the diagonal on the left means that error bars are too narrow.",
    },
    "sky": {
        "posterior.png":
            "The joint posterior should lie where most single patches lie and, for a mock, at the dashed truth.",
        "comparison.png":
            "The result beside the truth of a mock or beside published values: do the intervals overlap?",
        "surprise.png":
            "Misspecification test: distances of the sky's patches should be distributed like those of simulated maps;"
            " a tail to the right means patches unlike any training map.",
        "footprint.png":
            "Colours should be mixed: neighbours of one colour, or all with small p-values, need an explanation.",
        "real_maps.png": "Look for stripes, edges and holes that are not in the mask.",
        "null_tests.png":
            "Pixel values compared with the expected noise: a wider or asymmetric histogram needs an explanation "
            "before you trust the result.",
    },
    "run": {
        "example_maps.png":
            "Training maps without noise: contrast should change from row to row, as the cosmology changes.",
        "spectrum.png":
            "Measured spectra should follow theory; below, points should scatter about 1 within their error bars.",
        "training.png":
            "The two losses should fall together; a validation loss that rises while the other falls means too few"
            " maps.",
    },
    "studies": {
        "domain_gap.png":
            "Networks on maps unlike their training maps: framed rows are biased but pass the misspecification test.",
        "fine_tuning.png":
            "Error against the number of new maps, with and without pre-training on another simulator's maps.",
        "bench_simulators.png": "Maps per second of each simulator, and its speed relative to other codes.",
        "bench_training.png": "Maps per second in training, compared with the same networks in plain torch.",
        "bench_npe.png": "Posteriors of the same test maps by our training and by other libraries': lower is better.",
        "physics/maps_grf.png": "The same random numbers at three Omega_m: more matter means more small-scale power.",
        "physics/power_grf.png": "The power of Gaussian fields should follow BBKS, within the error bars.",
        "physics/transfer.png": "How far the BBKS transfer function, which grf uses, is from CAMB's.",
        "physics/maps_2lpt.png": "Slabs of second-order perturbation theory, with filaments but no haloes.",
        "physics/power_2lpt.png":
            "Power should follow linear theory on large scales; it is reliable up to where it departs from halofit.",
        "physics/power_quijote.png":
            "Power of perturbation theory / N-body simulations, and the wavenumber where it is 10 % low.",
        "physics/skewness_2lpt.png": "Skewness should agree with tree-level perturbation theory for each order.",
        "physics/maps_lensing.png": "Convergence in each bin: it is larger and smoother for more distant sources.",
        "physics/spectra_lensing.png": "Spectra of all pairs of bins should agree with those of CCL.",
        "physics/skewness_kappa.png":
            "Solid lines should be flat: skewness must not depend on the thickness of shells.",
        "physics/nuisances.png": "Effect of each nuisance on spectra: points should lie on the lines of CCL.",
        "physics/one_point.png":
            "Gaussian fields should follow the Gaussian; matter has a long tail of dense pixels.",
        "physics/xi_des_y3.png": "Shear correlations of simulated patches compared with those observed by DES Y3.",
        "study/ml_from_scratch.png": "A network written in NumPy, the same one in Keras, and the exact posterior.",
    },
}  # fmt: skip


@dataclass(frozen=True)
class Picture:
    """A PNG file, its name below plots/, None for one that is in the page alone, and its caption."""

    path: Path
    name: str | None
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
        Picture(path, name, "There is no caption for this picture.") for name, path in found.items()
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
    name = escape(picture.name or picture.path.name, quote=True)
    key = re.sub(r"\W", "-", picture.name or picture.path.name)
    where = f" <code>plots/{name}</code>" if picture.name else ""
    # A picture fills the window while its own name is the address, and the page is where it was afterwards: no script
    return (
        f"<span id='at-{key}'></span><figure id='large-{key}'{wide}><a class='close' href='#at-{key}'>close</a>"
        f"<a class='enlarge' href='#large-{key}' aria-label='enlarge {name}'><img alt='{name}' width='{width}' "
        f"height='{height}' src='data:image/png;base64,{data}'></a>"
        f"<figcaption>{escape(picture.caption)}{where}</figcaption></figure>"
    )


def gallery(some: list[Picture]) -> str:
    """Pictures side by side where there is room, the widest last."""
    ordered = sorted(some, key=lambda one: is_wide(*size(one.path.read_bytes(), one.path)))
    return f"<div class='gallery'>{''.join(map(figure, ordered))}</div>" if some else ""
