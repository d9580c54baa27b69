"""Nobody learns from lesions or from the scans that are tested; one rule divides a dataset."""

import contextlib
import gzip
import io
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from uad_bench.cli import main
from uad_bench.dataset import Dataset, DatasetInfo, Scan
from uad_bench.discovery.people.splits import divided
from uad_bench.phantom.layouts import write_layout
from uad_bench.phantom.scan import PhantomScan
from uad_bench.plugins.registry import PluginSources, discover
from uad_bench.volumes.checks.validate import validate_dataset


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory, brains: tuple[PhantomScan, ...]) -> Path:
    """Two patients in BIDS, without a list of them."""
    root = tmp_path_factory.mktemp("data") / "patients"
    write_layout("msi", root, [replace(scan, subject=10 + scan.subject) for scan in brains[:2]])
    (root / "participants.tsv").unlink()
    return root


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory, lab: Path) -> Path:
    """Four healthy people in BIDS, without a list of them."""
    root = tmp_path_factory.mktemp("data") / "people"
    shutil.copytree(lab / "HI", root)
    (root / "participants.tsv").unlink()
    for name in ("sub-005", "sub-006"):
        for folder in list(root.rglob(name)):
            shutil.rmtree(folder)
    return root


@pytest.fixture
def training(people: Path, tmp_path: Path) -> Path:
    """A copy of the people with splits of their own."""
    shutil.copytree(people, tmp_path / "training")
    write_splits(tmp_path / "training", "train", "train", "train", "validation")
    return tmp_path / "training"


def write_splits(root: Path, *splits: str, column: str = "split") -> None:
    subjects = sorted(path.name for path in root.glob("sub-*")) or sorted(
        {path.name for path in root.glob("derivatives/*/sub-*")}
    )
    rows = [f"{name}\t{split}" for name, split in zip(subjects, splits, strict=True)]
    (root / "participants.tsv").write_text(f"participant_id\t{column}\n" + "\n".join(rows) + "\n")


def flairs(root: Path) -> list[Path]:
    return sorted(root.rglob("*_FLAIR.nii.gz"))


def run(
    folder: Path, train: Path | None, *datasets: Path, command: str = "run"
) -> tuple[int, str, str]:
    """``run``, its plan, ``atlas build`` or ``sweep`` in this process, as from ``folder``."""
    asked = {
        "run": ["run", "--methods", "thresholding", "--controls", "", "--no-mlflow"],
        "plan": ["run", "--methods", "thresholding", "--controls", "", "--dry-run"],
        "atlas": ["atlas", "build", "atlas"],
        "sweep": ["sweep", "vae.beta", "--values", "0,1"],
    }[command]
    names = ",".join(f"bids:{path}" for path in datasets)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), redirect_stdout(out), redirect_stderr(err):
        code = main(
            [
                *asked,
                *(("--datasets", names) if datasets else ()),
                *(("--train", f"bids:{train}") if train is not None else ()),
                *("--cache", "cache"),
            ]
        )
    return code, out.getvalue(), err.getvalue()


def refused(folder: Path, result: tuple[int, str, str]) -> str:
    """The one line of a refusal that came before anything was prepared."""
    code, _, err = result
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert code == 2
    assert not list(folder.glob("cache/prepared/bids-*"))
    assert not list(folder.glob("results/cells/*"))
    return line


@pytest.mark.parametrize("command", ["run", "plan", "atlas", "sweep"])
def test_a_lesion_in_training_or_validation_stops_everything_that_learns(
    tmp_path: Path, patients: Path, command: str
) -> None:
    leak = tmp_path / "leak"
    shutil.copytree(patients, leak)
    write_splits(leak, "train", "validation")
    tests = command in ("run", "plan")
    evaluated = [patients] if tests else []
    line = refused(tmp_path, run(tmp_path, leak, *evaluated, command=command))
    assert "training dataset bids-leak: a lesion is marked in sub-011, sub-012: " in line
    assert ("bids-patients tests scans" in line) is tests, "all problems at once"


