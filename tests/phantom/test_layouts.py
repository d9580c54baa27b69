"""Simulated datasets are written so that the real datasets' adapters read them back."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_datasets import adapter

from uad_bench.dataset import Scan
from uad_bench.discovery.locate import inspect
from uad_bench.errors import UadBenchError
from uad_bench.phantom.layouts import (
    LAYOUTS,
    MARKER,
    WITH_HEALTHY,
    is_simulated,
    write_layout,
)
from uad_bench.phantom.scan import PhantomScan
from uad_bench.volumes.steps.space import TO_MNI152

SHAPE = (5, 6, 4)
AFFINE = np.array([[-2.0, 0, 0, 70], [0, 2, 0, -100], [0, 0, 3, -60], [0, 0, 0, 1]])


def phantom(subject: int, session: int | None = None, **changes: object) -> PhantomScan:
    rng = np.random.default_rng([subject, session or 0])
    brain = np.zeros(SHAPE, np.uint8)
    brain[1:4, 1:5, 1:3] = 1
    flair = (brain * rng.uniform(50, 900, SHAPE)).astype(np.float32)
    flair[1, 1, 1] = 1e-4
    lesion = np.zeros(SHAPE, np.uint8)
    lesion[1, 1, 1], lesion[2, 2, 2] = 1, 2
    scan = PhantomScan(
        subject=subject,
        session=session,
        flair=flair,
        lesion=lesion,
        brain=brain,
        tissues=(brain * rng.integers(1, 4, SHAPE)).astype(np.uint8),
        affine=AFFINE,
    )
    return replace(scan, **changes)


def array(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


def running_number(scan: Scan) -> int:
    """The digits that end a subject's name."""
    return int(re.search(r"\d+$", scan.subject)[0])  # type: ignore[index]


@pytest.mark.parametrize("dataset", LAYOUTS)
def test_the_real_adapter_reads_back_what_was_written(dataset: str, tmp_path: Path) -> None:
    written = [phantom(subject) for subject in (1, 2, 3, 4)]
    folder = tmp_path / dataset
    write_layout(dataset, folder, written)
    found = inspect(adapter(dataset), folder)
    assert found.problems == ()
    scans = sorted(found.scans, key=running_number)
    assert [running_number(scan) for scan in scans] == [1, 2, 3, 4]
    for scan, source in zip(scans, written, strict=True):
        stored = array(scan.flair)
        tolerance = source.flair.max() / np.iinfo(np.int16).max
        assert np.abs(stored - source.flair).max() <= tolerance
        assert ((stored > 0) == (source.flair > 0)).all(), "zero is background, and nothing else"
        for mask in scan.lesion:
            assert (array(mask) == source.lesion).all()
        if scan.brain_mask is not None:
            assert (array(scan.brain_mask) == source.brain).all()
        if scan.tissues is not None:
            assert (array(scan.tissues) == source.tissues).all()
        for path in (scan.flair, *scan.lesion):
            world = np.eye(4) if scan.space is None else TO_MNI152[scan.space]
            assert np.allclose(world @ nib.load(path).affine, AFFINE, atol=1e-3)


@pytest.mark.parametrize("dataset", WITH_HEALTHY)
def test_the_adapter_reads_who_is_healthy_beside_patients(dataset: str, tmp_path: Path) -> None:
    nothing = np.zeros(SHAPE, np.uint8)
    people = [phantom(1), phantom(2), phantom(3, lesion=nothing, healthy=True)]
    write_layout(dataset, tmp_path / dataset, people)
    found = inspect(adapter(dataset), tmp_path / dataset)
    assert found.problems == ()
    said = {scan.subject: (scan.healthy, bool(scan.lesion)) for scan in found.scans}
    assert said == {"sub-001": (False, True), "sub-002": (False, True), "sub-003": (True, False)}


@pytest.mark.parametrize("dataset", sorted({*LAYOUTS} - {"hi", *WITH_HEALTHY}))
def test_a_layout_that_cannot_say_who_is_healthy_takes_nobody(dataset: str, tmp_path: Path) -> None:
    with pytest.raises(UadBenchError, match="no healthy people can be beside its patients"):
        write_layout(dataset, tmp_path / dataset, [phantom(1), phantom(2, healthy=True)])
    assert not (tmp_path / dataset).exists()


def test_tissues_and_brain_masks_are_where_the_true_layouts_have_them(tmp_path: Path) -> None:
    have = {}
    for dataset in LAYOUTS:
        write_layout(dataset, tmp_path / dataset, [phantom(1)])
        (scan,) = adapter(dataset).scans(tmp_path / dataset)
        have[dataset] = (scan.tissues is not None, scan.brain_mask is not None)
    assert have == {
        "hi": (True, True),
        "mslub": (False, True),
        "msisbi": (False, False),
        "msi": (True, True),
        "wmh": (False, False),
        "gbi": (True, True),
        "brats": (False, False),
    }


