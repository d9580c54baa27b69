"""Cells are read twice as fast for tables and frames, and are the same cells to the last bit."""

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_cells import made_cell, made_use

import uad_bench as ub
from uad_bench.cells import CellRecord, Exclusion, FitRecord, MapsUse, ScanTraits
from uad_bench.cli import main
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.protocols.strict import STRICT
from uad_bench.evaluation.values import Metric, ScanScores
from uad_bench.lean import whole
from uad_bench.plugins.registry import open_registry
from uad_bench.report.frames import cells_frame, scans_frame
from uad_bench.report.tables.chosen import chosen_tables
from uad_bench.report.tables.formats.render import render
from uad_bench.results import ResultsFolder, load_cells, load_lean_cells, write_cell

FULL = made_cell(
    "spa",
    "wmh",
    params={"steps": 3, "rate": 0.5, "on": True, "sizes": [1, {"a": "ß"}], "weights": None},
    training=made_use("hi", simulated=True),
    data=made_use("wmh", excluded=(Exclusion(scan="a", reason="moved"),)),
    fit=FitRecord(
        detector="spa-s0-1",
        validation={"l1": 0.1},
        objective="painted",
        curves={"loss": ((1, 0.5), (2, 0.25))},
        notes=("a note",),
    ),
    maps=MapsUse(digest="0", healthy=made_use("hi")),
    thresholds={"fpr1": 0.25},
    metrics={
        "dice": Metric(value=0.1 + 0.2, low=0.25, high=0.5, subjects=4),
        "hd95": Metric(value=None, unit="mm", better="lower", skipped=3),
        "fpr": Metric(value=0.01, better=None, target=0.01),
    },
    missing={"froc": "no lesions"},
    scans=(ScanScores(subject="a", session="1", metrics={"dice": 0.3, "hd95": None}),),
    traits=(ScanTraits(subject="a", session="1", sex="F", lesion_ml=1.5, lesions=2),),
    notes=("its scores saturate",),
)
FAILED = made_cell("vae", "wmh", reason="no memory")


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The places of all values of some JSON, the outermost first."""
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    return [at, *(place for key in keys for place in places(value[key], (*at, key)))]


STORED = json.loads(FULL.model_dump_json())
WORDS = st.sampled_from(["value", "lower", "space", "native", "higher", "done", "", "ß", "1"])
NUMBERS = st.sampled_from(
    ["0", "1", "-0.0", "1.0", "1e3", "2.5", "1e308", "1e999", "NaN", "Infinity", "-1", str(2**70)]
)
VALUES = (
    NUMBERS | WORDS.map(json.dumps) | st.sampled_from(["null", "true", "[]", "{}", "[1]", "\\"])
)


@st.composite
def edited(draw: st.DrawFn) -> str:
    """The JSON of a cell with one place taken away, renamed, added or set to something else."""
    *outer, key = draw(st.sampled_from(places(STORED)[1:]))
    cell = copy.deepcopy(STORED)
    part = cell
    for one in outer:
        part = part[one]
    how = draw(st.sampled_from(["set", "remove", "rename"]))
    if how == "set" or isinstance(part, list):
        part[key] = "HERE"
    elif how == "remove":
        del part[key]
    else:
        part[draw(WORDS)] = part.pop(key) if draw(st.booleans()) else "HERE"
    return json.dumps(cell).replace('"HERE"', draw(VALUES))


def load_for_tables(root: Path) -> tuple[CellRecord, ...]:
    return load_lean_cells(root, scans=False)


def names(load: Callable[[Path], tuple[CellRecord, ...]], root: Path) -> list[str]:
    """The names of the cells, or why there are none."""
    try:
        return [one.spec.name for one in load(root)]
    except UadBenchError as error:
        return [str(error)]


def outcome(load: Callable[[Path], tuple[CellRecord, ...]], root: Path) -> list[str]:
    """The cells and their names, or why there are none. ``repr`` tells 1 from 1.0 and True."""
    try:
        return [text for one in load(root) for text in (one.spec.name, repr(whole(one)))]
    except UadBenchError as error:
        return [str(error)]


@given(edited())
def test_an_edited_cell_is_the_same_cell_or_refused_in_the_same_words(tmp_path_factory, text):
    folder = ResultsFolder(tmp_path_factory.mktemp("results"))
    write_cell(folder, FULL).write_text(text)
    assert outcome(load_lean_cells, folder.root) == outcome(load_cells, folder.root)
    # for tables it is checked whole, though not kept whole
    assert names(load_for_tables, folder.root) == names(load_cells, folder.root)


@pytest.mark.parametrize("damage", ["", "{", "\x80", "[]", "{}", "null", '{"spec": "\\ud800"}'])
def test_a_damaged_cell_is_refused_in_the_same_words(tmp_path: Path, damage: str):
    write_cell(ResultsFolder(tmp_path), FULL).write_bytes(damage.encode("latin-1"))
    (said,) = outcome(load_lean_cells, tmp_path)
    assert "is not a cell record" in said
    assert [said] == outcome(load_cells, tmp_path) == names(load_for_tables, tmp_path)


def test_a_copied_cell_is_refused_in_the_same_words(tmp_path: Path):
    file = write_cell(ResultsFolder(tmp_path), FULL)
    file.rename(file.with_name(f"a-{file.name}"))
    for load in (load_cells, load_lean_cells):
        with pytest.raises(UadBenchError, match="delete the copy, or give it its name back"):
            load(tmp_path)


def test_a_cell_that_cannot_be_read_is_one_line(tmp_path: Path):
    (ResultsFolder(tmp_path).cells / "a.json").mkdir(parents=True)
    for load in (load_cells, load_lean_cells):
        with pytest.raises(UadBenchError, match=r"cannot read .*a\.json: Is a directory"):
            load(tmp_path)


@pytest.fixture(name="cells")
def _cells(tmp_path: Path) -> tuple[CellRecord, ...]:
    for cell in (FULL, FAILED):
        write_cell(ResultsFolder(tmp_path), cell)
    return load_cells(tmp_path)


@pytest.mark.parametrize("words", [{}, {"compare": "spa"}])
def test_the_command_table_reads_less_and_shows_the_same(tmp_path: Path, capsys, words):
    for method in ("spa", "vae"):
        for dataset in ("wmh", "mslub"):
            values = {"metrics": FULL.metrics, "scans": FULL.scans, "data": made_use(dataset)}
            cell = made_cell(method, dataset, protocol_version=STRICT.version, **values)
            write_cell(ResultsFolder(tmp_path), cell)
    cells = load_cells(tmp_path)
    flags = [part for name, value in words.items() for part in (f"--{name}", value)]
    assert main(["table", "--results", str(tmp_path), "-f", "csv", *flags]) == 0
    tables = chosen_tables(cells, open_registry(None), **words)
    assert capsys.readouterr().out == render(tables, "csv")


def test_what_is_not_read_for_tables_is_no_empty_list(tmp_path: Path, cells):
    for record in load_for_tables(tmp_path):
        with pytest.raises(TypeError):
            list(record.scans)


def test_a_cell_that_was_read_has_the_properties_of_its_record(tmp_path: Path, cells):
    for found, expected in zip(load_lean_cells(tmp_path), cells, strict=True):
        assert (found.group, found.simulated) == (expected.group, expected.simulated)
        assert found.spec.params_hash == expected.spec.params_hash
        assert [one.name for one in found.scans] == [one.name for one in expected.scans]


def test_frames_of_a_folder_are_those_of_its_records(tmp_path: Path, cells):
    results = ub.load_results(tmp_path)
    assert results.to_frame().equals(cells_frame(cells))
    assert results.scans().equals(scans_frame(cells))


def test_the_cells_of_a_folder_are_records_and_travel(tmp_path: Path, cells):
    results = ub.load_results(tmp_path)
    assert results.cells == cells
    assert results.failed == (FAILED,)
    again = pickle.loads(pickle.dumps(results))
    assert (again.folder, again.cells, repr(again)) == (tmp_path, cells, repr(results))
