"""A dataset is divided by person, with lesions in every part."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uad_bench.dataset import Reading, Scan
from uad_bench.discovery.people.splits import divided_for_supervision
from uad_bench.errors import UadBenchError


def patient(folder: Path, name: str, **facts) -> Scan:
    """A scan whose mask is there."""
    mask = folder / f"{name}-mask.nii"
    mask.touch()
    return Scan(name, folder / f"{name}.nii", lesion=(mask,), **facts)


@given(
    patients=st.sets(st.text("abc123", min_size=1, max_size=6), min_size=3, max_size=40),
    healthy=st.sets(st.text("xyz", min_size=1, max_size=4), max_size=10),
    order=st.randoms(use_true_random=False),
)
def test_division_is_by_person_and_leaves_lesions_in_every_part(
    tmp_path_factory, patients, healthy, order
):
    folder = tmp_path_factory.getbasetemp()
    scans = [
        *(patient(folder, name, session=str(k)) for name in patients for k in (1, 2)),
        *(Scan(name, folder / "f.nii", healthy=True) for name in healthy),
        Scan("nobody knows", folder / "f.nii"),
    ]
    shuffled = list(scans)
    order.shuffle(shuffled)
    found, again = (
        {scan.name: scan.split for scan in divided_for_supervision(folder, Reading(tuple(s))).scans}
        for s in (scans, shuffled)
    )
    assert found == again
    assert "nobody knows" not in found
    by_person = {name: {found[f"{name}_1"], found[f"{name}_2"]} for name in patients}
    assert all(len(splits) == 1 for splits in by_person.values())
    parts = [splits.pop() for splits in by_person.values()]
    assert set(parts) == {"train", "validation", "test"}
    assert abs(parts.count("train") - 0.6 * len(parts)) <= 1


def test_named_splits_are_kept_and_must_be_whole(tmp_path):
    named = [patient(tmp_path, name, split=name) for name in ("train", "validation", "test")]
    kept = divided_for_supervision(tmp_path, Reading(tuple(named))).scans
    assert [scan.split for scan in kept] == ["train", "validation", "test"]
    with pytest.raises(UadBenchError, match="nobody with a lesion mask is in validation"):
        divided_for_supervision(tmp_path, Reading((named[0], named[2])))
