"""A run from its settings to its cells: the one way in, for the command line and for Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from shutil import rmtree

from uad_bench.cells import CellRecord
from uad_bench.method import Params
from uad_bench.plugins.registry import Registry
from uad_bench.results import ResultsFolder, stored_cells
from uad_bench.runner.config import RunConfig
from uad_bench.runner.data.gather import Data
from uad_bench.runner.data.readiness import fallback_note
from uad_bench.runner.data.source import cache_folder
from uad_bench.runner.detectors.tuning import Tuning, forget_studies
from uad_bench.runner.events import Listener, Noted, told
from uad_bench.runner.executors.contract import Executor, Failure, refuse_unpicklable
from uad_bench.runner.jobs.cells import Evaluated
from uad_bench.runner.jobs.parts import divide
from uad_bench.runner.jobs.perform import perform
from uad_bench.runner.jobs.setting import Setting
from uad_bench.runner.listeners import Mlflow
from uad_bench.runner.outlook import Outlook
from uad_bench.runner.pictures import Pictures
from uad_bench.runner.place import device_of, open_executor
from uad_bench.runner.plan.job import Evaluate, Tune
from uad_bench.runner.plan.make import make_plan
from uad_bench.runner.plan.plan import Plan, write_plan
from uad_bench.runner.store import CellStore, Origin
from uad_bench.study_record import readable_studies
from uad_bench.system.disk import write_whole


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to.

    Attributes:
        records: every cell of the plan, those from earlier runs included.
        computed: how many were computed now.
    """

    records: tuple[CellRecord, ...]
    computed: int

    @property
    def failed(self) -> tuple[CellRecord, ...]:
        """The cells that failed."""
        return tuple(record for record in self.records if record.state == "failed")


def run(
    config: RunConfig,
    registry: Registry,
    listeners: Sequence[Listener] = (),
    *,
    executor: Executor | None = None,
    command: str = "the same call in Python",
) -> Outcome:
    """Tune, train and evaluate; finished cells are kept, and the same call goes on with the rest.

    A failing method stops nobody but itself. Nothing is written to the results folder, nor deleted
    from it, before the prepared data have been found fit for the plan.

    Args:
        config: what to run.
        registry: the methods and datasets.
        listeners: told about every step and every cell; none changes a number.
        executor: what runs the jobs; by default, what the run's settings say.
        command: how to go on, for ``status``.

    Returns:
        Every cell of the plan, those from earlier runs included.

    Raises:
        UadBenchError: what was asked cannot be, the data cannot be used, the results folder holds
            these cells from other data, or the disk is full; finished cells stay.
    """
    plan = make_plan(config, registry)
    device = device_of(config)
    jobs = plan.jobs()
    refuse_unpicklable(jobs)
    results, tell = ResultsFolder(config.results), told(listeners)
    for note in plan.notes:
        tell(Noted(note))
    with results.lock():
        mlflow = Mlflow(results, registry, tell) if config.mlflow else None
        studies = readable_studies(results.tuning)
        outlook = Outlook(plan, stored_cells(results), tell, studies)
        pictures = Pictures(results, tell)
        recorded: list[Listener] = [pictures] if mlflow is None else [pictures, mlflow]
        everyone = told([*recorded, tell, outlook])
        store = CellStore.of(plan, everyone)
        store.refuse_other_versions(plan.cells())
        setting = Setting(config, store, device, plan.atlas, everyone)
        records: list[CellRecord] = []
        computed = 0
        tuned: dict[tuple[str, str], Params] = {}
        forgotten: set[str] = set()
        data: Data | None = None
        folders = (results.root, cache_folder(config.cache))
        opened = open_executor(config, device, folders, divide) if executor is None else None
        with opened or nullcontext(executor) as workers:
            assert workers is not None
            work = partial(perform, setting=setting)
            for job, result in workers.run(jobs, work, everyone):
                if isinstance(result, Failure):
                    outlook.leave_out(job)
                if isinstance(result, Data):
                    data = result
                    _begin(plan, setting, data, command, forgotten)
                    pictures.draw_left()  # of a run that was killed
                elif isinstance(job, Tune) and isinstance(result, Tuning):
                    assert data is not None
                    found = {(job.method.info.name, job.supervised_on): result.params}
                    tuned |= found
                    outlook.choose(job, result.params)
                    for study in result.studies:
                        tell(Noted("\n".join(study.lines())))
                    _make_room(plan, setting, data, found, forgotten)
                elif isinstance(job, Evaluate):
                    assert data is not None
                    trained = job.train.method.info.name, job.train.supervised_on
                    done = _evaluated(job, tuned.get(trained), result, setting, data)
                    records += done.records
                    computed += done.computed
        pictures.draw_left()  # what a folder of several machines showed late
        rmtree(results.parts, ignore_errors=True)  # of runs that were killed
        if mlflow is not None:
            mlflow.finish()
    return Outcome(tuple(records), computed)