def test_an_empty_mask_is_no_lesion(tmp_path: Path, training: Path) -> None:
    import nibabel as nib

    flair = flairs(training)[0]
    image = nib.load(flair)
    mask = nib.Nifti1Image(np.zeros(image.shape, np.uint8), image.affine)
    nib.save(mask, flair.with_name(flair.name.replace("desc-brain_FLAIR", "label-lesion_mask")))
    code, _, err = run(tmp_path, training, command="atlas")
    assert code == 0, err


def test_a_patient_by_the_list_of_people_does_not_train(tmp_path: Path, training: Path) -> None:
    table = training / "participants.tsv"
    lines = table.read_text().splitlines()
    words = ("group", "control", "patient", "control", "control")
    table.write_text("".join(f"{a}\t{b}\n" for a, b in zip(lines, words, strict=True)))
    line = refused(tmp_path, run(tmp_path, training, command="atlas"))
    assert "training dataset bids-training: sub-002 called a patient: " in line


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_scan_that_is_tested_stops_the_run(
    tmp_path: Path, training: Path, patients: Path, split: str, command: str
) -> None:
    place = 0 if split == "train" else 3
    shutil.copy(flairs(patients)[1], flairs(training)[place])
    line = refused(tmp_path, run(tmp_path, training, patients, command=command))
    assert (
        "bids-patients tests scans that training dataset bids-training learns from: "
        f"sub-00{place + 1} (there sub-012): take them out of one of the two"
    ) in line


def test_the_same_scan_stored_as_another_file_stops_the_run(
    tmp_path: Path, training: Path, patients: Path
) -> None:
    mine = flairs(training)[0]
    content = gzip.decompress(flairs(patients)[0].read_bytes())
    mine.write_bytes(gzip.compress(content, compresslevel=1))
    code, _, err = run(tmp_path, training, patients)
    assert code == 2
    assert "bids-training learns from: sub-001 (there sub-011): take them out" in err
    assert not (tmp_path / "results" / "cells").exists()
    assert not (tmp_path / "results" / "detectors").exists()


def test_the_same_scan_in_train_and_validation_stops_the_run(
    tmp_path: Path, training: Path
) -> None:
    shutil.copy(flairs(training)[0], flairs(training)[3])
    line = refused(tmp_path, run(tmp_path, training, command="atlas"))
    assert "the same FLAIR in train and in validation: sub-001 (there sub-004): keep one" in line


def test_a_scan_that_two_datasets_test_is_told(
    tmp_path: Path, training: Path, patients: Path
) -> None:
    shutil.copytree(patients, tmp_path / "again")
    code, _, err = run(tmp_path, training, patients, tmp_path / "again")
    assert code == 0, err
    assert "bids-patients and bids-again test the same scans: sub-011, sub-012" in err


def test_one_flair_under_two_names_is_not_tested(
    tmp_path: Path, training: Path, patients: Path
) -> None:
    shutil.copytree(patients, tmp_path / "patients")
    one, other, *_ = flairs(tmp_path / "patients")
    shutil.copy(one, other)
    for train, command in ((training, "run"), (None, "plan")):
        line = refused(tmp_path, run(tmp_path, train, tmp_path / "patients", command=command))
        assert "bids-patients tests the same FLAIR under two names: sub-011 and sub-012" in line


def test_one_flair_stored_twice_is_not_tested(
    tmp_path: Path, training: Path, patients: Path
) -> None:
    shutil.copytree(patients, tmp_path / "patients")
    one, other, *_ = flairs(tmp_path / "patients")
    other.write_bytes(gzip.compress(gzip.decompress(one.read_bytes()), compresslevel=1))
    code, _, err = run(tmp_path, training, tmp_path / "patients")
    assert code == 2
    assert "bids-patients tests the same FLAIR under two names: sub-011 and sub-012" in err
    assert not (tmp_path / "results" / "cells").exists()