@given(
    st.lists(
        st.tuples(st.integers(1, 40), st.sampled_from(["train", "validation", "test"])),
        min_size=1,
        max_size=6,
        unique_by=lambda pair: pair[0],
    )
)
@settings(max_examples=15)
def test_healthy_splits_survive(
    tmp_path_factory: pytest.TempPathFactory, people: list[tuple[int, str]]
) -> None:
    folder = tmp_path_factory.mktemp("layout") / "hi"
    nothing = np.zeros(SHAPE, np.uint8)
    write_layout("hi", folder, (phantom(n, split=split, lesion=nothing) for n, split in people))
    scans = list(adapter("hi").scans(folder))
    assert [(scan.subject, scan.split) for scan in scans] == [
        (f"sub-{n:03d}", split) for n, split in sorted(people)
    ]
    assert all(scan.lesion == () for scan in scans), "healthy people carry no masks"


def test_sessions_and_both_raters_survive(tmp_path: Path) -> None:
    second = np.ones(SHAPE, np.uint8)
    scans = [phantom(n, t, second_lesion=second) for n in (1, 2) for t in (1, 2, 3)]
    write_layout("msisbi", tmp_path / "msisbi", scans)
    found = list(adapter("msisbi").scans(tmp_path / "msisbi"))
    assert [(scan.subject, scan.session) for scan in found] == [
        (f"training0{n}", f"0{t}") for n in (1, 2) for t in (1, 2, 3)
    ]
    assert (array(found[0].lesion[0]) == scans[0].lesion).all()
    assert (array(found[0].lesion[1]) == second).all()
    write_layout("msi", tmp_path / "msi", [phantom(1, 1), phantom(1, 2)])
    assert [s.name for s in adapter("msi").scans(tmp_path / "msi")] == [
        "sub-001_ses-01",
        "sub-001_ses-02",
    ]


def test_wmh_phantoms_come_from_three_sites(tmp_path: Path) -> None:
    write_layout("wmh", tmp_path / "wmh", [phantom(n) for n in (1, 2, 3)])
    sites = {scan.site for scan in adapter("wmh").scans(tmp_path / "wmh")}
    assert sites == {"Utrecht", "Singapore", "Amsterdam-GE3T"}
    named = [phantom(n, site=site) for n, site in enumerate(sorted(sites), start=1)]
    write_layout("wmh", tmp_path / "named", named)
    scans = adapter("wmh").scans(tmp_path / "named")
    assert [scan.site for scan in scans] == sorted(sites)
    with pytest.raises(UadBenchError, match="no site 'mars'"):
        write_layout("wmh", tmp_path / "mars", [phantom(1, site="Mars")])


def test_the_same_scans_give_the_same_bytes(tmp_path: Path) -> None:
    for dataset in LAYOUTS:
        for copy in ("a", "b"):
            write_layout(dataset, tmp_path / copy / dataset, [phantom(1), phantom(2)])
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*.*"))
    assert len(files) > 30
    for file in files:
        if (tmp_path / "a" / file).is_file():
            assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_simulated_folder_says_so(tmp_path: Path) -> None:
    write_layout("hi", tmp_path / "hi", [phantom(1)])
    assert is_simulated(tmp_path / "hi")
    assert "simulated" in (tmp_path / "hi" / MARKER).read_text()
    assert "simulated" in (tmp_path / "hi" / "dataset_description.json").read_text()
    assert not is_simulated(tmp_path)


def test_scans_are_written_as_they_come(tmp_path: Path) -> None:
    """Only one scan at a time needs to be in memory."""
    files: list[int] = []

    def stream() -> Iterator[PhantomScan]:
        for subject in (1, 2, 3):
            files.append(len(list(tmp_path.rglob("*FLAIR.nii.gz"))))
            yield phantom(subject)

    write_layout("mslub", tmp_path / "mslub", stream())
    assert files == [0, 1, 2]


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    def stream() -> Iterator[PhantomScan]:
        yield phantom(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_layout("brats", tmp_path / "brats", stream())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("dataset", "scans", "message"),
    [
        ("mars", [phantom(1)], "no simulated layout 'mars': choose from hi, mslub"),
        ("hi", [], "no scan to write"),
        ("hi", [phantom(1), phantom(1)], "subject 1, session None twice"),
        ("hi", [phantom(1, 1), phantom(1, 2, split="train")], "sub-001 is in two splits"),
    ],
)
def test_what_cannot_be_written_is_refused(
    tmp_path: Path, dataset: str, scans: list[PhantomScan], message: str
) -> None:
    with pytest.raises(UadBenchError, match=message):
        write_layout(dataset, tmp_path / "out", scans)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write_layout("hi", tmp_path / "out", [phantom(1)])
    with pytest.raises(UadBenchError, match="is not empty"):
        write_layout("hi", tmp_path / "out", [phantom(1)])
