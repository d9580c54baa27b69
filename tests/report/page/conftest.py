"""Runs, and the reports of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from driven_chromium import Chromium
from made_cells import made_cell
from made_pages import DEEP, FAILS, LONG, NASTY, odd_scan

import uad_bench as ub
from uad_bench.cells import CellRecord, Exclusion
from uad_bench.plugins.registry import open_registry
from uad_bench.report.page.browser import Images
from uad_bench.report.page.results import draft_page
from uad_bench.results import ResultsFolder, write_cell


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def file(ran: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ran.results.report(
        tmp_path_factory.mktemp("page") / "report.html", cache=ran.cache, progress=False
    )


@pytest.fixture(scope="session")
def wide_file(wide: SimpleNamespace) -> Path:
    """The report of a method with two seeds, and of a control."""
    return wide.results.report(
        wide.results.folder.parent / "report.html", cache=wide.cache, progress=False
    )


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


@pytest.fixture(scope="session")
def nasty_file(ran: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of cells whose every text is markup, in a folder whose name is."""
    folder = tmp_path_factory.mktemp("nasty") / NASTY.replace("/", "")
    shutil.copytree(ran.results.folder, folder)
    for cell in ran.results.cells:
        write_cell(ResultsFolder(folder), nasty(cell))
    results = ub.load_results(folder, plugin=[ran.plugin])
    return results.report(folder.parent / "page.html", cache=ran.cache, progress=False)


@pytest.fixture(scope="session")
def odd(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The page of scans at the edges of what can be counted."""
    folder = tmp_path_factory.mktemp("odd")
    failed = [made_cell("thresholding", reason="no scores")]
    draft = draft_page(failed, folder, open_registry(()), most=10**8, command="")
    scans = [odd_scan("tie", 1, 0, 30), odd_scan("free", 0, 0, 9), odd_scan("missed", 0, 5, 0)]
    scans += [odd_scan(f"s{k}", k, 40 - k, 0) for k in range(2, 21)]
    scans += [odd_scan(LONG, 40, 0, 0)]
    file = folder / "odd.html"
    file.write_text(
        draft.page(Images(tuple(scan.packed() for scan in scans)), "").text, encoding="utf-8"
    )
    return SimpleNamespace(scans=scans, file=file, draft=draft)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on this machine")
    browser = Chromium(program, tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()
