"""What the perceptual term takes of a training step, batch 2."""

from __future__ import annotations

from benchmarks._slices import METHODS, PlainLoop, context, in_memory, slices
from benchmarks.measure import Row, at_most, timed

THREADS = 2

WIDTHS = (32, 16)
REPEAT = 8


def measure() -> list[Row]:
    """Compare a step with the term and one without it."""
    data = slices(16)
    rows = []
    for width in WIDTHS:
        for name in METHODS:
            steps = {
                weight: PlainLoop(
                    name,
                    in_memory(data, 2),
                    context(),
                    width=width,
                    perceptual_weight=float(weight),
                ).step
                for weight in ("0.1", "0")
            }
            seconds = timed(steps, REPEAT)
            share = 100 * (1 - seconds["0"] / seconds["0.1"])
            goal = 25 if width == WIDTHS[0] else None
            rows.append(at_most(f"{name.upper()}, width {width}", share, "% of a step", goal))
    return rows
