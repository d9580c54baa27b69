"""Archives of arrays that are the same bytes every time."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray


def npz_bytes(arrays: Mapping[str, NDArray[np.generic]]) -> bytes:
    """Return an ``.npz`` archive whose dates and attributes never change."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            member.compress_type = zipfile.ZIP_DEFLATED
            member.create_system = 3
            data = io.BytesIO()
            np.save(data, array, allow_pickle=False)
            file.writestr(member, data.getvalue(), compresslevel=6)
    return archive.getvalue()
