"""Tuning methods without training or evaluating them: the studies that a run would make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from uad_bench.errors import UadBenchError
from uad_bench.plugins.registry import Registry
from uad_bench.runner.config import RunConfig
from uad_bench.runner.data.gather import Data
from uad_bench.runner.data.source import cache_folder
from uad_bench.runner.detectors.tuning import Tuning, forget_studies
from uad_bench.runner.events import Listener, Noted, told
from uad_bench.runner.executors.contract import Failure, refuse_unpicklable
from uad_bench.runner.jobs.perform import perform
from uad_bench.runner.jobs.setting import Setting
from uad_bench.runner.place import device_of, open_executor, place_notes
from uad_bench.runner.plan.job import Tune
from uad_bench.runner.plan.make import plan_training
from uad_bench.runner.store import CellStore
from uad_bench.study_record import StudyRecord


@dataclass(frozen=True, slots=True)
class Studies:
    """What tuning some methods came to.

    Attributes:
        done: the record of each study.
        failed: a line for each method whose tuning failed: which, and why.
    """

    done: tuple[StudyRecord, ...]
    failed: tuple[str, ...]


def tune(config: RunConfig, registry: Registry, listeners: Sequence[Listener] = ()) -> Studies:
    """Do the studies of some methods, or what is left of them; ``run`` finds them done.

    A method whose tuning fails stops no other one.

    Methods are tuned at the same time where there are workers. The trials of one method are not:
    each is drawn from those before it, and the same command is to come to the same study.

    Args:
        config: the run that they are part of.
        registry: the methods and datasets.
        listeners: told about every step.

    Raises:
        UadBenchError: what was asked cannot be, or nothing can go on; trials that ended stay.
    """
    plan = plan_training(config, registry)
    device, tell = device_of(config), told(listeners)
    if nothing := [one.method.info.name for one in plan.methods if not one.tuned]:
        raise UadBenchError(
            f"{', '.join(nothing)}: nothing to tune; `uad-bench show NAME` says which parameters "
            "of a method are tuned"
        )
    for note in (*place_notes(config), *plan.notes):
        tell(Noted(note))
    jobs = plan.tunings()
    refuse_unpicklable(jobs)
    store = CellStore.of(plan, tell)
    setting = Setting(config, store, device, plan.atlas, tell)
    folders = (store.results.root, cache_folder(config.cache))
    with store.results.lock(), open_executor(config, device, folders) as workers:
        found: dict[str, object] = {}
        for job, result in workers.run(jobs, partial(perform, setting=setting), tell):
            found[job.key] = result
            if isinstance(result, Data) and config.overwrite == "all":
                for one in plan.methods:
                    forget_studies(
                        setting.trainer(result, one.supervised_on), one.method, one.params
                    )
    studies: dict[str, StudyRecord] = {}
    failed: list[str] = []
    for job in jobs:  # workers end them in any order
        result = found[job.key]
        if isinstance(result, Tuning):
            studies |= {study.name: study for study in result.studies}
        elif isinstance(result, Failure) and isinstance(job, Tune):
            failed.append(f"{job.name}: {result.reason}")
    if not (studies or failed):
        raise UadBenchError(
            f"all tunable parameters are given by {config.said('param')}: nothing is left to tune"
        )
    return Studies(tuple(studies.values()), tuple(failed))
