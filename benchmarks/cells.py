"""A folder of many cells: its table, its frame, and reading it, in processor time."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.measure import Row, exponent, shown_seconds
from uad_bench.cells import CellRecord, CellSpec, DatasetUse, Environment
from uad_bench.evaluation.values import Metric, ScanScores
from uad_bench.results import ResultsFolder

SIZES = (4_800, 48_000)
_METHODS, _DATASETS, _METRICS = 20, 6, 23
_READ = "from pathlib import Path; from uad_bench import results; results.{}(Path({!r}))"
_FRAME = "import uad_bench as ub; ub.load_results({!r}).to_frame()"
_TABLE = "from uad_bench.cli import main; main(['table', '--results', {!r}])"


def measure() -> list[Row]:
    """Run each work in a process of its own, imports included, at two sizes."""
    seconds: dict[int, Mapping[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        for size in SIZES:
            folder = f"{name}/{size}"
            _make(ResultsFolder(Path(folder)), size)
            works = {
                "the command `table`": _TABLE.format(folder),
                "ub.load_results and to_frame": _FRAME.format(folder),
                "reading for these": _READ.format("load_lean_cells", folder),
                "reading by pydantic": _READ.format("load_cells", folder),
            }
            seconds[size] = {work: _processor_time(code) for work, code in works.items()}
    return [row for work in seconds[SIZES[0]] for row in _rows(work, seconds)]


def _rows(work: str, seconds: Mapping[int, Mapping[str, float]]) -> list[Row]:
    times = [some[work] for some in seconds.values()]
    shown = [shown_seconds(one) for one in times]
    rows = [
        Row(work=f"{size:,} cells: {work}", ours=text, got=text)
        for size, text in zip(seconds, shown, strict=True)
    ]
    slope = f"{exponent(list(seconds), times):.2f}"
    return [*rows, Row(work=f"{work}: exponent", ours=slope, got=slope)]


def _processor_time(code: str) -> float:
    """Return the seconds that all processors spent on some code."""
    before = os.times()
    command = [sys.executable, "-c", code]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return sum(after[2:4]) - sum(before[2:4])


def _make(folder: ResultsFolder, count: int) -> None:
    """Write cells of many seeds, with as many numbers as a real one of two patients."""
    folder.cells.mkdir(parents=True)
    for at in range(count):
        record = _cell(at)
        text = record.model_dump_json(indent=1)
        folder.cell(record.spec.name).write_text(text, encoding="utf-8")


def _cell(at: int) -> CellRecord:
    seed, place = divmod(at, _METHODS * _DATASETS)
    method, dataset = divmod(place, _DATASETS)
    numbers = {f"metric{one}": (at + one) % 997 / 997 for one in range(1, _METRICS)}
    use = DatasetUse(
        dataset=f"dataset{dataset}",
        simulated=True,
        manifest_hash="0",
        recipe="median",
        subjects=2,
        scans=2,
        slices=70,
    )
    return CellRecord(
        spec=CellSpec(
            method=f"method{method}",
            params={f"param{one}": one / 8 for one in range(16)},
            seed=seed,
            dataset=use.dataset,
            protocol="strict",
            postprocessing="none",
        ),
        protocol_version=2,
        state="done",
        method_title=f"Method {method}",
        training=use,
        data=use,
        metrics={
            name: Metric(value=value, low=value / 2, high=value, subjects=2)
            for name, value in {"auprc": at % 991 / 991, **numbers}.items()
        },
        scans=tuple(ScanScores(subject=who, metrics=numbers) for who in ("a", "b")),
        environment=Environment(
            versions=dict.fromkeys(("torch", "numpy", "scipy", "numba"), "1.0"),
            git_commit=None,
            device="cpu",
            started="2026-11-27T12:00:00+00:00",
            wall_s=1.5,
            peak_memory_mb=500.0,
        ),
    )