def test_one_lesion_mask_of_two_people_is_told_and_an_empty_one_is_not(
    tmp_path: Path, training: Path, patients: Path
) -> None:
    shutil.copytree(patients, tmp_path / "patients")
    one, other = sorted((tmp_path / "patients").rglob("*lesion_mask.nii.gz"))
    other.unlink()
    other.symlink_to(one)
    code, _, err = run(tmp_path, training, tmp_path / "patients", command="plan")
    assert code == 0, err
    assert "bids-patients: sub-011, sub-012 have the same lesion mask: is it theirs?" in err
    image = nib.load(one)
    nib.save(nib.Nifti1Image(np.zeros(image.shape, np.uint8), image.affine), one)
    code, _, err = run(tmp_path, training, tmp_path / "patients", command="plan")
    assert code == 0, err
    assert "lesion mask" not in err


def test_a_dataset_without_splits_is_divided_by_the_rule_and_this_is_told(
    tmp_path: Path, people: Path, patients: Path
) -> None:
    people = shutil.copytree(people, tmp_path / "people")
    (people / "dataset_description.json").write_text('{"Name": "Clinic_1"}')
    code, out, err = run(tmp_path, people, patients)
    assert code == 0, err
    assert "learned from 2 subjects of Clinic_1 (simulated)" in " ".join(out.split())
    assert '"title":"Clinic_1"' in "".join(
        file.read_text().replace(" ", "") for file in (tmp_path / "results/cells").glob("*.json")
    )
    assert (
        "bids-people: no column of splits; subjects by the rule: 2 train, 1 validation, 1 test"
        in err
    )


def test_a_dataset_of_patients_without_splits_is_refused_at_once(
    tmp_path: Path, patients: Path
) -> None:
    line = refused(tmp_path, run(tmp_path, patients, patients))
    assert "cannot be divided for training: sub-011, sub-012 have lesion masks" in line
    assert "in a column 'split' of its participants.tsv" in line


def test_two_people_are_too_few_to_be_divided(tmp_path: Path, people: Path) -> None:
    few = tmp_path / "few"
    shutil.copytree(people, few)
    for folder in [*few.rglob("sub-003"), *few.rglob("sub-004")]:
        shutil.rmtree(folder)
    line = refused(tmp_path, run(tmp_path, few, command="atlas"))
    assert "2 subjects are too few to be divided for training; give 3 or more" in line


def test_a_list_of_people_that_puts_all_into_test_is_believed(
    tmp_path: Path, training: Path
) -> None:
    write_splits(training, *["test"] * 4)
    line = refused(tmp_path, run(tmp_path, training, command="atlas"))
    assert "training has no train scan" in line
    assert "training has no validation scan" in line


class Invented(Dataset):
    """Scans by the dozen, with two sessions each."""

    info = DatasetInfo("invented", "t", "any", "", "", "l", "o", "x", ("x",))

    def scans(self, root: Path) -> Iterator[Scan]:
        for number in range(24):
            yield Scan(f"sub-{number // 2}", root / f"{number}.nii", session=f"ses-{number % 2}")


def test_the_rule_keeps_a_persons_sessions_together_and_does_not_hang_on_the_order(
    tmp_path: Path,
) -> None:
    scans = divided(tmp_path, Invented().read(tmp_path)).scans
    assert len({(scan.subject, scan.split) for scan in scans}) == 12
    assert Counter(scan.split for scan in scans) == {"train": 18, "validation": 2, "test": 4}


def test_validate_calls_a_lesion_or_a_patient_in_training_an_error(
    tmp_path: Path, patients: Path
) -> None:
    leak = tmp_path / "leak"
    shutil.copytree(patients, leak)
    write_splits(leak, "train\tpatient", "test\tpatient", column="split\tgroup")
    dataset = discover(PluginSources()).dataset("bids")()
    errors = [
        (one.scan, one.message)
        for one in validate_dataset(dataset, leak)
        if one.severity == "error"
    ]
    assert errors == [
        ("sub-011", "a lesion in a train scan; only healthy people belong there"),
        ("sub-011", "called a patient, but in train; only healthy people belong there"),
    ]


