"""What an MLflow run says about a cell: its parameters, metrics, tags and times."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from uad_bench.cells import CellRecord

# A tag longer than this is refused or cut by the oldest database schemas of MLflow.
_TAG_LENGTH = 5000
_NOT_IN_A_KEY = re.compile(r"[^\w\-. :/]", re.ASCII)


def run_name(record: CellRecord) -> str:
    """The run's title, which says where numbers are simulated."""
    return f"{record.spec.name} (simulated)" if record.simulated else record.spec.name


def run_params(record: CellRecord) -> dict[str, str]:
    """The run's parameters; the method's own are called ``method.NAME``."""
    spec, fit = record.spec, record.fit
    params: dict[str, Any] = {
        "method": spec.method,
        **({"supervised_on": spec.supervised_on} if spec.supervised_on else {}),
        "seed": spec.seed,
        "dataset": spec.dataset,
        "protocol": spec.protocol,
        "protocol_version": record.protocol_version,
        "postprocessing": spec.postprocessing,
        "space": spec.space,
        "device": record.environment.device,
        **dict(_flat("method", spec.params)),
    }
    for role, use in (("training", record.training), ("data", record.data)):
        if use is not None:
            params |= {
                f"{role}.dataset": use.dataset,
                f"{role}.recipe": use.recipe,
                f"{role}.manifest": use.manifest_hash,
                f"{role}.subjects": use.subjects,
                f"{role}.scans": use.scans,
                f"{role}.slices": use.slices,
                f"{role}.excluded": len(use.excluded),
            }
    if fit is not None:
        params["detector"] = fit.detector
        params["trials"] = fit.trials
        params["tuned"] = ", ".join(sorted(fit.tuned)) or "none"
    return {_key(name): str(value) for name, value in params.items()}


def run_metrics(record: CellRecord) -> list[tuple[str, float, int]]:
    """The run's numbers as name, value, step. Undefined and infinite ones are left out.

    Results keep their names: ``auprc``, with ``auprc.low`` and ``auprc.high`` as its 95 %
    interval. The rest is grouped under ``threshold/``, ``cost/``, ``validation/``, ``training/``.
    """
    points: list[tuple[str, float | None, int]] = []
    for name, metric in record.metrics.items():
        points.append((name, metric.value, 0))
        points += [(f"{name}.low", metric.low, 0), (f"{name}.high", metric.high, 0)]
    points += [(f"threshold/{name}", value, 0) for name, value in record.thresholds.items()]
    points.append(("cost/wall_s", record.environment.wall_s, 0))
    points.append(("cost/peak_memory_mb", record.environment.peak_memory_mb, 0))
    if fit := record.fit:
        points += [("cost/training_s", fit.wall_s, 0), ("cost/training_steps", fit.steps, 0)]
        points += [(f"validation/{name}", value, 0) for name, value in fit.validation.items()]
        for name, curve in fit.curves.items():
            points += [(f"training/{name}", value, step) for step, value in curve]
    return [
        (_key(name), float(value), step)
        for name, value, step in points
        if value is not None and math.isfinite(value)
    ]


def run_tags(record: CellRecord, results: Path, sha256: str) -> dict[str, str]:
    """The run's tags: what it is found by, and what a reader must not overlook.

    Args:
        record: the cell.
        results: the results folder it lies in.
        sha256: hash of its JSON file.
    """
    note = []
    if record.simulated:
        uses = (("trained on", record.training), ("evaluated on", record.data))
        parts = [f"{verb} {use.dataset}" for verb, use in uses if use is not None and use.simulated]
        if record.fit is not None and record.fit.simulated_prior:
            parts.append("with a simulated tissue prior")
        note.append(f"**Simulated data**: {', '.join(parts)}.")
    if record.state == "failed":
        note.append(f"**Failed**: {record.reason}")
    tags = {
        "cell": record.spec.name,
        "sha256": sha256,
        "results": str(results.resolve()),
        "state": record.state,
        "simulated": _word(record.simulated),
        "control": _word(record.control),
        "supervised": _word(record.supervised),
        "reason": record.reason,
        "git_commit": record.environment.git_commit or "",
        "mlflow.source.name": "uad-bench",
        "mlflow.note.content": "\n\n".join(note),
    }
    return {name: value[:_TAG_LENGTH] for name, value in tags.items() if value}


def run_datasets(record: CellRecord) -> list[tuple[str, str, str]]:
    """The run's data sets as name, manifest hash and what it was used for."""
    uses = (("evaluation", record.data), ("training", record.training))
    return [
        (f"{use.dataset} simulated" if use.simulated else use.dataset, use.manifest_hash, purpose)
        for purpose, use in uses
        if use is not None
    ]


def run_times(record: CellRecord) -> tuple[int, int]:
    """When the cell began and ended, in milliseconds since 1970; local times count as UTC."""
    started = datetime.fromisoformat(record.environment.started)
    if started.tzinfo is None:
        started = started.replace(tzinfo=UTC)
    seconds = started.timestamp()
    return round(1000 * seconds), round(1000 * (seconds + record.environment.wall_s))


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    """Nested mappings as dotted names; lists and the like as JSON."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat(f"{prefix}.{name}", inner)
    else:
        yield prefix, value if isinstance(value, str) else json.dumps(value, default=str)


def _key(name: str) -> str:
    """A name with only the characters that MLflow takes."""
    return _NOT_IN_A_KEY.sub("_", name)


def _word(flag: bool) -> str:
    return "true" if flag else "false"
