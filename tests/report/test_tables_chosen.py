"""Tables as somebody wants them: chosen, in the form of the paper, and printed in real classes."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_cells import made_cell, made_use
from printed import CLASSES, warnings

from uad_bench import load_results
from uad_bench.cells import CellRecord
from uad_bench.cli import main
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.values import Metric
from uad_bench.plugins.registry import open_registry
from uad_bench.report.tables.chosen import chosen_tables
from uad_bench.report.tables.formats.latex import latex
from uad_bench.report.tables.formats.render import render
from uad_bench.report.tables.formats.spreadsheet import inert
from uad_bench.report.tables.formats.terminal import plain
from uad_bench.report.tables.formats.tex import escape, points, wrapped
from uad_bench.report.tables.model import Table
from uad_bench.results import ResultsFolder, write_cell

REGISTRY = open_registry(None)
TITLES = {"vae": "VAE", "gmvae": "GMVAE", "spa": "SPA", "thresholding": "Thresh.", "unet": "U-Net"}
NASTY = r"a_b&%$#~^\{}<i>|*`é中 =x"


def cell(
    method: str,
    dataset: str = "mslub",
    post: str = "none",
    value: float = 0.5,
    *,
    title: str = "",
    dataset_title: str = "",
    reason: str = "",
    on: str = "",
    protocol: str = "paper",
    seed: int = 0,
) -> CellRecord:
    names = ("auprc", "max_dice", "hd", "hd_coverage", "dice", "prevalence")
    return made_cell(
        method,
        dataset,
        protocol=protocol,
        post=post,
        seed=seed,
        on=on,
        reason=reason,
        protocol_version=2,
        method_title=title or TITLES.get(method, method),
        control=method.startswith("control"),
        supervised=bool(on),
        data=made_use(dataset, title=dataset_title, simulated=True, manifest_hash=dataset),
        metrics={name: Metric(value=value, low=value / 2, high=0.9, subjects=6) for name in names},
    )


def run() -> tuple[CellRecord, ...]:
    """What a run of the paper's methods, one of somebody's own and a control leaves."""
    return tuple(
        cell(method, dataset, post, 0.1 + 0.07 * at, on=on)
        for at, (method, on) in enumerate(
            [
                ("thresholding", ""),
                ("mine", ""),
                ("spa", ""),
                ("vae", ""),
                ("gmvae", ""),
                ("unet", "brats"),
                ("unet", "mslub"),
                ("control-mean", ""),
            ]
        )
        for dataset in ("wmh", "mslub")
        for post in ("none", "star")
    )


def tables(records: Sequence[CellRecord] = (), **words: Any) -> tuple[Table, ...]:
    return chosen_tables(records or run(), REGISTRY, **words)


def titles(table: Table) -> list[str]:
    return [column.title for column in table.panels[0].columns if column.group != "dataset"]


# --- rows and columns --------------------------------------------------------------------------


def test_methods_datasets_and_post_processings_have_the_order_that_is_asked_for() -> None:
    (table,) = tables(
        methods="unet,spa,vae", datasets="mslub", postprocessing="star,none", controls="none"
    )
    assert titles(table) == [
        *("U-Net (mslub)*‡".replace("mslub", "MSLUB"), "U-Net (MSLUB)‡"),
        *("U-Net (BraTS)*‡", "U-Net (BraTS)‡", "SPA*", "SPA", "VAE*", "VAE"),
    ]
    assert [row.dataset for row in table.panels[0].rows] == ["mslub"]


def test_without_a_choice_the_order_is_that_of_the_run() -> None:
    (table,) = tables(postprocessing="none")
    assert titles(table) == [
        *("Thresh.", "mine", "SPA", "VAE", "GMVAE"),
        *("U-Net (MSLUB)‡", "U-Net (BraTS)‡", "control-mean†"),
    ]
    assert [row.dataset for row in table.panels[0].rows] == ["wmh", "mslub"]


def test_a_folder_has_the_order_of_its_last_run(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path)
    for record in (cell("a"), cell("vae"), cell("spa"), cell("spa", "wmh")):
        write_cell(folder, record)
    planned = '{"command": "", "cells": [%s]}'
    one = '{"method": "%s", "dataset": "%s", "seed": 0}'
    cells = ", ".join(one % pair for pair in (("vae", "wmh"), ("vae", "mslub"), ("spa", "wmh")))
    folder.plan.write_text(planned % cells)
    read = load_results(tmp_path).cells
    assert [(r.spec.method, r.spec.dataset) for r in read] == [
        *(("a", "mslub"), ("vae", "mslub"), ("spa", "wmh"), ("spa", "mslub"))
    ]
    folder.plan.write_text("{")
    assert [r.spec.method for r in load_results(tmp_path).cells] == ["a", "spa", "spa", "vae"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            {"methods": "spaa,vaes"},
            "--methods spaa: not in these results. Did you mean 'spa'.*vaes",
        ),
        ({"methods": "control-mean"}, "it is a control: say --controls control-mean"),
        ({"controls": "vae"}, "--controls vae: it is no control: say --methods vae"),
        ({"datasets": "brats"}, "--datasets brats: not in these results.* Available: mslub, wmh"),
        (
            {"controls": "none,control-mean"},
            "none,control-mean: say none alone, or leave it out: --controls control-mean",
        ),
        ({"compare": "spa", "methods": "spa", "controls": "none"}, "nothing shown can be compared"),
        ({"postprocessing": "stars"}, "--postprocessing stars: .* Did you mean 'star'"),
        ({"methods": " , "}, "--methods: names nothing"),
        ({"rows": "patients"}, "--rows patients: unknown; available: datasets, methods"),
        ({"like": "table1"}, "--like table1: unknown; available: table2, table3, table4, table5"),
    ],
)
def test_what_cannot_be_chosen_is_refused_in_one_line(words: dict[str, Any], message: str) -> None:
    with pytest.raises(UadBenchError, match=message) as told:
        tables(**words)
    assert "\n" not in str(told.value)


def test_rows_are_what_is_asked_for_in_every_format() -> None:
    for rows, corner in (("datasets", "Dataset"), ("methods", "Method")):
        (table,) = tables(rows=rows, metrics="auprc")
        assert rf"| {corner} |" in render([table], "markdown")
        assert f"{corner} & " in latex(table)
        assert f">{corner}</th>" in render([table], "html")


# --- the paper's tables -------------------------------------------------------------------------


def test_table_2_has_the_papers_columns_and_those_of_somebodys_own_method() -> None:
    (table,) = tables(like="table2")
    assert titles(table) == [
        *("VAE", "GMVAE", "SPA", "SPA*", "mine"),
        *("U-Net (MSLUB)‡", "U-Net (BraTS)‡", "Thresh."),
    ]
    assert [row.dataset for row in table.panels[0].rows] == ["mslub", "wmh"]
    assert [panel.metric for panel in table.panels] == ["auprc"]
    assert "Controls" not in latex(table)


def test_table_3_is_of_supervised_methods_only() -> None:
    (table,) = tables(like="table3")
    assert titles(table) == ["U-Net (MSLUB)‡", "U-Net (BraTS)‡"]
    with pytest.raises(UadBenchError, match=r"--like table3: .* --supervised-on mslub,msisbi"):
        tables([cell("vae")], like="table3")


@pytest.mark.parametrize(
    ("like", "post", "metrics"),
    [
        ("table4", "none", ["max_dice", "hd", "hd_coverage"]),
        ("table5", "star", ["auprc", "max_dice", "hd", "hd_coverage"]),
    ],
)
def test_tables_4_and_5_have_dice_and_distance_side_by_side(
    like: str, post: str, metrics: list[str]
) -> None:
    (table,) = tables(like=like, methods="vae,gmvae,spa")
    assert {column.postprocessing for column in table.panels[0].columns} <= {post, "none"}
    assert [panel.metric for panel in table.panels] == metrics
    head = next(line for line in latex(table).splitlines() if "HD" in line and "&" in line)
    assert re.search(r"multicolumn\{3\}\{c\}\{.*Dice.*multicolumn\{3\}\{c\}\{HD", head)


@pytest.mark.parametrize(("like", "numbers"), [("table2", 66), ("table3", 36), ("table4", 48)])
def test_the_papers_own_numbers_stand_in_the_form_of_its_table(
    like: str, numbers: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["table", "--results", str(tmp_path), "--like", like, "--published", "-f", "csv"]
    assert main(asked) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == numbers
    assert {row["group"] for row in rows} == {"published"}


@pytest.mark.parametrize("form", ["terminal", "markdown", "html", "latex"])
def test_own_results_that_the_papers_table_does_not_show_are_named(form: Any) -> None:
    """All of another post-processing, they once gave way to the paper's without a word."""

    def said(records: Sequence[CellRecord], **words: Any) -> str:
        made = render(tables(records, **words), form)
        return " ".join(re.sub(r"\\allowbreak\{\}|\{\}|\\(?=-)", "", made).split())

    star = [cell("vae", post="star"), cell("gmvae", post="star")]
    hidden = "another one alone (VAE: star; GMVAE: star); --postprocessing shows them."
    assert hidden in said(star, like="table2", published=True)
    some = [*star, cell("vae"), cell("control-mean", post="star")]
    assert "another one alone (GMVAE: star)" in said(some, like="table2")
    none = "None of our own results is in the form of Table 3."
    assert none in said(star, like="table3", published=True)
    apart = [cell("vae"), cell("spa", "wmh")]
    none = "None of our own results is of all that was chosen."
    assert none in said(apart, methods="vae", datasets="wmh", published=True)
    for words in ({"like": "table5"}, {"published": True}, {"like": "table2", "methods": "spa"}):
        found = said(run(), **words)
        assert "alone (" not in found
        assert "None of our own" not in found


