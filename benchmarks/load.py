"""A training step of SPA, width 32, batch 2, beside other work: ratios of time, processor time."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from benchmarks._slices import PlainLoop, context, in_memory, slices
from benchmarks.measure import Row, shown_seconds
from uad_bench.system.threads import set_threads

THREADS = 2

ROUNDS = 2

_BUSY = {0: "nothing more", 1: "one busy process", 2: "two busy processes"}

_TORCH, _OURS, _ONE = "torch as it comes", "the command line", "the command line, 1 thread"

_SPIN = "while True: pass"
_SERVE = "from benchmarks.load import serve; serve()"


def serve() -> None:
    """Do a step with as many threads as each line says, and answer with its seconds."""
    loop = PlainLoop("spa", in_memory(slices(8), 2), context(), perceptual_weight=0.0)
    loop.step()
    for line in sys.stdin:
        torch.set_num_threads(int(line))
        wall, processor = time.perf_counter(), time.process_time()
        loop.step()
        print(time.perf_counter() - wall, time.process_time() - processor, flush=True)


def measure() -> list[Row]:
    """Time steps of three ways to wait in turns, under each load."""
    plain = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    ours = dict(plain)
    set_threads(ours)
    found = defaultdict[tuple[str, str], list[tuple[float, float]]](list)
    with ExitStack() as stack:
        as_it_comes, brief = (
            [stack.enter_context(_started(_SERVE, environment)) for _ in range(2)]
            for environment in (plain, ours)
        )
        ways = {_TORCH: (as_it_comes, THREADS), _OURS: (brief, THREADS), _ONE: (brief, 1)}
        for _ in range(ROUNDS):
            for busy, beside in _BUSY.items():
                with ExitStack() as load:
                    for _ in range(busy):
                        load.enter_context(_started(_SPIN, plain))
                    for way, (pair, threads) in ways.items():
                        found[beside, way].append(_timed(pair[:1], threads))
            for way, (pair, threads) in ways.items():
                found["another training", way].append(_timed(pair, threads))
    return list(_rows(found))


def _rows(found: Mapping[tuple[str, str], Sequence[tuple[float, float]]]) -> Iterator[Row]:
    medians = {
        key: (statistics.median(a for a, _ in times), statistics.median(b for _, b in times))
        for key, times in found.items()
    }
    for (beside, way), (wall, processor) in medians.items():
        before, processor_before = medians[beside, _TORCH]
        yield Row(
            work=f"beside {beside}: {way}",
            ours=f"{shown_seconds(wall)}, {shown_seconds(processor)} of processors",
            peer="" if way == _TORCH else _TORCH,
            theirs="" if way == _TORCH else shown_seconds(before),
            got=""
            if way == _TORCH
            else f"{before / wall:.3g}x, {processor_before / processor:.3g}x",
        )


def _timed(workers: Sequence[subprocess.Popen[str]], threads: int) -> tuple[float, float]:
    """Have all do a step at the same time; return the mean seconds, and processor seconds."""
    for one in workers:
        assert one.stdin is not None
        one.stdin.write(f"{threads}\n")
        one.stdin.flush()
    answers = [_answer(one) for one in workers]
    return statistics.mean(a for a, _ in answers), statistics.mean(b for _, b in answers)


def _answer(worker: subprocess.Popen[str]) -> tuple[float, float]:
    assert worker.stdout is not None
    wall, processor = worker.stdout.readline().split()
    return float(wall), float(processor)


@contextmanager
def _started(code: str, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Run a piece of Python until the block ends."""
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], env=dict(environment), **pipes) as process:
        try:
            yield process
        finally:
            process.kill()
