"""Every adapter reads the layouts that its dataset really has, by names only."""

import os
import re
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uad_bench.dataset import Dataset, Scan
from uad_bench.discovery.locate import inspect
from uad_bench.errors import UadBenchError
from uad_bench.plugins.registry import PluginSources, discover
from uad_bench.report.bercea2022 import BERCEA_2022

SHARED = Path(
    os.environ.get("UAD_BENCH_SHARED", Path(__file__).resolve().parents[3] / "shared" / "data")
)
NAMES = ("hi", "mslub", "msisbi", "msi", "wmh", "gbi", "brats", "bids")


def adapter(name: str) -> Dataset:
    dataset = getattr(import_module(f"uad_bench.datasets.{name}"), name.capitalize())()
    assert isinstance(dataset, Dataset)
    return dataset


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def read(name: str, root: Path) -> list[Scan]:
    return list(adapter(name).scans(root))


def relative(root: Path, scan: Scan) -> tuple[str, ...]:
    given = (scan.flair, *scan.lesion, scan.brain_mask, scan.tissues)
    return tuple(str(path.relative_to(root)) for path in given if path is not None)


@pytest.mark.parametrize("name", NAMES)
def test_metadata_is_complete_and_reads_one_entry_per_reference(name: str) -> None:
    info = adapter(name).info
    assert info.name == name
    assert all((info.title, info.disease, info.citation, info.licence, info.obtain))
    assert bool(info.folders) == (name != "bids"), "bids is bound to a path of the user's"
    assert info.bibtex.startswith("@")
    assert info.bibtex.count("{") == info.bibtex.count("}")
    for entry in info.bibtex.split("\n@"):
        assert all(f"  {key} = " in entry for key in ("title", "author"))
        assert "year = " in entry
    assert info.layout.splitlines()[0].rstrip("/") in {name, "PATH"}


def test_table_1_is_kept_as_printed() -> None:
    assert {name: facts.splits for name, facts in BERCEA_2022.data.items()} == {
        "hi": (125, 15, 23),
        "mslub": (0, 0, 30),
        "msisbi": (0, 0, 21),
        "msi": (0, 0, 48),
        "wmh": (0, 0, 60),
        "gbi": (0, 0, 94),
        "brats": (0, 0, 285),
    }
    assert list(BERCEA_2022.data) == list(BERCEA_2022.datasets)
    for name, facts in BERCEA_2022.data.items():
        assert adapter(name).info.expected_scans == sum(facts.splits)


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_folder_has_no_scans(name: str, tmp_path: Path) -> None:
    assert read(name, tmp_path) == []


# --- BraTS -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flair", "mask", "subject", "session"),
    [
        (
            "HGG/Brats18_TCIA01_001_1/Brats18_TCIA01_001_1_flair.nii.gz",
            "HGG/Brats18_TCIA01_001_1/Brats18_TCIA01_001_1_seg.nii.gz",
            "Brats18_TCIA01_001_1",
            None,
        ),
        (
            "data/LGG/BraTS19_2013_0_1/BraTS19_2013_0_1_flair.nii",
            "data/LGG/BraTS19_2013_0_1/BraTS19_2013_0_1_seg.nii",
            "BraTS19_2013_0_1",
            None,
        ),
        (
            "BraTS20_Training_001/BraTS20_Training_001_flair.nii",
            "BraTS20_Training_001/BraTS20_Training_001_seg.nii",
            "BraTS20_Training_001",
            None,
        ),
        (
            "BraTS20_Training_355/BraTS20_Training_355_flair.nii.gz",
            "BraTS20_Training_355/W39_1998.09.19_Segm.nii.gz",
            "BraTS20_Training_355",
            None,
        ),
        (
            "BraTS2021_00000/BraTS2021_00000_flair.nii.gz",
            "BraTS2021_00000/BraTS2021_00000_seg.nii.gz",
            "BraTS2021_00000",
            None,
        ),
        (
            "BraTS-GLI-00005-001/BraTS-GLI-00005-001-t2f.nii.gz",
            "BraTS-GLI-00005-001/BraTS-GLI-00005-001-seg.nii.gz",
            "BraTS-GLI-00005",
            "001",
        ),
    ],
)
def test_brats_reads_every_release(
    tmp_path: Path, flair: str, mask: str, subject: str, session: str | None
) -> None:
    touch(tmp_path, flair, mask)
    (scan,) = read("brats", tmp_path)
    assert relative(tmp_path, scan) == (flair, mask)
    assert (scan.subject, scan.session, scan.split, scan.space) == (
        subject,
        session,
        "test",
        "sri24",
    )


