"""Tables: what they say, how they rank, and that LaTeX, Markdown, CSV and terminals show it."""

from __future__ import annotations

import csv
import io
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_cells import made_cell, made_use
from scipy import stats

from uad_bench.cells import (
    CellRecord,
    DatasetUse,
    Exclusion,
    FitRecord,
)
from uad_bench.cli import main
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.postprocessings.none import NONE
from uad_bench.evaluation.postprocessings.star import STAR
from uad_bench.evaluation.protocols.paper import PAPER
from uad_bench.evaluation.protocols.strict import STRICT
from uad_bench.evaluation.values import Metric, ScanScores
from uad_bench.report.bercea2022 import BERCEA_2022
from uad_bench.report.publication import load_published
from uad_bench.report.tables import build
from uad_bench.report.tables.formats.names import FORMATS, Format, format_of
from uad_bench.report.tables.formats.render import render
from uad_bench.report.tables.formats.terminal import plain
from uad_bench.report.tables.formats.tex import escape
from uad_bench.report.tables.model import Cell, Column, Group, Panel, Table, format_number
from uad_bench.report.tables.values import average_improvement, ranked
from uad_bench.results import ResultsFolder, write_cell

GOLDEN = Path(__file__).parent / "golden"
ENDINGS: dict[Format, str] = {
    "terminal": "txt",
    "latex": "tex",
    "markdown": "md",
    "html": "html",
    "csv": "csv",
}


PROTOCOLS = {"strict": STRICT, "paper": PAPER}
PUBLISHED = load_published(BERCEA_2022)


def build_table(records: Sequence[CellRecord], protocol: str = "strict", **options: Any) -> Table:
    return build.build_table(records, PROTOCOLS[protocol], [NONE, STAR], **options)


def use(dataset: str, **changes: Any) -> DatasetUse:
    return made_use(dataset, **{"simulated": True, "slices": 400, **changes})


def record(
    method: str,
    auprc: float | None = 0.5,
    *,
    dataset: str = "mslub",
    post: str = "none",
    seed: int = 0,
    protocol: str = "strict",
    params: dict[str, Any] | None = None,
    reason: str = "",
    data: DatasetUse | None = None,
    training: DatasetUse | None = None,
    metrics: dict[str, Metric] | None = None,
    scans: Sequence[float] = (),
    title: str = "",
) -> CellRecord:
    """One cell; a reason makes it a failed one."""
    titles = {"spa": "SPA", "vae": "VAE", "gmvae": "GMVAE", "thresholding": "Thresh."}
    interval = {} if auprc is None else {"low": auprc - 0.05, "high": auprc + 0.05}
    values = {"auprc": Metric(value=auprc, subjects=6, **interval)}
    values |= {
        name: Metric(value=auprc and round(auprc * 0.8, 4), subjects=6)
        for name in ("dice", "max_dice")
    }
    values["hd95"] = Metric(
        value=auprc and round(60 * (1 - auprc), 3), unit="mm", better="lower", subjects=6
    )
    return made_cell(
        method,
        dataset,
        protocol=protocol,
        post=post,
        seed=seed,
        params=params,
        reason=reason,
        protocol_version=PROTOCOLS[protocol].version,
        method_title=title or titles.get(method, method),
        control=method.startswith("control"),
        supervised=method == "unet",
        training=training or use("hi", subjects=20),
        data=data or use(dataset),
        metrics=values | (metrics or {}),
        scans=tuple(
            ScanScores(subject=f"p{index}", metrics={"auprc": value})
            for index, value in enumerate(scans)
        ),
    )


