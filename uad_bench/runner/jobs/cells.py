"""Cells of a dataset that was scored: each is computed and written, or fails by itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from uad_bench.cells import CellRecord, CellSpec, Environment, ScanTraits
from uad_bench.evaluation.scored import Evaluation
from uad_bench.evaluation.scores.histograms import ScoreHistogram
from uad_bench.evaluation.scores.ordering import Ordering, mean_ordering
from uad_bench.histogram_files import save_histograms
from uad_bench.runner.detectors.scoring import AnomalyMaps, Example
from uad_bench.runner.detectors.traits import scan_traits
from uad_bench.runner.environment import Stopwatch
from uad_bench.runner.events import JobFailed
from uad_bench.runner.executors.contract import Failure
from uad_bench.runner.jobs.setting import Setting
from uad_bench.runner.jobs.spool import Spool
from uad_bench.runner.pictures import keep_slice
from uad_bench.runner.store import Origin
from uad_bench.volumes.store.prepared import PreparedDataset


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
        before: where and how long parts of the dataset were scored before that.
    """

    origin: Origin
    validation: Mapping[str, ScoreHistogram]
    watch: Stopwatch
    before: tuple[Environment, ...] = ()

    def environment(self) -> Environment:
        """Where the scores came to be, and the seconds that all processes took so far."""
        here = self.watch.read()
        if not self.before:
            return here
        everywhere = (*self.before, here)
        return here.model_copy(
            update={
                "started": min(one.started for one in everywhere),
                "wall_s": round(sum(one.wall_s for one in everywhere), 3),
                "peak_memory_mb": max(one.peak_memory_mb for one in everywhere),
            }
        )


@dataclass(frozen=True, slots=True)
class Scored:
    """A dataset that was scored.

    Attributes:
        dataset: the dataset.
        traits: what its test scans can be grouped by.
        orderings: per post-processing, what 16 bits keep of the order of each scan's map.
        example: the slice to show, where there is one.
        evaluation: evaluates the scores of a cell; returns why it failed where that is known
            already.
    """

    dataset: PreparedDataset
    traits: Sequence[ScanTraits]
    orderings: Mapping[str, Sequence[Ordering]]
    example: Example | None
    evaluation: Callable[[CellSpec], Evaluation | Failure]

    @classmethod
    def of(cls, maps: AnomalyMaps, scorer: Scorer, setting: Setting) -> Scored:
        """A dataset all of whose scans were scored in this process."""

        def evaluation(spec: CellSpec) -> Evaluation:
            spool = Spool(maps.folder / f"{spec.protocol}-{spec.postprocessing}.spool")
            return setting.store.protocol(spec).evaluate(
                lambda: maps.scored(spec.postprocessing, spec.space),
                scorer.validation.get(spec.postprocessing),
                spool.keep,
            )

        traits = scan_traits(maps.dataset, maps.scans)
        return cls(maps.dataset, traits, maps.orderings, maps.example, evaluation)


def write_cells(
    scorer: Scorer,
    scored: Scored,
    specs: Iterable[CellSpec],
    pending: Collection[CellSpec],
    setting: Setting,
) -> Evaluated:
    """Compute and write pending cells.

    Args:
        scorer: what scored the dataset.
        scored: the scores.
        specs: all cells of the two.
        pending: those that are to be computed.
        setting: what all jobs share.
    """
    written = tuple(_cell(scorer, spec, scored, setting) for spec in pending)
    return Evaluated((*setting.store.kept(specs, pending), *written), len(written))


def _cell(scorer: Scorer, spec: CellSpec, scored: Scored, setting: Setting) -> CellRecord:
    """Compute and write one cell; one that fails stops none of the others."""
    store = setting.store
    try:
        found = scored.evaluation(spec)
        if isinstance(found, Failure):
            return _failed(scorer, spec, found, setting)
        file = store.results.histograms / f"{spec.name}.npz"
        save_histograms(file, found.histograms)
        ordering = mean_ordering(list(scored.orderings[spec.postprocessing]))
        record = store.new_record(
            scorer.origin,
            spec,
            scorer.environment(),
            state="done",
            data=scored.dataset.use("test"),
            thresholds=found.thresholds,
            metrics=found.metrics,
            missing=found.missing,
            scans=found.scans,
            traits=scored.traits,
            histograms=str(file.relative_to(store.results.root)),
            notes=(*_tested_in_part(spec, scored.dataset), *ordering.faults),
        )
    except Exception as error:
        return _failed(scorer, spec, Failure.of(error, scorer.environment()), setting)
    if scored.example is not None:
        (variant,) = store.variants([spec])
        keep_slice(record, scored.example, variant.mark, store.results)
    return store.write(record)


def _failed(scorer: Scorer, spec: CellSpec, failure: Failure, setting: Setting) -> CellRecord:
    """Tell and write a cell that failed."""
    setting.tell(JobFailed(f"{spec.method} on {spec.dataset}", failure.reason))
    return setting.store.write_failed(scorer.origin, spec, failure)


def _tested_in_part(spec: CellSpec, dataset: PreparedDataset) -> Iterator[str]:
    """Say of a supervised method on its own dataset whom it was tested on."""
    if spec.tested_in_part:
        tested, everyone = dataset.use("test").subjects, dataset.use().subjects
        yield (
            f"it learned from this dataset, and was tested on the {tested} of {everyone} subjects "
            "who had no part in its training"
        )