def test_brats_whole_tumour_is_every_label_but_a_resection_cavity(tmp_path: Path) -> None:
    touch(tmp_path, "old/Brats18_2013_0_1/x", "new/BraTS-GLI-02063-100/x")
    (old,) = read("brats", tmp_path / "old")
    (new,) = read("brats", tmp_path / "new")
    assert (old.lesion_labels, old.ignore_labels) == ({1, 2, 3, 4}, frozenset())
    assert (new.lesion_labels, new.ignore_labels) == ({1, 2, 3}, {4})


@pytest.mark.parametrize(
    ("case", "ignored"),
    [
        ("BraTS-GLI-00000-000", frozenset()),
        ("BraTS-GLI-00000-001", frozenset()),
        ("BraTS-GLI-02063-100", {4}),
        ("BraTS-GLI-02063-106", {4}),
    ],
)
def test_label_4_is_a_resection_cavity_only_after_treatment(
    tmp_path: Path, case: str, ignored: frozenset[int]
) -> None:
    touch(tmp_path, f"{case}/x")
    (scan,) = read("brats", tmp_path)
    assert (scan.lesion_labels, scan.ignore_labels) == ({1, 2, 3}, ignored)
    assert ("take names and masks from one release" in scan.label_advice) == (not ignored)


def test_brats_time_points_of_one_person_are_one_subject(tmp_path: Path) -> None:
    touch(tmp_path, *(f"BraTS-GLI-00005-00{time}/x" for time in range(2)))
    scans = read("brats", tmp_path)
    assert [(scan.subject, scan.session) for scan in scans] == [
        ("BraTS-GLI-00005", "000"),
        ("BraTS-GLI-00005", "001"),
    ]
    assert len({scan.name for scan in scans}) == 2


def test_brats_leaves_out_cases_for_validation_which_have_no_masks(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "MICCAI_BraTS_2018_Data_Validation/Brats18_CBICA_AAM_1/Brats18_CBICA_AAM_1_flair.nii.gz",
        "BraTS20_Validation_001/BraTS20_Validation_001_flair.nii.gz",
        "HGG/Brats18_CBICA_AAB_1/Brats18_CBICA_AAB_1_flair.nii.gz",
    )
    assert [scan.subject for scan in read("brats", tmp_path)] == ["Brats18_CBICA_AAB_1"]


def test_brats_releases_that_share_patients_are_not_mixed(tmp_path: Path) -> None:
    touch(tmp_path, "a/Brats18_2013_0_1/x", "b/BraTS2021_00000/x")
    with pytest.raises(UadBenchError, match=r"mixes the BraTS releases BraTS2021, Brats18"):
        read("brats", tmp_path)


def test_brats_a_release_in_two_spellings_is_one_release(tmp_path: Path) -> None:
    touch(tmp_path, "HGG/Brats18_2013_0_1/x", "HGG/BRATS18_2013_2_1/x")
    assert len(read("brats", tmp_path)) == 2


# --- MSLUB -----------------------------------------------------------------------------------

_REGISTERED = "N4_noneck_reduced_winsor_regtoFLAIR"


