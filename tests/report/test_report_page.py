"""The report: one page that says everything, runs nothing of others, and counts as Python does."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_cells import made_cell

import uad_bench as ub
from uad_bench.cells import CellRecord, Exclusion, MapsUse
from uad_bench.cli import main
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.scored import ScoredScan
from uad_bench.evaluation.scores.histograms import dice_at, quantise
from uad_bench.evaluation.scores.tally import LEVELS
from uad_bench.front import shown_scans
from uad_bench.front.chosen_scans import Room
from uad_bench.front.searched import Searched
from uad_bench.histogram_files import load_histograms, save_histograms
from uad_bench.plugins.registry import open_registry
from uad_bench.report.page import browser
from uad_bench.report.page.browser import (
    RATES,
    ShownMap,
    ShownMethod,
    ShownScan,
    _codes_at,
    _cuts,
    _packed,
    _tops,
    make_browser,
)
from uad_bench.report.page.expected import ExpectedMethod, largest_size
from uad_bench.report.page.facts import Names, worst_tables
from uad_bench.report.page.results import Images, draft_page
from uad_bench.results import ResultsFolder, write_cell
from uad_bench.volumes.grid import Grid

DEEP = '''
"""A method with a reconstruction (Nobody 2026)."""
import numpy as np
from scipy.ndimage import distance_transform_edt
from uad_bench.method import FitReport, MethodInfo, ReconstructionMethod


class Deep(ReconstructionMethod):
    """Takes away what is bright and far from the brain's edge."""

    info = MethodInfo("deep", "Deep")

    def fit(self, train, validation, context):
        return FitReport()

    def reconstruct(self, slices):
        depth = [distance_transform_edt(one[0]) / 60 for one in slices.brain]
        return (slices.image * (1 - np.clip(depth, 0, 1)[:, None])).astype(np.float32)
'''
FAILS = '''
"""A method that cannot score (Nobody 2026)."""
from uad_bench.method import FitReport, Method, MethodInfo


class Fails(Method):
    """Says so."""

    info = MethodInfo("fails", "Fails")

    def fit(self, train, validation, context):
        return FitReport()

    def score(self, slices):
        raise ValueError("no <b>score</b>")
