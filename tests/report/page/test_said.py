"""What a report says, and what it cannot show."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from made_cells import made_cell, made_use
from made_pages import (
    NASTY,
    Seen,
    json_of,
    page_of,
)

import uad_bench as ub
from uad_bench.cells import CellRecord, MapsUse
from uad_bench.cli import main
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.protocols.strict import STRICT
from uad_bench.evaluation.values import ScanScores
from uad_bench.plugins.registry import open_registry
from uad_bench.report.page.browser import Images
from uad_bench.report.page.facts import Names, worst_tables
from uad_bench.report.page.results import draft_page
from uad_bench.results import ResultsFolder, write_cell


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


def test_whom_maps_from_elsewhere_learned_from_is_not_said_to_be_simulated(tmp_path: Path) -> None:
    phantoms = made_use("mslub", simulated=True)
    known = made_cell("vae", data=phantoms, training=phantoms, protocol_version=STRICT.version)
    unknown = made_cell(
        "deep", data=phantoms, maps=MapsUse(digest="0"), protocol_version=STRICT.version
    )

    def title(*cells: CellRecord) -> str:
        draft = draft_page(cells, tmp_path, open_registry(None), most=10**7, command="")
        return re.findall("<title>.*</title>", draft.page(Images(()), "").text)[0]

    assert "(all simulated)" in title(known)
    assert "(some simulated)" in title(known, unknown)


def test_simulated_and_real_scans_of_one_dataset_are_apart() -> None:
    cells = [
        made_cell(
            method,
            data=made_use("mslub", simulated=simulated),
            scans=(ScanScores(subject=name, metrics={"dice": 0.5}),),
        )
        for method, simulated, name in (("vae", True, "phantom"), ("spa", False, "person"))
    ]
    found = [
        (one.title, [row[0] for row in one.rows]) for one in worst_tables(cells, Names.of(cells))
    ]
    assert found == [
        ("MSLUB (simulated), protocol strict", ["phantom"]),
        ("MSLUB, protocol strict", ["person"]),
    ]


def test_two_methods_with_one_title_are_two() -> None:
    cells = [made_cell(name, method_title="Same") for name in ("vae", "spa")]
    assert set(Names.of(cells).methods.values()) == {"Same (vae)", "Same (spa)"}


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