def test_too_few_people_for_a_healthy_dataset_is_said_before_the_work(
    tmp_path: Path, people: Path
) -> None:
    root = tmp_path / "root"
    shutil.copytree(people, root / "hi")
    for name in ("sub-002", "sub-003", "sub-004"):
        for folder in (root / "hi").rglob(name):
            shutil.rmtree(folder)
    dataset = discover(PluginSources()).dataset("hi")()
    reading = dataset.read(root / "hi")
    assert divided(root / "hi", reading) is reading
    assert [scan.split for scan in reading.scans] == ["train"]
    with contextlib.chdir(tmp_path), redirect_stderr(io.StringIO()) as err:
        code = main(["atlas", "build", "a", "--data-root", str(root), "--cache", "cache"])
    assert code == 2
    assert "training dataset hi has no validation scan" in err.getvalue()
    assert not (tmp_path / "cache" / "prepared").is_dir() or not list(
        (tmp_path / "cache" / "prepared").glob("hi-*")
    )


@pytest.mark.parametrize("split", [False, True])
def test_nobody_learns_from_a_person_whose_group_is_not_understood(
    tmp_path: Path, people: Path, split: bool
) -> None:
    own = tmp_path / "own"
    shutil.copytree(people, own)
    splits = ("train", "train", "validation", "test") if split else ("control",) * 4
    write_splits(own, *splits, column="split" if split else "healthy_note")
    lines = (own / "participants.tsv").read_text().splitlines()
    groups = ("group", "arm A", "control", "arm B", "arm C")
    (own / "participants.tsv").write_text(
        "".join(f"{line}\t{group}\n" for line, group in zip(lines, groups, strict=True))
    )
    line = refused(tmp_path, run(tmp_path, own, command="atlas"))
    first, _, third, fourth = (row.partition("\t")[0] for row in lines[1:])
    assert f"'arm A' in the column 'group' of {first}; " in line
    assert third in line
    assert (fourth in line) is not split, "nobody learns from a test scan"


@pytest.mark.parametrize("split", [False, True])
def test_nobody_learns_from_a_person_whose_health_is_told_of_others_only(
    tmp_path: Path, people: Path, split: bool
) -> None:
    own = tmp_path / "own"
    shutil.copytree(people, own)
    write_splits(own, *(("train", "train", "validation", "test") if split else ("x",) * 4))
    _, *lines = [line.split("\t") for line in (own / "participants.tsv").read_text().split("\n")]
    rows = [[name, *(cells if split else ()), "control"] for name, *cells in lines if name]
    rows[0][-1] = "n/a"
    rows[3][-1] = "n/a"
    if not split:
        del rows[3]  # a person with a scan who is not in the table
    header = ["participant_id", *(["split"] if split else []), "group"]
    table = "".join("\t".join(row) + "\n" for row in (header, *rows))
    (own / "participants.tsv").write_text(table)
    line = refused(tmp_path, run(tmp_path, own, command="atlas"))
    said = "sub-001 is" if split else "sub-001, sub-004 are"
    assert f"nobody says that {said} healthy" in line
    assert "in the column 'group'" in line


@pytest.mark.parametrize("split", [False, True])
def test_a_waived_lesion_mask_of_a_person_to_learn_from_is_refused(
    tmp_path: Path, people: Path, split: bool
) -> None:
    own = tmp_path / "own"
    shutil.copytree(people, own)
    if split:
        write_splits(own, "train", "train", "validation", "test")
    first, *_, last = flairs(own)
    for flair in (first, last):
        mask = flair.with_name(flair.name.replace("desc-brain_FLAIR", "label-lesion_mask"))
        shutil.copy(flair, mask)
    (own / ".bidsignore").write_text("**/*_label-lesion_mask.nii.gz\n")
    line = refused(tmp_path, run(tmp_path, own, command="atlas"))
    assert "has a lesion mask that .bidsignore waives" in line
    assert first.name.partition("_")[0] in line
    assert (last.name.partition("_")[0] in line) is not split
