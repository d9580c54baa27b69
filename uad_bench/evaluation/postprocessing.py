"""The contract of a post-processing: how a residual becomes an anomaly map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uad_bench.errors import UadBenchError

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class PostProcessing:
    """One way to make an anomaly map. A plugin file assigns one to a public name of its module.

    Attributes:
        name: its name on the command line.
        version: raised whenever a number could change.
        mark: what follows a method's title in tables, such as ``*``; empty for none.
        caption: what a table's caption says of the mark, plain text; empty without a mark.
        make: takes the residual of one scan, float32 ``[N, H, W]`` in [-1, 1], or the map of a
            method that makes no reconstruction, which is never negative. Returns float32
            ``[N, H, W]`` in [0, 1].
    """

    name: str
    version: int
    mark: str
    caption: str
    make: Callable[[FloatArray], FloatArray]

    def apply(self, residual: FloatArray) -> FloatArray:
        """Turn the residual of one scan into its anomaly map.

        Args:
            residual: float32 ``[N, H, W]``, in [-1, 1].

        Raises:
            UadBenchError: if what comes out is no anomaly map of the same shape.
        """
        found = np.asarray(self.make(residual), dtype=np.float32)
        fault = ""
        if found.shape != residual.shape:
            fault = f"the shape {found.shape} for a residual of {residual.shape}"
        elif found.size and not (found.min() >= 0 and found.max() <= 1):
            fault = f"values from {found.min():.3g} to {found.max():.3g}, not in [0, 1]"
            if not np.isfinite(found).all():
                fault = "values that are not finite"
        if fault:
            raise UadBenchError(f"post-processing {self.name} returned {fault}")
        return found
