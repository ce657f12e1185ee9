"""Which files a catalogue is in: those that are named, of the preset, or of the manifest, which are fetched."""

from __future__ import annotations

from pathlib import Path

from cosmokeras.common.errors import UserError
from cosmokeras.params.catalogue import Catalogue
from cosmokeras.params.survey import Survey
from cosmokeras.surveys.catalogue.galaxies import Files
from cosmokeras.surveys.catalogue.tables import listed
from cosmokeras.surveys.download.fetch import MANIFEST, fetch_file, load_manifest


def layout_of(survey: Survey) -> Catalogue:
    """The block `catalogue` of a preset, which must be there and of as many bins."""
    layout = survey.catalogue
    if layout is None:
        raise UserError(
            f"lensing.survey={survey.name}: its preset has no block `catalogue`, which says what the columns of a "
            "shear catalogue mean; `python -m cosmokeras.surveys.catalogue.preset` writes a preset"
        )
    if layout.number != len(survey.bins):
        raise UserError(
            f"lensing.survey={survey.name}: catalogue.bins has {layout.number} bins, the preset {len(survey.bins)}"
        )
    return layout


def catalogue_files(
    survey: Survey,
    named: str | tuple[str, ...] | None = None,
    root: Path | str = ".",
    mirror: Path | str | None = None,
    offline: bool = False,
) -> Files:
    """Files of tables, or of one image for each column, as they lie on disk.

    Parameters
    ----------
    survey : preset with a block `catalogue`, whose files are taken where none are named
    named : as real.path
    root : folder of params.yaml, which names are relative to
    mirror, offline : of files of the manifest, as of `fetch_file`

    Raises
    ------
    UserError : none is named, or one of them is missing
    """
    given = None if survey.catalogue is None else survey.catalogue.files
    if named is not None:
        if isinstance(given, dict):
            raise UserError(
                f"real.path={named}: the catalogue of lensing.survey={survey.name} has a file for each column, named "
                "in its preset; set real.path to null"
            )
        return listed(Path(root), (named,) if isinstance(named, str) else named)
    if not given:
        raise UserError(
            f"real.path=null: name the files of the catalogue, or write catalogue.files into the preset {survey.name}"
        )
    path = Path(root) / MANIFEST
    known = set(load_manifest(path)) if path.exists() else set()

    def found(name: str) -> list[Path]:
        if name in known:
            return [fetch_file(name, mirror, path, offline=offline)]
        return listed(Path(root), (name,))

    if isinstance(given, dict):
        return {column: found(name)[0] for column, name in given.items()}
    return [one for name in given for one in found(name)]
