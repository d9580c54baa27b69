"""The front door: what `import uad_bench` offers says and gives what the command line does."""

from __future__ import annotations

import inspect
import io
import math
import re
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import pytest

import uad_bench as ub
from uad_bench.cli import main
from uad_bench.runner.config import RunConfig

FAILS = '''
"""A method that cannot score (Nobody 2026)."""
from uad_bench.method import FitReport, Method, MethodInfo, Params


class OwnParams(Params):
    size: int = 3


class Fails(Method):
    """Says so."""

    info = MethodInfo("fails", "Fails")
    Params = OwnParams

    def fit(self, train, validation, context):
        return FitReport()

    def score(self, slices):
        raise ValueError("no score")
'''


@pytest.fixture(scope="module")
def ran(lab, prepared, tmp_path_factory) -> SimpleNamespace:
    """A run from Python: its results, its settings, and what was printed."""
    folder = tmp_path_factory.mktemp("front")
    plugin = folder / "fails.py"
    plugin.write_text(FAILS)
    settings = {
        "data_root": str(lab),
        "controls": [],
        "param": {"fails.size": 5},
        "plugin": plugin,
        "results": folder / "results",
        "cache": prepared,
        "protocol": "strict,paper",
        "mlflow": False,
    }
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        results = ub.run(["thresholding", "fails"], "mslub", **settings)
    plan = (folder / "results" / "plan.json").read_text()
    return SimpleNamespace(
        results=results, settings=settings, plan=plan, out=out.getvalue(), err=err.getvalue()
    )


def test_a_run_says_on_stderr_in_plain_lines_what_goes_on_and_nothing_on_stdout(ran):
    assert ran.out == ""
    assert re.search(r"^\[\d\d:\d\d\] prepare dataset mslub \(simulated\)$", ran.err, re.MULTILINE)
    assert "note: train fails, seed 0 failed: ValueError: no score" in ran.err
    assert "\x1b" not in ran.err


def test_the_same_call_goes_on_where_it_stopped_and_can_be_silent(ran, capsys):
    again = ub.run(
        ["thresholding"],
        "mslub",
        progress=False,
        **{**ran.settings, "param": {}, "overwrite": None},
    )
    assert again.computed == 0
    assert len(again.cells) == 4
    assert capsys.readouterr() == ("", "")


def test_the_command_line_finds_the_cells_of_a_python_run(ran, capsys):
    settings = ran.settings
    arguments = ["run", "--methods", "thresholding", "--datasets", "mslub", "--controls", ""]
    arguments += ["--data-root", settings["data_root"], "--results", str(settings["results"])]
    arguments += ["--cache", str(settings["cache"]), "--protocol", "strict,paper", "--no-mlflow"]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert "4 cells, 0 computed now" in captured.err
    assert "Thresh.*" in captured.out


def test_a_figure_of_lesions_scores_the_median_patient_again(ran, tmp_path):
    file = tmp_path / "lesions.svg"
    words = {"cache": ran.settings["cache"], "postprocessing": "star"}
    assert ran.results.plot("lesions", file, **words) == file
    first = file.read_bytes()
    assert first.count(b"<image") == 3  # the slice, its lesion, and a map
    ran.results.plot("lesions", file, **words)
    assert file.read_bytes() == first
    with pytest.raises(ub.UadBenchError, match=r"MSLUB: its prepared data are not in .*--cache"):
        ran.results.plot("lesions", file, cache=tmp_path)


def test_the_plan_keeps_the_call_that_goes_on(ran):
    assert "uad_bench.run(methods=['thresholding', 'fails'], datasets='mslub', " in ran.plan


def test_a_frame_has_a_row_per_cell_and_metric_and_one_for_a_failed_cell(ran):
    frame = ran.results.to_frame()
    done = frame[frame.state == "done"]
    metrics = sum(len(record.metrics) for record in ran.results.cells)
    assert len(done) == metrics
    assert not done.duplicated(["method", "protocol", "postprocessing", "metric"]).any()
    failed = frame[frame.state == "failed"]
    assert len(failed) == len(ran.results.failed) == 4
    assert set(failed.reason) == {"ValueError: no score"}
    assert failed.metric.isna().all()
    assert failed["param.size"].tolist() == [5] * 4
    assert frame[frame.method == "thresholding"]["param.size"].isna().all()
    assert frame.simulated.all()
    record = next(r for r in ran.results.cells if r.spec.protocol == "paper" and r.metrics)
    (row,) = frame[
        (frame.protocol == "paper")
        & (frame.postprocessing == record.spec.postprocessing)
        & (frame.metric == "auprc")
    ].itertuples()
    metric = record.metrics["auprc"]
    assert row.value == metric.value
    assert math.isnan(row.low) == (metric.low is None)
    assert (row.title, row.dataset, row.seed, row.training) == ("Thresh.", "mslub", 0, "hi")


