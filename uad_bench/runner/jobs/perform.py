"""Running a job by its function; what fails is told, and kept from the others."""

from __future__ import annotations

from uad_bench.runner.environment import Stopwatch
from uad_bench.runner.events import JobFailed
from uad_bench.runner.executor import Done, Failure
from uad_bench.runner.jobs.evaluate import evaluate_dataset
from uad_bench.runner.jobs.measure import measure
from uad_bench.runner.jobs.prepare import prepare
from uad_bench.runner.jobs.setting import Setting
from uad_bench.runner.jobs.train import train, tune
from uad_bench.runner.plan.job import Evaluate, Job, Measure, Prepare, Train, Tune


def perform(job: Job, done: Done, setting: Setting) -> object:
    """Run one job.

    Args:
        job: what to do.
        done: the results of the jobs that it needs.
        setting: what all jobs of a run share.

    Returns:
        `Data`, `Tuning`, `Trained`, `Evaluated` or `Measured`; or the `Failure` of the method.

    Raises:
        UadBenchError: the run cannot go on: no data, or a full disk.
    """
    if isinstance(job, Prepare):
        return prepare(job, setting)
    watch = Stopwatch(setting.device)
    try:
        match job:
            case Tune():
                return tune(job, done, setting)
            case Train():
                return train(job, done, setting)
            case Evaluate():
                return evaluate_dataset(job, done, setting)
            case Measure():
                return measure(job, done, setting)
    except Exception as error:
        failure = Failure.of(error, watch.read())
        setting.tell(JobFailed(job.name, failure.reason))
        return failure
