"""Tuning methods without training or evaluating them: the studies that a run would make."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from uad_bench.errors import UadBenchError
from uad_bench.plugins.registry import Registry
from uad_bench.runner.config import RunConfig
from uad_bench.runner.detectors.tuning import Tuning
from uad_bench.runner.environment import resolve_device
from uad_bench.runner.events import Listener, Noted, told
from uad_bench.runner.executors.contract import Executor, Failure, refuse_unpicklable
from uad_bench.runner.executors.local import LocalExecutor
from uad_bench.runner.jobs.perform import perform
from uad_bench.runner.jobs.setting import Setting
from uad_bench.runner.plan.job import Tune
from uad_bench.runner.plan.plan import plan_training
from uad_bench.runner.store import CellStore
from uad_bench.study_record import StudyRecord


def tune(
    config: RunConfig,
    registry: Registry,
    listeners: Sequence[Listener] = (),
    *,
    executor: Executor | None = None,
) -> tuple[StudyRecord, ...]:
    """Do the studies of some methods, or what is left of them; ``run`` finds them done.

    Args:
        config: the run that they are part of.
        registry: the methods and datasets.
        listeners: told about every step.
        executor: what runs the jobs; one after the other in this process by default.

    Raises:
        UadBenchError: what was asked cannot be, or a study failed; trials that ended stay.
    """
    device, tell = resolve_device(config.device), told(listeners)
    plan = plan_training(config, registry, device)
    if nothing := [one.method.info.name for one in plan.methods if not one.tuned]:
        raise UadBenchError(
            f"{', '.join(nothing)}: nothing to tune; `uad-bench show NAME` says which parameters "
            "of a method are tuned"
        )
    for note in plan.notes:
        tell(Noted(note))
    jobs = plan.tunings()
    refuse_unpicklable(jobs)
    store = CellStore.of(plan, tell)
    setting = Setting(config, store, device, plan.atlas, tell)
    studies: dict[str, StudyRecord] = {}
    failed: list[str] = []
    run_jobs = (executor or LocalExecutor()).run
    with store.results.lock():
        for job, result in run_jobs(jobs, partial(perform, setting=setting), tell):
            if isinstance(result, Tuning):
                studies |= {study.name: study for study in result.studies}
            elif isinstance(result, Failure) and isinstance(job, Tune):
                failed.append(f"{job.name}: {result.reason}")
    if failed:
        raise UadBenchError("; ".join(failed))
    if not studies:
        raise UadBenchError("all tunable parameters are given by --param: nothing is left to tune")
    return tuple(studies.values())
