"""Training steps at width 32, batch 2, without the perceptual term."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from functools import partial

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks._slices import (
    METHODS,
    PlainLoop,
    as_torch_has_it,
    context,
    detector,
    in_memory,
    slices,
)
from benchmarks.measure import Row, at_least, ratio, timed
from uad_bench.training import train_players

THREADS = 2

STEPS = 40
PART = 10
"""Steps between two reports, in which the loop is timed; the plain loop has its turn after each."""

COUNT = 64
PEAK_SIDE = 4096


def measure() -> list[Row]:
    """Compare the training loop with a plain one over the same network, and with the peak."""
    return [row for name in METHODS for row in compared(name)]


def compared(name: str) -> list[Row]:
    """Return the rows of one method."""
    data, batch = slices(COUNT), 2
    plain = PlainLoop(name, in_memory(data, batch), context(), perceptual_weight=0.0)
    as_torch_has_it(plain.network)
    with FlopCounterMode(display=False) as counter:
        plain.step()
    left = torch.rand(PEAK_SIDE, PEAK_SIDE)
    product = partial(torch.matmul, left, left.clone())
    ours, theirs, peaks = list[float](), list[float](), list[float]()
    started = 0.0

    def report(step: int, _: Mapping[str, float]) -> None:
        nonlocal started
        if step > PART:
            ours.append((time.perf_counter() - started) / PART)
        theirs.append(timed({"": plain.step}, PART // 2)[""])
        peaks.append(2 * PEAK_SIDE**3 / timed({"": product}, 1)[""])
        started = time.perf_counter()

    here = context(report=report)
    method = detector(name, here, steps=STEPS, checks=1, batch_size=batch, perceptual_weight=0.0)
    train_players(method.trainable(here), method.params, data, data, here)
    mine = statistics.median(ours)
    share = counter.get_total_flops() / mine / statistics.median(peaks)
    work = f"{name.upper()}, a step"
    return [
        ratio(work, mine, "the same network and loss, NCHW", statistics.median(theirs), 1.25),
        at_least(f"{name.upper()}, share of the matmul peak", 100 * share, "%", 70),
    ]