def test_a_distance_in_mm_has_no_difference_from_the_papers_in_pixels() -> None:
    millimetres = {"hd": Metric(value=40.0, unit="mm", better="lower")}
    ours = [
        one.model_copy(update={"metrics": one.metrics | millimetres})
        for one in (cell("vae", protocol="strict"), cell("spa", protocol="strict"))
    ]
    (table,) = tables(ours, like="table4", published=True, protocol="strict", metrics="hd,max_dice")
    rows = list(csv.DictReader(io.StringIO(render([table], "csv"))))
    printed = [row for row in rows if row["group"] == "published"]
    distances = [row for row in printed if row["metric"] == "hd"]
    assert distances
    assert {row["difference"] for row in distances} == {""}
    assert all("fits px, and does not compare with ours in mm" in row["notes"] for row in distances)
    assert all("fits px" not in row["notes"] for row in printed if row["metric"] == "max_dice")
    assert any(row["difference"] for row in printed if row["metric"] == "max_dice")


def test_the_difference_from_a_published_number_is_ours_minus_it() -> None:
    (table,) = tables([cell("vae", value=0.1), cell("unet", on="mslub", value=0.4)], published=True)
    rows = csv.DictReader(io.StringIO(render([table], "csv")))
    found = {
        row["title"]: float(row["difference"])
        for row in rows
        if row["difference"] and row["metric"] == "auprc"
    }
    assert found == pytest.approx({"VAE§": 0.1 - 0.059, "U-Net (MSLUB)§": 0.4 - 0.420})
    assert "0.059 (+0.041)" in plain(table)