def study() -> tuple[CellRecord, ...]:
    """A run with everything a table must show: seeds, stars, a control, a failure, a bad scan."""
    bad = (Exclusion(scan="patient_19", reason="FLAIR holds NaN & 100 % noise"),)
    cells = []
    for dataset, simulated, base in (("brats", False, 0.5), ("mslub", True, 0.2)):
        data = use(dataset, simulated=simulated, excluded=bad if dataset == "mslub" else ())
        for post, gain in (("none", 0.0), ("star", 0.1)):
            for method, extra in (("vae", 0.0), ("spa", 0.11)):
                cells += [
                    record(
                        method,
                        base + gain + extra + 0.02 * seed,
                        dataset=dataset,
                        post=post,
                        seed=seed,
                        data=data,
                        scans=[base + gain + extra + 0.01 * k + 0.02 * seed for k in range(6)],
                    )
                    for seed in (0, 1)
                ]
            cells.append(
                record(
                    "control-black",
                    base,
                    dataset=dataset,
                    post=post,
                    data=data,
                    title="Black",
                    scans=[base + 0.015 * k for k in range(6)],
                    metrics={
                        "hd95": Metric(value=70.0, unit="mm", better="lower", penalised=2),
                        "prevalence": Metric(value=base / 20, better=None),
                    },
                )
            )
    cells.append(
        record("mine", dataset="mslub", title="Mine_1 & co", reason="loss is NaN at step 7 – 中")
    )
    return tuple(
        sorted(cells, key=lambda one: one.spec.name)
    )  # as a folder without a plan has them


def shown(panel: Panel) -> dict[tuple[str, str], Cell]:
    return {
        (row.title, one.title): cell
        for row, line in zip(panel.rows, panel.cells, strict=True)
        for one, cell in zip(panel.columns, line, strict=True)
    }


def notes(table: Table) -> dict[str, str]:
    return {note.mark: note.text for note in table.notes}


def note_of(table: Table, marks: Sequence[int]) -> str:
    return " ".join(notes(table)[str(mark)] for mark in marks)


# --- rows, columns and their names ---------------------------------------------------------


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


# --- the word simulated ---------------------------------------------------------------------


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


# --- cells ----------------------------------------------------------------------------------


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


# --- metrics ---------------------------------------------------------------------------------


PREVALENT = {"prevalence": Metric(value=0.0084, better=None)}


@pytest.mark.parametrize("form", FORMATS)
def test_prevalence_stands_beside_auprc_in_every_format(form: Format) -> None:
    cells = [record(name, dataset=one, metrics=PREVALENT) for name in "ab" for one in "cd"]
    text = render([build_table(cells)], form)
    assert "Prevalence" in text
    shown_as = {"latex": r"0.84\,\%", "csv": "0.0084"}.get(form, "0.84 %")
    assert text.count(shown_as) == 2


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


# --- ranking --------------------------------------------------------------------------------


def column(index: int, group: Group = "detector") -> Column:
    return Column(f"m{index}", f"M{index}", group, "none")


ranked_values = st.lists(
    st.tuples(st.floats(0, 1), st.sampled_from(["detector", "control", "supervised", "published"])),
    max_size=7,
)


@given(ranked_values, st.sampled_from(["higher", "lower"]))
def test_best_and_second_best_are_those_of_a_sorted_list(
    pairs: list[tuple[float, Any]], better: Any
) -> None:
    cells = [Cell("value", value=value) for value, _ in pairs]
    columns = [column(index, group) for index, (_, group) in enumerate(pairs)]
    found = ranked(cells, columns, better)
    numbers = [f"{value:.3f}" for value, group in pairs if group == "detector"]
    order = sorted(set(numbers), key=float, reverse=better == "higher")
    for cell, (value, group) in zip(found, pairs, strict=True):
        place = order.index(f"{value:.3f}") + 1 if group == "detector" else 9
        assert cell.rank == (place if place <= 2 and len(numbers) > 1 else 0)


def test_lower_is_better_for_distances() -> None:
    table = build_table([record("spa", 0.9), record("vae", 0.1)], metrics=["hd95", "auprc"])
    for panel in table.panels:
        assert [cell.rank for cell in panel.cells[0]] == [1, 2]
    assert table.panels[0].heading == "HD95 (mm) ↓"


@given(st.lists(st.floats(0, 0.1), min_size=2, max_size=6))
def test_what_has_a_target_ranks_by_its_distance_from_it(values: list[float]) -> None:
    cells = [Cell("value", value=value) for value in values]
    found = ranked(cells, [column(index) for index in range(len(values))], None, 0.01)
    away = [round(abs(float(f"{value:.3f}") - 0.01), 9) for value in values]
    order = sorted(set(away))
    assert [cell.rank for cell in found] == [
        order.index(one) + 1 if one in order[:2] else 0 for one in away
    ]


