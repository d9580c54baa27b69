"""Writing a prepared store: slices are appended, and the folder appears only when it is whole."""

from __future__ import annotations

import csv
import io
import os
import zipfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from uad_bench.volumes.steps.native import Packed
from uad_bench.volumes.steps.slices import ScanSlices
from uad_bench.volumes.store.prepared import NATIVE, Manifest, PreparedScan


class ArrayFile:
    """A ``.npy`` file that grows by its first axis, so that no dataset has to fit into memory."""

    def __init__(self, path: Path, dtype: str, shape: tuple[int, ...]) -> None:
        self.length = 0
        self._dtype, self._shape = np.dtype(dtype), shape
        self._stream = path.open("wb")
        self._write_header()

    def append(self, rows: NDArray[np.generic]) -> None:
        """Write ``rows`` ``[n, ...]`` behind what is there."""
        self._stream.write(np.ascontiguousarray(rows, dtype=self._dtype).tobytes())
        self.length += len(rows)

    def close(self) -> None:
        """Write the final length into the header and bring everything to the disk."""
        self._stream.seek(0)
        self._write_header()
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()

    def abandon(self) -> None:
        """Close without finishing."""
        self._stream.close()

    def _write_header(self) -> None:
        """Write the header; numpy pads it, so that the length may grow in place."""
        shape = (self.length, *self._shape)
        header = {"descr": self._dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._stream, header)  # type: ignore[no-untyped-call]


class NativeFile:
    """An ``.npz`` file of scans' own masks, whose bytes depend on nothing but them."""

    def __init__(self, path: Path) -> None:
        self._stream = path.open("wb")
        self._zip = zipfile.ZipFile(self._stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1)

    def append(self, number: int, packed: Packed) -> None:
        """Write the masks of the scan that is this many in the manifest, from 0."""
        for name, array in packed.items():
            entry = zipfile.ZipInfo(f"{number}/{name}.npy")  # a fixed date, not today's
            entry.compress_type = zipfile.ZIP_DEFLATED
            buffer = io.BytesIO()
            np.save(buffer, array, allow_pickle=False)
            self._zip.writestr(entry, buffer.getvalue())

    def close(self) -> None:
        """Write the directory and bring everything to the disk."""
        self._zip.close()
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()

    def abandon(self) -> None:
        """Close without finishing; the archive must not try again when it is forgotten."""
        self._zip.fp = None
        self._stream.close()


class StoreWriter:
    """Writes the files of a store into ``folder``; a context manager that closes them."""

    def __init__(self, folder: Path, with_tissue: bool, size: int) -> None:
        self._folder = folder
        slice_ = (size, size)
        self._arrays = {
            "image": ArrayFile(folder / "image.npy", "<f4", slice_),
            "brain": ArrayFile(folder / "brain.npy", "|u1", slice_),
            "lesion": ArrayFile(folder / "lesion.npy", "|u1", slice_),
        }
        if with_tissue:
            self._arrays["tissue"] = ArrayFile(folder / "tissue.npy", "|u1", (3, *slice_))
        self._z: list[NDArray[np.int64]] = []
        self._native = NativeFile(folder / NATIVE)

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        files: list[ArrayFile | NativeFile] = [*self._arrays.values(), self._native]
        for file in files:
            with suppress(OSError):  # on a full disk every one says so again
                file.abandon()

    def append(self, slices: ScanSlices, native: Packed | None) -> tuple[int, int]:
        """Write one scan's slices and its own masks, if it has any to be scored on.

        Returns:
            Its first row and the one behind its last.
        """
        if native is not None:
            self._native.append(len(self._z), native)
        start = self._arrays["image"].length
        self._arrays["image"].append(slices.image)
        self._arrays["brain"].append(slices.brain)
        self._arrays["lesion"].append(slices.lesion)
        if "tissue" in self._arrays:
            empty = np.zeros((len(slices.z), 3, *slices.image.shape[1:]), dtype=np.uint8)
            self._arrays["tissue"].append(empty if slices.tissue is None else slices.tissue)
        self._z.append(slices.z)
        return start, self._arrays["image"].length

    def finish(self, manifest: Manifest) -> None:
        """Close the arrays and write the index and the manifest, all brought to the disk."""
        for array in self._arrays.values():
            array.close()
        self._native.close()
        with (self._folder / "index.csv").open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(["scan", "subject", "session", "split", "z"])
            for scan, z in zip(manifest.scans, self._z, strict=True):
                writer.writerows(_index_row(scan, int(index)) for index in z)
            stream.flush()
            os.fsync(stream.fileno())
        with (self._folder / "manifest.json").open("w", encoding="utf-8") as stream:
            stream.write(manifest.model_dump_json(indent=1) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        sync_folder(self._folder)


def sync_folder(folder: Path) -> None:
    """Bring a folder's own entries to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _index_row(scan: PreparedScan, z: int) -> list[str]:
    return [scan.name, scan.subject, scan.session or "", scan.split, str(z)]
