"""How many voxels have each score, as small as it can be kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Counts = NDArray[np.int64]

LEVELS = 65536
"""Number of score levels. A voxel is predicted at threshold t where its score is t or more."""


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """How many voxels of one kind have each score. Levels that none has are left out.

    Attributes:
        levels: uint16 ``[K]``, rising: the scores that some voxel has.
        counts: ``[K]``, 1 or more: how many have it; uint32, or int64 where that is too small.

    Examples:
        >>> tally = Tally.of(np.array([5, 0, 2]))
        >>> tally.levels, tally.voxels, tally.at_or_above([0, 1, 65536])
        (array([0, 2], dtype=uint16), 7, array([7, 2, 0]))
    """

    levels: NDArray[np.uint16]
    counts: NDArray[np.integer]

    @classmethod
    def of(cls, counts: NDArray[np.integer]) -> Tally:
        """Keep what is not 0 of the counts of levels 0, 1, 2, ..."""
        levels = np.flatnonzero(counts)
        return cls.at(levels.astype(np.uint16), counts[levels])

    @classmethod
    def at(cls, levels: NDArray[np.uint16], counts: NDArray[np.integer]) -> Tally:
        """Keep counts, of 1 or more, in the smallest type that holds them."""
        narrow = counts.max(initial=0) < 1 << 32
        return cls(levels, counts.astype(np.uint32 if narrow else np.int64))

    @property
    def voxels(self) -> int:
        """How many there are."""
        return int(self.counts.sum(dtype=np.int64))

    def add_to(self, total: Counts) -> None:
        """Add the number at every level to ``total``, int64 ``[65536]``."""
        total[self.levels] += self.counts

    def dense(self) -> Counts:
        """The number at every level: int64 ``[65536]``."""
        counts = np.zeros(LEVELS, np.int64)
        counts[self.levels] = self.counts
        return counts

    def at_or_above(self, levels: ArrayLike) -> Counts:
        """How many have a score of ``level`` or more, for each of some levels of 0 or more."""
        end = int(self.levels[-1]) + 1 if len(self.levels) else 0
        counts = np.zeros(end + 1, np.int64)
        counts[self.levels] = self.counts
        reached = np.cumsum(counts[::-1])[::-1]
        return np.asarray(reached[np.minimum(np.asarray(levels, np.int64), end)])
