"""Random slices of a prepared dataset, 128 x 128, float32."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import zarr
from numpy.typing import NDArray

from benchmarks.measure import Row, compare
from uad_bench.volumes.recipe import SIZE
from uad_bench.volumes.store.write import ArrayFile

_SCANS, _DEPTH = 20, 78
_DRAWS = 8

Read = Callable[[NDArray[np.int64]], NDArray[np.float32]]
"""Returns the slices of these rows."""


def scans() -> NDArray[np.float32]:
    """Simulated slices, ``[scans, depth, 128, 128]``: 0 outside a disc, noise on a ramp in it."""
    rng = np.random.default_rng(0)
    row, column = np.indices((SIZE, SIZE)) / SIZE - 0.5
    inside = np.hypot(row, column) < 0.4
    noise = rng.normal(0.5 + 0.2 * row, 0.05, (_SCANS, _DEPTH, SIZE, SIZE))
    return np.where(inside, noise, 0).astype(np.float32)


def readers(folder: Path, data: NDArray[np.float32]) -> dict[str, Read]:
    """Write the slices in every way, and return what reads them; ours comes first."""
    store = ArrayFile(folder / "image.npy", "<f4", (SIZE, SIZE))
    for scan in data:
        store.append(scan)
    store.close()
    ours = np.load(folder / "image.npy", mmap_mode="r")
    read: dict[str, Read] = {"ours": lambda rows: np.asarray(ours[rows])}
    for title, depth in (("slice", 1), ("volume", _DEPTH)):
        array = zarr.create_array(
            folder / f"{title}.zarr",
            shape=(_SCANS * _DEPTH, SIZE, SIZE),
            chunks=(depth, SIZE, SIZE),
            dtype="float32",
        )
        array[:] = data.reshape(-1, SIZE, SIZE)

        def by_zarr(rows: NDArray[np.int64], array: zarr.Array = array) -> NDArray[np.float32]:
            return np.stack([np.asarray(array[int(row)]) for row in rows])

        read[f"zarr, chunk = {title}"] = by_zarr
    for number, scan in enumerate(data):
        nib.Nifti1Image(scan.T, np.eye(4)).to_filename(folder / f"{number}.nii.gz")

    def by_nibabel(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        found = []
        for row in rows:
            number, z = divmod(int(row), _DEPTH)
            volume = np.asarray(nib.load(folder / f"{number}.nii.gz").dataobj)
            found.append(volume[..., z].T)
        return np.stack(found)

    read["nib.load per slice"] = by_nibabel
    return read


def drawn(read: Read, draws: NDArray[np.int64]) -> NDArray[np.float32]:
    """Read batch after batch."""
    return np.stack([read(rows) for rows in draws])


def measure() -> list[Row]:
    """Compare with zarr and with reading the scan's file for every slice; files are in memory."""
    rng, rows = np.random.default_rng(1), list[Row]()
    goals: dict[str, float] = {
        "zarr, chunk = slice": 20,
        "zarr, chunk = volume": 20,
        "nib.load per slice": 1000,
    }
    with tempfile.TemporaryDirectory() as name:
        read = readers(Path(name), scans())
        for size in (2, 32):
            draws = rng.integers(0, _SCANS * _DEPTH, (_DRAWS if size == 2 else 1, size))

            rows += compare(
                f"batches of {size}",
                partial(drawn, read["ours"], draws),
                {peer: (partial(drawn, read[peer], draws), goal) for peer, goal in goals.items()},
                same=np.array_equal,
            )
    return rows
