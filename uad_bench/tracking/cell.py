"""What MLflow is told of a cell."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from uad_bench.cells import CellRecord, CellSpec, DatasetUse
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.protocols.strict import STRICT
from uad_bench.results import ResultsFolder
from uad_bench.system.disk import sha256_of
from uad_bench.tracking.entry import Entry, as_metrics, as_params, as_tags


def cell_entry(record: CellRecord, folder: ResultsFolder, parent: Entry) -> Entry:
    """The entry of a cell: its numbers, its JSON, its histograms and its picture."""
    file, (start, end) = folder.cell(record.spec.name), cell_times(record)
    attached = [file, folder.picture(record.spec.name)]
    attached += [folder.root / record.histograms] if record.histograms else []
    return Entry(
        kind="cell",
        key=record.spec.name,
        name=marked(cell_name(record.spec), record.simulated),
        start=start,
        end=end,
        failed=record.state == "failed",
        parent=parent,
        params=as_params(_params(record)),
        metrics=as_metrics(_points(record)),
        tags=as_tags(_tags(record)),
        datasets=used(evaluation=record.data, training=record.training),
        files=tuple(one for one in attached if one.is_file()),
        source=sha256_of(file),
    )


def detector_name(spec: CellSpec) -> str:
    """Method and seed, such as ``spa s0``; of a supervised one, what it learned from as well."""
    return f"{spec.method}{spec.supervised_on and f' on {spec.supervised_on}'} s{spec.seed}"


def cell_name(spec: CellSpec) -> str:
    """Method, seed, dataset and post-processing, such as ``spa s0 wmh star``.

    Protocol and space follow where they are not the usual ones.
    """
    protocol = "" if spec.protocol == STRICT.name else spec.protocol
    space = "" if spec.space == "template" else spec.space
    parts = (detector_name(spec), spec.dataset, spec.postprocessing, protocol, space)
    return " ".join(filter(None, parts))


def marked(name: str, simulated: bool) -> str:
    """A title that says where numbers are simulated."""
    return f"{name} (simulated)" if simulated else name


def cell_times(record: CellRecord) -> tuple[int, int]:
    """When a cell began and ended, in milliseconds since 1970; local times count as UTC.

    Raises:
        UadBenchError: it does not say when it began.
    """
    text = record.environment.started
    try:
        started = datetime.fromisoformat(text)
    except ValueError:
        raise UadBenchError(
            f"cell {record.spec.name}: environment.started is {text!r}, which is no time: delete "
            "it and run again"
        ) from None
    if started.tzinfo is None:
        started = started.replace(tzinfo=UTC)
    seconds = started.timestamp()
    return round(1000 * seconds), round(1000 * (seconds + record.environment.wall_s))


def used(**datasets: DatasetUse | None) -> tuple[tuple[str, str, str], ...]:
    """Data sets as name, manifest hash and what each was used for."""
    return tuple(
        (f"{use.dataset} simulated" if use.simulated else use.dataset, use.manifest_hash, purpose)
        for purpose, use in datasets.items()
        if use is not None
    )


def of_dataset(role: str, use: DatasetUse | None) -> dict[str, Any]:
    """Parameters that say which data were used."""
    if use is None:
        return {}
    return {
        f"{role}.dataset": use.dataset,
        f"{role}.recipe": use.recipe,
        f"{role}.manifest": use.manifest_hash,
        f"{role}.subjects": use.subjects,
        f"{role}.scans": use.scans,
        f"{role}.slices": use.slices,
        f"{role}.excluded": len(use.excluded),
    }


def of_detector(record: CellRecord) -> dict[str, Any]:
    """Parameters that say which detector it was; the method's own are called ``method.NAME``."""
    spec, fit = record.spec, record.fit
    params: dict[str, Any] = {"method": spec.method, "seed": spec.seed}
    if spec.supervised_on:
        params["supervised_on"] = spec.supervised_on
    params |= {f"method.{name}": value for name, value in spec.params.items()}
    params |= of_dataset("training", record.training)
    if fit is not None:
        params["detector"] = fit.detector
        params["trials"] = fit.trials
        params["tuned"] = ", ".join(sorted(fit.tuned)) or "none"
    return params


def _params(record: CellRecord) -> dict[str, Any]:
    spec = record.spec
    return {
        **of_detector(record),
        "dataset": spec.dataset,
        "postprocessing": spec.postprocessing,
        "protocol": spec.protocol,
        "protocol_version": record.protocol_version,
        "space": spec.space,
        "device": record.environment.device,
        **of_dataset("data", record.data),
    }


def _points(record: CellRecord) -> list[tuple[str, float | None, int]]:
    """Results keep their names. Everything else is in a group: ``interval/``, ``cost/``, ..."""
    points: list[tuple[str, float | None, int]] = []
    for name, metric in record.metrics.items():
        points.append((name, metric.value, 0))
        points.append((f"interval/{name}.low", metric.low, 0))
        points.append((f"interval/{name}.high", metric.high, 0))
    points += [(f"threshold/{name}", value, 0) for name, value in record.thresholds.items()]
    points.append(("cost/wall_s", record.environment.wall_s, 0))
    points.append(("cost/peak_memory_mb", record.environment.peak_memory_mb, 0))
    if fit := record.fit:
        points += [("cost/training_s", fit.wall_s, 0), ("cost/training_steps", fit.steps, 0)]
        points += [(f"validation/{name}", value, 0) for name, value in fit.validation.items()]
    return points


def _tags(record: CellRecord) -> dict[str, str | bool]:
    note = []
    if record.simulated:
        uses = (("trained on", record.training), ("evaluated on", record.data))
        parts = [f"{verb} {use.dataset}" for verb, use in uses if use is not None and use.simulated]
        if record.fit is not None and record.fit.simulated_prior:
            parts.append("with a simulated tissue prior")
        note.append(f"**Simulated data**: {', '.join(parts)}.")
    if record.state == "failed":
        note.append(f"**Failed**: {record.reason}")
    return {
        "state": record.state,
        "simulated": record.simulated,
        "control": record.control,
        "supervised": record.supervised,
        "reason": record.reason,
        "git_commit": record.environment.git_commit or "",
        "mlflow.note.content": "\n\n".join(note),
    }
