"""Tables: which method is the best, by how much, and beside which published numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_tables import PUBLISHED, build_table, note_of, notes, record, shown, study, use
from scipy import stats

from uad_bench.evaluation.values import Metric
from uad_bench.report.tables.model import Cell, Column, Group
from uad_bench.report.tables.values import average_improvement, ranked


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


def test_cells_on_different_data_are_neither_averaged_nor_tested() -> None:
    """They were not ranked, but stood in the average improvement and in the p-values."""
    moved = use("wmh", manifest_hash="moved")
    values = [0.1 + 0.05 * at for at in range(8)]
    cells = [
        record("spa", 0.4, scans=values),
        record("vae", 0.2, scans=values[::-1]),
        record("spa", 0.9, dataset="wmh", scans=values),
        record("vae", 0.1, dataset="wmh", scans=values[::-1], data=moved),
    ]
    table = build_table(cells, compare="spa", metrics=["auprc"], published=PUBLISHED)
    by, tests = shown(table.panels[0]), shown(table.panels[-1])
    assert by["Average improvement of SPA", "VAE"].text == "+100.0 %"
    said = note_of(table, by["Average improvement of SPA", "VAE"].marks)
    assert said == (
        "Over 1 of 2 datasets: those where both have a value and stand on the same data."
    )
    assert tests["MSLUB (simulated)", "VAE"].state == "value"
    assert tests["WMH (simulated)", "VAE"].state == "absent"
    printed = by["Average improvement of SPA", "VAE§"]
    assert printed.value is not None
    assert not printed.marks


def test_seeds_that_learned_from_different_data_are_said_to_be_no_repetitions() -> None:
    other = use("hi", subjects=20, manifest_hash="other")
    table = build_table([record("spa"), record("spa", seed=1, training=other), record("vae")])
    by = shown(table.panels[0])
    said = "Its seeds learned from different data (manifests hi-1, other), so that they are no"
    assert said in note_of(table, by["MSLUB (simulated)", "SPA"].marks)
    assert not by["MSLUB (simulated)", "VAE"].marks


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
