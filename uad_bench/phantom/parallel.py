"""Simulating a dataset's subjects in several processes, in order and few at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path

from uad_bench.phantom.datasets import simulate_dataset, simulate_subject
from uad_bench.phantom.scan import PhantomScan
from uad_bench.system.processes import Workers


@contextmanager
def simulation_pool(jobs: int) -> Iterator[Workers | None]:
    """Processes to simulate in; ``None`` where one job needs none.

    A process prepares the template once, in seconds: share one pool between datasets.
    """
    if jobs == 1:
        yield None
        return
    with Workers(jobs, "simulated subjects") as pool:
        yield pool


def simulate_in_pool(
    name: str,
    *,
    subjects: int,
    seed: int,
    anatomies: Path | None = None,
    healthy: int = 0,
    pool: Workers | None = None,
    ahead: int = 4,
) -> Iterator[PhantomScan]:
    """The scans of `simulate_dataset`, in the same order, made by the pool's processes.

    Args:
        name: dataset, as in `simulate_dataset`.
        subjects: how many people.
        seed: of the whole dataset.
        anatomies: a folder of label maps instead of the template.
        healthy: how many people without the disease come after them.
        pool: from `simulation_pool`; ``None`` simulates in this process.
        ahead: how many subjects may be in work or wait for the reader, so that memory does not
            grow with the dataset.

    Raises:
        UadBenchError: as `simulate_dataset` does, or a process died.
    """
    if pool is None:
        yield from simulate_dataset(
            name, subjects=subjects, seed=seed, anatomies=anatomies, healthy=healthy
        )
        return
    one = partial(simulate_subject, name, seed=seed, anatomies=anatomies, patients=subjects)
    tasks: Iterator[Future[tuple[PhantomScan, ...]]] = (
        pool.submit(partial(one, subject)) for subject in range(1, subjects + healthy + 1)
    )
    waiting = deque(islice(tasks, ahead))
    while waiting:
        scans = waiting.popleft().result()
        waiting.extend(islice(tasks, 1))
        yield from scans
