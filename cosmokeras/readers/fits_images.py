"""The image of a FITS file that is meant."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cosmokeras.common.errors import UserError
from cosmokeras.readers import headers


@contextmanager
def image(path: Path, key: str | None, instead: str) -> Iterator[tuple[Any, int]]:
    """The HDU with the image, that which `key` names where there are several, and its number; open inside alone.

    A truncated file is an error, what else astropy warns of is not said. `instead`: advice where there is no image.
    """
    from astropy.io import fits

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore")
        warnings.filterwarnings("error", message=".*truncated.*")
        with fits.open(path, memmap=False) as file:
            images = [i for i, hdu in enumerate(file) if hdu.is_image and hdu.shape]
            if not images:
                raise UserError(f"{path}: a FITS file without an image; {instead}")
            number = headers.choose(path, [file[i].name for i in images], images, key, "images")
            yield file[number], number
