"""The paper's numbers: transcribed exactly, and consistent with what the paper says of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from uad_bench.errors import UadBenchError
from uad_bench.evaluation.postprocessings.none import NONE
from uad_bench.evaluation.postprocessings.star import STAR
from uad_bench.evaluation.protocols.strict import STRICT
from uad_bench.report.bercea2022 import BERCEA_2022
from uad_bench.report.publication import PublishedNumber, load_published
from uad_bench.report.tables.build import build_table
from uad_bench.report.tables.values import average_improvement

DATASETS = ("MSLUB", "MSISBI", "MSI", "WMH", "GBI", "BraTS")


@pytest.fixture(scope="module")
def numbers() -> tuple[PublishedNumber, ...]:
    return load_published(BERCEA_2022)


def series(
    numbers: tuple[PublishedNumber, ...], table: int, method: str, metric: str, post: str = "none"
) -> dict[str, float]:
    return {
        one.dataset: one.value
        for one in numbers
        if (one.table, one.method, one.metric, one.postprocessing) == (table, method, metric, post)
        and one.value is not None
    }


def test_every_printed_cell_is_there_once(numbers: tuple[PublishedNumber, ...]) -> None:
    keys = [(n.table, n.dataset, n.method, n.metric, n.postprocessing) for n in numbers]
    assert len(keys) == len(set(keys))
    counts = {table: sum(one.table == table for one in numbers) for table in (2, 3, 4, 5)}
    assert counts == {2: 66, 3: 36, 4: 48, 5: 72}
    empty = {(one.dataset, one.method) for one in numbers if one.value is None}
    quoted = ("c-VAE", "cAAE", "f-AnoGAN", "GM-IR")
    assert empty == {(dataset, method) for dataset in ("WMH", "BraTS") for method in quoted}


@pytest.mark.parametrize(
    ("method", "percent", "datasets"), [("GM-IR", 154.5, 4), ("VAE", 177.5, 6), ("GMVAE", 35.5, 6)]
)
def test_average_improvement_of_the_abstract_follows_from_table_2(
    numbers: tuple[PublishedNumber, ...], method: str, percent: float, datasets: int
) -> None:
    found = average_improvement(
        series(numbers, 2, "SPA", "auprc"), series(numbers, 2, method, "auprc")
    )
    assert found is not None
    assert round(found[0], 1) == percent
    assert found[1] == datasets


def test_the_published_table_prints_the_average_improvement(
    numbers: tuple[PublishedNumber, ...],
) -> None:
    panel = build_table(
        (), STRICT, [NONE, STAR], published=numbers, compare="spa", metrics=["auprc"]
    ).panels[0]
    shown = {
        column.title: cell.text for column, cell in zip(panel.columns, panel.cells[-1], strict=True)
    }
    assert panel.rows[-1].title == "Average improvement of SPA"
    assert shown["GM-IR§"] == "+154.5 %"
    assert shown["VAE§"] == "+177.5 %"
    assert shown["GMVAE§"] == "+35.5 %"
    assert shown["SPA§"] == "–"


@pytest.mark.parametrize(("dataset", "percent"), [("MSLUB", 24), ("MSI", 293), ("GBI", 16)])
def test_relative_dice_improvement_of_section_4_follows_from_table_5(
    numbers: tuple[PublishedNumber, ...], dataset: str, percent: int
) -> None:
    spa = series(numbers, 5, "SPA", "max_dice", "star")[dataset]
    threshold = series(numbers, 5, "Thresh.", "max_dice", "star")[dataset]
    assert int(100 * (spa / threshold - 1)) == percent


def test_starred_spa_is_the_same_in_tables_2_and_5(numbers: tuple[PublishedNumber, ...]) -> None:
    assert series(numbers, 2, "SPA", "auprc", "star") == series(numbers, 5, "SPA", "auprc", "star")


def test_supervised_rows_agree_between_tables_2_and_3(numbers: tuple[PublishedNumber, ...]) -> None:
    for method in ("U-Net (MSLUB)", "U-Net (BraTS)"):
        assert series(numbers, 2, method, "auprc") == series(numbers, 3, method, "auprc")


@pytest.mark.parametrize(
    ("metric", "second"),
    [
        ("auprc", ("GMVAE",) * 6),
        ("max_dice", ("GMVAE",) * 6),
        ("hd", ("VAE", "SPA", "SPA", "SPA", "GMVAE", "GMVAE")),
    ],
)
def test_columns_are_not_shifted_the_papers_underlines_are_the_second_best(
    numbers: tuple[PublishedNumber, ...], metric: str, second: tuple[str, ...]
) -> None:
    columns = {name: series(numbers, 5, name, metric, "star") for name in ("VAE", "GMVAE", "SPA")}
    for dataset, name in zip(DATASETS, second, strict=True):
        order = sorted(columns, key=lambda one: columns[one][dataset], reverse=metric != "hd")
        assert columns[order[1]][dataset] == columns[name][dataset]


def printed_rows(text: str, title: str, count: int) -> Iterator[list[str]]:
    """Numbers of the rows below a table's title, in the order of the page."""
    found = 0
    for line in text[text.index(f"{title}:") :].splitlines():
        name, _, rest = line.partition("\t")
        if name in DATASETS and re.search(r"\d", rest):
            yield re.findall(r"\d+\.\d+", rest)
            found += 1
            if found == count:
                return


@pytest.mark.data
@pytest.mark.parametrize(("table", "rows"), [(2, 6), (3, 6), (4, 6), (5, 12)])
def test_every_number_is_that_of_the_papers_text(
    real_patients: Path, numbers: tuple[PublishedNumber, ...], table: int, rows: int
) -> None:
    paper = real_patients.parent / "paper" / "spa-midl2022.txt"
    if not paper.is_file():
        pytest.skip(f"the paper's text is not at {paper}")
    printed = list(printed_rows(paper.read_text(), f"Table {table}", rows))
    ours = [
        f"{one.value:.{1 if one.metric == 'hd' else 3}f}"
        for one in numbers
        if one.table == table and one.value is not None
    ]
    assert sorted(ours) == sorted(number for row in printed for number in row)
    for row, dataset in zip(printed, DATASETS * 2, strict=False):
        mine = [
            f"{one.value:.{1 if one.metric == 'hd' else 3}f}"
            for one in numbers
            if one.table == table
            and dataset == (one.method[7:-1] if table == 3 else one.dataset)
            and one.value is not None
        ]
        text = " ".join(mine)
        assert all(" ".join(part) in text for part in (row[:4], row[4:]))


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "table9.csv").write_text("table,dataset,method\n9,MSLUB,SPA\n")
    with pytest.raises(UadBenchError, match=r"table9\.csv is not a table of published numbers"):
        load_published(BERCEA_2022, tmp_path)
