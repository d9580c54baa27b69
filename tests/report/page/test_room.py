"""A report is no larger than was said, holds what fits, and scores nothing else."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_pages import Seen, counts_no_lesions, made_scan, page_of, size_of

from uad_bench.cli import main
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.scored import ScoredScan
from uad_bench.front import shown_scans
from uad_bench.front.searched import Searched
from uad_bench.report.page.browser import Images, make_browser
from uad_bench.report.page.room import (
    ENOUGH,
    STRIDES,
    Fitted,
    PackedMethod,
    PackedScan,
    Part,
    fitting,
)
from uad_bench.runner.events import Event, Progressed, unheard

SIZE = "for the size of this page (--most-mb)"


def images_of(*scans: Any) -> Images:
    return Images(tuple(scan.packed() for scan in scans))


def size_at(images: Images, stride: int) -> int:
    """Bytes of one slice in so many, with the most important methods alone."""
    return sum(
        Fitted(scan, list(scan.first())).size(STRIDES.index(stride)) for scan in images.scans
    )


def room_of(size: int) -> Callable[[Iterable[str], Iterable[str]], int]:
    return lambda titles, notes: size


def test_fewer_slices_and_then_fewer_scans_fit_into_less_and_that_is_said() -> None:
    images = images_of(*(made_scan(name) for name in ("a", "b", "c")))
    whole = make_browser(images, 10**9)
    size = size_at(images, 1)
    assert not whole.notes
    half = make_browser(images, size * 3 // 4)
    assert half.notes == (f"Not every slice is shown, {SIZE}: one in 2 of 2 scans.",)
    assert [len(some) for some in half.slices] == [24, 12, 12]
    assert all(scan["start"] in scan["slices"] for scan in half.facts["scans"])
    few = make_browser(images, images.scans[0].size())
    assert few.notes == (
        f"Not every slice is shown, {SIZE}: one in 8 of 1 scan.",
        f"2 of 3 scans are left out, {SIZE}.",
    )
    assert [scan["name"] for scan in few.facts["scans"]] == ["a"]
    assert make_browser(images, 10).slices == ()


def test_what_a_reader_can_choose_is_left_out_before_anything_else() -> None:
    """Methods before controls, their first seed before the others, and nothing else is less."""
    ranks = {"A": 0, "B": 0, "A1": 1, "Black": 2, "Black1": 3}
    images = images_of(*(made_scan(name, **ranks) for name in ("a", "b")))
    least = size_at(images, 2)
    one = images.scans[0].methods[0].part.sizes[ENOUGH] + 10  # titles are of other lengths
    lost = []
    for room in (6, 5, 4, 3, 1, 0):
        shown = make_browser(images, least + room * one)
        assert shown.facts["chosen"] == ["A", "B"]
        assert [len(some) for some in shown.slices] == [12, 12]
        for scan, slices in zip(shown.facts["scans"], shown.slices, strict=True):
            assert {len(parts) for parts in slices} == {1 + len(scan["methods"])}
        half, *said = shown.notes
        assert half == f"Not every slice is shown, {SIZE}: one in 2 of 2 scans."
        lost.append(said)
    assert lost == [
        [],
        [f"Left out, {SIZE}: Black1 on 1 scan."],
        [f"Left out, {SIZE}: Black1."],
        [f"Left out, {SIZE}: Black on 1 scan, Black1."],
        [f"Left out, {SIZE}: A1 on 1 scan, Black, Black1."],
        [f"Left out, {SIZE}: A1, Black, Black1."],
    ]


@st.composite
def sized_scans(draw: st.DrawFn) -> list[PackedScan]:
    """Scans and methods of any sizes: more slices never take less."""

    def part() -> Part:
        steps = draw(st.lists(st.integers(1, 9), min_size=len(STRIDES), max_size=len(STRIDES)))
        sizes = tuple(sum(steps[: at + 1]) for at in range(len(steps)))
        return Part({"start": 0, "count": 1}, (), sizes)

    def scan() -> PackedScan:
        titles = draw(st.lists(st.sampled_from("ABCD"), min_size=1, max_size=4, unique=True))
        ranks = {"A": 0, "B": 0, "C": 1, "D": 2}
        methods = [PackedMethod(title, ranks[title], part(), {}) for title in sorted(titles)]
        return PackedScan(part(), tuple(methods))

    return [scan() for _ in range(draw(st.integers(1, 5)))]


@given(sized_scans(), st.integers(0, 600))
def test_what_fits_is_taken_in_the_order_of_its_importance(
    scans: list[PackedScan], most: int
) -> None:
    page = fitting(scans, most)
    kept, left = page.scans, page.left
    taken = [one.size(one.step) for one in kept]
    assert sum(taken) + left == most
    assert left >= 0
    assert [one.scan for one in kept] == scans[: len(kept)]
    if len(kept) < len(scans):
        assert scans[len(kept)].size() > most - sum(one.scan.size() for one in kept)
    steps = [one.step for one in kept]
    assert steps == sorted(steps, reverse=True)
    assert not steps or max(steps) - min(steps) <= 1
    for one in kept:
        assert one.methods[: len(one.scan.first())] == list(one.scan.first())
    missing = [
        method.part.sizes[one.step]
        for one in kept
        for method in one.scan.methods
        if method not in one.methods
    ]
    assert not missing or max(missing) > left


def test_a_page_is_no_larger_than_was_said(ran: SimpleNamespace, tmp_path: Path) -> None:
    page = page_of(ran, tmp_path / "small.html", most_mb=0.5, patients=1)
    assert "Not every slice is shown" in page
    assert "Figures are left out, because of the size" in page
    assert 0.3e6 < len(page.encode()) <= 0.5e6


def test_scans_that_never_fit_are_not_scored(
    ran: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shown_scans, "signed_residual", lambda *_: pytest.fail("scored"))
    with pytest.raises(UadBenchError, match="tables of this page alone take") as refused:
        page_of(ran, tmp_path / "page.html", most_mb=0.01)
    alone = float(re.findall(r"take ([\d.]+) MB", str(refused.value))[0])
    page = page_of(ran, tmp_path / "page.html", most_mb=alone + 0.02)
    assert "No scan fits into the size of this page (--most-mb)." in Seen(page).text


def test_tables_that_alone_are_too_large_are_refused(
    ran: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The promise is the size: a larger page would be sent where it cannot go."""
    where = ["--results", str(ran.results.folder), "--plugin", str(ran.plugin)]
    words = ["report", *where, "-o", str(tmp_path / "page.html"), "--cache", str(ran.cache)]
    assert main([*words, "--most-mb", "0.01"]) == 2
    *_, line = capsys.readouterr().err.splitlines()
    told = r"error: --most-mb 0\.01: the tables of this page alone take 0\.\d\d MB; give (0\.\d) .*"
    found = re.fullmatch(told, line)
    assert found
    assert not (tmp_path / "page.html").exists()
    assert main([*words, "--most-mb", found[1]]) == 0


