"""From a cohort's raw files to a prepared store, once; a store that is there is used again."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import signal
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from uad_bench.cohort import Cohort, Scan
from uad_bench.errors import ScanError, UadBenchError
from uad_bench.volumes.inputs import ScanInput, cohort_scans, digest, facts, scan_inputs
from uad_bench.volumes.recipe import Recipe
from uad_bench.volumes.resample import Grid
from uad_bench.volumes.slices import ScanSlices, slice_scan
from uad_bench.volumes.space import template_brain, template_grid
from uad_bench.volumes.store import (
    ExcludedScan,
    Manifest,
    PreparedCohort,
    PreparedScan,
)
from uad_bench.volumes.write import StoreWriter, sync_folder

PREPARATION = 1
"""Version of the preparation: raised whenever the same files would become other slices."""

_SMALL = 16
"""Cohorts of at most this many scans are prepared here: starting processes takes longer."""


@dataclass(frozen=True, slots=True)
class _Task:
    """What every scan of a cohort is prepared with; travels to worker processes once."""

    recipe: Recipe
    template: NDArray[np.bool_]
    grid: Grid


def prepare(
    cohort: Cohort,
    root: Path,
    recipe: Recipe,
    store_root: Path,
    *,
    simulated: bool,
    limit: int | None = None,
    on_scan: Callable[[str], None] | None = None,
    jobs: int | None = None,
) -> PreparedCohort:
    """Prepare ``cohort``, or open the store that already holds exactly this.

    A store is the same where recipe, preparation, and every input file's path below ``root``, size
    and content are. A scan that cannot be used is excluded by name with its reason; the rest goes
    on. The store is built beside its place and moved there when whole; two processes that want
    the same one build it once.

    Args:
        cohort: the adapter.
        root: the cohort's own folder.
        recipe: how scans become slices.
        store_root: the folder that holds stores; made if it is not there.
        simulated: whether the scans are phantoms; recorded.
        limit: only the first ``limit`` subjects of every split.
        on_scan: called with a scan's name when it is done, in order.
        jobs: worker processes; the CPU's number by default. The result does not depend on it.

    Raises:
        UadBenchError: when there is no scan, none can be used, the cohort contradicts itself, or
            the store cannot be written.
    """
    inputs = scan_inputs(cohort_scans(cohort, root, limit), root)
    identity = {
        "cohort": cohort.info.name,
        "preparation": PREPARATION,
        "recipe": recipe.hash,
        "simulated": simulated,
    }
    key = digest({**identity, "scans": [facts(item, paths=True) for item in inputs]})
    folder = store_root / f"{cohort.info.name}-{recipe.hash}-{key}"
    try:
        store_root.mkdir(parents=True, exist_ok=True)
        with FileLock(store_root / f".{folder.name}.lock"):
            if folder.exists():
                try:
                    return PreparedCohort.open(folder)
                except UadBenchError:
                    shutil.rmtree(folder)
            partial = store_root / f".{folder.name}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            try:
                partial.mkdir()
                _build(
                    partial,
                    inputs,
                    recipe,
                    identity=identity,
                    root=root,
                    on_scan=on_scan,
                    jobs=jobs,
                )
                partial.rename(folder)
                sync_folder(store_root)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise UadBenchError(_write_failure(store_root, error)) from error
    return PreparedCohort.open(folder)


def _build(
    folder: Path,
    inputs: Sequence[ScanInput],
    recipe: Recipe,
    *,
    identity: dict[str, Any],
    root: Path,
    on_scan: Callable[[str], None] | None,
    jobs: int | None,
) -> None:
    """Write the store of ``inputs`` into ``folder``."""
    task = _Task(recipe, template_brain(recipe), template_grid(recipe))
    scans: list[PreparedScan] = []
    excluded: list[ExcludedScan] = []
    with (
        StoreWriter(folder, any(item.scan.tissues is not None for item in inputs)) as writer,
        closing(_results(task, [item.scan for item in inputs], jobs)) as results,
    ):
        for item, result in zip(inputs, results, strict=True):
            name, split = item.scan.name, item.scan.split
            if isinstance(result, ScanError):
                reason = str(result).replace(f"{root}{os.sep}", "")
                excluded.append(ExcludedScan(scan=name, reason=reason, split=split))
            else:
                scans.append(_record(item, result, writer.append(result)))
            if on_scan is not None:
                on_scan(name)
        if not scans:
            raise UadBenchError(
                f"{root}: none of the {len(inputs)} scans can be used; "
                f"the first, {excluded[0].scan}: {excluded[0].reason}"
            )
        manifest_hash = digest(
            {
                **identity,
                "scans": [facts(item, paths=False) for item in inputs],
                "excluded": [item.scan for item in excluded],
            }
        )
        writer.finish(
            Manifest(
                preparation=PREPARATION,
                cohort=identity["cohort"],
                simulated=identity["simulated"],
                recipe=recipe,
                grid_affine=tuple(tuple(row) for row in task.grid.affine.tolist()),
                grid_shape=task.grid.shape,
                manifest_hash=manifest_hash,
                versions={name: version(name) for name in ("uad-bench", "nibabel", "numpy")},
                scans=tuple(scans),
                excluded=tuple(excluded),
            )
        )


def _record(item: ScanInput, slices: ScanSlices, rows: tuple[int, int]) -> PreparedScan:
    scan = item.scan
    return PreparedScan(
        name=scan.name,
        subject=scan.subject,
        session=scan.session,
        site=scan.site,
        split=scan.split,
        space=slices.space,
        start=rows[0],
        stop=rows[1],
        has_lesion=bool((slices.lesion == 1).any()),
        has_tissue=slices.tissue is not None,
        lesion_ml_before=slices.lesion_ml_before,
        lesion_ml_after=slices.lesion_ml_after,
        saturated_share=slices.saturated_share,
        files=item.files,
    )


def _results(
    task: _Task, scans: Sequence[Scan], jobs: int | None
) -> Generator[ScanSlices | ScanError, None, None]:
    """Yield every scan's slices, or why there are none, in order."""
    workers = min(jobs or os.cpu_count() or 1, len(scans))
    if jobs is None and (len(scans) <= _SMALL or multiprocessing.current_process().daemon):
        workers = 1
    if workers == 1:
        yield from (_attempt(task, scan) for scan in scans)
        return
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(task,),
    )
    waiting: deque[Future[ScanSlices | ScanError]] = deque()
    try:
        for scan in scans:
            waiting.append(pool.submit(_work, scan))
            if len(waiting) > 2 * workers:  # so that results never pile up in memory
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise UadBenchError(
            "a process that prepared scans was killed, most likely for memory; use fewer jobs"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _attempt(task: _Task, scan: Scan) -> ScanSlices | ScanError:
    try:
        return slice_scan(scan, task.recipe, task.template, task.grid)
    except ScanError as error:
        return ScanError(str(error))


_worker_task: list[_Task] = []
"""Set once in a worker process, empty elsewhere: the template does not travel with every scan."""


def _start_worker(task: _Task) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    _worker_task[:] = [task]


def _work(scan: Scan) -> ScanSlices | ScanError:
    return _attempt(_worker_task[0], scan)


def _write_failure(store_root: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{store_root}: the disk is full; free space or choose another store folder"
    return f"{store_root}: cannot be written ({error.strerror or error}); check its permissions"
