"""Score histograms on disk: sparse, and the same bytes every time."""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from uad_bench.errors import UadBenchError
from uad_bench.evaluation.scores.histograms import ScoreHistogram
from uad_bench.evaluation.scores.tally import Tally
from uad_bench.system.archives import Array, Column, write_npz
from uad_bench.system.disk import opened_whole, writing

_PARTS = ("sizes", "levels", "counts")

_DAMAGED = (
    *(EOFError, KeyError, ValueError, TypeError, IndexError, AttributeError, MemoryError),
    *(OSError, NotImplementedError, zipfile.BadZipFile, zlib.error),
)
"""What numpy comes to where a file is not what it says."""


def save_histograms(path: Path, histograms: Mapping[str, ScoreHistogram]) -> None:
    """Write histograms to a sparse ``.npz``, whole or not at all, the same bytes every time.

    They are read one after the other, so that no more than one has to be in memory.

    Raises:
        UadBenchError: if the file cannot be written.
    """
    names = sorted(histograms)

    def tallies(kind: str) -> Iterator[Tally]:
        return (getattr(histograms[name], kind) for name in names)

    arrays: dict[str, Array] = {"names": np.array(names, dtype=np.str_)}
    for kind in ("healthy", "lesion"):
        sizes = np.array([len(one.levels) for one in tallies(kind)], dtype=np.int64)
        total = int(sizes.sum())
        levels, counts = (
            (one.levels for one in tallies(kind)),
            (one.counts for one in tallies(kind)),
        )
        arrays[f"{kind}_sizes"] = sizes
        arrays[f"{kind}_levels"] = Column(np.dtype(np.uint16), total, levels)
        arrays[f"{kind}_counts"] = Column(np.dtype(np.int64), total, counts)
    with writing(path), opened_whole(Path(os.path.realpath(path))) as file:
        write_npz(file, arrays)


def load_histograms(path: Path) -> dict[str, ScoreHistogram]:
    """Read what :func:`save_histograms` wrote.

    Raises:
        UadBenchError: if the file cannot be read or is not a histogram file.
    """
    try:
        return parsed_histograms(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UadBenchError(
            f"cannot read the score histograms in {path} ({error}): delete the "
            "file and run its cell again"
        ) from None


def parsed_histograms(data: bytes) -> dict[str, ScoreHistogram]:
    """Return the histograms in the content of a file.

    Raises:
        ValueError: it is not that of a histogram file.
    """
    tallies: list[list[Tally]] = []
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            names = [str(name) for name in file["names"]]
            for kind in ("healthy", "lesion"):
                tallies.append(_tallies(*(file[f"{kind}_{what}"] for what in _PARTS)))
        return {
            name: ScoreHistogram(healthy, lesion)
            for name, healthy, lesion in zip(names, *tallies, strict=True)
        }
    except _DAMAGED as error:
        raise ValueError(f"no score histograms, {type(error).__name__}") from error


def _tallies(
    sizes: NDArray[np.int64], levels: NDArray[np.uint16], counts: NDArray[np.int64]
) -> list[Tally]:
    """Cut levels and counts into those of one histogram after the other."""
    ends = np.cumsum(sizes)
    if not len(levels) == len(counts) == sizes.sum():
        raise ValueError("the parts do not fit each other")
    pairs = zip(np.split(levels, ends[:-1]), np.split(counts, ends[:-1]), strict=True)
    return [Tally.at(*pair) for pair in pairs][: len(sizes)]
