"""Tuning and training: what a detector becomes before it is evaluated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from uad_bench.method import Params
from uad_bench.plugins.code import code_of
from uad_bench.runner.data.gather import Data
from uad_bench.runner.detectors.tuning import Tuning, studied
from uad_bench.runner.detectors.tuning import tune as tune_method
from uad_bench.runner.events import Started
from uad_bench.runner.executors.contract import Done
from uad_bench.runner.jobs.setting import Setting
from uad_bench.runner.plan.job import Train, Tune
from uad_bench.system.locks import held


@dataclass(frozen=True, slots=True)
class Trained:
    """The parameters of a detector, and its key; ``None`` where none of its cells was pending."""

    params: Params
    detector: str | None = None


def tune(job: Tune, done: Done, setting: Setting) -> Tuning:
    """Choose the parameters of a method; its study keeps every trial."""
    trainer = setting.trainer(done.of(job.data, Data), job.supervised_on)
    with _alone(setting, (f"{one.info.name}-tune" for one in studied(job.method))):
        return tune_method(trainer, job.method, job.params)


def train(job: Train, done: Done, setting: Setting) -> Trained:
    """Train a detector that is wanted, and score the healthy validation scans with it."""
    tuning = Tuning(job.params) if job.tune is None else done.of(job.tune, Tuning)
    store = setting.store
    variants = store.postprocessings
    if job.labels is not None:
        pending = [
            spec
            for label in job.labels
            for spec in store.pending(
                code_of(job.method).hash,
                store.specs(
                    job.method.info.name, job.supervised_on, tuning.params, job.seed, label
                ),
            )
        ]
        if not pending:
            return Trained(tuning.params)
        variants = store.variants(pending)
    if job.place:
        setting.tell(Started(job.place))
    trainer = setting.trainer(done.of(job.data, Data), job.supervised_on)
    with _alone(setting, trainer.trainings(job.method, tuning.params, job.seed)):
        studies = tuple(study.name for study in tuning.studies)
        detector, fit = trainer.detector(job.method, tuning.params, job.seed, tuning.found, studies)
        trainer.validation(detector, fit, variants, setting.config.space)
    return Trained(tuning.params, fit.detector)


@contextmanager
def _alone(setting: Setting, names: Iterable[str]) -> Iterator[None]:
    """Keep other workers from the studies or trainings that a method shares with others."""
    with ExitStack() as stack:
        for name in sorted(set(names)):  # all in one order, so that no two wait for each other
            stack.enter_context(held(setting.store.results.root / ".locks" / name))
        yield