# --- any name -----------------------------------------------------------------------------------


class _Cells(HTMLParser):
    """The texts of a page, and its tags."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, _: Any) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@settings(max_examples=40)
@given(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=60), st.data())
def test_any_name_is_shown_as_it_stands_in_every_format(name: str, data: st.DataObject) -> None:
    reason = data.draw(st.text(st.characters(exclude_categories=["C"]), max_size=40))
    records = [
        cell("one", title=name, dataset_title=name),
        cell("two", reason=f"because {reason}"),
    ]
    made = tables(records, metrics="auprc")
    page = _Cells(render(made, "html"))
    joined = "".join(page.texts)
    assert name in joined
    assert page.tags <= {
        *("meta", "title", "p", "table", "caption", "tr", "th", "td"),
        *("b", "u", "sup", "br", "small", "i"),
    }
    rows = list(csv.DictReader(io.StringIO(render(made, "csv"))))
    assert inert(name) in {row["title"] for row in rows}
    grids = [line for line in render(made, "markdown").splitlines() if line.startswith("| ")]
    assert len({re.sub(r"\\.", "", line).count("|") for line in grids}) == 1
    source = latex(made[0])
    assert source.isascii()
    body = [line.strip() for line in source.splitlines() if line.endswith(r" \\")]
    bare = [re.sub(r"\\([a-z]+|.)", "", line, flags=re.IGNORECASE) for line in body]
    assert all(line.count("{") == line.count("}") and line.count("$") % 2 == 0 for line in bare)
    assert not set("#%~_") & set("".join(bare))
    whole = [line for line, text in zip(bare, body, strict=True) if "multicolumn" not in text]
    assert len({line.count("&") for line in whole}) == 1
    assert not re.search(r"\\\\\s*[\[*]", source)


@given(st.text(max_size=80), st.floats(30, 120))
def test_wrapped_text_keeps_its_letters_and_its_width(text: str, width: float) -> None:
    lines = wrapped(text, width)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(points(line) <= width or len(line) == 1 for line in lines)


# --- printed ------------------------------------------------------------------------------------


def printed_tables() -> list[str]:
    """Everything that makes a table hard to set: many, long and odd names, and much to say."""
    odd = [
        cell("odd", title=NASTY * 3, dataset_title="clinic-of-a-very-long-name_" * 2),
        cell("vae", "wmh", reason=f"/a/path/{NASTY * 4}/{'x' * 90} is not there"),
        *(cell("vae", value=0.3, seed=seed) for seed in (0, 1)),
    ]
    many = [
        cell(f"method-{k}", f"data-{k % 7}", dataset_title=f"{k % 7} {'long' * 5}")
        for k in range(60)
    ]
    failed = [
        cell(f"m{k}", reason=f"the loss is not finite any more at step {k}") for k in range(40)
    ]
    asked: list[tuple[Sequence[CellRecord], dict[str, Any]]] = [
        (odd, {"intervals": True}),
        (many, {"metrics": "auprc,hd"}),
        (failed + odd, {"metrics": "auprc", "rows": "datasets"}),
        (run(), {"like": "table2", "published": True}),
        (run(), {"like": "table3"}),
        (run(), {"like": "table4"}),
        (run(), {"like": "table5", "published": True}),
    ]
    made = [table for records, words in asked for table in tables(records, **words)]
    return [re.sub(r"tab:", f"tab:{number}-", latex(table)) for number, table in enumerate(made)]


@pytest.mark.parametrize("name", CLASSES)
def test_tables_are_printed_without_a_warning(name: str, tmp_path: Path) -> None:
    assert not warnings(tmp_path, name, printed_tables())


def test_no_table_is_scaled_or_set_in_small_print() -> None:
    source = "".join(printed_tables())
    for command in ("resizebox", "scalebox", "scriptsize", "tiny"):
        assert command not in source


def test_a_wide_table_takes_both_columns_and_a_narrow_one_does_not() -> None:
    assert r"\begin{table}" in latex(tables(metrics="auprc", methods="vae", controls=())[0])
    wide = latex(tables(metrics="auprc", rows="datasets", postprocessing="none")[0])
    assert r"\begin{table*}" in wide


def test_the_protocol_is_told_once_for_all_tables_of_a_file() -> None:
    source = latex(tables(like="table5", published=True)[0])
    assert source.count(r"\begin{table") > 1
    assert source.count("Protocol paper, version 2") == 1
    assert source.index("Protocol paper") > source.rindex(r"\end{table")
    captions = re.findall(r"\\caption\{(.*)\}", source)
    assert all(len(one) < 260 for one in captions)


def test_what_is_escaped_is_as_wide_as_it_is_said_to_be() -> None:
    """A code such as [U+4E2D] is much wider than the letter that it stands for."""
    assert points("中") > points("M")
    assert escape("中") == "[U+4E2D]"


@pytest.mark.parametrize("make", [str, lambda one: one.latex(), lambda one: one.html()])
def test_python_has_the_words_of_the_command(
    make: Callable[[Any], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for record in run():
        write_cell(ResultsFolder(tmp_path), record)
    words = {"methods": "vae,spa", "controls": "none", "datasets": "wmh", "rows": "methods"}
    chosen = load_results(tmp_path).table("auprc", postprocessing="none", **words)
    flags = [part for name, value in words.items() for part in (f"--{name}", value)]
    form = {"<": "html", "%": "latex"}.get(make(chosen)[0], "terminal")
    asked = ["--metrics", "auprc", "--postprocessing", "none", *flags, "-f", form]
    assert main(["table", "--results", str(tmp_path), *asked]) == 0
    assert make(chosen) == capsys.readouterr().out
    assert list(chosen.to_frame().query("metric == 'auprc'").method) == ["vae", "spa"]