def test_a_rate_below_its_target_is_no_better_than_one_above() -> None:
    values = {"spa": 0.0, "vae": 0.012, "gmvae": 0.03}
    cells = [
        record(name, metrics={"fpr": Metric(value=value, better=None, target=0.01)})
        for name, value in values.items()
    ]
    panel = build_table(cells, metrics=["fpr"]).panels[0]
    ranks = {one.title: cell.rank for one, cell in zip(panel.columns, panel.cells[0], strict=True)}
    assert ranks == {"VAE": 1, "SPA": 2, "GMVAE": 0}
    assert panel.heading == "FPR on test scans → 1 %"


# --- comparisons ----------------------------------------------------------------------------

scores = st.dictionaries(st.sampled_from("abcdef"), st.floats(0.001, 1), max_size=6)


@given(scores, scores)
def test_average_improvement_is_the_mean_of_relative_changes(
    method: dict[str, float], other: dict[str, float]
) -> None:
    shared = sorted(method.keys() & other.keys())
    found = average_improvement(method, other)
    if not shared:
        assert found is None
        return
    a, b = (np.array([values[name] for name in shared]) for values in (method, other))
    assert found == (pytest.approx(100 * np.mean((a - b) / b)), len(shared))


def test_improvement_compares_like_with_like_and_says_over_how_many_datasets() -> None:
    cells = [
        record("spa", 0.4),
        record("spa", 0.9, post="star"),
        record("vae", 0.2),
        record("vae", 0.3, post="star"),
        record("spa", 0.5, dataset="wmh"),
    ]
    table = build_table(cells, compare="spa", metrics=["auprc"])
    by = shown(table.panels[0])
    row = "Average improvement of SPA"
    assert by[row, "VAE"].text == "+100.0 %"
    assert by[row, "VAE*"].text == "+200.0 %"
    assert by[row, "SPA"].text == "–"
    assert "1 of 2 datasets" in note_of(table, by[row, "VAE"].marks)


def test_paired_tests_are_wilcoxon_over_subjects_with_holm_per_dataset() -> None:
    table = build_table(study(), compare="spa", metrics=["auprc"])
    by = shown(table.panels[-1])
    rng = np.arange(6)
    spa = 0.31 + 0.01 * rng + 0.01
    vae, black = 0.2 + 0.01 * rng + 0.01, 0.2 + 0.015 * rng
    raw = [
        float(stats.wilcoxon(spa + star - other).pvalue)
        for star, other in ((0.0, vae), (0.1, vae + 0.1), (0.0, black), (0.1, black))
    ]
    assert raw == [0.03125] * 4
    for name in ("VAE", "VAE*", "Black†", "Black*†"):
        assert by["MSLUB (simulated)", name].value == pytest.approx(4 * 0.03125)
    assert by["MSLUB (simulated)", "SPA"].state == "absent"


def test_few_subjects_cannot_reach_significance_and_the_table_says_so() -> None:
    cells = [record("spa", scans=(0.5, 0.6, 0.7)), record("vae", scans=(0.1, 0.1, 0.2))]
    table = build_table(cells, compare="spa")
    assert "With differences in 3 subjects no p below 0.250 is possible." in notes(table).values()


def test_the_smallest_possible_p_counts_holms_correction() -> None:
    own = [0.5 + 0.01 * index for index in range(6)]
    others = [
        record(name, scans=[value - 0.1 - 0.01 * shift for value in own])
        for shift, name in enumerate(("vae", "gmvae", "thresholding", "one", "two"))
    ]
    table = build_table([record("spa", scans=own), *others], compare="spa")
    values = {cell.value for row in table.panels[-1].cells for cell in row if cell.value}
    assert values == {5 * 0.03125}
    assert (
        "With differences in 6 subjects no p below 0.031 is possible, and after Holm's correction "
        "for 5 comparisons none below 0.156." in notes(table).values()
    )


