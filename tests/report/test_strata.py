"""`strata` shows numbers by group of scans, and of no group that is too small."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compared_cells import cell, results, taught

import uad_bench as ub
from uad_bench.cells import CellRecord, ScanTraits
from uad_bench.cli import main
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.statistics.intervals import mean_interval
from uad_bench.evaluation.values import ScanScores
from uad_bench.phantom.layouts import write_layout

VALUES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]


def grouped(record: CellRecord, **traits: Sequence[Any]) -> CellRecord:
    """The record with traits of its scans, one per scan."""
    rows = [dict(zip(traits, row, strict=True)) for row in zip(*traits.values(), strict=True)]
    made = tuple(
        ScanTraits(
            subject=scan.subject, session=scan.session, **{"lesion_ml": 2.0, "lesions": 3} | row
        )
        for scan, row in zip(record.scans, rows, strict=True)
    )
    return record.model_copy(update={"traits": made})


def test_a_group_has_the_mean_and_the_interval_of_its_subjects(tmp_path):
    record = grouped(cell("spa", VALUES), sex=["female"] * 5 + ["male"] * 3)
    found = results(tmp_path, record).strata("sex", fewest=3)
    women, men = found.to_frame().itertuples()
    assert (women.group, women.subjects) == ("female", 5)
    assert women.value == pytest.approx(0.3)
    interval = mean_interval(VALUES[:5], "share")
    assert interval is not None
    assert (women.low, women.high) == pytest.approx((interval.low, interval.high))
    assert (men.group, men.subjects) == ("male", 3)
    assert np.isnan(men.low)


def test_groups_say_who_was_tested_on_a_part(tmp_path):
    sites = {"site": ["a"] * 8}
    whole = grouped(cell("vae", VALUES), **sites)
    part = grouped(taught(VALUES[:5]), site=["a"] * 5)
    found = results(tmp_path, whole, part).strata(by="site")
    assert found.to_frame().subjects.tolist() == [8, 5]
    assert "U-Net (MSLUB) on 5 of 8 subjects of MSLUB." in " ".join(str(found).split())


def test_a_small_group_shows_neither_its_number_nor_its_people(tmp_path):
    record = grouped(cell("spa", VALUES), site=["A"] * 5 + ["B"] * 3)
    found = results(tmp_path, record).strata("site")
    shown, hidden = found.to_frame().itertuples()
    assert shown.value == pytest.approx(0.3)
    assert np.isnan(hidden.value)
    assert np.isnan(hidden.subjects)
    assert "<5" in str(found)
    assert "fewer than 5 subjects are not shown" in str(found).replace("\n", " ")


def test_lesions_are_grouped_in_order_of_size_scan_by_scan(tmp_path):
    scans = tuple(
        ScanScores(subject="one", session=str(at), metrics={"auprc": value})
        for at, value in enumerate((0.2, 0.4, 0.6))
    )
    record = cell("spa", VALUES[:3]).model_copy(update={"scans": scans})
    record = grouped(record, lesion_ml=[30.0, 0.5, 0.9], lesions=[1, 40, 0])
    folder = results(tmp_path, record)
    volume = folder.strata("lesion-volume", fewest=1).to_frame()
    assert list(volume.group) == ["below 1 ml", "20 ml and more"]
    assert list(volume.value) == pytest.approx([0.5, 0.2])
    assert list(volume.subjects) == [1, 1]
    count = folder.strata("lesion-count", fewest=1).to_frame()
    assert list(count.group) == ["no lesion", "1", "21 and more"]


def test_seeds_are_averaged_and_controls_left_out(tmp_path):
    cells = [
        grouped(cell("spa", [v + e for v in VALUES], seed=s), age=["60 to 79"] * 8)
        for s, e in enumerate((-0.1, 0.1))
    ]
    control = grouped(cell("random", VALUES), age=["60 to 79"] * 8)
    control = control.model_copy(update={"control": True})
    folder = results(tmp_path, *cells, control)
    (line,) = folder.strata("age").to_frame().itertuples()
    assert line.value == pytest.approx(np.mean(VALUES))
    assert set(folder.strata("age", methods="spa,random").to_frame().method) == {"SPA", "random"}


def test_no_site_is_a_formula_in_a_spreadsheet(tmp_path):
    record = grouped(cell("spa", VALUES), site=['=cmd|"/c calc"!A1'] * 8)
    found = results(tmp_path, record).strata("site")
    (line,) = csv.DictReader(io.StringIO(found.csv()))
    assert line["group"] == '\'=cmd|"/c calc"!A1'
    assert float(line["value"]) == pytest.approx(np.mean(VALUES))
    assert found.to_frame().group.tolist() == ['=cmd|"/c calc"!A1']


def test_people_whom_nobody_describes_are_counted(tmp_path):
    record = grouped(cell("spa", VALUES), site=["A"] * 6 + [None] * 2)
    found = results(tmp_path, record).strata("site")
    assert "2 subjects in no group" in str(found).replace("\n", " ")


@pytest.mark.parametrize(
    ("by", "options", "message"),
    [
        ("shoes", {}, "--by shoes: unknown; available: site, scanner, age"),
        ("sex", {}, "not stated of any scan; name it in the column 'sex'"),
        ("site", {"metric": "patient_auroc"}, "no single one has a share"),
        ("site", {"fewest": 0}, "--fewest 0"),
        ("site", {"methods": "vea"}, "vea: no such method"),
    ],
)
def test_what_cannot_be_shown_is_one_line(tmp_path, by, options, message):
    record = grouped(cell("spa", VALUES), site=["A"] * 8)
    with pytest.raises(UadBenchError, match=message):
        results(tmp_path, record).strata(by, **options)


def test_a_pooled_metric_has_no_groups(tmp_path):
    record = grouped(cell("spa", VALUES, protocol="paper"), site=["A"] * 8)
    with pytest.raises(UadBenchError, match="--metric auprc: a number of all subjects together"):
        results(tmp_path, record).strata("site")


def test_cells_from_before_groups_are_named(tmp_path):
    with pytest.raises(UadBenchError, match="computed before results had groups"):
        results(tmp_path, cell("spa", VALUES)).strata("site")


def test_the_command_writes_a_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    results(tmp_path, grouped(cell("spa", VALUES), site=["A"] * 8))
    assert main(["strata", "--by", "site", "-f", "csv", "-o", "strata.csv"]) == 0
    assert Path("strata.csv").read_text(encoding="utf-8").startswith("dataset,simulated,by,group")
    assert main(["strata", "--by", "shoes"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_scans_as_a_frame_say_their_groups(tmp_path):
    record = grouped(cell("spa", VALUES), site=["A"] * 4 + ["B"] * 4, lesion_ml=range(8))
    frame = results(tmp_path, record).scans()
    assert list(frame.site) == ["A"] * 4 + ["B"] * 4
    assert list(frame.lesion_ml) == list(range(8))


@pytest.mark.slow
def test_a_run_writes_what_people_and_masks_say(tmp_path, monkeypatch, lab, brains):
    monkeypatch.chdir(tmp_path)
    write_layout("msi", tmp_path / "data" / "MSI", brains[:1])
    shutil.copytree(lab / "HI", tmp_path / "data" / "HI")
    table = tmp_path / "data" / "MSI" / "participants.tsv"
    lines = table.read_text(encoding="utf-8").splitlines()
    described = [f"{line}\t{word}" for line, word in zip(lines, ("sex", "F"), strict=True)]
    table.write_text("\n".join(described) + "\n", encoding="utf-8")
    ran = ub.run("thresholding", "msi", data_root="data", controls=[], mlflow=False, progress=False)
    record = next(one for one in ran.cells if one.spec.method == "thresholding")
    (traits,) = record.traits
    assert traits.sex == "female"
    assert traits.lesion_ml == pytest.approx(brains[0].lesion.sum() * 4.0**3 / 1000, rel=0.2)
    assert traits.lesions == 1
