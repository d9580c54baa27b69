"""Archives of arrays that are the same bytes every time."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """A long array of one dimension, which need not be in memory as a whole.

    Attributes:
        dtype: of what is written.
        length: how many values there are in all.
        parts: the values in order, in arrays of one dimension.
    """

    dtype: np.dtype[np.generic]
    length: int
    parts: Iterable[NDArray[np.generic]]


Array = NDArray[np.generic] | Column


def npz_bytes(arrays: Mapping[str, NDArray[np.generic]]) -> bytes:
    """Return an ``.npz`` archive whose dates and attributes never change."""
    archive = io.BytesIO()
    write_npz(archive, arrays)
    return archive.getvalue()


def write_npz(out: IO[bytes], arrays: Mapping[str, Array]) -> None:
    """Write what :func:`npz_bytes` returns, and no more of a column at once than a part.

    Args:
        out: where to; it can seek.
        arrays: by name.
    """
    with zipfile.ZipFile(out, "w") as file:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            member.compress_type = zipfile.ZIP_DEFLATED
            member.create_system = 3
            start = io.BytesIO()
            if isinstance(array, Column):
                _write_header(start, array)
                size, rest = array.length * array.dtype.itemsize, _bytes_of(array)
            else:
                np.save(start, array, allow_pickle=False)
                size, rest = 0, iter(())
            member.file_size = start.tell() + size  # of 4 GB or more is another kind of entry
            with file.open(member, "w") as one:
                one.write(start.getvalue())
                for part in rest:
                    one.write(part)


def _write_header(out: IO[bytes], column: Column) -> None:
    """Write how numpy's own files of such an array begin."""
    numpy_format: Any = np.lib.format  # it has no types
    descr = numpy_format.dtype_to_descr(column.dtype)
    header = {"descr": descr, "fortran_order": False, "shape": (column.length,)}
    numpy_format.write_array_header_1_0(out, header)


def _bytes_of(column: Column) -> Iterator[bytes]:
    for part in column.parts:
        yield part.astype(column.dtype).tobytes()
