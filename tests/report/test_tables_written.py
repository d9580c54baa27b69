"""Tables: that LaTeX, Markdown, HTML, CSV, terminals and the command show them."""

from __future__ import annotations

import csv
import io
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_tables import PUBLISHED, build_table, record, study

from uad_bench.cli import main
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.values import Metric
from uad_bench.report.tables.formats.names import FORMATS, Format, format_of
from uad_bench.report.tables.formats.render import render
from uad_bench.report.tables.formats.spreadsheet import inert
from uad_bench.report.tables.formats.terminal import plain
from uad_bench.report.tables.formats.tex import escape
from uad_bench.report.tables.model import format_number
from uad_bench.results import ResultsFolder, write_cell

GOLDEN = Path(__file__).parent / "golden"
ENDINGS: dict[Format, str] = {
    "terminal": "txt",
    "latex": "tex",
    "markdown": "md",
    "html": "html",
    "csv": "csv",
}


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


def test_a_name_with_dollars_is_no_formula_on_github() -> None:
    text = render([build_table([record("spa", title="a $x^2$ b")])], "markdown")
    assert r"a \$x^2\$ b" in text


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


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", '=HYPERLINK("x")'])
def test_no_name_is_a_formula_in_a_spreadsheet(name: str) -> None:
    table = build_table([record("mine", title=name)], metrics=["auprc"])
    rows = list(csv.DictReader(io.StringIO(render([table], "csv"))))
    assert {row["title"] for row in rows} == {f"'{name}"}
    cells = [text for row in rows for text in row.values() if text]
    assert not [text for text in cells if text[0] in "=+@" or text == name]
    assert inert(-0.5) == -0.5
