"""The contract of a post-processing: how a residual becomes an anomaly map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from uad_bench.errors import UadBenchError

FloatArray = NDArray[np.float32]

MOST_CHAIN = 60
"""Characters that the name of a chain may have: it is a part of every result's file name."""


@dataclass(frozen=True, slots=True, eq=False)
class BrainSlices:
    """The brain on the slices of a scan, and where these are.

    Attributes:
        brain: bool ``[N, H, W]``.
        z: int ``[N]``, rising; slices missing in between show no brain.
        spacing: voxel size ``(z, y, x)`` in mm.
    """

    brain: NDArray[np.bool_]
    z: NDArray[np.int64]
    spacing: tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """The number that a post-processing takes, as 2 in ``erode=2``.

    Attributes:
        unit: what it counts, such as ``mm``.
        default: its value where none is given.
        least: the smallest that makes sense.
        most: the largest.
        odd: whether it has to be a whole odd number.
    """

    unit: str
    default: float
    least: float
    most: float
    odd: bool = False

    def __str__(self) -> str:
        kind = "an odd number" if self.odd else "a number"
        return f"{kind} from {self.least:g} to {self.most:g} ({self.unit})"

    def set_to(self, text: str) -> Number:
        """Return the same with the value that a text says.

        Raises:
            UadBenchError: it says none that is allowed.
        """
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not self.least <= value <= self.most or (self.odd and value % 2 != 1):
            raise UadBenchError(f"write {self}")
        return replace(self, default=value)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostProcessing:
    """One way to make an anomaly map. A plugin file assigns one to a public name of its module.

    Attributes:
        name: its name on the command line.
        version: raised whenever a number could change; of a chain, the sum of its steps' versions.
        mark: what follows a method's title in tables, such as ``*``; empty for none.
        caption: what a table's caption says of the mark, plain text; empty without a mark.
        make: called as ``make(residual, brain)``, or ``make(residual, brain, number)`` where it
            takes a number. The residual of one scan is float32 ``[N, H, W]`` in [-1, 1]. The map of
            a method that makes no reconstruction, and that of the step before in a chain, are never
            negative. Returns float32 ``[N, H, W]`` in [0, 1].
        number: the number that it takes, if it takes one.
    """

    name: str
    version: int
    mark: str
    caption: str
    make: Callable[..., FloatArray]
    number: Number | None = None

    def with_number(self, text: str) -> PostProcessing:
        """Return the same with another number. With the default one it is the same.

        Raises:
            UadBenchError: it takes no number, or not this one.
        """
        if self.number is None:
            raise UadBenchError(f"post-processing {self.name}={text}: {self.name} takes no number")
        try:
            number = self.number.set_to(text)
        except UadBenchError as error:
            raise UadBenchError(f"post-processing {self.name}={text}: {error}") from None
        if number == self.number:
            return self
        value = f"={number.default:g}"
        return replace(self, name=self.name + value, mark=self.mark + value, number=number)

    @property
    def explanation(self) -> str:
        """The caption with the number in force."""
        if self.number is None:
            return self.caption
        return f"{self.caption}, {self.number.default:g} {self.number.unit}"

    def apply(self, residual: FloatArray, brain: BrainSlices) -> FloatArray:
        """Turn the residual of one scan into its anomaly map.

        Args:
            residual: float32 ``[N, H, W]``, in [-1, 1].
            brain: the brain on these slices.

        Raises:
            UadBenchError: if the residual is not finite, or what comes out is no anomaly map of the
                same shape.
        """
        if not np.isfinite(residual).all():
            raise UadBenchError(f"post-processing {self.name} was given values that are not finite")
        number = () if self.number is None else (self.number.default,)
        found = np.asarray(self.make(residual, brain, *number), dtype=np.float32)
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


def chained(steps: Sequence[PostProcessing]) -> PostProcessing:
    """Return the post-processing that applies one after the other; a single one is itself.

    Raises:
        UadBenchError: a step that changes nothing, a step twice, or too many steps for the name of
            a file.
    """
    if len(steps) == 1:
        return steps[0]
    name = "+".join(one.name for one in steps)
    for one in steps:
        if not one.mark:
            raise UadBenchError(
                f"post-processing {name}: {one.name} cannot be a step of a chain; leave it out"
            )
    kinds = [one.name.partition("=")[0] for one in steps]
    if twice := [kind for at, kind in enumerate(kinds) if kind in kinds[:at]]:
        raise UadBenchError(f"post-processing {name}: {twice[0]} is in it twice; keep one")
    if len(name) > MOST_CHAIN:
        raise UadBenchError(
            f"post-processing {name}: {len(name)} characters, and {MOST_CHAIN} are the most"
        )

    def make(residual: FloatArray, brain: BrainSlices) -> FloatArray:
        for one in steps:
            residual = one.apply(residual, brain)
        return residual

    return PostProcessing(
        name=name,
        version=sum(one.version for one in steps),
        mark="".join(one.mark for one in steps),
        caption=", then ".join(one.explanation for one in steps),
        make=make,
    )