'''
NASTY = '</script><img src=x onerror="window.pwned=1">\'{{ 7*7 }}'


@pytest.fixture(scope="module")
def ran(lab: Path, prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A run of a method with a reconstruction, one without and one that fails."""
    folder = tmp_path_factory.mktemp("report")
    plugin = folder / "plugins"
    plugin.mkdir()
    for name, text in (("deep.py", DEEP), ("fails.py", FAILS)):
        (plugin / name).write_text(text)
    results = ub.run(
        "thresholding,deep,fails",
        "mslub",
        data_root=lab,
        plugin=plugin,
        controls=(),
        results=folder / "results",
        cache=prepared,
        mlflow=False,
        progress=False,
    )
    return SimpleNamespace(results=results, cache=prepared, plugin=plugin)


@pytest.fixture(scope="module")
def wide(lab: Path, prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A run of a method with two seeds, and of a control."""
    folder = tmp_path_factory.mktemp("wide")
    (folder / "deep.py").write_text(DEEP)
    results = ub.run(
        "deep",
        "mslub",
        data_root=lab,
        plugin=folder / "deep.py",
        controls="control-black",
        seeds=[0, 1],
        results=folder / "results",
        cache=prepared,
        mlflow=False,
        progress=False,
    )
    return SimpleNamespace(results=results, cache=prepared, plugin=folder / "deep.py")


def page_of(ran: SimpleNamespace, file: Path, **options: Any) -> str:
    given = {"cache": ran.cache, "progress": False, **options}
    return ran.results.report(file, **given).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def file(ran: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ran.results.report(
        tmp_path_factory.mktemp("page") / "report.html", cache=ran.cache, progress=False
    )


def json_of(page: str, name: str) -> Any:
    (text,) = re.findall(f'<script type="application/json" id="{name}">(.*?)</script>', page, re.S)
    return json.loads(text)


class Seen(HTMLParser):
    """Counts elements, sees that all are closed, and keeps the text that a reader sees."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.counts: Counter[str] = Counter()
        self.text = ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.counts[tag] += 1
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in {"meta", "img", "br", "input"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.text += data


def test_the_page_says_what_ran_what_failed_and_what_is_simulated(file: Path) -> None:
    page = file.read_text(encoding="utf-8")
    seen = Seen(page)
    for text in ("MSLUB (simulated)", "Thresh.", "no <b>score</b>", "HI (simulated)", "numpy"):
        assert text in seen.text
    assert "(all simulated)</title>" in page
    assert "uad_bench.run(" in seen.text
    assert '<html lang="en">' in page
    assert 'scope="row"' in page
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)
    assert "http" not in page.replace('http-equiv="Content-Security-Policy"', "")


def test_the_numbers_of_every_threshold_are_those_of_the_runs_own_histograms(
    ran: SimpleNamespace, file: Path
) -> None:
    facts = json_of(file.read_text(encoding="utf-8"), "browser-facts")
    assert len(facts["scans"]) == 3
    done = [cell for cell in ran.results.cells if cell.state == "done"]
    assert len(done) == 4
    for cell in done:
        histograms = load_histograms(ran.results.folder / str(cell.histograms))
        for scan in cell.scans:
            (shown,) = (one for one in facts["scans"] if one["name"] == scan.subject)
            (method,) = (m for m in shown["methods"] if m["title"] == cell.method_title)
            found = method["maps"][cell.spec.postprocessing]
            for at, level in enumerate(found["thresholds"]):
                counts = found["true"][at], found["false"][at], found["lesion"]
                dice = 2 * counts[0] / sum(counts)
                assert dice == dice_at(histograms[f"{scan.subject}/brain"], level)
            at = facts["start"]
            assert facts["rates"][at] == 0.01
            assert found["thresholds"][at] == round(cell.thresholds["fpr1"] * (LEVELS - 1))
            assert found["false_findings"][at] == scan.metrics["false_findings"]
            assert found["matched"][at] / found["lesions"] == scan.metrics["lesion_recall"]


def test_the_bytes_of_all_slices_give_the_counts_of_every_threshold(file: Path) -> None:
    """What is drawn is what is counted: the masks of all slices together."""
    page = file.read_text(encoding="utf-8")
    for number, scan in enumerate(json_of(page, "browser-facts")["scans"]):
        packed = json_of(page, f"slices-{number}")
        shape = (len(packed), -1, scan["height"], scan["width"])
        parts = [
            np.frombuffer(
                b"".join(zlib.decompress(base64.b64decode(one)) for one in part), np.uint8
            )
            for part in zip(*packed, strict=True)
        ]
        own, *layers = (part.reshape(shape) for part in parts)
        brain, lesion = own[:, 1] & 1 == 1, own[:, 1] & 2 == 2
        for method, made in zip(scan["methods"], layers, strict=True):
            for found in method["maps"].values():
                codes = made[:, found["layer"]]
                for at, code in enumerate(found["at"]):
                    mask = (codes >= code) & brain
                    assert (mask & lesion).sum() == found["true"][at]
                    assert (mask & ~lesion).sum() == found["false"][at]


@given(
    st.lists(st.integers(0, LEVELS - 1), min_size=1, max_size=60),
    st.lists(st.integers(1, LEVELS), min_size=1, max_size=len(RATES)),
)
def test_a_byte_says_of_every_threshold_whether_the_score_reaches_it(
    scores: list[int], thresholds: list[int]
) -> None:
    cuts = _cuts(thresholds, max(1, *scores))
    assert len(cuts) <= 255
    codes = np.searchsorted(cuts, scores, side="right")
    for threshold, code in zip(thresholds, _codes_at(cuts, thresholds), strict=True):
        assert ((codes >= code) == (np.array(scores) >= threshold)).all()


def made_scan(subject: str, **ranks: int) -> ShownScan:
    """A scan of noise with one lesion, and methods of these ranks."""
    rng = np.random.default_rng(0)
    image = rng.random((24, 32, 32), np.float32)
    lesion = np.zeros(image.shape, np.uint8)
    lesion[13, 4:9, 4:9] = 1
    scored = ScoredScan(
        subject=subject,
        session=None,
        scores=quantise(image),
        lesion=lesion,
        brain=np.ones(image.shape, np.bool_),
        spacing=(2.0, 1.0, 1.0),
        z=np.arange(24),
    )
    maps = {"none": ShownMap(scored, tuple(range(1, len(RATES) + 1)))}
    grid = Grid(np.diag([2.0, 1.0, 1.0, 1.0]), image.shape)
    methods = [ShownMethod(title, maps, None, rank) for title, rank in (ranks or {"A": 0}).items()]
    return ShownScan("Noise", True, image, grid, tuple(methods))


def size_of(slices: tuple[tuple[str, ...], ...]) -> int:
    return sum(len(part) for parts in slices for part in parts)


def test_fewer_slices_and_then_fewer_scans_fit_into_less_and_that_is_said() -> None:
    scans = [made_scan(name) for name in ("a", "b", "c")]
    whole = make_browser(scans, 10**9)
    sizes = list(map(size_of, whole.slices))
    assert not whole.notes
    half = make_browser(scans, sum(sizes) * 3 // 4)
    assert half.notes == ("One slice in 2 is shown, because of the size of this page.",)
    assert [len(some) for some in half.slices] == [12, 12, 12]
    assert all(scan["start"] in scan["slices"] for scan in half.facts["scans"])
    few = make_browser(scans, sum(sizes) // 10)
    assert few.notes == (
        "One slice in 8 is shown, because of the size of this page.",
        "2 more scans are left out for its size.",
    )
    assert [scan["name"] for scan in few.facts["scans"]] == ["a"]
    assert make_browser(scans, 10).slices == ()


def test_what_a_reader_can_choose_is_left_out_before_anything_else() -> None:
    """Methods before controls, their first seed before the others, and nothing else is less."""
    ranks = {"A": 0, "B": 0, "A1": 1, "Black": 2, "Black1": 3}
    scans = [made_scan(name, **ranks) for name in ("a", "b")]
    whole, without = make_browser(scans, 10**9), make_browser([made_scan("a", A=0, B=0)], 10**9)
    assert not whole.notes
    assert whole.facts["chosen"] == ["A", "B"]
    least = 2 * size_of(without.slices[0])
    step = (sum(map(size_of, whole.slices)) - least) // 3
    lost = []
    for room in (3, 2, 1, 0):
        shown = make_browser(scans, least + room * step + step // 2)
        assert [len(some) for some in shown.slices] == [24, 24]
        titles = [one["title"] for one in shown.facts["scans"][0]["methods"]]
        assert {len(parts) for some in shown.slices for parts in some} == {1 + len(titles)}
        lost.append([title for title in ranks if title not in titles])
        said = f"Left out for the size of this page (--most-mb): {', '.join(lost[-1])}."
        assert shown.notes == ((said,) if lost[-1] else ())
    assert lost == [[], ["Black1"], ["Black", "Black1"], ["A1", "Black", "Black1"]]


def test_a_page_is_no_larger_than_was_said(ran: SimpleNamespace, tmp_path: Path) -> None:
    page = page_of(ran, tmp_path / "small.html", most_mb=0.5, patients=1)
    assert "One slice in" in page
    assert "Figures are left out, because of the size" in page
    assert 0.3e6 < len(page.encode()) <= 0.5e6


def test_scans_that_never_fit_are_not_scored(
    ran: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shown_scans, "signed_residual", lambda *_: pytest.fail("scored"))
    page = page_of(ran, tmp_path / "page.html", most_mb=0.05)
    assert "scans do not fit into the size of this page (--most-mb)." in Seen(page).text
    assert "No scan can be shown" in page


def test_no_scan_takes_more_than_was_planned() -> None:
    """Whatever a method makes: here all scores are random, inside the brain and outside."""
    made = made_scan("a", **{"A": 0, "<B>": 1})
    brain = np.indices(made.image.shape).sum(axis=0) % 50 < 40
    maps = {
        name: ShownMap(replace(one.scored, brain=brain), one.thresholds)
        for name, one in made.methods[0].maps.items()
    }
    other = replace(maps["none"].scored, scores=maps["none"].scored.scores[::-1])
    maps["star"] = ShownMap(other, maps["none"].thresholds)
    methods = (
        replace(made.methods[0], maps=maps, reconstruction=made.image),
        replace(made.methods[1], maps=maps),
    )
    scan = replace(made, methods=methods)
    took = _packed(scan, _tops([scan])).size
    expected = [
        ExpectedMethod("A", ("none", "star"), True),
        ExpectedMethod("<B>", tuple(maps), False, 1),
    ]
    lesion = made.scored.lesion
    most = largest_size(("Noise", "a"), made.image, brain, lesion, expected)
    assert most.start == took.start
    assert took.scan.text <= most.scan.text
    assert took.scan.slices == most.scan.slices
    for title, part in took.methods.items():
        assert part.text <= most.methods[title].text
        assert all(a <= b for a, b in zip(part.slices, most.methods[title].slices, strict=True))
        assert sum(most.methods[title].slices) < 1.1 * sum(part.slices)


def counts_no_lesions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the time that counting takes where only sizes matter."""
    none = SimpleNamespace(lesions=0, matched=0, false_findings=0)
    monkeypatch.setattr(browser, "match_lesions", lambda *_: none)


def test_what_is_scored_is_what_is_shown(
    wide: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two seeds and a control on three scans: nothing is scored for which there is no room."""
    scorings, real = list[str](), shown_scans.signed_residual

    def counted(method: Any, slices: Any) -> Any:
        scorings.append(method.info.name)
        return real(method, slices)

    monkeypatch.setattr(shown_scans, "signed_residual", counted)
    searched = Searched(wide.results.folder, wide.cache, "cpu", (wide.plugin,))
    counts_no_lesions(monkeypatch)
    counts, size = [], 50_000
    while not counts or counts[-1] < 9:
        scorings.clear()
        size *= 2
        found = shown_scans.shown_scans(wide.results.cells, searched, Room(4, size), lambda _: None)
        page = make_browser(found.scans, size, found.notes, found.stride)
        shown = [one["title"] for scan in page.facts["scans"] for one in scan["methods"]]
        assert len(scorings) == len(shown)
        assert sum(map(size_of, page.slices)) <= size
        scans, said = len(page.facts["scans"]), " ".join(page.notes)
        assert (f"{3 - scans} of 3 scans do not fit" in said) is (scans < 3)
        for title in ("Deep, seed 1", "Black (control)"):
            told = bool(re.search(rf"Left out for the size[^.]*{re.escape(title)}", said))
            assert told is (scans > 0 and title not in shown)
        counts.append(len(scorings))
    assert {0, 3, 9} <= set(counts)


def test_a_page_is_never_larger_than_was_said(
    odd: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts_no_lesions(monkeypatch)
    scans = tuple(made_scan(name, **{"A": 0, "Ä<b>": 1}) for name in ("a", "b", "c"))
    least = len(odd.draft.rendered().encode())
    sizes = set()
    for most in range(least + 10_000, least + 400_000, 7_001):
        page = odd.draft.page(Images(scans, most, ("One is gone.",), "none"))
        assert len(page.encode()) <= most
        sizes.add(page.count('id="slices-'))
    assert sizes == {0, 1, 2, 3}


def test_a_page_without_images_has_none(ran: SimpleNamespace, tmp_path: Path) -> None:
    page = page_of(ran, tmp_path / "page.html", images=False)
    assert "<script" not in page
    assert "without images of scans (--no-images)" in page
    for scan in ("patient11", "patient12"):
        assert scan in page


def test_what_is_not_at_hand_is_said(ran: SimpleNamespace, tmp_path: Path) -> None:
    page = page_of(ran, tmp_path / "page.html", cache=tmp_path)
    assert "No scan can be shown" in page
    assert "are not in" in Seen(page).text
    assert "--cache" in page


def nasty(cell: CellRecord) -> CellRecord:
    """The same cell with markup in every text that comes from files."""
    data, training, fit = cell.data, cell.training, cell.fit
    excluded = (Exclusion(scan=NASTY, reason=NASTY),)
    return cell.model_copy(
        update={
            "reason": NASTY if cell.reason else "",
            "method_title": NASTY,
            "notes": (NASTY,),
            "missing": {NASTY: NASTY},
            "data": data and data.model_copy(update={"title": NASTY, "excluded": excluded}),
            "training": training and training.model_copy(update={"title": NASTY, "recipe": NASTY}),
            "fit": fit and fit.model_copy(update={"notes": (NASTY,), "tuned": {NASTY: 1.0}}),
            "environment": cell.environment.model_copy(
                update={"device": NASTY, "versions": {NASTY: NASTY}, "git_commit": NASTY}
            ),
        }
    )


@pytest.fixture(scope="module")
def nasty_file(ran: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of cells whose every text is markup, in a folder whose name is."""
    folder = tmp_path_factory.mktemp("nasty") / NASTY.replace("/", "")
    shutil.copytree(ran.results.folder, folder)
    for cell in ran.results.cells:
        write_cell(ResultsFolder(folder), nasty(cell))
    results = ub.load_results(folder, plugin=[ran.plugin])
    return results.report(folder.parent / "page.html", cache=ran.cache, progress=False)


def test_nothing_that_comes_from_files_is_markup(file: Path, nasty_file: Path) -> None:
    fine, page = Seen(file.read_text("utf-8")), nasty_file.read_text("utf-8")
    seen = Seen(page)
    assert seen.counts["script"] == fine.counts["script"] == 5
    assert seen.counts["img"] == fine.counts["img"] > 1
    assert "49" not in re.findall(r"<h1>.*?</h1>", page)[0]
    titles = [one["title"] for one in json_of(page, "browser-facts")["scans"][0]["methods"]]
    assert titles == [f"{NASTY} (thresholding)", f"{NASTY} (deep)"]


def changed(cell: CellRecord, **spec: object) -> CellRecord:
    """The cell with another identity."""
    return cell.model_copy(update={"spec": cell.spec.model_copy(update=spec)})


def test_what_has_no_map_to_show_is_said(ran: SimpleNamespace, tmp_path: Path) -> None:
    """Maps that were made elsewhere, native space, and a lost detector."""
    deep, *_, thresholding = (c for c in reversed(ran.results.cells) if c.state == "done")
    assert (deep.spec.method, thresholding.spec.method) == ("deep", "thresholding")
    assert thresholding.fit is not None
    lost = thresholding.fit.model_copy(update={"detector": "lost"})
    cells = (
        deep.model_copy(update={"maps": MapsUse(digest="0"), "fit": None}),
        changed(deep, space="native"),
        thresholding.model_copy(update={"fit": lost}),
    )
    results = ub.Results(ran.results.folder, cells, plugin=(ran.plugin,))
    page = results.report(tmp_path / "page.html", cache=ran.cache, progress=False)
    text = Seen(page.read_text("utf-8")).text
    for words in (
        "Deep on MSLUB (simulated): its maps were made elsewhere.",
        "MSLUB (simulated): scores on the scans' own voxels (native space).",
        "lost: no detector (detector.json: No such file or directory)",
        "No scan can be shown; the reasons are below.",
    ):
        assert words in text


def test_a_method_with_two_sets_of_parameters_is_two(ran: SimpleNamespace) -> None:
    deep = next(c for c in ran.results.cells if c.spec.method == "deep")
    cells = [changed(deep, params={"size": size}) for size in (1, 2)]
    (worst,) = worst_tables(cells, Names.of(cells))
    assert worst.columns[0] == "Scan"
    assert len(set(worst.columns)) == 3
    assert "size=1" in worst.columns[1]


def test_two_methods_with_one_title_are_two() -> None:
    cells = [made_cell(name, method_title="Same") for name in ("vae", "spa")]
    assert set(Names.of(cells).methods.values()) == {"Same (vae)", "Same (spa)"}


def test_maps_that_differ_from_those_of_the_run_are_told(
    ran: SimpleNamespace, tmp_path: Path
) -> None:
    folder = tmp_path / "results"
    shutil.copytree(ran.results.folder, folder)
    cell = next(c for c in ran.results.cells if c.spec.method == "thresholding")
    file = folder / str(cell.histograms)
    histograms = load_histograms(file)
    save_histograms(file, {**histograms, "patient11/slice": histograms["patient12/slice"]})
    results = ub.Results(folder, (cell,), plugin=(ran.plugin,))
    page = results.report(tmp_path / "page.html", cache=ran.cache, progress=False)
    assert "differ from those of the run" in page.read_text("utf-8")


def test_two_states_of_data_are_told(ran: SimpleNamespace, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    shutil.copytree(ran.results.folder, folder)
    first = next(c for c in ran.results.cells if c.data and c.spec.method == "deep")
    assert first.data is not None
    other = first.data.model_copy(update={"manifest_hash": "0123456789abcdef"})
    write_cell(ResultsFolder(folder), first.model_copy(update={"data": other}))
    results = ub.load_results(folder, plugin=[ran.plugin])
    page = results.report(tmp_path / "page.html", images=False).read_text()
    assert "stand on different data (0123456789abcdef, " in page
    assert "cells stand on different data and do not compare: mslub (" in page


def test_a_damaged_histogram_costs_one_figure(ran: SimpleNamespace, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    shutil.copytree(ran.results.folder, folder)
    next((folder / "histograms").iterdir()).write_bytes(b"nothing")
    page = ub.load_results(folder, plugin=[ran.plugin]).report(
        tmp_path / "page.html", images=False, progress=False
    )
    seen = Seen(page.read_text("utf-8"))
    assert "cannot read the score histograms" in seen.text
    assert seen.counts["img"] > 1


def test_failed_cells_alone_make_a_page(ran: SimpleNamespace, tmp_path: Path) -> None:
    for cell in ran.results.failed:
        write_cell(ResultsFolder(tmp_path), cell)
    results = ub.load_results(tmp_path, plugin=[ran.plugin])
    text = Seen(results.report(cache=ran.cache, progress=False).read_text()).text
    assert "No cell finished, so that there is nothing to draw." in text
    assert "no <b>score</b>" in text


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--results", "nowhere"], "no results in nowhere"),
        (["--patients", "0"], "--patients: give 1 or more"),
        (["--most-mb", "0"], "--most-mb: give more than 0"),
        (["--most-mb", "nan"], "--most-mb: give more than 0"),
        (["-o", "."], "."),
    ],
)
def test_what_cannot_be_is_one_line(
    words: list[str],
    told: str,
    ran: SimpleNamespace,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    where = ["--results", str(ran.results.folder), "--plugin", str(ran.plugin), "--no-images"]
    assert main(["report", *where, *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line


def test_the_command_says_where_the_page_is_and_how_large(
    ran: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--results", str(ran.results.folder), "--plugin", str(ran.plugin)]
    assert main(["report", *where, "--no-images", "-o", str(tmp_path / "a.html")]) == 0
    assert re.fullmatch(rf"{tmp_path}/a.html \(\d\.\d MB\)\n", capsys.readouterr().out)


def test_no_cells_are_no_report(tmp_path: Path) -> None:
    with pytest.raises(UadBenchError, match="no results in"):
        ub.Results(tmp_path, ()).report()


class Chromium:
    """A headless browser that is driven over two pipes, with nothing but the standard library."""

    FLAGS = (
        "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --remote-debugging-pipe"
    )

    def __init__(self, program: str, profile: Path) -> None:
        their_in, self._out = os.pipe()
        self._in, their_out = os.pipe()
        command = f'exec {program} {self.FLAGS} --user-data-dir="$0" 3<&{their_in} 4>&{their_out}'
        self._process = subprocess.Popen(
            ["bash", "-c", command, str(profile)],
            pass_fds=(their_in, their_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(their_in)
        os.close(their_out)
        self._rest, self._asked, self._session = b"", 0, ""
        self.events: list[dict[str, Any]] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        self._asked += 1
        said = {"id": self._asked, "method": method, "params": params}
        message = {**said, "sessionId": self._session} if self._session else said
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._asked:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = os.read(self._in, 1 << 16)
            assert part, "Chromium ended"
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def open(self, file: Path, width: int = 1280) -> None:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self.ask("Emulation.setDeviceMetricsOverride", **size)
        self.events.clear()
        self.ask("Page.navigate", url=file.as_uri())
        while not any(one.get("method") == "Page.loadEventFired" for one in self.events):
            self.events.append(self._next())
        self.settled()

    def run(self, code: str) -> Any:
        found = self.ask("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def settled(self) -> None:
        """Wait until the slice that was asked for last is drawn."""
        self.run(
            "new Promise((done) => { const look = () => {"
            "const { ready, wanted } = document.getElementById('browser').dataset;"
            "if (ready && ready === wanted) done(); else setTimeout(look, 10); }; look(); })"
        )

    def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key)
        self.settled()

    def complaints(self) -> list[dict[str, Any]]:
        """What the console says, and what a script threw."""
        loud = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
        return [one for one in self.events if one.get("method") in loud]

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        os.close(self._in)
        os.close(self._out)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on this machine")
    browser = Chromium(program, tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


def row(chromium: Chromium, title: str) -> list[str]:
    """The numbers of a method as the page shows them."""
    rows = chromium.run(
        "[...document.querySelectorAll('#browser-numbers tr')]"
        ".map((row) => [...row.children].map((cell) => cell.textContent))"
    )
    (found,) = (cells[1:] for cells in rows if cells[0] == title)
    return found


def choose(chromium: Chromium, name: str, value: object) -> None:
    chromium.run(
        f"{{ const one = document.getElementById('{name}'); one.value = {json.dumps(value)};"
        "for (const kind of ['input', 'change']) one.dispatchEvent(new Event(kind)); }"
    )
    chromium.settled()


@pytest.mark.browser
def test_the_slider_shows_what_python_counts(
    chromium: Chromium, ran: SimpleNamespace, file: Path
) -> None:
    chromium.open(file)
    scans = json_of(file.read_text("utf-8"), "browser-facts")["scans"]
    (cell,) = (
        one
        for one in ran.results.cells
        if (one.spec.method, one.spec.dataset, one.spec.postprocessing) == ("deep", "mslub", "none")
    )
    histograms = load_histograms(ran.results.folder / str(cell.histograms))
    (number,) = (k for k, one in enumerate(scans) if one["name"] == cell.scans[1].subject)
    choose(chromium, "browser-scan", number)
    choose(chromium, "browser-post", "none")
    (method,) = (one for one in scans[number]["methods"] if one["title"] == "Deep")
    levels = method["maps"]["none"]["thresholds"]
    seen = set()
    for step in (0, 1, 2, 3, 8, len(RATES) - 1):
        choose(chromium, "browser-threshold", step)
        dice = dice_at(histograms[f"{cell.scans[1].subject}/brain"], levels[step])
        assert row(chromium, "Deep")[1] == f"{dice:.3f}"
        seen.add(dice)
    assert len(seen) > 2
    assert not chromium.complaints()


@pytest.mark.browser
def test_keys_turn_slices_and_move_the_threshold(chromium: Chromium, file: Path) -> None:
    chromium.open(file)
    slice_text = "document.getElementById('browser-at').textContent"
    rate_text = "document.getElementById('browser-rate').textContent"
    before, number = chromium.run(slice_text), int(chromium.run(slice_text).split()[0])
    chromium.run("document.getElementById('browser-panels').focus()")
    chromium.press("ArrowUp")
    assert chromium.run(slice_text) == before.replace(str(number), str(number + 1), 1)
    assert chromium.run(rate_text) == "1 %"
    chromium.press("ArrowRight")
    assert chromium.run(rate_text) == "0.7 %"
    label = "document.querySelector('canvas[data-kind=map]').getAttribute('aria-label')"
    assert re.fullmatch(rf".+, anomaly map: .+, slice {number + 1} of \d+", chromium.run(label))


@pytest.mark.browser
def test_buttons_go_from_the_worst_patient_to_the_best(chromium: Chromium, file: Path) -> None:
    chromium.open(file)
    choose(chromium, "browser-by", "Deep")
    chromium.run("document.getElementById('browser-worst').click()")
    chromium.settled()
    dice = []
    for _ in range(3):
        dice.append(float(row(chromium, "Deep")[1]))
        chromium.run("document.getElementById('browser-next').click()")
        chromium.settled()
    assert dice == sorted(dice)
    assert chromium.run("document.getElementById('browser-next').disabled")
    place = chromium.run("document.getElementById('browser-place').textContent")
    assert f"3rd lowest Dice ({dice[-1]:.3f}) of the 3 scans" in place


@pytest.mark.browser
def test_a_method_without_reconstruction_says_so(chromium: Chromium, file: Path) -> None:
    chromium.open(file)
    kinds = "[...document.querySelectorAll('canvas')].map((one) => one.dataset.title)"
    assert chromium.run(kinds) == [
        *("Input", "Lesion", "Thresh., anomaly map", "Deep, reconstruction", "Deep, anomaly map")
    ]
    assert "makes no reconstruction" in chromium.run("document.body.innerText")


@pytest.fixture(scope="module")
def wide_file(wide: SimpleNamespace) -> Path:
    """The report of a method with two seeds, and of a control."""
    return wide.results.report(
        wide.results.folder.parent / "report.html", cache=wide.cache, progress=False
    )


@pytest.mark.browser
def test_seeds_and_controls_can_be_chosen(chromium: Chromium, wide_file: Path) -> None:
    chromium.open(wide_file)
    rows = (
        "[...document.querySelectorAll('#browser-numbers th, #browser-panels h3')]"
        ".map((one) => one.textContent)"
    )
    scan = "The scan (simulated)"
    assert chromium.run(rows) == ["Deep, seed 0", scan, "Deep, seed 0"]
    for title in ("Black (control)", "Deep, seed 1", "Deep, seed 0"):
        chromium.run(f"document.querySelector('#browser-methods [value=\"{title}\"]').click()")
        chromium.settled()
    two = ["Deep, seed 1", "Black (control)"]
    assert chromium.run(rows) == [*two, scan, *two]
    by = "[...document.getElementById('browser-by').options].map((one) => one.value)"
    assert chromium.run(by) == ["", *two]
    drawn = (
        "[...document.querySelectorAll('canvas[data-kind=map]')].map((one) => {"
        " const { data } = one.getContext('2d').getImageData(0, 0, one.width, one.height);"
        " return new Set(data).size; })"
    )
    colours = chromium.run(drawn)
    assert len(colours) == 2
    assert min(colours) > 10
    assert not chromium.complaints()


@pytest.mark.browser
def test_every_control_and_picture_has_a_name(chromium: Chromium, file: Path) -> None:
    chromium.open(file)
    kept = "[...document.querySelectorAll('input, select')].filter((x) => x.autocomplete !== 'off')"
    assert chromium.run(f"{kept}.length") == 0  # a reload shows what the controls say
    nameless = chromium.run(
        "[...document.querySelectorAll('input, select')].filter((one) => !one.labels.length)"
        ".concat([...document.querySelectorAll('canvas')].filter((one) => !one.ariaLabel))"
        ".concat([...document.querySelectorAll('img')].filter((one) => !one.alt))"
        ".concat([...document.querySelectorAll('th')].filter((one) => !one.scope))"
        ".map((one) => one.outerHTML)"
    )
    assert nameless == []


@pytest.mark.browser
def test_the_page_fits_a_phone_and_can_be_printed(chromium: Chromium, file: Path) -> None:
    chromium.open(file, width=390)
    assert chromium.run("document.documentElement.scrollWidth") == 390
    printed = base64.b64decode(chromium.ask("Page.printToPDF")["data"])
    assert printed.startswith(b"%PDF")


@pytest.mark.browser
def test_markup_in_names_is_shown_and_never_run(
    chromium: Chromium, file: Path, nasty_file: Path
) -> None:
    chromium.open(nasty_file)
    for name in ("browser-threshold", "browser-slice"):
        choose(chromium, name, 5)
    assert chromium.run("window.pwned") is None
    figures = Seen(file.read_text("utf-8")).counts["img"]
    assert chromium.run("document.querySelectorAll('img').length") == figures
    assert NASTY in chromium.run("document.getElementById('browser-numbers').textContent")
    assert not chromium.complaints()


LONG = "a-name-without-a-space-" * 4


def odd_scan(name: str, found: int, missed: int, wrong: int) -> ShownScan:
    """A scan with so many voxels found, missed and wrong at every threshold but the last."""
    shape = (3, 16, 16)
    scores, lesion = np.zeros(768, np.uint16), np.zeros(768, np.uint8)
    lesion[: found + missed] = 1
    scores[:found] = scores[found + missed : found + missed + wrong] = 60_000
    scored = ScoredScan(
        subject=name,
        session=None,
        scores=scores.reshape(shape),
        lesion=lesion.reshape(shape),
        brain=np.ones(shape, np.bool_),
        spacing=(1.0, 1.0, 1.0),
        z=np.arange(3),
    )
    maps = {"none": ShownMap(scored, (*(50_000,) * (len(RATES) - 1), LEVELS))}
    methods = (ShownMethod("A", maps), ShownMethod(LONG, maps, None, 1))
    image = np.full(shape, 0.5, np.float32)
    return ShownScan("Odd", True, image, Grid(np.diag([1.0, 1.0, 1.0, 1.0]), shape), methods)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The page of scans at the edges of what can be counted."""
    folder = tmp_path_factory.mktemp("odd")
    failed = [made_cell("thresholding", reason="no scores")]
    draft = draft_page(failed, folder, open_registry(()), command="")
    scans = [odd_scan("tie", 1, 0, 30), odd_scan("free", 0, 0, 9), odd_scan("missed", 0, 5, 0)]
    scans += [odd_scan(f"s{k}", k, 40 - k, 0) for k in range(2, 21)]
    scans += [odd_scan(LONG, 40, 0, 0)]
    file = folder / "odd.html"
    file.write_text(draft.page(Images(tuple(scans), 10**8, (), "")), encoding="utf-8")
    return SimpleNamespace(scans=scans, file=file, draft=draft)


def text_of(chromium: Chromium, name: str) -> str:
    return str(chromium.run(f"document.getElementById('{name}').textContent"))


@pytest.mark.browser
def test_dice_is_pythons_at_both_ends_and_where_rounding_is_a_tie(
    chromium: Chromium, odd: SimpleNamespace
) -> None:
    chromium.open(odd.file)
    seen = set()
    for number, scan in enumerate(odd.scans[:3]):
        choose(chromium, "browser-scan", number)
        found = scan.methods[0].maps["none"]
        for step in (0, len(RATES) - 1):
            choose(chromium, "browser-threshold", step)
            dice = dice_at(found.scored.brain_histogram(), found.thresholds[step])
            said = "n/a" if dice is None else f"{dice:.3f}"
            assert row(chromium, "A")[1] == said
            seen.add(said)
    assert seen == {"0.062", "0.000", "n/a"}
    assert not chromium.complaints()


@pytest.mark.browser
def test_places_are_said_in_english_and_a_scan_without_dice_has_none(
    chromium: Chromium, odd: SimpleNamespace
) -> None:
    chromium.open(odd.file)
    dice = [
        2 if (found := dice_at(scan.scored.brain_histogram(), 50_000)) is None else found
        for scan in odd.scans
    ]
    order = sorted(range(len(dice)), key=lambda at: (dice[at], at))
    places = {0: "lowest", 1: "2nd lowest", 2: "3rd lowest", 10: "11th lowest", 20: "21st lowest"}
    for place, said in {**places, 21: "22nd lowest"}.items():
        choose(chromium, "browser-scan", order[place])
        value = f"{dice[order[place]]:.3f}"
        name = odd.scans[order[place]].scored.name
        whole = f"{name}: {said} Dice ({value}) of the 23 scans shown of Odd."
        assert text_of(chromium, "browser-place") == whole
    choose(chromium, "browser-scan", order[22])
    assert text_of(chromium, "browser-place").startswith("free: no Dice, because")


@pytest.mark.browser
def test_a_reader_who_ticks_nothing_gets_nothing_on_the_next_scan(
    chromium: Chromium, odd: SimpleNamespace
) -> None:
    chromium.open(odd.file)
    chromium.run("document.querySelector('#browser-methods input:checked').click()")
    chromium.settled()
    chromium.run("document.getElementById('browser-next').click()")
    chromium.settled()
    left = "#browser-methods input:checked, #browser-numbers tr"
    assert chromium.run(f"document.querySelectorAll('{left}').length") == 0


@pytest.mark.browser
def test_the_browsers_own_keys_and_wheel_stay_its_own(
    chromium: Chromium, odd: SimpleNamespace
) -> None:
    chromium.open(odd.file)

    def taken(kind: str, name: str, **given: object) -> bool:
        words = json.dumps({**given, "cancelable": True, "bubbles": True})
        found = chromium.run(
            "(() => { const stage = document.getElementById('browser-panels'); stage.focus();"
            f"const event = new {kind}('{name}', {words});"
            "stage.dispatchEvent(event); return event.defaultPrevented; })()"
        )
        chromium.settled()
        return bool(found)

    assert taken("KeyboardEvent", "keydown", key="ArrowLeft")
    for held in ("altKey", "ctrlKey", "metaKey"):
        assert not taken("KeyboardEvent", "keydown", key="ArrowLeft", **{held: True})
    assert taken("WheelEvent", "wheel", deltaY=1)
    assert not taken("WheelEvent", "wheel", deltaY=1, ctrlKey=True)
    assert not taken("WheelEvent", "wheel", deltaX=1)


@pytest.mark.browser
def test_slices_that_cannot_be_shown_leave_none_of_another_scan(
    chromium: Chromium, odd: SimpleNamespace, tmp_path: Path
) -> None:
    page = odd.file.read_text("utf-8")
    (packed,) = re.findall(r'id="slices-1">(.*?)</script>', page)
    (tmp_path / "page.html").write_text(page.replace(packed, '[["AAAA", "AAAA", "AAAA"]]'))
    chromium.open(tmp_path / "page.html")
    choose(chromium, "browser-scan", 1)
    assert "cannot show the slices" in text_of(chromium, "browser-place")
    assert row(chromium, "A")[3:] == ["0 of 0", "1"]
    lit = (
        "[...document.querySelectorAll('canvas')].filter((one) => one.getContext('2d')"
        ".getImageData(0, 0, one.width, one.height).data.some((byte) => byte)).length"
    )
    assert chromium.run(lit) == 0
    choose(chromium, "browser-scan", 0)
    assert text_of(chromium, "browser-place").startswith("tie: ")
    assert chromium.run(lit) == 3


@pytest.mark.browser
def test_the_keyboard_is_not_lost_at_the_last_scan(
    chromium: Chromium, odd: SimpleNamespace
) -> None:
    chromium.open(odd.file)
    choose(chromium, "browser-scan", len(odd.scans) - 1)
    for button, other in (("next", "before"), ("before", "next")):
        chromium.run(f"document.getElementById('browser-{button}').focus()")
        for _ in odd.scans:
            chromium.run(f"document.getElementById('browser-{button}').click()")
            chromium.settled()
        assert chromium.run(f"document.getElementById('browser-{button}').disabled")
        assert chromium.run("document.activeElement.id") == f"browser-{other}"


@pytest.mark.browser
def test_a_printed_page_says_which_slice_map_and_threshold_it_shows(
    chromium: Chromium, odd: SimpleNamespace
) -> None:
    chromium.open(odd.file)
    choose(chromium, "browser-slice", 2)
    said = "Slice 3 of 3. Map: none. Threshold: reached by 1 % of the healthy voxels."
    assert text_of(chromium, "browser-printed") == said
    shown = "getComputedStyle(document.getElementById('browser-printed')).display"
    assert chromium.run(shown) == "none"
    chromium.ask("Emulation.setEmulatedMedia", media="print")
    assert chromium.run(shown) == "block"
    chromium.ask("Emulation.setEmulatedMedia", media="")


@pytest.mark.browser
def test_long_names_fit_the_narrowest_phone(chromium: Chromium, odd: SimpleNamespace) -> None:
    chromium.open(odd.file, width=320)
    chromium.run("document.querySelector('#browser-methods input:not(:checked)').click()")
    choose(chromium, "browser-scan", len(odd.scans) - 1)
    assert chromium.run("document.documentElement.scrollWidth") == 320
