"""Score histograms of scan after scan in one file, of which each is read when it is used.

Those of a scan take 0.1 to 0.3 MB, and an evaluation needs each of them more than once. In a file,
they take no memory, however many scans there are.
"""

from __future__ import annotations

import io
import os
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uad_bench.errors import UadBenchError
from uad_bench.evaluation.scored import MeasuredScan
from uad_bench.evaluation.scores.histograms import ScoreHistogram
from uad_bench.evaluation.scores.tally import Tally
from uad_bench.system.disk import writing

Place = tuple[int, int]
"""Where a histogram is in its file: its first byte, and how many there are."""


class Spool:
    """A file of histograms."""

    def __init__(self, path: Path) -> None:
        """Open a file, or make one.

        Raises:
            UadBenchError: it cannot be written.
        """
        self._path = path
        with writing(path):
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        weakref.finalize(self, os.close, self._file)

    def keep(self, scan: MeasuredScan) -> MeasuredScan:
        """Return a scan with its histograms in the file.

        Raises:
            UadBenchError: the disk is full.
        """
        return replace(scan, histograms=self.histograms(self.kept(scan.histograms)))

    def kept(self, histograms: Mapping[str, ScoreHistogram]) -> dict[str, Place]:
        """Write the histograms of a scan, and return where each is, by domain.

        Raises:
            UadBenchError: the disk is full.
        """
        return {domain: self._add(one) for domain, one in histograms.items()}

    def histograms(self, places: Mapping[str, Place]) -> Mapping[str, ScoreHistogram]:
        """Return the histograms of a scan by domain, each of which is read when it is used."""
        return _Spooled(self, places)

    def _add(self, histogram: ScoreHistogram) -> Place:
        data = memoryview(_packed(histogram))
        first, size = os.lseek(self._file, 0, os.SEEK_END), len(data)
        with writing(self._path):
            while data:
                data = data[os.write(self._file, data) :]
        return first, size

    def read(self, place: Place) -> ScoreHistogram:
        """Read a histogram.

        Raises:
            UadBenchError: the file is damaged.
        """
        first, size = place
        try:
            return _unpacked(os.pread(self._file, size, first))
        except (OSError, ValueError) as error:
            raise UadBenchError(
                f"cannot read the score histograms in {self._path} ({error}): delete "
                f"{self._path.parent} and run the same command again"
            ) from None

    def sync(self) -> None:
        """Wait until the disk has all of it.

        Raises:
            UadBenchError: the disk is full.
        """
        with writing(self._path):
            os.fsync(self._file)


class _Spooled(Mapping[str, ScoreHistogram]):
    """The histograms of one scan by domain."""

    def __init__(self, spool: Spool, places: Mapping[str, Place]) -> None:
        self._spool, self._places = spool, places

    def __getitem__(self, domain: str) -> ScoreHistogram:
        return self._spool.read(self._places[domain])

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _packed(histogram: ScoreHistogram) -> bytes:
    """Put a histogram into bytes: four integers, then levels and counts of each tally."""
    tallies = (histogram.healthy, histogram.lesion)
    sizes = [size for one in tallies for size in (len(one.levels), one.counts.itemsize)]
    parts = [part for one in tallies for part in (one.levels, one.counts)]
    return b"".join(one.tobytes() for one in (np.array(sizes, np.int64), *parts))


def _unpacked(data: bytes) -> ScoreHistogram:
    """Return the histogram in some bytes.

    Raises:
        ValueError: they are none of a histogram.
    """
    sizes = np.frombuffer(data, np.int64, 4).tolist()
    rest, arrays = io.BytesIO(data[32:]), list[NDArray[Any]]()
    for count, width in zip(sizes[::2], sizes[1::2], strict=True):
        for dtype in (np.uint16, np.uint32 if width == 4 else np.int64):
            size = count * np.dtype(dtype).itemsize
            arrays.append(np.frombuffer(rest.read(size), dtype, count))
    if 32 + sum(one.nbytes for one in arrays) != len(data):
        raise ValueError("they do not fit each other")
    return ScoreHistogram(Tally(*arrays[:2]), Tally(*arrays[2:]))