@pytest.mark.parametrize(
    ("files", "space"),
    [
        (
            (
                "patient01/patient01_FLAIR.nii.gz",
                "patient01/patient01_consensus_gt.nii.gz",
                "patient01/patient01_brainmask.nii.gz",
            ),
            None,
        ),
        (
            (
                "patient01/FLAIR.nii.gz",
                "patient01/consensus_gt.nii.gz",
                "patient01/brainmask.nii.gz",
            ),
            None,
        ),
        (
            (
                "cross_sectional/coregistered/patient01/FLAIR.nii.gz",
                "cross_sectional/coregistered/patient01/consensus_gt.nii.gz",
                "cross_sectional/coregistered/patient01/brainmask.nii.gz",
            ),
            None,
        ),
        (("raw/patient01/FLAIR.nii.gz", "raw/patient01/consensus_gt.nii.gz"), None),
        (
            (
                f"MNI/patient01/FLAIR_{_REGISTERED}_brain_N4_regtoMNI.nii.gz",
                f"MNI/patient01/GOLD_STANDARD_{_REGISTERED}_regtoMNI.nii.gz",
            ),
            "mni152",
        ),
    ],
)
def test_mslub_reads_every_layout(
    tmp_path: Path, files: tuple[str, ...], space: str | None
) -> None:
    touch(tmp_path, *files, "patient01/raw/patient01_FLAIR.nii.gz")
    if len(files[0].split("/")) > 2:
        (tmp_path / "patient01/raw/patient01_FLAIR.nii.gz").unlink()
        (tmp_path / "patient01/raw").rmdir()
        (tmp_path / "patient01").rmdir()
    (scan,) = read("mslub", tmp_path)
    assert relative(tmp_path, scan) == files
    assert (scan.subject, scan.session, scan.split, scan.space) == (
        "patient01",
        None,
        "test",
        space,
    )


def test_masks_of_ms_datasets_hold_one_label(tmp_path: Path) -> None:
    """Another value is no lesion, and refused when the mask is read."""
    touch(tmp_path, "mslub/patient01/FLAIR.nii.gz")
    touch(tmp_path, "msisbi/training/training01/preprocessed/training01_01_flair_pp.nii")
    for name in ("mslub", "msisbi"):
        (scan,) = read(name, tmp_path / name)
        assert scan.lesion_labels == {1}


def test_mslub_takes_one_of_several_variants_and_no_longitudinal_data(tmp_path: Path) -> None:
    variants = ("raw", "coregistered", "coregistered_resampled")
    touch(tmp_path, *(f"cross_sectional/{v}/patient01/FLAIR.nii.gz" for v in variants))
    touch(tmp_path, "longitudinal/raw/patient01/study1_FLAIR.nii.gz")
    (scan,) = read("mslub", tmp_path)
    assert scan.flair.parts[-3] == "coregistered_resampled"


# --- MSISBI ----------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["training/", "training_final_v4/", ""])
def test_msisbi_has_21_scans_of_5_people_and_two_raters(tmp_path: Path, level: str) -> None:
    times = {1: 4, 2: 4, 3: 5, 4: 4, 5: 4}
    for person, count in times.items():
        for time in range(1, count + 1):
            stem = f"training{person:02d}_{time:02d}"
            folder = f"{level}training{person:02d}"
            touch(
                tmp_path,
                f"{folder}/preprocessed/{stem}_flair_pp.nii",
                f"{folder}/preprocessed/{stem}_mprage_pp.nii",
                f"{folder}/masks/{stem}_mask1.nii",
                f"{folder}/masks/{stem}_mask2.nii",
                f"{folder}/orig/{stem}_flair.nii.gz",
            )
    scans = read("msisbi", tmp_path)
    assert len(scans) == 21 == len({scan.name for scan in scans})
    assert Counter(scan.subject for scan in scans) == {
        f"training{person:02d}": count for person, count in times.items()
    }
    assert {scan.space for scan in scans} == {"mni152"}
    last = f"{level}training05"
    assert relative(tmp_path, scans[-1]) == (
        f"{last}/preprocessed/training05_04_flair_pp.nii",
        f"{last}/masks/training05_04_mask1.nii",
        f"{last}/masks/training05_04_mask2.nii",
    )


