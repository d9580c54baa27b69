"""Evaluating: a dataset is scored once, and every pending cell of the scores is written."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from uad_bench.cells import CellRecord, CellSpec, ScanTraits
from uad_bench.evaluation.histograms import ScoreHistogram
from uad_bench.histogram_files import save_histograms
from uad_bench.runner.data.gather import Data
from uad_bench.runner.detectors.scoring import AnomalyMaps, anomaly_maps
from uad_bench.runner.detectors.traits import scan_traits
from uad_bench.runner.environment import Stopwatch
from uad_bench.runner.events import CellScored, JobFailed, Started
from uad_bench.runner.executors.contract import Done, Failure
from uad_bench.runner.jobs.setting import Setting
from uad_bench.runner.jobs.train import Trained
from uad_bench.runner.plan.job import Evaluate
from uad_bench.runner.store import Origin


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The cells of one detector on one dataset.

    Attributes:
        records: the cells, those from earlier runs included.
        computed: how many were computed now.
    """

    records: tuple[CellRecord, ...]
    computed: int


@dataclass(frozen=True, slots=True)
class Scorer:
    """What scored a dataset, when it began, and its scores on healthy validation scans.

    Attributes:
        origin: what cells say of it.
        validation: by post-processing; empty where there is none.
        watch: started when it began.
    """

    origin: Origin
    validation: Mapping[str, ScoreHistogram]
    watch: Stopwatch


def evaluate_dataset(job: Evaluate, done: Done, setting: Setting) -> Evaluated:
    """Score a dataset with a detector, and write every cell that is pending."""
    method, params = job.train.method, done.of(job.train, Trained).params
    data, store, on = done.of(job.data, Data), setting.store, job.train.supervised_on
    training = data.learned(on).use("train")
    specs = store.specs(method.info.name, on, params, job.train.seed, job.label)
    pending = store.pending(Origin.of(method, training).code, specs)
    if not pending:
        return Evaluated(store.kept(specs, pending), 0)
    watch = Stopwatch(setting.device)
    setting.tell(Started(job.name))
    trainer = setting.trainer(data, on)
    fitted, fit = trainer.stored(method, params, job.train.seed)
    variants = store.variants(pending)
    validation = trainer.validation(fitted, fit, variants, setting.config.space)
    scorer = Scorer(Origin.of(method, training, fit), validation, watch)
    dataset = data.tested(on, job.label)
    with anomaly_maps(fitted, dataset, "test", variants, setting.tell) as maps:
        return write_cells(scorer, maps, specs, pending, setting)


def write_cells(
    scorer: Scorer,
    maps: AnomalyMaps,
    specs: Iterable[CellSpec],
    pending: Collection[CellSpec],
    setting: Setting,
) -> Evaluated:
    """Compute and write pending cells.

    Args:
        scorer: what scored the dataset.
        maps: the scores.
        specs: all cells of the two.
        pending: those that are to be computed.
        setting: what all jobs share.
    """
    traits = scan_traits(maps.dataset, maps.scans) if pending else ()
    written = tuple(_cell(scorer, spec, maps, traits, setting) for spec in pending)
    return Evaluated((*setting.store.kept(specs, pending), *written), len(written))


def _cell(
    scorer: Scorer,
    spec: CellSpec,
    maps: AnomalyMaps,
    traits: Sequence[ScanTraits],
    setting: Setting,
) -> CellRecord:
    """Compute and write one cell; one that fails stops none of the others."""
    store = setting.store
    try:
        found = store.protocol(spec).evaluate(
            lambda: maps.scored(spec.postprocessing, spec.space),
            scorer.validation.get(spec.postprocessing),
        )
        file = store.results.histograms / f"{spec.name}.npz"
        save_histograms(file, found.histograms)
        record = store.new_record(
            scorer.origin,
            spec,
            scorer.watch.read(),
            state="done",
            data=maps.dataset.use("test"),
            thresholds=found.thresholds,
            metrics=found.metrics,
            missing=found.missing,
            scans=found.scans,
            traits=traits,
            histograms=str(file.relative_to(store.results.root)),
            notes=(*_tested_in_part(spec, maps), *maps.orderings[spec.postprocessing].faults),
        )
    except Exception as error:
        failure = Failure.of(error, scorer.watch.read())
        setting.tell(JobFailed(f"{spec.method} on {spec.dataset}", failure.reason))
        return store.write_failed(scorer.origin, spec, failure)
    (variant,) = store.variants([spec])
    setting.tell(CellScored(record, maps.example, variant.mark))
    return store.write(record)


def _tested_in_part(spec: CellSpec, maps: AnomalyMaps) -> Iterator[str]:
    """Say of a supervised method on its own dataset whom it was tested on."""
    if spec.supervised_on == spec.dataset:
        tested, everyone = maps.dataset.use("test").subjects, maps.dataset.use().subjects
        yield (
            f"it learned from this dataset, and was tested on the {tested} of {everyone} subjects "
            "who had no part in its training"
        )