def test_subjects_without_a_difference_do_not_make_a_smaller_p_possible() -> None:
    cells = [record("spa", scans=[0.5] * 9), record("vae", scans=[0.5] * 5 + [0.4] * 4)]
    table = build_table(cells, compare="spa")
    assert "With differences in 4 subjects no p below 0.125 is possible." in notes(table).values()


def test_detection_is_shown_where_a_dataset_has_healthy_subjects_and_nowhere_else() -> None:
    names = ["patient_auroc", "patient_auprc", "patient_sensitivity"]
    some: dict[str, Metric] = {name: Metric(value=0.9, subjects=9) for name in names}
    none: dict[str, Metric] = {name: Metric(value=None) for name in names}
    share = {"patient_prevalence": Metric(value=0.4, better=None)}
    without = build_table([record("spa", metrics=none), record("vae", metrics=none)])
    assert not {panel.metric for panel in without.panels} & set(names)
    assert "Detection" not in " ".join(notes(without).values())
    table = build_table(
        [record("spa", metrics=none), record("spa", dataset="w", metrics=some | share)]
    )
    found = {panel.metric: panel for panel in table.panels}
    assert [panel.metric for panel in table.panels][-3:] == names
    assert [row[0].text for row in found["patient_auroc"].cells] == ["n/a", "0.900"]
    assert [column.title for column in found["patient_auprc"].columns] == ["SPA", "Prevalence"]
    assert "highest 1 % of the scores" in table.basis


def test_where_a_small_p_is_possible_nothing_is_said_of_it() -> None:
    cells = [
        record("spa", scans=[0.5 + 0.01 * k for k in range(6)]),
        record("vae", scans=[0.2] * 6),
    ]
    assert not any("possible" in text for text in notes(build_table(cells, compare="spa")).values())


def test_one_subject_is_not_called_subjects() -> None:
    cells = [record("spa", scans=(0.5,)), record("vae", scans=(0.1,))]
    table = build_table(cells, compare="spa")
    assert "With differences in 1 subject no p below 1.000 is possible." in notes(table).values()


def test_the_paper_protocol_has_no_patients_to_pair() -> None:
    pooled = {"auprc": Metric(value=0.5), "max_dice": Metric(value=0.6)}
    cells = [record(name, protocol="paper", metrics=pooled) for name in ("spa", "vae")]
    table = build_table(cells, "paper", compare="spa")
    assert [panel.metric for panel in table.panels] == ["auprc", "max_dice"]


# --- published numbers ----------------------------------------------------------------------


def test_published_numbers_stand_apart_unranked_and_explained() -> None:
    cells = [record("spa", 0.01), record("vae", 0.02)]
    table = build_table(cells, published=PUBLISHED)
    by = shown(table.panels[0])
    assert by["MSLUB (simulated)", "SPA*§"].text == "0.132"
    assert by["MSLUB (simulated)", "SPA§"].text == "0.059 (-0.049)"
    assert "In parentheses: ours minus the published number." in notes(table).values()
    assert by["MSLUB (simulated)", "SPA*§"].rank == 0
    assert by["MSLUB (simulated)", "VAE"].rank == 1
    assert {column.group for column in table.panels[0].columns[2:]} == {"published"}
    assert "other preparation" in notes(table)["§"]
    assert [row.dataset for row in table.panels[0].rows] == ["mslub"]


def test_a_panel_leaves_out_published_methods_that_say_nothing_there() -> None:
    table = build_table([record("spa")], published=PUBLISHED, metrics=["auprc", "hd95"])
    hd95 = table.panels[-1]
    assert {column.group for column in hd95.columns} == {"detector"}


# --- refusals -------------------------------------------------------------------------------


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


# --- formats --------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_is_what_it_was_byte_for_byte(form: Format) -> None:
    table = build_table(study(), intervals=True, compare="spa", metrics=["auprc", "hd95"])
    text = render([table], form)
    assert text == render([table], form)
    golden = GOLDEN / f"table.{ENDINGS[form]}"
    if os.environ.get("UAD_BENCH_GOLDEN") == "write":
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


