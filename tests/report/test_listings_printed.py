"""Protects: what `compare` and `strata` write for LaTeX fits the classes of MIDL, LNCS and IEEE."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from printed import CLASSES, warnings

from uad_bench.report.statistics.listing import Listing, render_listing
from uad_bench.report.tables.formats.tex import escape

NASTY = r"a_b&%$#~^\{}<i>|*`é中 =x"
NUMBERS = ("n", "Value", "Other", "Difference", "95 % interval", "P(better)", "Effect", "Least p")
CELLS = ("0.806", "12.345", "-0.006", "[-12.345, +12.345]", "–", "-0.33", "<0.001")


def listing(*places: tuple[str, ...], notes: tuple[str, ...] = ()) -> Listing:
    words = ("Dataset", "Lesion volume", "Method")[: len(places[0])]
    return Listing(
        name=f"made-{len(places)}-{len(notes)}-{len(words)}",
        caption=f"All patients are simulated. Of {NASTY}, with --fewest 3: from 1 to -1.",
        head=(*words, *NUMBERS),
        words=len(words),
        lines=tuple((*place, str(1000 + at), *CELLS) for at, place in enumerate(places)),
        sentences=(f"{NASTY} is better.",),
        notes=notes,
        values=({"dataset": "a"},),
    )


def listings() -> list[Listing]:
    """Everything that makes one hard to set: long and odd names, many lines, much to say."""
    return [
        listing(("MSLUB (simulated)", "GMVAE restoration")),
        listing(("MSLUB (simulated)", "5 to 20 ml", "GMVAE restoration (rate=0.001)")),
        listing((NASTY * 3, "x" * 90), *((f"{at} datasets together", "SPA") for at in range(90))),
        listing(("WMH", "SPA"), notes=(f"Failed: {NASTY} {'/a/path' * 30}", "p: one to -1.")),
        listing(("WMH", "SPA"), notes=tuple(f"Note {at} is of a failed cell." for at in range(40))),
    ]


@pytest.mark.parametrize("name", CLASSES)
def test_they_are_printed_without_a_warning(name: str, tmp_path: Path) -> None:
    assert not warnings(tmp_path, name, [render_listing(one, "latex") for one in listings()])


@pytest.mark.parametrize("made", listings())
def test_nothing_is_lost_or_doubled_where_it_is_divided(made: Listing) -> None:
    source = render_listing(made, "latex")
    assert source.isascii()
    for title in made.head:
        assert escape(title) in source
    for line in made.lines:
        assert source.count(f"& {line[made.words]} &") == 1
    labels = re.findall(r"label\{(.*)\}", source)
    assert len(set(labels)) == len(labels) == source.count(r"\caption")
    for command in ("resizebox", "scalebox", "scriptsize", "tiny"):
        assert command not in source


def test_a_flag_keeps_its_hyphens_a_number_its_minus_and_a_gap_its_dash() -> None:
    source = render_listing(listing(("WMH", "SPA")), "latex")
    assert "-{}-fewest 3: from 1 to $-$1." in source
    assert "& $-$0.006 & [$-$12.345, +12.345] " in source
    assert "& -- " in source


@given(st.text("-ab –", max_size=20))
def test_hyphens_are_never_joined_to_a_dash(text: str) -> None:
    source = escape(text).replace(r"{}", "")
    assert source == " ".join([text]).replace("–", "--")
    assert "--" not in escape(text.replace("–", ""))
