"""Exports: what goes out is whole, and nothing of the machine goes with it."""

from __future__ import annotations

import json

import pytest
from made_archives import cell, members, results

import uad_bench as ub
from uad_bench.cells import FitRecord
from uad_bench.sharing.paths import without_paths


def test_the_same_content_is_the_same_bytes(archive, tmp_path):
    root = tmp_path / "elsewhere" / "results"
    again = results(root, cell(1), cell(0)).export(tmp_path / "run.zip")
    assert again.read_bytes() == archive.read_bytes()


def test_without_histograms_the_rest_goes_out_and_comes_in(archive, tmp_path):
    from_run = results(tmp_path / "results", cell(0), cell(1))
    slim = from_run.export(tmp_path / "slim.zip", histograms=False)
    whole, found = members(archive), members(slim)
    assert set(found) == {name for name in whole if not name.startswith("histograms/")}
    assert any("No histograms" in note for note in json.loads(found["archive.json"])["notes"])
    taken = ub.import_results(slim, tmp_path / "others")
    assert [one.histograms for one in taken.cells] == [None, None]
    assert [one.metrics for one in taken.cells] == [one.metrics for one in from_run.cells]


def test_no_path_of_the_machine_goes_out(archive):
    for name, data in members(archive).items():
        assert b"alice" not in data, name
        assert b"studies 2" not in data, name  # cells name their studies
    (seed,) = [json.loads(d) for n, d in members(archive).items() if "s0-" in n and ".json" in n]
    assert seed["spec"]["params"]["weights"] == "net.pth"
    assert seed["data"]["excluded"][0]["reason"] == "b.nii.gz: no brain in it"


def test_no_folder_of_a_relative_path_goes_out(tmp_path):
    params = {"weights": "nets of alice/net.pth", "share": "1/2", "steps": 5}
    spec = cell(0).spec.model_copy(update={"params": params})
    made = results(tmp_path / "r", cell(0, spec=spec, histograms=None))
    planned = {**spec.model_dump(), "code": ""}
    (tmp_path / "r/plan.json").write_text(
        json.dumps({"command": "run", "folder": "/home/ann", "cells": [planned]})
    )
    (tmp_path / "r/runs/0a1b2c3d.json").write_text(
        json.dumps({"recipe": "median", "param": {"fae.weights": params["weights"]}})
    )
    files = members(made.export(tmp_path / "run.zip"))
    assert not [name for name, data in files.items() if b"alice" in data]
    assert json.loads(files["plan.json"])["folder"] == ""
    assert json.loads(files["plan.json"])["cells"][0]["params"] == {**params, "weights": "net.pth"}
    assert json.loads(files["runs/0a1b2c3d.json"])["param"] == {"fae.weights": "net.pth"}


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("cannot read /data/x y/a.nii: gone", "cannot read a.nii: gone"),
        ("~/my scans/a.nii", "a.nii"),
        (
            "see https://example.org/a/b, 3 mm/s and 1/2",
            "see https://example.org/a/b, 3 mm/s and 1/2",
        ),
        ("bids:/data/wmh", "bids:wmh"),
        (["/a/b", {"c": "/d/e.npz"}, 1.5, None], ["b", {"c": "e.npz"}, 1.5, None]),
    ],
)
def test_of_a_path_the_last_part_is_left(text, left):
    assert without_paths(text) == left
    assert without_paths(left) == left


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("plan.json", "{"),
        ("plan.json", "{}"),
        ("runs/0a1b2c3d.json", "[]"),
        ("runs/0a1b2c3d.json", '{"a": '),
        ("manifests/0123456789abcdef.json", "{"),
        ("histograms/*", "PK"),
        ("tuning/fae-1.log", '{"op_code": 0}\n{"op\n'),
    ],
)
def test_an_export_of_a_damaged_file_is_refused_in_one_line(tmp_path, name, text):
    tuned = FitRecord(detector="fae-s0-11111111", trials=2, studies=("fae-1",))
    found = results(tmp_path / "r", cell(0, fit=tuned))
    file = next((tmp_path / "r").glob(name), tmp_path / "r" / name)
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    with pytest.raises(ub.UadBenchError) as caught:
        found.export(tmp_path / "run.zip")
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run.zip").exists()


def test_the_cut_last_line_of_a_journal_does_not_stop_an_export(tmp_path):
    tuned = FitRecord(detector="fae-s0-11111111", trials=2, studies=("fae-1", "shared-1"))
    found = results(tmp_path / "r", cell(0, fit=tuned))
    (tmp_path / "r/tuning").mkdir()
    for name in ("fae-1", "shared-1", "fae-2"):
        (tmp_path / f"r/tuning/{name}.log").write_text('{"op_code": 0}\n{"op')
    files = members(found.export(tmp_path / "run.zip"))
    assert files["tuning/fae-1.log"] == b'{"op_code": 0}\n'
    assert "tuning/shared-1.log" in files, "the training of another method"
    assert "tuning/fae-2.log" not in files, "no cell stands on it"


def test_an_export_says_which_file_is_gone(tmp_path):
    found = results(tmp_path / "r", cell(0))
    (tmp_path / "r" / found.cells[0].histograms).unlink()
    with pytest.raises(ub.UadBenchError, match=r"npz: is gone, and a cell stands on it"):
        found.export(tmp_path / "run.zip")
    assert not (tmp_path / "run.zip").exists()
