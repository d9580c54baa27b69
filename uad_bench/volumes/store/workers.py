"""Preparing scans one by one, here or in worker processes: results in order, news at once."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np

from uad_bench.errors import ScanError
from uad_bench.system.machine import fitting_processes
from uad_bench.system.processes import Workers
from uad_bench.volumes.checks.quality import ScanQuality, failed, measure
from uad_bench.volumes.steps.native import NativeMasks, Packed
from uad_bench.volumes.steps.slices import ScanSlices, slice_scan
from uad_bench.volumes.store.inputs import ScanInput
from uad_bench.volumes.store.prepared import Standard, Step
from uad_bench.volumes.store.standardise import Preparation, standardise

_SMALL = 16
"""Datasets of at most this many scans are prepared here: starting processes takes longer."""

_AHEAD = 4
"""Scans per worker that may be done before their turn, so that one slow scan halts nobody."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A scan that is prepared: its slices, how it came to the template, and how it lies there.

    Attributes:
        name: of the scan.
        slices: its slices on the template grid.
        standard: how it came to the template.
        quality: how it lies there.
        native: its masks on its own voxels; ``None`` for a training scan, which nobody scores.
    """

    name: str
    slices: ScanSlices
    standard: Standard
    quality: ScanQuality
    native: Packed | None = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A scan that cannot be used.

    Attributes:
        name: of the scan.
        reason: why not, in one line.
        standard: how it came to the template, where it came so far.
        quality: how it lies there, where it came so far.
    """

    name: str
    reason: str
    standard: Standard | None = None
    quality: ScanQuality | None = None


Outcome = Ready | LeftOut


def prepare_scan(item: ScanInput, preparation: Preparation) -> Outcome:
    """Bring one scan to the template, look at how it lies there, and slice it.

    A scan that was registered here and lies badly is held out, so that it poisons no dataset.

    Raises:
        UadBenchError: nothing of the scan's own: a missing tool, a full disk.
    """
    name, standard, quality = item.scan.name, None, None
    try:
        loaded, standard = standardise(item, preparation)
        quality = measure(loaded)
        if standard.registered and (misfit := failed(quality)) is not None:
            return LeftOut(name, misfit, standard, quality)
        started = time.perf_counter()
        slices = slice_scan(loaded, item.scan.flair, preparation.recipe, preparation.grid)
    except ScanError as error:
        reason = str(error).replace(f"{preparation.root}{os.sep}", "")
        return LeftOut(name, reason, standard, quality)
    step = Step(name="slice", seconds=round(time.perf_counter() - started, 2))
    steps = (*standard.steps, step)
    standard = standard.model_copy(update={"steps": steps})
    native = None
    if item.scan.split != "train":
        to_mni152 = np.array(standard.to_mni152)
        native = NativeMasks.of(loaded, to_mni152, preparation.grid).pack()
    return Ready(name, slices, standard, quality.after(slices), native)


def prepare_scans(
    items: Sequence[ScanInput],
    preparation: Preparation,
    jobs: int | None,
    on_scan: Callable[[Outcome], None],
) -> Generator[Outcome, None, None]:
    """Yield every scan's outcome in order; ``on_scan`` hears of each as soon as it is done.

    Args:
        items: the scans.
        preparation: what to do with them.
        jobs: worker processes; by default one per core, as far as free memory holds them. The
            result does not depend on it.
        on_scan: may be called from another thread.

    Raises:
        UadBenchError: a worker died, or what ``prepare_scan`` raises.
    """
    workers = max(1, min(fitting_processes(jobs), len(items)))
    if jobs is None and (len(items) <= _SMALL or multiprocessing.current_process().daemon):
        workers = 1
    if workers == 1:
        for item in items:
            outcome = prepare_scan(item, preparation)
            on_scan(outcome)
            yield outcome
        return

    def tell(future: Future[Outcome]) -> None:
        if not future.cancelled() and future.exception() is None:
            on_scan(future.result())

    waiting: deque[Future[Outcome]] = deque()
    with Workers(workers, "prepared scans", (_set_preparation, (preparation,))) as pool:
        for item in items:
            future = pool.submit(_work, item)
            future.add_done_callback(tell)
            waiting.append(future)
            if len(waiting) > _AHEAD * workers:  # so that results never pile up in memory
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


_worker_preparation: list[Preparation] = []
"""Set once in a worker process, empty elsewhere: the template does not travel with every scan."""


def _set_preparation(preparation: Preparation) -> None:
    _worker_preparation[:] = [preparation]


def _work(item: ScanInput) -> Outcome:
    return prepare_scan(item, _worker_preparation[0])