def _begin(plan: Plan, setting: Setting, data: Data, command: str, forgotten: set[str]) -> None:
    """Refuse what contradicts the results folder, and leave the plan in it: the first writing."""
    trainer = setting.trainer(data)
    titles = [one.method.info.title for one in plan.methods if trainer.falls_back(one.method)]
    note = fallback_note(titles, setting.config.said("tissues"))
    if titles and note not in plan.notes:
        setting.tell(Noted(note))
    # The cells of a method that is tuned are known once it is tuned.
    known = {
        (one.method.info.name, one.supervised_on): one.params
        for one in plan.methods
        if not one.tuned
    }
    _make_room(plan, setting, data, known, forgotten)
    results = setting.store.results
    if setting.config.overwrite == "all":
        rmtree(results.parts, ignore_errors=True)
        for one in plan.methods:
            forget_studies(setting.trainer(data, one.supervised_on), one.method, one.params)
    write_plan(plan, results, command)
    for dataset in (data.training, *data.evaluated.values(), *data.supervised.values()):
        file = results.manifests / f"{dataset.manifest_hash}.json"
        if not file.is_file():
            write_whole(file, f"{dataset.manifest.model_dump_json(indent=1)}\n".encode())


def _make_room(
    plan: Plan,
    setting: Setting,
    data: Data,
    params: Mapping[tuple[str, str], Params],
    forgotten: set[str],
) -> None:
    """Refuse cells that are there from other data, or forget detectors that are to be made anew.

    Args:
        plan: the run.
        setting: what its jobs share.
        data: the prepared datasets.
        params: of the methods that are looked at, by name and by what a supervised one learns from.
        forgotten: the keys of the detectors that this run forgot: several methods may share one.
    """
    for planned in plan.methods:
        method, on = planned.method, planned.supervised_on
        if (method.info.name, on) not in params:
            continue
        chosen, trainer = params[method.info.name, on], setting.trainer(data, on)
        detectors = {seed: trainer.key(method, chosen, seed) for seed in planned.seeds}
        if setting.config.overwrite == "all":
            for seed in planned.seeds:
                trainer.forget(method, chosen, seed, forgotten)
        setting.store.refuse_conflicts(method, on, chosen, detectors, data)


def _evaluated(
    job: Evaluate, tuned: Params | None, result: object, setting: Setting, data: Data
) -> Evaluated:
    """The cells of a job; those that wait for one that failed are written as failed.

    Where the tuning failed, its cells have the parameters of before. A finished cell of the same
    name is of a run that did not tune: it stays, and is none of this run's.

    Args:
        job: the evaluation.
        tuned: the parameters that tuning chose; ``None`` where it failed or there was none.
        result: what the job came to.
        setting: what all jobs share.
        data: the prepared datasets.
    """
    method, on, store = job.train.method, job.train.supervised_on, setting.store
    before = store.specs(method.info.name, on, job.train.params, job.train.seed, job.label)
    if isinstance(result, Evaluated):
        if tuned not in (None, job.train.params):
            store.forget_failed(before)
        return result
    assert isinstance(result, Failure)
    origin = Origin.of(method, data.learned(on).use("train"))
    specs = before
    if tuned is not None:
        specs = store.specs(method.info.name, on, tuned, job.train.seed, job.label)
    pending = store.pending(origin.code, specs)
    failed = tuple(store.write_failed(origin, spec, result) for spec in pending)
    kept = store.kept(specs, pending)
    if job.train.tune is not None and tuned is None:
        kept = tuple(store.failed(origin, one.spec, result) for one in kept)
    return Evaluated((*kept, *failed), len(failed))