def test_msisbi_names_a_missing_flair_and_a_missing_rater(tmp_path: Path) -> None:
    touch(tmp_path, "training01/masks/training01_02_mask1.nii")
    (scan,) = read("msisbi", tmp_path)
    assert scan.flair.name == "training01_02_flair_pp.nii"
    assert [mask.is_file() for mask in scan.lesion] == [True, False]


# --- WMH -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amsterdam", "level"),
    [
        ("GE3T", ""),
        ("Amsterdam/GE3T", "training/"),
        ("Amsterdam/GE3T", "dataverse_files/training/"),
    ],
)
def test_wmh_reads_both_releases_with_their_sites(
    tmp_path: Path, amsterdam: str, level: str
) -> None:
    cases = {
        f"{level}{amsterdam}/100": ("Amsterdam-GE3T-100", "Amsterdam-GE3T"),
        f"{level}Singapore/50": ("Singapore-50", "Singapore"),
        f"{level}Utrecht/0": ("Utrecht-0", "Utrecht"),
        f"{level}Utrecht/11": ("Utrecht-11", "Utrecht"),
    }
    for case in cases:
        touch(tmp_path, f"{case}/pre/FLAIR.nii.gz", f"{case}/orig/FLAIR.nii.gz")
        touch(tmp_path, f"{case}/wmh.nii.gz")
    scans = read("wmh", tmp_path)
    assert [(scan.subject, scan.site) for scan in scans] == list(cases.values())
    assert [relative(tmp_path, scan) for scan in scans] == [
        (f"{case}/pre/FLAIR.nii.gz", f"{case}/wmh.nii.gz") for case in cases
    ]


def test_wmh_label_2_is_neither_lesion_nor_healthy(tmp_path: Path) -> None:
    touch(tmp_path, "Utrecht/0/wmh.nii.gz")
    (scan,) = read("wmh", tmp_path)
    assert (scan.lesion_labels, scan.ignore_labels) == ({1}, {2})


def test_wmh_takes_the_training_part_and_no_second_opinions(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "additional_annotations/observer_o3/training/Utrecht/0/result.nii.gz",
        "test/Amsterdam/Philips_VU .PETMR_01./161/pre/FLAIR.nii.gz",
        "training/Utrecht/0/pre/FLAIR.nii.gz",
    )
    assert [scan.subject for scan in read("wmh", tmp_path)] == ["Utrecht-0"]


@pytest.mark.parametrize("training", ["Training/", "TRAINING/", ""])
@pytest.mark.parametrize("test", ["test", "Test"])
def test_wmh_never_reads_the_test_part_beside_the_training_part(
    tmp_path: Path, training: str, test: str
) -> None:
    touch(tmp_path, f"{training}Utrecht/0/pre/FLAIR.nii.gz", f"{test}/Utrecht/5/pre/FLAIR.nii.gz")
    assert [scan.subject for scan in read("wmh", tmp_path)] == ["Utrecht-0"]


def test_wmh_reads_the_five_scanners_of_the_test_part_when_asked(tmp_path: Path) -> None:
    sites = ("Amsterdam/GE1T5", "Amsterdam/GE3T", "Amsterdam/Philips_VU .PETMR_01.")
    touch(tmp_path, *(f"{site}/1/pre/FLAIR.nii.gz" for site in (*sites, "Singapore", "Utrecht")))
    scans = read("wmh", tmp_path)
    assert len({scan.site for scan in scans}) == 5 == len({scan.subject for scan in scans})


