"""What MLflow is told of a detector: how it was trained, and its weights."""

from __future__ import annotations

from uad_bench.cells import CellRecord, FitRecord
from uad_bench.results import ResultsFolder
from uad_bench.tracking.cell import cell_times, detector_name, marked, of_detector, used
from uad_bench.tracking.entry import Entry, as_metrics, as_params, as_tags

_FILES = ("detector.json", "state.safetensors")
"""What of a detector's folder is attached."""


def detector_entry(
    record: CellRecord, fit: FitRecord, folder: ResultsFolder, parent: Entry
) -> Entry:
    """The entry of a detector, from any of its cells and its folder, as far as that is there."""
    home = folder.detectors / fit.detector
    files = tuple(home / name for name in _FILES if (home / name).is_file())
    end = round(1000 * files[0].stat().st_mtime) if files else cell_times(record)[0]
    points = [("cost/training_s", fit.wall_s, 0), ("cost/training_steps", float(fit.steps), 0)]
    points += [(f"validation/{name}", value, 0) for name, value in fit.validation.items()]
    points += [
        (f"training/{name}", value, step)
        for name, curve in fit.curves.items()
        for step, value in curve
    ]
    return Entry(
        kind="detector",
        key=fit.detector,
        name=marked(f"detector {detector_name(record.spec)}", _is_simulated(record)),
        start=end - round(1000 * fit.wall_s),
        end=end,
        parent=parent,
        params=as_params(of_detector(record)),
        metrics=as_metrics(points),
        tags=as_tags(
            {
                "simulated": _is_simulated(record),
                "control": record.control,
                "supervised": record.supervised,
                "mlflow.note.content": "\n\n".join(fit.notes),
            }
        ),
        datasets=used(training=record.training),
        files=files,
    )


def _is_simulated(record: CellRecord) -> bool:
    prior = record.fit is not None and record.fit.simulated_prior
    return prior or (record.training is not None and record.training.simulated)
