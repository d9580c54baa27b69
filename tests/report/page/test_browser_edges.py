"""The patient browser at the edges of what can be shown."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from driven_chromium import Chromium, choose, row, text_of
from made_pages import odd_scan

from uad_bench.evaluation.scores.histograms import dice_at
from uad_bench.report.page.browser import Images
from uad_bench.report.page.packing import RATES, ShownMethod


@pytest.mark.browser
def test_dice_is_pythons_at_both_ends_and_where_rounding_is_a_tie(
    chromium: Chromium, odd: SimpleNamespace
) -> None:
    chromium.open(odd.file)
    seen = set()
    for number, scan in enumerate(odd.scans[:3]):
        choose(chromium, "browser-scan", number)
        found = scan.map
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
        2 if (found := dice_at(scan.map.scored.brain_histogram(), 50_000)) is None else found
        for scan in odd.scans
    ]
    order = sorted(range(len(dice)), key=lambda at: (dice[at], at))
    places = {0: "lowest", 1: "2nd lowest", 2: "3rd lowest", 10: "11th lowest", 20: "21st lowest"}
    for place, said in {**places, 21: "22nd lowest"}.items():
        choose(chromium, "browser-scan", order[place])
        value = f"{dice[order[place]]:.3f}"
        name = odd.scans[order[place]].scan.name
        whole = f"{name}: {said} Dice ({value}) of the 23 scans shown of Odd."
        assert text_of(chromium, "browser-place") == whole
    choose(chromium, "browser-scan", order[22])
    assert text_of(chromium, "browser-place").startswith("free: no Dice, because")


@pytest.mark.browser
def test_scans_are_compared_by_the_methods_that_all_of_them_have(
    chromium: Chromium, odd: SimpleNamespace, tmp_path: Path
) -> None:
    """A method that is shown on one scan alone, such as a supervised one, does not rank it."""
    better, worse = odd_scan("better", 9, 1, 0), odd_scan("worse", 5, 5, 0)
    poor = ShownMethod("Poor", odd_scan("better", 0, 10, 50).methods[0].maps)
    more = replace(better, methods=(better.methods[0], poor))
    shown = Images(tuple(scan.packed() for scan in (more, worse)))
    file = tmp_path / "page.html"
    file.write_text(odd.draft.page(shown, "").text, encoding="utf-8")
    chromium.open(file)
    for number, said in enumerate(
        ("better: 2nd lowest Dice (0.947)", "worse: lowest Dice (0.667)")
    ):
        choose(chromium, "browser-scan", number)
        assert text_of(chromium, "browser-place").startswith(said)


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
def test_a_notch_of_the_wheel_is_a_slice_and_so_are_many_small_steps(
    chromium: Chromium, odd: SimpleNamespace
) -> None:
    chromium.open(odd.file)
    chromium.run("document.getElementById('browser-panels').focus()")

    def wheel(*steps: float) -> str:
        for step in steps:
            event = f"new WheelEvent('wheel', {{ deltaY: {step}, cancelable: true }})"
            chromium.run(f"document.getElementById('browser-panels').dispatchEvent({event})")
        chromium.settled()
        return text_of(chromium, "browser-at")

    choose(chromium, "browser-slice", 0)
    assert wheel(-120) == "2 of 3"
    assert wheel(*[-4] * 10) == "2 of 3"
    assert wheel(*[-4] * 10) == "3 of 3"
    assert wheel(120) == "2 of 3"


@pytest.mark.browser
def test_what_is_read_aloud_is_said_once_and_one_scan_has_no_place(
    chromium: Chromium, odd: SimpleNamespace, tmp_path: Path
) -> None:
    one = odd_scan("alone", 3, 5, 2)
    page = odd.draft.page(Images((one.packed(),)), "").text
    (tmp_path / "one.html").write_text(page, encoding="utf-8")
    chromium.open(tmp_path / "one.html")
    chromium.run(
        "window.told = 0; new MutationObserver(() => { window.told += 1; })"
        ".observe(document.getElementById('browser-place'), { childList: true })"
    )
    choose(chromium, "browser-slice", 2)
    dice = 2 * 3 / (3 + 2 + 8)
    said = f"alone: Dice {dice:.3f}; no other scan of Odd is shown."
    assert text_of(chromium, "browser-place") == said
    assert chromium.run("window.told") == 0


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