def test_a_volume_that_is_there_compressed_and_plain_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "Utrecht/0/pre/FLAIR.nii.gz", "Utrecht/0/pre/FLAIR.nii", "Utrecht/0/wmh.nii")
    with pytest.raises(UadBenchError, match=r"FLAIR\.nii\.gz and FLAIR\.nii: keep one"):
        read("wmh", tmp_path)


def test_linked_folders_are_read_and_loops_of_links_end(tmp_path: Path) -> None:
    touch(tmp_path, "store/0/pre/FLAIR.nii.gz", "store/0/wmh.nii.gz")
    (tmp_path / "wmh").mkdir()
    (tmp_path / "wmh/Utrecht").symlink_to(tmp_path / "store")
    (tmp_path / "wmh/loop").symlink_to(tmp_path / "wmh")
    (scan,) = read("wmh", tmp_path / "wmh")
    assert (scan.subject, scan.flair.is_file()) == ("Utrecht-0", True)


# --- BIDS and the in-house datasets -----------------------------------------------------------


def participants(root: Path, *rows: tuple[str, str]) -> None:
    lines = ["participant_id\tage\tsplit", *(f"{subject}\t50\t{split}" for subject, split in rows)]
    (root / "participants.tsv").write_text("\n".join(lines) + "\n")


def test_bids_raw_dataset_with_masks_in_derivatives(tmp_path: Path) -> None:
    for subject in ("sub-02", "sub-01"):
        touch(
            tmp_path,
            f"{subject}/anat/{subject}_FLAIR.nii.gz",
            f"{subject}/anat/{subject}_T1w.nii.gz",
            f"derivatives/manual/{subject}/anat/{subject}_label-lesion_mask.nii.gz",
        )
    scans = read("bids", tmp_path)
    assert [(scan.subject, scan.session, scan.split) for scan in scans] == [
        ("sub-01", None, "test"),
        ("sub-02", None, "test"),
    ]
    assert relative(tmp_path, scans[0]) == (
        "sub-01/anat/sub-01_FLAIR.nii.gz",
        "derivatives/manual/sub-01/anat/sub-01_label-lesion_mask.nii.gz",
    )
    assert scans[0].space is None


def test_bids_prefers_the_stripped_template_space_flair_and_what_lies_in_its_space(
    tmp_path: Path,
) -> None:
    stem = "derivatives/prep/sub-01/ses-02/anat/sub-01_ses-02_space-MNI152NLin6Asym"
    touch(
        tmp_path,
        "sub-01/ses-02/anat/sub-01_ses-02_FLAIR.nii.gz",
        f"{stem}_FLAIR.nii.gz",
        f"{stem}_desc-brain_FLAIR.nii.gz",
        f"{stem}_desc-brain_mask.nii.gz",
        f"{stem}_dseg.nii.gz",
        f"{stem}_label-lesion_mask.nii.gz",
        "derivatives/manual/sub-01/ses-02/anat/sub-01_ses-02_label-lesion_mask.nii.gz",
        f"{stem.replace('prep', 'fmriprep')}_dseg.nii.gz",
    )
    (scan,) = read("bids", tmp_path)
    assert relative(tmp_path, scan) == (
        f"{stem}_desc-brain_FLAIR.nii.gz",
        f"{stem}_label-lesion_mask.nii.gz",
        f"{stem}_desc-brain_mask.nii.gz",
        f"{stem}_dseg.nii.gz",
    )
    assert (scan.name, scan.space) == ("sub-01_ses-02", "mni152")


def test_bids_never_pairs_a_flair_with_a_mask_of_another_space(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "sub-01/anat/sub-01_FLAIR.nii",
        "derivatives/prep/sub-01/anat/sub-01_space-MNI152NLin6Asym_desc-brain_FLAIR.nii",
        "derivatives/manual/sub-01/anat/sub-01_label-lesion_mask.nii",
    )
    (scan,) = read("bids", tmp_path)
    assert scan.flair.name == "sub-01_FLAIR.nii"
    assert [mask.name for mask in scan.lesion] == ["sub-01_label-lesion_mask.nii"]


