"""Running a job by its function; what fails is told, and kept from the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from uad_bench.runner.environment import Stopwatch
from uad_bench.runner.events import JobEnded, JobFailed
from uad_bench.runner.executors.contract import Done, Failure, Slot, refuse_unpicklable
from uad_bench.runner.executors.local import LocalExecutor
from uad_bench.runner.jobs.evaluate import evaluate_dataset, evaluate_part
from uad_bench.runner.jobs.maps import evaluate_maps
from uad_bench.runner.jobs.measure import measure
from uad_bench.runner.jobs.prepare import check_data, find, prepare
from uad_bench.runner.jobs.setting import Setting
from uad_bench.runner.jobs.train import train, tune
from uad_bench.runner.plan.job import (
    CheckData,
    Evaluate,
    EvaluateMaps,
    EvaluatePart,
    FindFiles,
    Job,
    Measure,
    Prepare,
    Train,
    Tune,
)

T = TypeVar("T")


_FUNCTIONS: Mapping[type[Job], Callable[[Any, Done, Setting], object]] = {
    FindFiles: find,
    Prepare: prepare,
    CheckData: check_data,
    Tune: tune,
    Train: train,
    Evaluate: evaluate_dataset,
    EvaluatePart: evaluate_part,
    Measure: measure,
    EvaluateMaps: evaluate_maps,
}


def carry_out(job: Job, done: Done, slot: Slot, setting: Setting) -> object:
    """Run one job, and let what goes wrong be raised as it is.

    Args:
        job: what to do.
        done: the results of the jobs that it needs.
        slot: what it has where it runs.
        setting: what all jobs of a plan share.
    """
    return _FUNCTIONS[type(job)](job, done, setting.inside(slot))


def perform(job: Job, done: Done, slot: Slot, setting: Setting) -> object:
    """Run one job, and return what it came to: its result, or the `Failure` of a method.

    Args:
        job: what to do.
        done: the results of the jobs that it needs.
        slot: what it has where it runs.
        setting: what all jobs of a plan share.

    Raises:
        UadBenchError: the run cannot go on: no data, or a full disk. What one method cannot do is
            its own failure.
    """
    watch = Stopwatch(setting.device)
    if job.is_vital:
        return carry_out(job, done, slot, setting)
    try:
        return carry_out(job, done, slot, setting)
    except Exception as error:
        failure = Failure.of(error, watch.read())
        slot.tell(JobFailed(job.name, failure.reason))
        return failure
    finally:
        is_part = isinstance(job, EvaluatePart)
        whole = job.whole if isinstance(job, EvaluatePart) else job
        slot.tell(JobEnded(whole.key, watch.seconds, is_part))


def last_result(jobs: Sequence[Job], setting: Setting, kind: type[T]) -> T:
    """Run jobs in this process, and return what the last came to, which is of ``kind``.

    Whatever goes wrong is raised as it is: there is one thing to do, and it failed.
    """
    refuse_unpicklable(jobs)
    done = LocalExecutor().run(jobs, partial(carry_out, setting=setting), setting.tell)
    return Done({job.key: result for job, result in done}).of(jobs[-1], kind)
