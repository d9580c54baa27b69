"""A person is in the split that participants.tsv names, or in that of the dataset."""

from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_datasets import participants, read, touch

from uad_bench.errors import UadBenchError


def test_participants_tsv_decides_the_split(tmp_path: Path) -> None:
    rows = (("sub-01", "test"), ("sub-02", "train"), ("sub-03", "validation"), ("sub-09", "n/a"))
    touch(tmp_path, *(f"{s}/ses-1/anat/{s}_ses-1_FLAIR.nii.gz" for s, _ in rows[:3]))
    participants(tmp_path, *rows)
    for name in ("hi", "bids"):
        assert [(scan.subject, scan.split) for scan in read(name, tmp_path)] == list(rows[:3])


@pytest.mark.parametrize("split", ["n/a", "", "teaching"])
def test_a_subject_without_a_split_is_refused_in_one_line(tmp_path: Path, split: str) -> None:
    touch(tmp_path, "sub-01/anat/sub-01_FLAIR.nii.gz")
    participants(tmp_path, ("sub-01", split))
    with pytest.raises(UadBenchError, match=r"participants.tsv: .*sub-01.* write train") as caught:
        read("hi", tmp_path)
    assert "\n" not in str(caught.value)


def test_participants_without_a_split_column_fall_back(tmp_path: Path) -> None:
    touch(tmp_path, "sub-01/anat/sub-01_FLAIR.nii.gz")
    (tmp_path / "participants.tsv").write_text("participant_id\tage\nsub-01\t50\n")
    assert [scan.split for scan in read("hi", tmp_path)] == ["train"]


@given(st.integers(min_value=0, max_value=400))
def test_hi_default_split_has_the_papers_proportions_and_no_empty_part(count: int) -> None:
    names = [f"sub-{n:03d}" for n in range(count)]
    splits = import_module("uad_bench.datasets.hi").Hi().default_splits(names)
    parts = Counter(splits.values())
    assert set(splits) == set(names)
    if count == 163:
        assert parts == {"train": 125, "validation": 15, "test": 23}
    if count >= 3:
        assert set(parts) == {"train", "validation", "test"}
        assert abs(parts["train"] - count * 125 / 163) <= 1.5
    assert splits == import_module("uad_bench.datasets.hi").Hi().default_splits(names[::-1])


def test_hi_sessions_of_a_person_share_a_split(tmp_path: Path) -> None:
    touch(
        tmp_path,
        *(
            f"sub-{n}/ses-{s}/anat/sub-{n}_ses-{s}_FLAIR.nii.gz"
            for n in range(10, 30)
            for s in (1, 2)
        ),
    )
    pairs = {(scan.subject, scan.split) for scan in read("hi", tmp_path)}
    assert len(pairs) == 20
