"""Simulating a cohort's subjects in several processes, in order and few at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from uad_bench.phantom.cohorts import simulate_cohort, simulate_subject
from uad_bench.phantom.scan import PhantomScan


def simulate_in_parallel(
    name: str, *, subjects: int, seed: int, anatomies: Path | None = None, jobs: int = 1
) -> Iterator[PhantomScan]:
    """The scans of `simulate_cohort`, in the same order, made by ``jobs`` processes.

    At most two subjects per process wait for the reader, so that memory does not grow with the
    cohort.

    Args:
        name: cohort, as in `simulate_cohort`.
        subjects: how many people.
        seed: of the whole cohort.
        anatomies: a folder of label maps instead of the template.
        jobs: processes; with 1 everything happens in this one.

    Raises:
        UadBenchError: as `simulate_cohort` does.
    """
    if jobs == 1:
        yield from simulate_cohort(name, subjects=subjects, seed=seed, anatomies=anatomies)
        return
    with ProcessPoolExecutor(min(jobs, subjects), mp_context=get_context("spawn")) as pool:
        waiting: deque[Future[tuple[PhantomScan, ...]]] = deque()
        upcoming = iter(range(1, subjects + 1))
        try:
            while True:
                for subject in upcoming:
                    task = pool.submit(
                        simulate_subject, name, subject, seed=seed, anatomies=anatomies
                    )
                    waiting.append(task)
                    if len(waiting) >= 2 * jobs:
                        break
                if not waiting:
                    return
                yield from waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