def test_a_frame_of_scans_has_every_number_of_every_scan(ran):
    scans = ran.results.scans()
    records = [record for record in ran.results.cells if record.state == "done"]
    assert len(scans) == sum(len(scan.metrics) for one in records for scan in one.scans)
    strict = next(one for one in records if one.spec.protocol == "strict")
    rows = scans[
        (scans.protocol == "strict")
        & (scans.postprocessing == strict.spec.postprocessing)
        & (scans.metric == "auprc")
    ]
    assert dict(zip(rows.subject, rows.value, strict=True)) == {
        scan.subject: scan.metrics["auprc"] for scan in strict.scans
    }
    assert (scans.lesions == 1).all()
    assert (scans.lesion_ml > 0).all()


@pytest.mark.parametrize(
    ("form", "words", "flags"),
    [
        ("markdown", {"metrics": ["auprc"]}, ["--metrics", "auprc"]),
        ("latex", {"protocol": "paper"}, ["--protocol", "paper"]),
        ("csv", {"intervals": True}, ["--intervals"]),
        ("terminal", {"compare": "thresholding"}, ["--compare", "thresholding"]),
    ],
)
def test_a_table_is_the_one_of_the_command_in_every_format(ran, capsys, form, words, flags):
    results = ub.load_results(ran.results.folder)
    table = results.table(**words)
    assert main(["table", "--results", str(results.folder), "-f", form, *flags]) == 0
    said = str(table) if form == "terminal" else getattr(table, form)()
    assert said == capsys.readouterr().out


def test_a_notebook_shows_ranks_failures_and_footnotes(ran):
    shown = ran.results.table("dice", protocol="strict")._repr_html_()
    assert "<th" in shown
    assert "Fails*" in shown
    assert re.search(r">–<sup>\d</sup></td>", shown)
    assert re.search(r"<p><sup>\d</sup> Failed: ValueError: no score.</p>", shown)
    assert "8 cells, 4 failed, in " in ran.results._repr_html_()


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({}, 'methods is needed, such as methods="spa,gmvae"'),
        ({"methods": "spa", "seed": 1}, "seed: unknown argument; known: methods, datasets, data_r"),
        ({"methods": "spa", "trials": 0}, "trials: input should be greater than or equal to 1"),
        ({"methods": "spa", "data_root": "nope"}, "data_root nope: no such folder"),
        ({"methods": "thresholding", "preset": "p"}, "preset p: unknown; "),
        ({"methods": "spa", "param": {"spa.betta": 1}}, "param spa.betta: unknown; did you mean b"),
    ],
)
def test_a_wrong_argument_is_named_as_python_calls_it(given, line, tmp_path):
    with pytest.raises(ub.UadBenchError) as caught:
        ub.run(**given, **({"results": tmp_path / "results"}))
    assert str(caught.value).startswith(line)
    assert not (tmp_path / "results").exists()


def test_a_wrong_setting_of_a_file_is_named_by_the_file(tmp_path):
    file = tmp_path / "study.yaml"
    file.write_text("methods: spa\ntrials: 0\n")
    with pytest.raises(ub.UadBenchError, match=rf"^{re.escape(str(file))}: trials: input should"):
        ub.run(config=file)


def test_run_shows_every_setting_of_the_model_with_its_default():
    shown = inspect.signature(ub.run).parameters
    assert set(shown) == {*RunConfig.model_fields, "config", "progress"}
    assert shown["trials"].default == RunConfig.model_fields["trials"].default


def test_a_folder_without_results_is_refused(tmp_path: Path):
    with pytest.raises(ub.UadBenchError, match=r"^no results in "):
        ub.load_results(tmp_path)


def test_the_detector_behind_a_cell_is_loaded_and_another_is_refused(ran):
    assert ran.results.detector("thresholding").title == "Thresh."
    with pytest.raises(ub.UadBenchError, match="no detector of spa behind these cells"):
        ran.results.detector("spa")


def test_a_prepared_dataset_is_that_of_a_run_and_healthy_people_have_tissues(ran, lab):
    words = {name: ran.settings[name] for name in ("data_root", "cache")}
    patients, healthy = (ub.prepare(name, progress=False, **words) for name in ("mslub", "hi"))
    (used,) = {record.data.manifest_hash for record in ran.results.cells if record.data}
    assert patients.manifest_hash == used
    assert patients.simulated
    assert {scan.split for scan in patients.scans} == {"test"}
    assert len(healthy.split("train")) > len(healthy.split("validation")) > 0
    first = healthy.scans[0]
    assert healthy.tissue_of(first).shape[:2] == (len(healthy.slices(first)), 3)


@pytest.mark.parametrize(
    ("name", "words", "says"),
    [
        ("mslub", {"steps": 5}, "prepare: steps: unknown argument; known: anatomies, cache"),
        ("mslub", {"limit": 0}, "limit: "),
        ("nobody", {}, "nobody"),
        ("bids:nowhere", {}, "no such folder"),
    ],
)
def test_what_cannot_be_prepared_is_refused_in_one_line(name, words, says):
    with pytest.raises(ub.UadBenchError) as caught:
        ub.prepare(name, progress=False, **words)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