def test_bids_raters_are_the_masks_of_the_manual_derivative(tmp_path: Path) -> None:
    raters = [f"sub-01_label-lesion_desc-rater{n}_mask.nii.gz" for n in (1, 2)]
    touch(
        tmp_path,
        "sub-01/anat/sub-01_FLAIR.nii.gz",
        *(f"derivatives/manual/sub-01/anat/{name}" for name in raters),
        "derivatives/automatic/sub-01/anat/sub-01_label-lesion_mask.nii.gz",
    )
    (scan,) = read("bids", tmp_path)
    assert [mask.name for mask in scan.lesion] == raters


def test_bids_a_test_scan_without_its_mask_is_named_not_taken_for_healthy(tmp_path: Path) -> None:
    touch(
        tmp_path,
        *(f"sub-0{n}/anat/sub-0{n}_FLAIR.nii.gz" for n in (1, 2, 3)),
        "derivatives/manual/sub-01/anat/sub-01_label-lesion_mask.nii.gz",
    )
    participants(tmp_path, ("sub-01", "test"), ("sub-02", "test"), ("sub-03", "train"))
    first, second, third = read("bids", tmp_path)
    assert first.lesion[0].is_file()
    assert (second.lesion, second.healthy) == ((), None)
    assert third.lesion == ()
    missing = read("msi", tmp_path)[1].lesion
    assert missing == (tmp_path / "derivatives/manual/sub-02/anat/sub-02_label-lesion_mask.nii.gz",)


def test_bids_a_mask_without_flair_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "derivatives/manual/sub-01/anat/sub-01_label-lesion_mask.nii.gz")
    (scan,) = read("bids", tmp_path)
    assert scan.flair == tmp_path / "sub-01/anat/sub-01_FLAIR.nii.gz"
    assert len(scan.lesion) == 1


def test_bids_healthy_dataset_needs_no_masks(tmp_path: Path) -> None:
    touch(tmp_path, "sub-01/anat/sub-01_FLAIR.nii.gz")
    assert read("bids", tmp_path)[0].lesion == ()
    assert read("hi", tmp_path)[0].lesion == ()
    for name in ("msi", "gbi"):
        assert len(read(name, tmp_path)[0].lesion) == 1


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


# --- the guide --------------------------------------------------------------------------------


def test_the_example_in_the_guide_is_a_dataset(tmp_path: Path) -> None:
    guide = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "add-a-dataset.md"
    (example,) = re.findall(r"```python\n(.*?)```", guide.read_text(encoding="utf-8"), re.DOTALL)
    plugin = tmp_path / "clinic.py"
    plugin.write_text(example, encoding="utf-8")
    dataset = discover(PluginSources((plugin,))).dataset("clinic")()
    touch(tmp_path, "clinic/p001/flair.nii.gz")
    found = inspect(dataset, tmp_path / "clinic")
    assert [path.name for path in found.missing] == ["lesion.nii.gz"]


# --- real patients ---------------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no real patients at {SHARED}")
@pytest.mark.parametrize(
    ("name", "folder", "subjects"),
    [
        ("mslub", "MSLUB", ["patient07", "patient19"]),
        ("brats", "BraTS", [f"Brats18_2013_{n}_1" for n in (1, 2, 5, 6)]),
        ("bids", "extra-ms-bids", ["sub-104252", "sub-105074", "sub-105465"]),
    ],
)
def test_real_datasets_are_found_whole(name: str, folder: str, subjects: list[str]) -> None:
    scans = read(name, SHARED / folder)
    assert [scan.subject for scan in scans] == subjects
    for scan in scans:
        assert scan.flair.is_file()
        assert [mask.is_file() for mask in scan.lesion] == [True]
        assert (scan.brain_mask is not None) == (name == "mslub")
