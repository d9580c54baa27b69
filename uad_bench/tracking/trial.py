"""What MLflow is told of the trials of a tuning study."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from uad_bench.cells import FitRecord
from uad_bench.results import ResultsFolder
from uad_bench.study_record import StudyRecord
from uad_bench.tracking.cell import marked
from uad_bench.tracking.entry import Entry, as_metrics, as_params, as_tags


def is_of(study: StudyRecord, fit: FitRecord) -> bool:
    """Whether a detector was trained with what a study chose."""
    return study.name in fit.studies


def study_entry(study: StudyRecord, folder: ResultsFolder) -> Entry:
    """The command of a study whose detector was not trained yet: ``uad-bench tune``."""
    ended = _ended(study, folder)
    date = datetime.fromtimestamp(ended / 1000, UTC).strftime("%Y-%m-%d %H:%M")
    return Entry(
        kind="command",
        key=f"tune {study.name}",
        name=marked(f"{date} tune {study.method}", study.simulated),
        start=ended,
        end=ended,
        params=as_params({"method": study.method, "seed": study.seed}),
        metrics=as_metrics([("trials", float(len(study.trials)), 0)]),
        tags=as_tags({"simulated": study.simulated}),
    )


def trial_entries(study: StudyRecord, folder: ResultsFolder, parent: Entry) -> Iterator[Entry]:
    """The entries of a study's trials. A trial's time is that of the study's end."""
    ended = _ended(study, folder)
    for trial in study.trials:
        chosen = trial.number == study.chosen
        yield Entry(
            kind="trial",
            key=f"{study.name}-{trial.number}",
            name=marked(f"trial {trial.number} of {study.method}", study.simulated),
            start=ended,
            end=ended,
            failed=trial.state == "diverged",
            parent=parent,
            params=as_params(
                {
                    "method": study.method,
                    "seed": study.seed,
                    "objective": study.objective,
                    "sampler": study.sampler,
                    **{f"method.{name}": value for name, value in trial.params.items()},
                }
            ),
            metrics=as_metrics(
                (f"validation/{name}", value, 0) for name, value in trial.metrics.items()
            ),
            tags=as_tags(
                {
                    "study": study.name,
                    "state": trial.state,
                    "chosen": chosen,
                    "simulated": study.simulated,
                    "mlflow.note.content": f"Chosen: {study.reason}" if chosen else "",
                }
            ),
        )


def _ended(study: StudyRecord, folder: ResultsFolder) -> int:
    return round(1000 * (folder.tuning / f"{study.name}.json").stat().st_mtime)
