"""A table of participants says who somebody is, without an exact age."""

from __future__ import annotations

import pytest

from uad_bench.discovery.people.traits import PersonTraits, age_band, read_traits


def test_participants_say_who_somebody_is_without_an_exact_age(tmp_path):
    text = (
        "participant_id\tAge\tSex\tSite\tScanner\n"
        "sub-1\t34.5\tF\tOslo\tSkyra\n"
        "sub-2\t89+\tmale\tn/a\t\n"
        "sub-3\tadult\t2\tOslo\tTrio\n"
    )
    (tmp_path / "participants.tsv").write_text(text, encoding="utf-8")
    assert read_traits(tmp_path) == {
        "sub-1": PersonTraits("Oslo", "Skyra", "below 40", "female"),
        "sub-2": PersonTraits(None, None, "80 and more", "male"),
        "sub-3": PersonTraits("Oslo", "Trio", None, None),
    }
    levels = '{"Sex": {"Levels": {"2": "female"}}}'
    (tmp_path / "participants.json").write_text(levels, encoding="utf-8")
    assert read_traits(tmp_path)["sub-3"].sex == "female"


def test_nobody_is_described_without_a_table(tmp_path):
    assert read_traits(tmp_path) == {}


@pytest.mark.parametrize(
    ("text", "band"),
    [
        *(("0", "below 40"), ("39.9", "below 40"), ("40", "40 to 59"), ("80 y", "80 and more")),
        *(("131", None), ("-3", None), ("6O", None), ("", None), ("72,5 years", "60 to 79")),
    ],
)
def test_an_age_is_in_one_band(text, band):
    assert age_band(text) == band