@settings(deadline=None, max_examples=40)
@given(st.integers(42, 160), st.booleans())
def test_no_line_on_a_terminal_is_longer_than_it_is_wide(width: int, intervals: bool) -> None:
    table = build_table(study(), intervals=intervals, compare="spa", published=PUBLISHED)
    text = plain(table, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text


def test_the_csv_holds_every_number_at_full_precision() -> None:
    rows = list(csv.DictReader(io.StringIO(render([build_table(study())], "csv"))))
    found = next(
        row
        for row in rows
        if (row["dataset"], row["title"], row["metric"]) == ("mslub", "SPA*", "auprc")
    )
    means = [
        one.metrics["auprc"].value
        for one in study()
        if (one.spec.method, one.spec.dataset, one.spec.postprocessing) == ("spa", "mslub", "star")
    ]
    assert float(found["value"]) == statistics.fmean(value for value in means if value is not None)
    assert found["simulated"] == "simulated"
    assert found["training"] == "HI (simulated)"
    failed = [row for row in rows if row["state"] == "failed"]
    assert failed
    assert all("loss is NaN at step 7" in row["notes"] for row in failed)


def test_the_csv_never_calls_a_published_number_simulated_or_ours() -> None:
    table = build_table(study(), published=PUBLISHED)
    rows = list(csv.DictReader(io.StringIO(render([table], "csv"))))
    printed = [row for row in rows if row["group"] == "published"]
    ours = [row for row in rows if row["group"] != "published"]
    assert {row["protocol"] for row in printed} == {"published"}
    assert {row["simulated"] for row in printed} == {""}
    assert not [row for row in printed if "excluded" in row["notes"]]
    assert {row["protocol"] for row in ours} == {"strict"}
    assert "simulated" in {row["simulated"] for row in ours}


def test_markdown_rows_all_have_as_many_cells_as_the_head() -> None:
    table = build_table([record("a|b", title="a|b"), record("spa")], published=PUBLISHED)
    lines = [line for line in render([table], "markdown").splitlines() if line.startswith("|")]
    counts = {line.replace(r"\|", "").count("|") for line in lines[: len(lines) // 4]}
    assert len(counts) == 1


@given(st.text())
def test_any_text_becomes_ascii_on_one_line_of_latex(text: str) -> None:
    source = escape(text)
    assert source.isascii()
    assert source.isprintable() or source == ""


@pytest.mark.parametrize(
    ("value", "style", "text"),
    [
        (0.12345, "ratio", "0.123"),
        (12.345, "distance", "12.3"),
        (-5.04, "percent", "-5.0 %"),
        (0.0004, "p", "<0.001"),
        (0.04, "p", "0.040"),
    ],
)
def test_numbers_are_written_in_their_style(value: float, style: Any, text: str) -> None:
    assert format_number(value, style) == text


# --- the command ----------------------------------------------------------------------------


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for one in study():
        write_cell(ResultsFolder(tmp_path / "results"), one)
    return tmp_path / "results"


def test_the_command_prints_the_table_of_a_folder(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["table", "--results", str(results), "-f", "csv"]) == 0
    assert capsys.readouterr().out == render([build_table(study())], "csv")


def test_the_command_writes_a_file_and_says_which(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "new" / "table.tex"
    options = ["--metrics", "auprc, hd95", "--intervals", "--compare", "spa"]
    assert main(["table", "--results", str(results), *options, "-o", str(target)]) == 0
    assert target.read_text() == (GOLDEN / "table.tex").read_text()
    assert capsys.readouterr().out == f"{target}\n"
    below = target / "table.tex"
    assert main(["table", "--results", str(results), "-o", str(below)]) == 2
    assert capsys.readouterr().err == f"error: cannot write {below}: {target} is a file\n"


@pytest.mark.parametrize(
    ("ending", "form"), [("md", "markdown"), ("HTML", "html"), ("csv", "csv"), ("txt", "terminal")]
)
def test_a_file_s_ending_says_its_format(ending: str, form: Format) -> None:
    assert format_of(None, Path(f"a/table.{ending}")) == form
    assert format_of("latex", Path(f"a/table.{ending}")) == "latex"
    assert format_of(None, None) == format_of(None, Path("/dev/stdout")) == "terminal"
    for name in ("table.xls", "table"):
        with pytest.raises(
            UadBenchError, match=rf"{name}: its ending means no format; write \.tex"
        ):
            format_of(None, Path(name))


def test_the_papers_tables_need_no_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--published", "--compare", "spa", "-f", "markdown"]
    assert main(["table", "--results", str(tmp_path), *options]) == 0
    out = capsys.readouterr().out
    assert "+154.5 %" in out
    assert "+177.5 %" in out
    assert "+35.5 %" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["-f", "xls"],
            "error: --format xls: unknown; available: terminal, latex, markdown, html, csv",
        ),
        (["--protocol", "loose"], "error: Unknown protocol 'loose'. Available: paper, strict."),
        (["--results", "nowhere"], "error: no results in nowhere"),
        *(
            ([f"--{flag}", text, *more], f"error: --{flag}: names nothing; give one or several")
            for flag in ("metrics", "protocol")
            for text in ("", ",", " , ")
            for more in ([], ["--compare", "spa"], ["--published"])
        ),
    ],
)
def test_bad_options_are_one_line_and_exit_2(
    results: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main(["table", "--results", str(results), *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert error.count("\n") == 1


@pytest.fixture
def both(tmp_path: Path) -> Path:
    """The results of two protocols, each of which has a metric that the other lacks."""
    folder = ResultsFolder(tmp_path / "both")
    for protocol, own in (("strict", "dice"), ("paper", "hd")):
        metrics = {name: Metric(value=0.5, better="higher") for name in ("auprc", "max_dice", own)}
        one = record("spa", protocol=protocol).model_copy(update={"metrics": metrics})
        write_cell(folder, one)
    return folder.root


@pytest.mark.parametrize(
    ("metrics", "shown"),
    [
        ("dice", [("strict", "dice")]),
        ("hd", [("paper", "hd")]),
        ("dice,hd", [("strict", "dice"), ("paper", "hd")]),
        ("auprc,dice", [("strict", "auprc"), ("strict", "dice"), ("paper", "auprc")]),
    ],
)
@pytest.mark.parametrize("protocol", [[], ["--protocol", "strict,paper"]])
def test_a_metric_is_shown_of_the_protocols_that_have_it(
    both: Path,
    capsys: pytest.CaptureFixture[str],
    metrics: str,
    shown: list[tuple[str, str]],
    protocol: list[str],
) -> None:
    assert (
        main(["table", "--results", str(both), "-f", "csv", "--metrics", metrics, *protocol]) == 0
    )
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    found = dict.fromkeys((line["protocol"], line["metric"]) for line in lines)
    assert [one for one in found if one[1] in metrics.split(",")] == shown


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--metrics", "hd,iou"], "--metrics iou: not in the results of protocol strict or paper"),
        (
            ["--protocol", "paper", "--metrics", "dice"],
            "--metrics dice: not in the results of protocol paper; available: auprc, hd, max_dice",
        ),
        (
            ["--protocol", "paper", "--metrics", "max_dice", "--compare", "sap"],
            "--compare sap: no such method in these results. Did you mean 'spa'?",
        ),
    ],
)
def test_what_no_protocol_has_is_one_line(
    both: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main(["table", "--results", str(both), *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {message}")
    assert error.count("\n") == 1


def test_an_unreadable_record_is_named(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (results / "cells" / "broken.json").write_text("{")
    assert main(["table", "--results", str(results)]) == 2
    assert "broken.json is not a cell record" in capsys.readouterr().err


def test_tables_need_neither_torch_nor_matplotlib_nor_mlflow() -> None:
    code = (
        "import sys, uad_bench.cli.commands.table, uad_bench.report.tables.build;"
        "import uad_bench.report.tables.formats.render;"
        "bad = {'torch', 'matplotlib', 'mlflow', 'pandas'} & set(sys.modules);"
        "sys.exit(str(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