def test_what_is_scored_is_shown_but_what_is_one_too_many_and_the_room_is_used(
    wide: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two seeds and a control on three scans, from nothing to all of them."""
    scorings, real = list[str](), shown_scans.signed_residual

    def counted(method: Any, slices: Any) -> Any:
        scorings.append(method.info.name)
        return real(method, slices)

    monkeypatch.setattr(shown_scans, "signed_residual", counted)
    searched = Searched(wide.results.folder, wide.cache, "cpu", (wide.plugin,))
    counts_no_lesions(monkeypatch)
    counts, size = set[int](), 100_000
    while 9 not in counts:
        scorings.clear()
        images = shown_scans.shown_scans(wide.results.cells, searched, 4, room_of(size), unheard)
        shown = make_browser(images, size)
        there = [one["title"] for scan in shown.facts["scans"] for one in scan["methods"]]
        assert len(scorings) - 2 <= len(there) <= len(scorings)  # a scan, and a further method
        taken = sum(map(size_of, shown.slices))
        assert taken <= size
        said = " ".join(shown.notes)
        if there and said:
            assert taken > 0.7 * size  # these scans are few: a step is a large part of the page
        scans = len(shown.facts["scans"])
        assert (f"{3 - scans} of 3 scans are left out" in said) is (0 < scans < 3)
        for title in ("Deep, seed 1", "Black (control)"):
            told = bool(re.search(rf"Left out, [^:]*:[^:]*{re.escape(title)}", said))
            assert told is (scans > 0 and there.count(title) < scans)
        counts.add(len(there))
        size = size * 3 // 2
    assert {0, 3} < counts


def test_scores_are_let_go_as_soon_as_a_scan_is_packed(
    wide: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts_no_lesions(monkeypatch)
    alive = list[int]()

    def look(event: Event) -> None:
        if isinstance(event, Progressed):
            gc.collect()
            alive.append(sum(type(one) is ScoredScan for one in gc.get_objects()))

    searched = Searched(wide.results.folder, wide.cache, "cpu", (wide.plugin,))
    shown_scans.shown_scans(wide.results.cells, searched, 4, room_of(10**9), look)
    assert len(alive) == 9
    assert max(alive) - min(alive) <= 1


def test_a_page_is_never_larger_than_was_said(
    odd: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts_no_lesions(monkeypatch)
    scans = [made_scan(name, **{"A": 0, "Ä<b>": 1}) for name in ("a", "b", "c")]
    images = replace(images_of(*scans), notes=("One is gone.",))
    least = len(odd.draft.page(Images(()), "none").text.encode())
    sizes = set()
    for most in range(least + 10_000, least + 400_000, 7_001):
        page = replace(odd.draft, most=most).page(images, "none").text
        assert len(page.encode()) <= most
        sizes.add(page.count('id="slices-'))
    assert sizes == {0, 1, 2, 3}
