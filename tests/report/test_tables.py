"""Tables: what their rows, columns, cells and notes say, and what they refuse."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pytest
from made_tables import PROTOCOLS, PUBLISHED, build_table, note_of, notes, record, shown, study, use

from uad_bench.cells import (
    CellRecord,
    FitRecord,
)
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.values import Metric
from uad_bench.report.tables.formats.names import FORMATS, Format
from uad_bench.report.tables.formats.render import render


def test_rows_and_columns_stand_in_the_order_of_the_run_and_controls_to_the_right() -> None:
    names = ["unet", "control-black", "thresholding", "mine", "spa", "vae"]
    cells = [
        record(name, dataset=dataset, post=post)
        for name in names
        for dataset in ("zzz", "brats", "mslub")
        for post in ("star", "none")
    ]
    panel = build_table(cells).panels[0]
    assert [row.dataset for row in panel.rows] == ["zzz", "brats", "mslub"]
    assert [column.title for column in panel.columns[::2]] == [
        "Thresh.",
        "mine",
        "SPA",
        "VAE",
        "unet‡",
        "control-black†",
    ]
    assert panel.columns[1].title == "Thresh.*"


def test_variants_of_a_method_are_told_apart_by_what_differs() -> None:
    cells = [record("spa", params={"beta": beta, "snr": 16.0}) for beta in (1e-3, 1e-5)]
    titles = [column.title for column in build_table(cells).panels[0].columns]
    assert sorted(titles) == ["SPA (beta=0.001)", "SPA (beta=1e-05)"]


def test_variants_that_differ_in_much_are_told_apart_by_their_hash() -> None:
    cells = [record("spa", params={"a": k, "b": k, "c": k}) for k in (1, 2)]
    titles = {column.title for column in build_table(cells).panels[0].columns}
    assert titles == {f"SPA ({one.spec.params_hash})" for one in cells}


def test_simulated_and_real_cells_of_one_dataset_never_share_a_row() -> None:
    cells = [
        record("spa", 0.3, data=use("mslub", simulated=True)),
        record("vae", 0.6, data=use("mslub", simulated=False)),
    ]
    by = shown(build_table(cells).panels[0])
    assert by["MSLUB (simulated)", "SPA"].text == "0.300"
    assert by["MSLUB", "SPA"].state == "absent"
    assert by["MSLUB", "VAE"].text == "0.600"


@pytest.mark.parametrize("form", FORMATS)
def test_simulated_stands_wherever_data_are_and_nowhere_else(form: Format) -> None:
    mixed = render([build_table(study())], form)
    assert "simulated" in mixed
    assert "BraTS (simulated)" not in mixed
    real = [
        record("spa", data=use("mslub", simulated=False), training=use("hi", simulated=False)),
        record("vae", data=use("mslub", simulated=False), training=use("hi", simulated=False)),
    ]
    assert "simulated" not in render([build_table(real)], form).replace(",simulated,", ",", 1)


def test_an_atlas_of_phantoms_is_told_where_all_datasets_are_real() -> None:
    real = {"data": use("mslub", simulated=False), "training": use("hi", simulated=False)}
    fit = FitRecord(detector="spa-1", simulated_prior=True)
    cell = record("spa", **real).model_copy(update={"fit": fit})
    assert cell.simulated
    caption = build_table([cell]).caption
    assert caption.startswith("Simulated: the tissue prior (--atlas).")
    assert "imulated" not in build_table([record("spa", **real)]).caption


def test_a_tissue_prior_of_the_template_is_told_by_the_method_that_used_it() -> None:
    fit = FitRecord(detector="spa-1", fallback_prior=True)
    cell = record("spa").model_copy(update={"fit": fit})
    basis = build_table([cell, record("vae")]).basis
    assert "Tissue prior of SPA: the MNI152 template's maps (fallback)" in basis
    assert "fallback" not in build_table([record("spa"), record("vae")]).basis


def test_what_a_record_says_of_its_numbers_is_a_footnote_of_them() -> None:
    cell = record("spa").model_copy(update={"notes": ("its scores saturate",)})
    table = build_table([cell, record("vae")])
    texts = [note for note in table.notes if "saturate" in note.text]
    assert [note.text for note in texts] == ["SPA: its scores saturate."]
    for panel in table.panels:
        cells = shown(panel)
        marked = {title for (_, title), one in cells.items() if one.marks}
        assert marked == {"SPA"}


def test_the_caption_says_what_is_simulated() -> None:
    assert build_table([record("spa")]).caption.startswith("All data are simulated.")
    both = build_table([record("spa")], published=PUBLISHED).caption
    assert both.startswith("All data but those of published numbers are simulated.")
    real = build_table([record("spa", data=use("mslub", simulated=False))]).caption
    assert real.startswith("Simulated: the training data (HI).")
    assert build_table(study()).caption.startswith(
        "Simulated: the training data (HI) and the patients of MSLUB."
    )


def test_one_note_names_protocol_training_recipe_seeds_and_subjects() -> None:
    table = build_table(study())
    assert table.caption.endswith("Results per dataset, protocol strict.")
    for part in (
        f"Protocol strict, version {PROTOCOLS['strict'].version}",
        "20 subjects of HI (simulated)",
        "recipe: median",
        "Seeds: 0, 1 (mean ± standard deviation",
        "Test subjects: 6 in each dataset",
        "*: positive residual",
    ):
        assert part in table.basis


def test_a_table_explains_its_own_metrics_and_no_others() -> None:
    auprc = build_table(study(), metrics=["auprc"]).basis
    assert "Dice" not in auprc
    assert "Threshold" not in auprc
    assert "Maximum Dice is an upper bound" in build_table(study(), metrics=["max_dice"]).basis
    both = build_table(study(), metrics=["dice", "hd95"]).basis
    assert both.count("Threshold: a false-positive rate of 1 %") == 1


def test_seeds_become_mean_and_standard_deviation() -> None:
    values = [0.2, 0.3, 0.7]
    cells = [record("spa", value, seed=seed) for seed, value in enumerate(values)]
    cell = build_table(cells, intervals=True).panels[0].cells[0][0]
    assert cell.value == pytest.approx(np.mean(values))
    assert cell.sd == pytest.approx(np.std(values, ddof=1))
    assert cell.low == pytest.approx(np.mean(values) - 0.05)
    assert cell.text == "0.400 ± 0.265"


def test_intervals_are_shown_only_when_asked_for() -> None:
    plain_table = build_table([record("spa")])
    assert plain_table.panels[0].cells[0][0].interval == ""
    for form in FORMATS:
        assert "interval" not in render([plain_table], form)
    (line, *_) = csv.DictReader(io.StringIO(render([plain_table], "csv")))
    assert (float(line["low"]), float(line["high"])) == pytest.approx((0.45, 0.55))
    asked = build_table([record("spa")], intervals=True)
    assert asked.panels[0].cells[0][0].interval == "[0.450, 0.550]"
    assert any("95 % interval" in note.text for note in asked.notes)


def test_a_number_without_an_interval_is_explained_where_intervals_are_asked_for() -> None:
    cells = [record("spa", metrics={"dice": Metric(value=0.4, subjects=3)})]
    for asked, metric in ((True, "dice"), (False, "dice"), (True, "auprc")):
        table = build_table(cells, metrics=[metric], intervals=asked)
        found = "fewer than 4 subjects" in " ".join(note.text for note in table.notes)
        assert found is (asked and metric == "dice")


def test_a_failed_cell_is_shown_with_its_reason() -> None:
    table = build_table([record("spa"), record("vae", reason="no\nmemory")])
    cell = shown(table.panels[0])["MSLUB (simulated)", "VAE"]
    assert (cell.text, cell.state) == ("–", "failed")
    assert note_of(table, cell.marks) == "Failed: no memory."


def test_a_failed_seed_stays_visible_beside_the_mean_of_the_others() -> None:
    cells = [record("spa", 0.4), record("spa", seed=1, reason="diverged.")]
    table = build_table(cells)
    cell = table.panels[0].cells[0][0]
    assert (cell.text, cell.seeds) == ("0.400", 1)
    assert note_of(table, cell.marks) == "Failed with seed 1: diverged."


def test_an_undefined_metric_and_a_missing_cell_are_not_the_same() -> None:
    cells = [record("spa", None), record("vae", dataset="wmh")]
    table = build_table(cells)
    by = shown(table.panels[0])
    assert by["MSLUB (simulated)", "SPA"].text == "n/a"
    assert by["WMH (simulated)", "SPA"].text == "–"
    assert notes(table)["–"] == "Not computed."


def test_excluded_scans_are_named_with_their_reason() -> None:
    table = build_table(study())
    row = table.panels[0].rows[1]
    assert note_of(table, row.marks) == "patient_19 is excluded: FLAIR holds NaN & 100 % noise."
    assert table.panels[0].rows[0].marks == ()


def test_masks_whose_headers_were_not_believed_are_told() -> None:
    data = use("mslub").model_copy(update={"displaced": 2, "displaced_mm": 1.5})
    table = build_table([record("spa", 0.5, data=data)])
    assert note_of(table, table.panels[0].rows[0].marks) == (
        "Masks of 2 scans were displaced by up to 1.5 mm by their headers and laid voxel on voxel "
        "(--mask-shift)."
    )


def test_penalised_and_skipped_scans_are_counted() -> None:
    metric = Metric(value=3.0, unit="mm", better="lower", penalised=1, skipped=2)
    table = build_table([record("spa", metrics={"hd95": metric})], metrics=["hd95"])
    text = note_of(table, table.panels[0].cells[0][0].marks)
    assert text == (
        "1 scan with lesions entered with the penalty of an empty prediction; "
        "2 scans left out: no lesion in the mask."
    )


@pytest.mark.parametrize(
    ("protocol", "name", "unit", "reason"),
    [
        ("strict", "auprc", "", "no lesion in the mask"),
        ("strict", "hd", "mm", "no lesion in the mask"),
        ("strict", "fpr", "", "no healthy voxel"),
        ("strict", "lesion_recall_small", "", "no lesion below 0.1 ml"),
        ("strict", "lesion_recall_medium", "", "no lesion of 0.1 to 1 ml"),
        ("strict", "lesion_recall_large", "", "no lesion of 1 ml or more"),
        ("paper", "hd", "px", "no slice with both lesion and prediction"),
        ("paper", "hd_coverage", "", "no slice with lesion or prediction"),
    ],
)
def test_a_footnote_says_what_the_scans_left_out_do_not_have(
    protocol: str, name: str, unit: str, reason: str
) -> None:
    metric = Metric(value=0.5, unit=unit, skipped=1)
    table = build_table(
        [record("spa", protocol=protocol, metrics={name: metric})], protocol, metrics=[name]
    )
    text = note_of(table, table.panels[0].cells[0][0].marks)
    assert text == f"1 scan left out: {reason}."


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_numbers_of_another_version_of_the_protocol_are_not_passed_off_as_this_one(
    protocol: str,
) -> None:
    version = PROTOCOLS[protocol].version
    old = record("spa", protocol=protocol).model_copy(update={"protocol_version": version - 1})
    with pytest.raises(UadBenchError, match=f"version {version - 1}, .* version {version}") as told:
        build_table([old, record("vae", protocol=protocol)], protocol)
    assert "--overwrite all" in str(told.value)
    without = CellRecord.model_validate(old.model_dump(exclude={"protocol_version"}))
    assert without.protocol_version == 1  # what was written before the version was


def test_numbers_of_another_version_of_the_post_processing_are_refused_too() -> None:
    old = record("spa", post="star").model_copy(update={"postprocessing_version": 7})
    with pytest.raises(UadBenchError, match=r"post-processing star, version 7, .* version 1: run"):
        build_table([old])


PREVALENT = {"prevalence": Metric(value=0.0084, better=None)}


@pytest.mark.parametrize("form", FORMATS)
def test_prevalence_stands_beside_auprc_in_every_format(form: Format) -> None:
    cells = [record(name, dataset=one, metrics=PREVALENT) for name in "ab" for one in "cd"]
    text = render([build_table(cells)], form)
    assert "Prevalence" in text
    shown_as = {"latex": r"0.84\,\%", "csv": "0.0084"}.get(form, "0.84 %")
    assert text.count(shown_as) == 2


def test_prevalence_is_that_of_everybody_not_of_a_supervised_method_s_part() -> None:
    part = record("unet", metrics={"prevalence": Metric(value=0.5, better=None)})
    spec = part.spec.model_copy(update={"supervised_on": part.spec.dataset})
    part = part.model_copy(update={"spec": spec, "supervised": True})
    table = build_table([part, record("vae", metrics=PREVALENT)])
    assert table.panels[0].cells[0][-1].text == "0.84 %"


def test_prevalence_is_of_the_dataset_and_beside_nothing_but_auprc() -> None:
    cells = [record("spa", metrics=PREVALENT), record("vae", dataset="wmh")]
    table = build_table([*cells, record("spa", dataset="wmh", reason="no")], compare="spa")
    assert [panel.columns[-1].title for panel in table.panels[:2]] == ["Prevalence", "VAE"]
    first, second, summary = (row[-1] for row in table.panels[0].cells)
    assert (first.text, first.rank) == ("0.84 %", 0)
    assert second.state == "undefined"
    assert summary.state == "absent"
    metrics = [one for protocol in PROTOCOLS.values() for one in protocol.metrics]
    assert {one.name for one in metrics if one.chance} == {
        one.name for one in metrics if "auprc" in one.name
    }


@pytest.mark.parametrize("asked", [None, ["hd"], ["hd", "auprc"], ["hd_coverage", "hd"]])
def test_a_distance_per_slice_never_stands_without_its_share_of_slices(
    asked: list[str] | None,
) -> None:
    values = {
        "hd": Metric(value=9.0, unit="px", better="lower"),
        "hd_coverage": Metric(value=0.3),
    }
    table = build_table([record("spa", protocol="paper", metrics=values)], "paper", metrics=asked)
    names = [panel.metric for panel in table.panels]
    assert {"hd", "hd_coverage"} <= set(names)
    assert len(names) == len(set(names))
    strict = build_table([record("spa", metrics={"hd": Metric(value=9.0)})], metrics=["hd"])
    assert [panel.metric for panel in strict.panels] == ["hd"]


def test_data_that_changed_between_cells_is_said() -> None:
    cells = [record("spa"), record("vae", data=use("mslub", manifest_hash="other"))]
    table = build_table(cells)
    assert "do not compare" in note_of(table, table.panels[0].rows[0].marks)
    assert not table.ranked
    assert build_table([record("spa"), record("vae")]).ranked


def test_a_detector_from_another_training_dataset_is_marked() -> None:
    cells = [record("spa"), record("vae", training=use("ixi", simulated=False))]
    table = build_table(cells)
    marks = {column.title: note_of(table, column.marks) for column in table.panels[0].columns}
    assert marks == {"SPA": "Learned from HI (simulated).", "VAE": "Learned from ixi."}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": "paper"}, "no results under protocol paper; there are some under strict"),
        ({"metrics": ["iou"]}, "--metrics iou: not in the results .* available: auprc, dice"),
        ({"compare": "sap"}, "--compare sap: no such method .* Did you mean 'spa'"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UadBenchError, match=message):
        build_table([record("spa")], **options)
