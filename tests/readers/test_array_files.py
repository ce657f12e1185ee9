"""Arrays of .npy, .npz and HDF5 files, and FITS images, by the name of the file and of the array in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from astropy.io import fits

from cosmokeras.common.errors import UserError
from cosmokeras.params.config import Config
from cosmokeras.readers import array_files
from cosmokeras.surveys import RealSky, fetch, image_files

KAPPA = np.random.default_rng(0).normal(0, 0.0258, (64, 96)).astype(np.float32)
MASK = np.ones((64, 96), bool)
MASK[:3, :50] = False


@pytest.fixture
def load(config: Callable[..., Config]) -> Callable[..., RealSky]:
    """The sky of one bin and 32 pixels of 2 arcmin."""

    def run(path: Any, mask: Any = None) -> RealSky:
        keys = {"data.size": 32, "lensing.survey": "hsc_y3_fair", "lensing.mask": "none", "model.spectrum_bins": 6}
        own = {"real.source": "array", "real.path": path, "real.mask": mask, "real.pixel_arcmin": 2.0}
        return fetch(config(keys | own | {"evaluate.spectrum_bins": 6}))

    return run


def write(path: Path, arrays: dict[str, np.ndarray]) -> str:
    """Arrays of these names in a file of the kind that its name says."""
    if path.suffix == ".npz":
        np.savez_compressed(path, **arrays)
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            file.attrs["survey"] = "mine"
            file["redshift"] = 1.0  # neither this nor the next is an array
            file["nothing"] = h5py.Empty("f4")
            for name, array in arrays.items():
                file[f"bins/{name}"] = array
    else:
        fits.HDUList([fits.PrimaryHDU(), *(fits.ImageHDU(a, name=n) for n, a in arrays.items())]).writeto(path)
    return str(path)


NAMED = {".npz": "{}:kappa", ".h5": "{}:bins/kappa", ".fits": "{}[KAPPA]"}


@pytest.mark.parametrize("suffix", NAMED)
def test_one_array_needs_no_name_and_one_of_several_does(
    tmp_path: Path, load: Callable[..., RealSky], suffix: str
) -> None:
    expected = np.stack([KAPPA[y : y + 32, x : x + 32] for y in (0, 32) for x in (0, 32, 64)])[..., None]
    one = write(tmp_path / f"one{suffix}", {"kappa": KAPPA})
    np.testing.assert_array_equal(load(one).maps, expected)
    np.testing.assert_array_equal(load(NAMED[suffix].format(one)).maps, expected)
    other = np.random.default_rng(1).normal(0, 0.0258, KAPPA.shape).astype(np.float32)
    many = write(tmp_path / f"many{suffix}", {"noise": other, "kappa": KAPPA, "mask": MASK.astype(np.uint8)})
    with pytest.raises(UserError, match=r"(?i)many.*holds 3 (arrays|images).*kappa.*say which, e.g. ") as caught:
        load(many)
    assert "\n" not in str(caught.value)
    named = NAMED[suffix].format(many)
    np.testing.assert_array_equal(load(named).maps, expected)
    sky = load(named, mask=named.replace("kappa", "mask").replace("KAPPA", "MASK"))
    assert sky.coverage.sum() == MASK.sum() and next(iter(sky.provenance["files"])) == named
    with pytest.raises(UserError, match=r"none of its images|holds no array 'bins/other'|holds no array 'other'"):
        load(named.replace("kappa", "other").replace("KAPPA", "OTHER"))


@pytest.mark.parametrize("change", [np.asfortranarray, lambda a: a.astype(">f4"), lambda a: a.astype(np.float64)])
@pytest.mark.parametrize("suffix", [".npz", ".h5", ".fits", ".npy"])
def test_order_and_bytes_of_the_file_do_not_matter(
    tmp_path: Path, suffix: str, change: Callable[[np.ndarray], np.ndarray]
) -> None:
    path = str(tmp_path / f"a{suffix}")
    if suffix == ".npy":
        np.save(path, change(KAPPA))
    else:
        write(Path(path), {"kappa": change(KAPPA)})
    read = image_files.read_floats(path)
    np.testing.assert_array_equal(read, KAPPA)
    assert read.dtype.isnative


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
@pytest.mark.parametrize("damage", ["truncated", "flipped", "text", "empty"])
def test_damaged_files_are_refused_in_a_line(tmp_path: Path, suffix: str, damage: str) -> None:
    path = Path(write(tmp_path / f"a{suffix}", {"kappa": KAPPA}))
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[:300] = bytes(byte ^ 255 for byte in content[:300])
    path.write_bytes({"truncated": content[: len(content) // 2], "text": b"0.1 0.2", "empty": b""}.get(damage, content))
    with pytest.raises(UserError, match=rf"a{suffix}.*(damaged or no|holds no array)") as caught:
        image_files.read_floats(path)
    assert "\n" not in str(caught.value)


def test_objects_and_text_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "object.npz", a=np.array([1, None], dtype=object))
    with pytest.raises(UserError, match="object.npz: damaged or no .npz"):
        image_files.read_array(tmp_path / "object.npz")
    np.savez(tmp_path / "text.npz", a=np.array(["a"]))
    with pytest.raises(UserError, match="text.npz: holds <U1 and not plain numbers"):
        image_files.read_array(tmp_path / "text.npz")
    np.savez(tmp_path / "none.npz")
    with pytest.raises(UserError, match="none.npz: holds no array"):
        image_files.read_array(tmp_path / "none.npz")
    np.save(tmp_path / "a.npy", KAPPA)
    with pytest.raises(UserError, match="a.npy:kappa: no such file; .* like this: .*a.npy$"):
        image_files.read_array(f"{tmp_path}/a.npy:kappa")
    for wrong, right in (("b.npz[k]", "b.npz:k"), ("b.fits:K", r"b.fits\[K\]"), ("b.h5[x/y]", "b.h5:x/y")):
        with pytest.raises(UserError, match=f"like this: .*{right}$"):
            image_files.read_array(f"{tmp_path}/{wrong}")
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(UserError, match="folder.npz: a folder"):
        image_files.read_array(tmp_path / "folder.npz")


def test_a_file_of_that_very_name_comes_first(tmp_path: Path) -> None:
    strange = Path(write(tmp_path / "a[1].fits", {"kappa": KAPPA}))
    assert array_files.split(strange) == (strange, None)
    np.testing.assert_array_equal(image_files.read_array(strange), KAPPA)
    np.testing.assert_array_equal(image_files.read_array(f"{strange}[1]"), KAPPA)
    assert image_files.sha256(f"{strange}[1]") == image_files.sha256(strange)


@pytest.mark.parametrize("name", ["a.fits", "a.fit", "A.FITS", "a.fits.gz", "a.fits.bz2", "a.fit.gz", "a.fits.fz"])
def test_fits_files_of_all_names_are_read(tmp_path: Path, name: str) -> None:
    lossless = fits.CompImageHDU(KAPPA, quantize_level=0, compression_type="GZIP_2")
    hdus = [fits.PrimaryHDU(), lossless] if name.endswith("fz") else [fits.PrimaryHDU(KAPPA)]
    fits.HDUList(hdus).writeto(tmp_path / name)
    np.testing.assert_array_equal(image_files.read_floats(tmp_path / name), KAPPA)


def test_lossy_compression_of_a_mask_is_seen_through(tmp_path: Path) -> None:
    lossy = fits.CompImageHDU(MASK.astype(np.float32), quantize_level=16, quantize_method=1, compression_type="RICE_1")
    fits.HDUList([fits.PrimaryHDU(), lossy]).writeto(tmp_path / "a.fits.fz")
    dithered = np.where(MASK, 1, 0) + np.random.default_rng(0).uniform(-0.014, 0.013, MASK.shape)
    stored = fits.CompImageHDU(dithered.astype(np.float32), quantize_level=0, compression_type="GZIP_2")
    fits.HDUList([fits.PrimaryHDU(), stored]).writeto(tmp_path / "b.fits.fz")
    for name in ("a.fits.fz", "b.fits.fz"):
        np.testing.assert_array_equal(image_files.read_mask(tmp_path / name), MASK)
    fits.PrimaryHDU(dithered).writeto(tmp_path / "c.fits")
    with pytest.raises(UserError, match="c.fits: a mask must be 1"):
        image_files.read_mask(tmp_path / "c.fits")


@pytest.mark.parametrize(
    ("method", "refused"), [(-1, True), (1, False), (2, False)], ids=["undithered", "dithered", "dithered, zeros kept"]
)
def test_a_map_that_lossy_compression_has_rounded_is_refused(tmp_path: Path, method: int, refused: bool) -> None:
    noise = np.random.default_rng(0).normal(0, 0.02, (64, 64)).astype(np.float32)
    lossy = fits.CompImageHDU(noise, quantize_level=16, quantize_method=method, compression_type="RICE_1")
    fits.HDUList([fits.PrimaryHDU(), lossy]).writeto(tmp_path / "a.fits.fz")
    if not refused:
        np.testing.assert_allclose(image_files.read_floats(tmp_path / "a.fits.fz"), noise, atol=0.002)
        return
    with pytest.raises(UserError, match="a.fits.fz: lossy FITS compression without dithering has rounded the map"):
        image_files.read_floats(tmp_path / "a.fits.fz")


def test_unmasked_pixels_alone_go_back_to_their_places(tmp_path: Path, load: Callable[..., RealSky]) -> None:
    np.save(tmp_path / "mask.npy", MASK)
    np.save(tmp_path / "whole.npy", KAPPA)
    whole = load(str(tmp_path / "whole.npy"), mask=str(tmp_path / "mask.npy"))
    for array, n in ((KAPPA[MASK], 1), (np.stack([KAPPA[MASK], -KAPPA[MASK]]).astype(np.float16), 2)):
        path = str(tmp_path / "flat.npy")
        np.save(path, array)
        sky = load(path, mask=str(tmp_path / "mask.npy"))
        assert len(sky.maps) == n * len(whole.maps)
        np.testing.assert_allclose(sky.maps[: len(whole.maps)], whole.maps, rtol=1e-3, atol=1e-6)
        with pytest.raises(UserError, match=r"flat.npy: shape .*need their mask \(h, w\) in real.mask, which is null"):
            load(path)
    np.save(tmp_path / "flat.npy", np.stack([KAPPA[MASK]] * 4).reshape(2, 2, -1))  # cosmologies, realisations, pixels
    for mask in ({"mask": str(tmp_path / "mask.npy")}, {}):
        with pytest.raises(UserError, match=r"unmasked pixels of many skies; .* e.g. maps\[0, 0\]"):
            load(str(tmp_path / "flat.npy"), **mask)
    np.save(tmp_path / "other.npy", np.ones((64, 96)))
    np.save(tmp_path / "flat.npy", KAPPA[MASK])
    with pytest.raises(UserError, match=r"flat.npy: .*\(64, 96\) with 6144 unmasked pixels"):
        load(str(tmp_path / "flat.npy"), mask=str(tmp_path / "other.npy"))


def test_bins_may_lie_in_one_file(tmp_path: Path, config: Callable[..., Config]) -> None:
    bins = np.random.default_rng(0).normal(0, 0.027, (4, 64, 64)).astype(np.float32)
    path = write(tmp_path / "a.h5", {f"bin{i}": one for i, one in enumerate(bins)})
    own = {"real.source": "array", "real.pixel_arcmin": 5.0, "real.path": [f"{path}:bins/bin{i}" for i in range(4)]}
    np.testing.assert_array_equal(fetch(config(own)).maps, np.moveaxis(bins, 0, -1)[None])
