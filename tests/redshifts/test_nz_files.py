"""n(z) of all bins from the files of surveys: one answer from every format, and half a step noticed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from cosmokeras.common.errors import UserError
from cosmokeras.redshifts.nz_files import centres, checked, read_nz

STEP = 0.05
Z = STEP * (np.arange(60) + 0.5)
N_Z = np.array([np.exp(-(((Z - mean) / 0.15) ** 2)) for mean in (0.4, 0.9)])
N_Z[N_Z < 1e-12] = 0
REAL = Path(os.environ.get("COSMOKERAS_REAL_DATA") or Path(__file__).parents[2].parent / "shared/real")


def two_point(path: Path) -> Path:
    columns = {"Z_LOW": Z - STEP / 2, "Z_MID": Z, "Z_HIGH": Z + STEP / 2, "BIN1": N_Z[0], "BIN2": N_Z[1]}
    table = fits.BinTableHDU(Table(columns), name="nz_source")
    table.header["NZDATA"] = True
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path)
    return path


def sacc(path: Path) -> Path:
    hdus = [fits.PrimaryHDU()]
    for name, quantity, one in (("source_1", "galaxy_shear", N_Z[1]), ("lens_0", "galaxy_density", N_Z[0] + 1),
                                ("source_0", "galaxy_shear", N_Z[0])):  # fmt: skip
        hdu = fits.BinTableHDU(Table({"z": Z, "nz": one}), name=f"tracer:NZ:{name}")
        for key, value in (("SACCTYPE", "tracer"), ("SACCCLSS", "NZ"), ("SACCNAME", name), ("SACCQTTY", quantity)):
            hdu.header[key] = value
        hdus.append(hdu)
    fits.HDUList(hdus).writeto(path)
    return path


def hdf5(path: Path, edges: bool) -> Path:
    import h5py

    with h5py.File(path, "w") as file:
        file["n_of_z/source/z"] = np.append(Z - STEP / 2, Z[-1] + STEP / 2) if edges else Z
        for i in (0, 1):
            file[f"n_of_z/source/bin_{i}"] = N_Z[i]
    return path


def test_every_format_gives_the_same(tmp_path: Path) -> None:
    text = tmp_path / "all.txt"
    np.savetxt(text, np.column_stack([Z, *N_Z]))
    edges = tmp_path / "edges.txt"
    np.savetxt(edges, np.column_stack([Z - STEP / 2, Z, Z + STEP / 2, *N_Z]))
    for i in (0, 1):
        np.savetxt(tmp_path / f"bin{i}.txt", np.column_stack([Z, N_Z[i]]))
    sources = [
        [text], [edges], [tmp_path / "bin0.txt", tmp_path / "bin1.txt"], [two_point(tmp_path / "two.fits")],
        [sacc(tmp_path / "one.sacc")], [f"{hdf5(tmp_path / 'a.h5', False)}:n_of_z/source"],
        [f"{hdf5(tmp_path / 'b.h5', True)}:n_of_z/source"],
    ]  # fmt: skip
    for paths in sources:
        found = read_nz(paths, z_max=3)
        np.testing.assert_allclose(found.z, Z, rtol=1e-12)
        np.testing.assert_allclose(found.n_z, N_Z, rtol=1e-12)
    assert "edges of steps" in found.words


def test_edges_are_told_from_middles() -> None:
    """A histogram by its lower edges has sources in the step that begins at 0; its mean is half a step higher."""
    low, wide = Z - STEP / 2, N_Z + 1e-3
    middle, words = centres(low, wide, "file")
    np.testing.assert_allclose(middle, Z)
    assert words.startswith("lower edges")
    curve, words = centres(low, np.where(low == 0, 0, wide), "file")
    np.testing.assert_array_equal(curve, low)
    assert "say low_edge" in words
    assert centres(low, np.where(low == 0, 0, wide), "file", "low_edge")[0][0] == pytest.approx(STEP / 2)
    assert centres(Z, N_Z, "file")[1].startswith("middles")
    with pytest.raises(UserError, match="61 redshifts for 60 values of n.z. are edges"):
        centres(np.append(low, 3.0), N_Z, "file", "centre")


@pytest.mark.parametrize(("change", "message"), [
    (lambda z, n: (z, np.where(z == z[3], -0.1, n)), "n.z. of bin 1 is -0.1 at z = 0.175; a density is 0 or more"),
    (lambda z, n: (z[::-1], n), "redshifts must ascend"),
    (lambda z, n: (z, 0 * n), "n.z. of bin 1 is 0 everywhere"),
    (lambda z, n: (z, n * np.nan), "NaN or infinite"),
    (lambda z, n: (z[:12], n[:, :12]), "bin 1 ends at z = 0.575 with .* of its peak, z_max is 3; give the whole"),
    (lambda z, n: (z[:-3], n), "57 redshifts for 60 values"),
])  # fmt: skip
def test_what_cannot_be_n_of_z_is_refused(change, message: str) -> None:
    with pytest.raises(UserError, match=message):
        checked(*change(Z, N_Z), "file", z_max=3.0)


def test_files_without_n_of_z(tmp_path: Path) -> None:
    (tmp_path / "not.fits").write_text("text")
    with pytest.raises(UserError, match="damaged or no FITS file"):
        read_nz([tmp_path / "not.fits"])
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(Table({"z": Z}), name="other")]).writeto(tmp_path / "a.fits")
    with pytest.raises(UserError, match=r"no table of n.z.*there are PRIMARY, OTHER"):
        read_nz([tmp_path / "a.fits"])
    hdf5(tmp_path / "a.h5", False)
    with pytest.raises(UserError, match="no array z in group /"):
        read_nz([tmp_path / "a.h5"])
    with pytest.raises(UserError, match="no such group"):
        read_nz([f"{tmp_path / 'a.h5'}:none"])
    with pytest.raises(UserError, match="missing"):
        read_nz([tmp_path / "none.txt"])


@pytest.mark.skipif(not (REAL / "des_y3").is_dir(), reason=f"no published n(z) in {REAL}")
def test_published_files_of_des_and_kids() -> None:
    """Text and 2pt-FITS of DES Y3 have the same mean redshifts, and values just below 0, which is said."""
    folder = REAL / "des_y3"
    text = read_nz([folder / f"desy3_nz_metacal_bin{i}.txt" for i in (1, 2, 3, 4)])
    table = read_nz([f"{folder / 'DES-Y3_xipm_and_KiDS-1000_COSEBIs.fits'}[nz_source_des]"])
    for found in (text, table):
        means = (found.n_z * found.z).sum(axis=1) / found.n_z.sum(axis=1)
        np.testing.assert_allclose(means, [0.336, 0.521, 0.741, 0.936], atol=0.006)
        assert (found.n_z >= 0).all() and "12 values just below 0" in found.words
    with pytest.raises(UserError, match="2 tables of n.z.; name one .* nz_source_kids, nz_source_des"):
        read_nz([folder / "DES-Y3_xipm_and_KiDS-1000_COSEBIs.fits"])
