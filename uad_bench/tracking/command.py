"""What MLflow is told of a command: the parent of all that it computed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from uad_bench.cells import CellRecord
from uad_bench.results import ResultsFolder
from uad_bench.tracking.cell import cell_times, marked
from uad_bench.tracking.entry import Entry, as_metrics, as_params, as_tags

_MAPS = "maps"
"""The key of cells whose maps were made elsewhere, which have no run of ours."""

_ASKED = {
    "method": ("methods", "method"),
    "dataset": ("datasets", "dataset"),
    "seed": ("seeds", "seed"),
    "postprocessing": ("postprocessing", "postprocessing"),
}
"""What a command was asked for: the setting, and what cells call it."""

_NAMED = 3
"""So many methods or datasets are in a name; of more, the rest is counted."""

_NOTE_LENGTH = 4900


def command_entry(
    records: Sequence[CellRecord], folder: ResultsFolder, tables: Mapping[str, str] | None = None
) -> Entry:
    """The entry of the command that computed some cells.

    MLflow lets no parameter change, so that only settings are parameters. What is gathered from
    cells, as where maps were made elsewhere, grows with them.

    Args:
        records: all of its cells, or the first one.
        folder: the results folder, with its settings.
        tables: tables of all its cells by file name, once it has ended.
    """
    run = records[0].run
    times = [cell_times(record) for record in records]
    start = min(begun for begun, _ in times)
    settings = _settings(folder, run)
    named = _named(records, settings)
    what = f"{_listed(named['method'])} on {_listed(named['dataset'])}"
    simulated = any(record.simulated for record in records)
    date = datetime.fromtimestamp(start / 1000, UTC).strftime("%Y-%m-%d %H:%M")
    return Entry(
        kind="command",
        key=run or _MAPS,
        name=marked(f"{date} {what}", simulated),
        start=start,
        end=max(ended for _, ended in times),
        params=as_params(
            {name: ", ".join(named[name]) for name, (key, _) in _ASKED.items() if settings.get(key)}
            | {f"setting.{name}": value for name, value in _others(settings).items()}
        ),
        metrics=as_metrics(_counts(records)) if tables is not None else (),
        tags=as_tags(
            {
                "simulated": simulated,
                "mlflow.note.content": _note(tables or {}),
            }
        ),
        texts=tables or {},
    )


def _note(tables: Mapping[str, str]) -> str:
    """The tables, or where they are."""
    markdown = next((text for name, text in tables.items() if name.endswith(".md")), "")
    if len(markdown) <= _NOTE_LENGTH:
        return markdown
    return f"The tables are in *Artifacts*: {', '.join(tables)}."


def _settings(folder: ResultsFolder, run: str) -> dict[str, Any]:
    """The settings of a run, none where their file is gone or there never was one."""
    try:
        values = json.loads((folder.runs / f"{run}.json").read_bytes()) if run else {}
    except (OSError, ValueError):
        return {}
    return dict(values) if isinstance(values, dict) else {}


def _named(records: Sequence[CellRecord], settings: Mapping[str, Any]) -> dict[str, list[str]]:
    """Methods, datasets, seeds and post-processings: as asked for, else those of the cells."""
    named = {}
    for name, (setting, field) in _ASKED.items():
        values = settings.get(setting) or sorted({getattr(one.spec, field) for one in records})
        named[name] = [str(value) for value in values]
    return named


def _others(settings: Mapping[str, Any]) -> dict[str, Any]:
    """All other settings that were given or have a default."""
    taken = {setting for setting, _ in _ASKED.values()}
    return {
        name: value
        for name, value in settings.items()
        if name not in taken and value not in (None, [], {})
    }


def _counts(records: Sequence[CellRecord]) -> list[tuple[str, float | None, int]]:
    detectors = {record.fit.detector: record.fit.wall_s for record in records if record.fit}
    return [
        ("cells", float(len(records)), 0),
        ("failed", float(sum(record.state == "failed" for record in records)), 0),
        ("detectors", float(len(detectors)), 0),
        ("cost/training_s", sum(detectors.values()), 0),
        ("cost/wall_s", sum(record.environment.wall_s for record in records), 0),
    ]


def _listed(words: Sequence[str]) -> str:
    shown = ", ".join(words[:_NAMED])
    return shown if len(words) <= _NAMED else f"{shown} and {len(words) - _NAMED} more"
