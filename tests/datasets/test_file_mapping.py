"""Lesion masks and FLAIRs with names of their own are what the user says they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uad_bench.datasets.bids import Bids
from uad_bench.datasets.mslub import Mslub

from uad_bench.cli import main
from uad_bench.dataset import Reading
from uad_bench.discovery.file_mapping import FileMapping, compiled, file_mapping
from uad_bench.discovery.locate import inspect
from uad_bench.errors import UadBenchError
from uad_bench.phantom.layouts import MARKER
from uad_bench.plugins.registry import open_registry
from uad_bench.runner.data.source import find_source


def read(root: Path, pattern: str, *paths: str) -> Reading:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    mapping = file_mapping(pattern)
    assert mapping is not None
    return Bids().mapped(mapping).read(root)


def isles(root: Path) -> list[str]:
    names = [f"sub-strokecase000{n}" for n in (1, 2, 3)]
    flairs = [f"{name}/ses-0001/anat/{name}_ses-0001_FLAIR.nii.gz" for name in names]
    masks = [f"derivatives/{name}/ses-0001/{name}_ses-0001_msk.nii.gz" for name in names]
    return [*flairs, *masks]


def test_the_names_of_isles_are_three_scans_with_their_masks(tmp_path: Path) -> None:
    reading = read(tmp_path, "*_msk.nii.gz", *isles(tmp_path))
    assert reading.mapped == 3
    assert [scan.name for scan in reading.scans] == [
        f"sub-strokecase000{n}_ses-0001" for n in (1, 2, 3)
    ]
    for scan in reading.scans:
        assert [path.name for path in scan.lesion] == [f"{scan.name}_msk.nii.gz"]


def test_a_mapped_dataset_has_nothing_unclaimed(tmp_path: Path) -> None:
    read(tmp_path, "*_msk.nii.gz", *isles(tmp_path))
    found = inspect(Bids(FileMapping(lesion=("*_msk.nii.gz",))), tmp_path)
    assert (found.unclaimed, found.incomplete, found.mapped) == ((), (), 3)


@pytest.mark.parametrize(
    ("pattern", "mask"),
    [
        ("masks/{subject_id}.nii.gz", "masks/01.nii.gz"),
        ("masks/{subject}_{session}.nii", "masks/sub-01_ses-2.nii"),
        ("masks/{session_id}/**/{subject}.nii", "masks/2/a/b/sub-01.nii"),
        ("lesion.nii.gz", "derivatives/m/sub-01/ses-2/lesion.nii.gz"),
        ("sub-*_lesion?.nii.gz", "derivatives/m/sub-01/anat/sub-01_ses-2_lesion1.nii.gz"),
    ],
)
def test_a_pattern_or_a_folder_says_whose_mask_it_is(
    tmp_path: Path, pattern: str, mask: str
) -> None:
    reading = read(tmp_path, pattern, "sub-01/ses-2/anat/sub-01_ses-2_FLAIR.nii", mask)
    (scan,) = reading.scans
    assert [path.relative_to(tmp_path).as_posix() for path in scan.lesion] == [mask]


def test_mapped_masks_come_before_masks_that_their_names_tell(tmp_path: Path) -> None:
    reading = read(
        tmp_path,
        "*_msk.nii.gz",
        "sub-01/anat/sub-01_FLAIR.nii.gz",
        "derivatives/manual/sub-01/anat/sub-01_label-lesion_mask.nii.gz",
        "derivatives/zz/sub-01/anat/sub-01_msk.nii.gz",
    )
    assert [path.name for path in reading.scans[0].lesion] == ["sub-01_msk.nii.gz"]
    assert [left.path.name for left in reading.left] == ["sub-01_label-lesion_mask.nii.gz"]


def test_several_mapped_masks_of_one_scan_are_raters(tmp_path: Path) -> None:
    reading = read(
        tmp_path,
        "*_rater[12].nii.gz",
        "sub-01/anat/sub-01_FLAIR.nii.gz",
        *(f"derivatives/m/sub-01/sub-01_rater{n}.nii.gz" for n in (1, 2, 3)),
    )
    assert [path.name for path in reading.scans[0].lesion] == [
        "sub-01_rater1.nii.gz",
        "sub-01_rater2.nii.gz",
    ]


def test_a_mapped_mask_still_agrees_in_every_entity(tmp_path: Path) -> None:
    reading = read(
        tmp_path,
        "*_msk.nii",
        *(f"sub-01/anat/sub-01_run-{n}_FLAIR.nii" for n in (1, 2)),
        *(f"derivatives/m/sub-01/sub-01_run-{n}_msk.nii" for n in (2, 1)),
    )
    for n, scan in enumerate(reading.scans, start=1):
        assert [path.name for path in scan.lesion] == [f"sub-01_run-{n}_msk.nii"]


def test_a_mapping_file_names_flairs_as_well(tmp_path: Path) -> None:
    file = tmp_path / "names.yaml"
    file.write_text('lesion: ["*_msk.nii.gz"]\nflair: "*_T2FLAIR.nii.gz"\n')
    data = tmp_path / "data"
    reading = read(
        data,
        str(file),
        "sub-01/anat/sub-01_T2FLAIR.nii.gz",
        "sub-02/anat/sub-02_FLAIR.nii.gz",
        "derivatives/m/sub-01/sub-01_msk.nii.gz",
    )
    assert [(scan.flair.name, len(scan.lesion)) for scan in reading.scans] == [
        ("sub-01_T2FLAIR.nii.gz", 1),
        ("sub-02_FLAIR.nii.gz", 0),
    ]


def test_a_mapping_wins_over_bidsignore(tmp_path: Path) -> None:
    (tmp_path / ".bidsignore").write_text("*_msk.nii.gz\n*_old.nii.gz\n")
    reading = read(
        tmp_path,
        "*_msk.nii.gz",
        "sub-01/anat/sub-01_FLAIR.nii.gz",
        "derivatives/m/sub-01/sub-01_msk.nii.gz",
        "derivatives/m/sub-01/sub-01_old.nii.gz",
    )
    assert (reading.mapped, len(reading.waived), len(reading.scans[0].lesion)) == (1, 1, 1)


@pytest.mark.parametrize(
    ("pattern", "path", "says"),
    [
        ("masks/*.nii", "masks/a.nii", "whose it is"),
        ("*_msk.img", "derivatives/m/sub-01/sub-01_msk.img", "only .nii and .nii.gz"),
        ("masks/{subject}/*.nii", "masks/sub-01/sub-02_msk.nii", "as sub-01, its name says sub-02"),
        ("*_msk.nii", "derivatives/m/sub-02/sub-01_msk.nii", "its folder sub-02"),
        ("*.nii", "derivatives/m/sub-01/sub-01_desc-x_FLAIR.nii", "says FLAIR, which is no lesion"),
        ("*.nii", "derivatives/m/sub-01/sub-01_desc-brain_mask.nii", "says desc-brain"),
        ("*.nii", "derivatives/m/sub-01/sub-01_label-brain_mask.nii", "says label-brain"),
    ],
)
def test_a_mapped_file_that_is_not_understood_is_refused(
    tmp_path: Path, pattern: str, path: str, says: str
) -> None:
    with pytest.raises(UadBenchError, match=says):
        read(tmp_path, pattern, "sub-01/anat/sub-01_FLAIR.nii", path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{person}.nii", "unknown placeholder {person}"),
        ("{subject.nii", "no file pattern"),
        ("none-such.yaml", "No such file"),
        ("masks/*{subject_id}_seg.nii.gz", r"\*{subject_id} does not say where"),
        ("masks/{subject_id}*.nii.gz", "does not say where"),
        ("masks/?{subject}.nii.gz", "does not say where"),
        ("masks/[0-9]{subject_id}.nii.gz", "does not say where"),
        ("masks/{subject_id}{session_id}.nii.gz", "does not say where"),
    ],
)
def test_a_pattern_that_cannot_be_understood_is_one_line(text: str, says: str) -> None:
    with pytest.raises(UadBenchError, match=says) as caught:
        file_mapping(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["masks: a\n", "lesion: 3\n", "lesion: []\n", "{}\n"])
def test_a_wrong_mapping_file_is_one_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(text)
    with pytest.raises(UadBenchError, match=r"^--lesion-pattern .*m\.yaml") as caught:
        file_mapping(str(file))
    assert "\n" not in str(caught.value)


def test_a_published_layout_takes_no_mapping() -> None:
    dataset = Mslub()
    assert dataset.mapped(FileMapping(lesion=("*",))) is dataset


@given(st.text(st.characters(codec="ascii", exclude_characters="{}*?[]/\0"), min_size=1))
def test_a_pattern_without_wildcards_fits_its_own_name_only(name: str) -> None:
    rule = compiled(name)
    assert rule.fullmatch(f"some/folder/{name}")
    assert not rule.fullmatch(f"some/folder/x{name}")


@pytest.mark.parametrize(
    "command",
    [
        ("prepare", "--datasets", "bids:data", "--page", "page"),
        ("run", "--methods", "thresholding", "--datasets", "bids:data", "--results", "r"),
        ("atlas", "build", "at", "--train", "bids:data"),
        ("sweep", "vae.beta", "--train", "bids:data", "--results", "r"),
        ("validate", "bids:data"),
    ],
)
def test_a_pattern_that_fits_nothing_is_refused_before_any_work(
    tmp_path: Path,
    command: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("sub-1", "sub-2", "sub-3"):
        path = tmp_path / f"data/{name}/anat/{name}_FLAIR.nii.gz"
        path.parent.mkdir(parents=True)
        path.touch()
    assert main([*command, "--lesion-pattern", "*_nothing.nii"]) == 2
    assert "--lesion-pattern *_nothing.nii" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_run_tells_which_flair_was_left(tmp_path: Path) -> None:
    for path in (
        "sub-1/anat/sub-1_acq-2D_FLAIR.nii",
        "sub-1/anat/sub-1_acq-3D_FLAIR.nii",
        "derivatives/manual/sub-1/anat/sub-1_acq-3D_label-lesion_mask.nii",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    source = find_source(f"bids:{tmp_path}", None, open_registry(None), tmp_path / "cache")
    (note,) = source.notes
    assert "left out: sub-1/anat/sub-1_acq-2D_FLAIR.nii: a further FLAIR" in note


def test_a_simulated_dataset_takes_no_mapping(tmp_path: Path) -> None:
    """A pattern for the user's own files must not make lesions of the phantoms' files."""
    hi = tmp_path / "hi"
    read(hi, "*_msk.nii.gz", "sub-01/anat/sub-01_FLAIR.nii.gz", "sub-01/anat/sub-01_T1w.nii.gz")
    found = find_source("hi", tmp_path, open_registry(()), tmp_path, "*_T1w.nii.gz")
    assert found.mapped == 1
    (hi / MARKER).touch()
    found = find_source("hi", tmp_path, open_registry(()), tmp_path, "*_T1w.nii.gz")
    assert found.mapped == 0
    unfound = find_source("hi", None, open_registry(()), tmp_path, "*_T1w.nii.gz")
    assert [scan.lesion for scan in unfound.dataset.scans(hi)] == [()]
