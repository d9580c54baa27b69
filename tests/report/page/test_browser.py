"""The patient browser in a real browser."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from driven_chromium import Chromium, choose, row
from made_pages import (
    NASTY,
    Seen,
    json_of,
)

from uad_bench.evaluation.scores.histograms import dice_at
from uad_bench.histogram_files import load_histograms
from uad_bench.report.page.packing import RATES


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
