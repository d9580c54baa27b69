"""A sweep: a method trained once per value of one parameter, and measured on healthy people.

What Bercea et al. 2022 show in Figures 2 and 4. No lesion and no test label takes part.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from uad_bench.report.figures.sweep import Sweep, Training, Value, ValueView, sweep_csv
from uad_bench.report.figures.sweep_file import sweep_bytes
from uad_bench.report.plots.style import encoded, styled
from uad_bench.report.plots.sweep import sweep_figure
from uad_bench.results import ResultsFolder
from uad_bench.runner.data.gather import Data
from uad_bench.runner.data.source import cache_folder
from uad_bench.runner.events import Listener, Noted, told
from uad_bench.runner.executors.contract import Failure, refuse_unpicklable
from uad_bench.runner.jobs.measure import HeldOut, Measured
from uad_bench.runner.jobs.perform import perform
from uad_bench.runner.jobs.setting import Setting
from uad_bench.runner.place import open_executor, place_notes
from uad_bench.runner.plan.job import Measure
from uad_bench.runner.plan.sweep import SweepPlan
from uad_bench.runner.store import CellStore
from uad_bench.system.disk import write_whole


def run_sweep(plan: SweepPlan, device: str, listeners: Sequence[Listener] = ()) -> Sweep:
    """Train what is not trained yet, and measure it. A training that diverges stops no other.

    Args:
        plan: what to do.
        device: the resolved torch device.
        listeners: told about every step.

    Raises:
        UadBenchError: the data cannot be used, no worker comes, another run holds the results
            folder, or the disk is full; trained detectors stay.
    """
    config, jobs = plan.config, plan.jobs()
    refuse_unpicklable(jobs)
    results, tell = ResultsFolder(config.results), told(listeners)
    for note in place_notes(config):
        tell(Noted(note))
    setting = Setting(config, CellStore(results, config, tell), device, plan.atlas, tell)
    found: dict[str, object] = {}
    held_out: HeldOut | None = None
    folders = (results.root, cache_folder(config.cache))
    with results.lock(), open_executor(config, device, folders) as workers:
        for job, result in workers.run(jobs, partial(perform, setting=setting), tell):
            if isinstance(result, Data):
                held_out = HeldOut.of(result.training)
            found[job.key] = result
    assert held_out is not None  # without data, the first job raised
    trainings: list[Training] = []
    views: dict[Value, ValueView] = {}
    for job in jobs:  # workers end them in any order
        if isinstance(job, Measure):
            value, result = plan.value_of(job), found[job.key]
            trainings.append(_training(value, job.train.seed, result))
            if isinstance(result, Measured):
                views.setdefault(value, result.view)
    return Sweep(
        method=plan.method.info.name,
        title=plan.method.info.title,
        param=plan.param,
        values=tuple(plan.values),
        log=plan.log,
        trainings=tuple(trainings),
        learned=held_out.dataset.use("train"),
        measured=held_out.dataset.use(held_out.split),
        split=held_out.split,
        shown=held_out.shown(views),
    )


def _training(value: Value, seed: int, result: object) -> Training:
    """The row of one training."""
    if isinstance(result, Failure):
        return Training(value, seed, {}, reason=result.reason)
    assert isinstance(result, Measured)
    return Training(
        value,
        seed,
        result.means,
        result.fit.detector,
        simulated_prior=result.fit.simulated_prior,
        fallback_prior=result.fit.fallback_prior,
    )


def write_sweep(sweep: Sweep, results: ResultsFolder) -> Path:
    """Write ``sweep.csv``, ``sweep.png`` and ``sweep.npz`` to the sweep's folder, and return it.

    Raises:
        UadBenchError: if they cannot be written.
    """
    folder = results.sweep(sweep.method, sweep.param)
    with styled():
        picture = encoded(sweep_figure(sweep), "png")
    write_whole(folder / "sweep.csv", sweep_csv(sweep).encode())
    write_whole(folder / "sweep.png", picture)
    write_whole(folder / "sweep.npz", sweep_bytes(sweep))
    return folder
