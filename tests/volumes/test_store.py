"""Preparation and the store: whole or not there, the same bytes every time, nobody lost."""

from __future__ import annotations

import csv
import errno
import json
import os
import pickle
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

import nibabel as nib
import numpy as np
import pytest

from uad_bench.cells import Exclusion
from uad_bench.dataset import Dataset, DatasetInfo, Scan
from uad_bench.discovery.people.traits import PersonTraits
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.scored import MIN_BRAIN_MM2
from uad_bench.volumes.recipe import Recipe
from uad_bench.volumes.steps.normalise import shortest_half_median
from uad_bench.volumes.steps.read import LoadedScan, load_scan
from uad_bench.volumes.steps.slices import slice_scan
from uad_bench.volumes.steps.space import template_brain, template_grid, template_tissues
from uad_bench.volumes.steps.tissue_maps import LabelMapping
from uad_bench.volumes.store import prepare as preparation
from uad_bench.volumes.store import write
from uad_bench.volumes.store.prepared import PreparedDataset
from uad_bench.volumes.store.tissue_prior import tissue_prior

RECIPE = Recipe(name="coarse", pixel_mm=2.0, slice_mm=8.0)
SOURCE = Recipe(name="source", pixel_mm=4.0, slice_mm=4.0)
"""The grid the toy scans are stored on."""


@dataclass(frozen=True)
class Toy(Dataset):
    """A dataset that yields what it is told."""

    found: Sequence[Scan]

    info = DatasetInfo("toy", "Toy", "none", "", "", "", "", "", ("Toy",))

    def scans(self, root: Path) -> Iterator[Scan]:
        yield from self.found


CROP = np.s_[:, 36:92, 36:92]
"""The part of it that holds the brain: less to write."""


BIDS_LABELS = np.array([0, 3, 1, 2], np.uint8)
"""How BIDS numbers nothing, CSF, GM and WM."""


def save(path: Path, data: np.ndarray, shift_mm: float = 0.0) -> Path:
    affine = template_grid(SOURCE).affine.copy()
    affine[:3, 3] = (affine @ (0, 36, 36, 1))[:3]
    affine[0, 3] += shift_mm
    nib.save(nib.Nifti1Image(data, affine), path)
    return path


def make(root: Path, number: int, split: str, *, lesion: bool = False, raters: int = 1) -> Scan:
    """One scan: a template-shaped brain with its own tissue labels and, if asked, a lesion."""
    root.mkdir(parents=True, exist_ok=True)
    brain, rng = template_brain(SOURCE)[CROP], np.random.default_rng(number)
    tissues = template_tissues(SOURCE)[:, *CROP] + rng.normal(0, 0.1, (3, 1, 1, 1))
    labels = np.where(brain, tissues.argmax(axis=0) + 1, 0).astype(np.uint8)
    flair = np.choose(labels, [0, 40, 120, 100]) + rng.normal(0, 3, brain.shape) * brain
    mask = np.zeros(brain.shape, np.uint8)
    mask[18:22, 24:30, 12:18] = 1
    name = f"s{number:02d}"
    if lesion:
        flair = flair + 80.0 * mask
    return Scan(
        name,
        save(root / f"{name}_flair.nii.gz", flair.astype(np.float32)),
        lesion=tuple(save(root / f"{name}_l{r}.nii.gz", mask) for r in range(raters * lesion)),
        tissues=save(root / f"{name}_tissues.nii.gz", np.choose(labels, BIDS_LABELS)),
        split=split,  # type: ignore[arg-type]
        space="mni152",
    )


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Scan]]:
    """Root and scans: 3 for training, 1 for validation, 2 patients, given out of order."""
    root = tmp_path_factory.mktemp("raw")
    scans = [make(root, 5, "test", lesion=True), make(root, 1, "train"), make(root, 2, "train")]
    scans += [make(root, 4, "validation"), make(root, 3, "train")]
    return root, [*scans, make(root, 6, "test", lesion=True)]


@pytest.fixture(scope="module")
def store(
    raw: tuple[Path, list[Scan]], tmp_path_factory: pytest.TempPathFactory
) -> PreparedDataset:
    root, scans = raw
    return prepare(Toy(scans), root, RECIPE, tmp_path_factory.mktemp("store"), simulated=True)


def prepare(
    dataset: Dataset,
    root: Path,
    recipe: Recipe,
    folder: Path,
    *,
    simulated: bool,
    limit: int | None = None,
    jobs: int | None = None,
    on_scan: Callable[[str], None] = lambda _: None,
    mask_shift: float = 0.0,
    tissues: LabelMapping | None = None,
) -> PreparedDataset:
    """Order and prepare in one call."""
    order = preparation.take_order(
        dataset, root, recipe, folder, simulated=simulated, limit=limit, tissues=tissues,
        mask_shift=mask_shift,
    )  # fmt: skip
    return preparation.prepare(
        order, folder, jobs=jobs, on_scan=lambda outcome: on_scan(outcome.name)
    )


def test_smaller_slices_are_the_middle_of_the_usual_ones(
    raw: tuple[Path, list[Scan]], store: PreparedDataset, tmp_path: Path
) -> None:
    root, scans = raw
    recipe = RECIPE.model_copy(update={"size": 96})
    small = prepare(Toy(scans), root, recipe, tmp_path, simulated=True)
    middle = (..., slice(16, 112), slice(16, 112))
    for one, other in zip(store.scans, small.scans, strict=True):
        whole, part = store.slices(one), small.slices(other)
        np.testing.assert_allclose(part.image, whole.image[middle], atol=1e-6)
        np.testing.assert_array_equal(part.brain, whole.brain[middle])
        np.testing.assert_array_equal(part.z, whole.z)
        np.testing.assert_array_equal(small.lesion(other), store.lesion(one)[middle])
        assert small.tissue_of(other).shape == (len(part), 3, 96, 96)


def contents(folder: Path) -> dict[str, str]:
    """What each file holds, but for the seconds that steps took."""
    texts = {p.name: p.read_bytes() for p in sorted(folder.iterdir())}
    texts["manifest.json"] = re.sub(rb'"seconds": [0-9.]+', b"", texts["manifest.json"])
    return {name: sha256(text).hexdigest() for name, text in texts.items()}


def leftovers(store_root: Path) -> list[str]:
    return [p.name for p in store_root.iterdir() if not p.name.endswith(".lock")]


def test_scans_stand_by_split_and_every_split_is_one_view(store: PreparedDataset) -> None:
    assert [scan.name for scan in store.scans] == ["s01", "s02", "s03", "s04", "s05", "s06"]
    assert [scan.start for scan in store.scans[1:]] == [scan.stop for scan in store.scans[:-1]]
    train = store.split("train")
    assert len(train) == store.scans[2].stop
    np.testing.assert_array_equal(
        train.image[:, 0], np.load(store.folder / "image.npy")[: len(train)]
    )
    assert isinstance(train.image, np.memmap)


def test_slices_are_what_the_contract_says(store: PreparedDataset) -> None:
    for scan in store.scans:
        slices = store.slices(scan)
        assert slices.image.dtype == np.float32
        assert slices.brain.dtype == np.bool_
        assert slices.image.shape == slices.brain.shape == (len(slices), 1, 128, 128)
        assert slices.image.min() >= 0.0
        assert slices.image.max() <= 1.0
        assert not slices.image[~slices.brain].any()
        inside = slices.image[slices.brain].astype(float)
        assert shortest_half_median(inside) == pytest.approx(0.55, abs=1e-2)
        assert (np.diff(slices.z) > 0).all()
        assert slices.spacing == (8.0, 2.0, 2.0)
        assert (slices.brain.sum(axis=(1, 2, 3)) * 4.0 >= MIN_BRAIN_MM2).all()


def test_lesions_lie_in_their_slices_and_volumes_are_recorded(store: PreparedDataset) -> None:
    assert not store.lesions("train").any()
    patient = store.scans[-1]
    lesion = store.lesion(patient)
    np.testing.assert_array_equal(lesion, store.lesions("test")[-len(lesion) :, 0])
    image = store.slices(patient).image[:, 0]
    assert image[lesion == 1].mean() > image[(lesion == 0) & (image > 0)].mean() + 0.2
    assert patient.has_lesion
    assert patient.quality.lesion_ml_before == pytest.approx(4 * 6 * 6 * 0.064)
    assert patient.quality.lesion_ml_after == pytest.approx((lesion == 1).sum() * 0.032)
    assert patient.quality.lesion_ml_after == pytest.approx(
        patient.quality.lesion_ml_before, rel=0.15
    )
    assert patient.quality.saturated_share == (image[lesion == 1] >= 1.0).mean()
    assert not store.scans[0].has_lesion
    assert store.scans[0].quality.saturated_share is None


def test_use_counts_one_split_or_everything(store: PreparedDataset) -> None:
    assert (store.use("train").subjects, store.use("test").scans, store.use().scans) == (3, 2, 6)
    assert store.use("test").slices == len(store.split("test"))
    assert store.use().simulated
    assert store.use().manifest_hash == store.manifest_hash


def test_a_prepared_dataset_travels_by_name_whatever_is_in_it(
    store: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    titled = replace(store, title="Mine", people={"a": PersonTraits(site="Here")})
    monkeypatch.chdir(store.folder.parent)
    sent = pickle.dumps(replace(titled, folder=Path(store.folder.name)))
    assert len(sent) < len((store.folder / "manifest.json").read_bytes()) / 4
    monkeypatch.chdir("/")
    found = pickle.loads(sent)
    assert (found.manifest, found.title, found.people) == (
        store.manifest,
        titled.title,
        titled.people,
    )
    scan = store.scans[0]
    assert np.array_equal(found.slices(scan).image, store.slices(scan).image)


def test_index_and_manifest_say_what_is_there(store: PreparedDataset) -> None:
    with (store.folder / "index.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["scan"] for row in rows] == [
        scan.name for scan in store.scans for _ in range(scan.start, scan.stop)
    ]
    assert [int(row["z"]) for row in rows] == store.z.tolist()
    manifest = json.loads((store.folder / "manifest.json").read_text())
    flair = next(f for f in manifest["scans"][0]["files"] if f["role"] == "flair")
    assert flair["path"] == "s01_flair.nii.gz"
    np.testing.assert_array_equal(manifest["grid_affine"], template_grid(RECIPE).affine)


def test_the_same_bytes_from_any_number_of_processes(
    raw: tuple[Path, list[Scan]], store: PreparedDataset, tmp_path: Path
) -> None:
    root, scans = raw
    seen: list[str] = []
    again = prepare(Toy(scans), root, RECIPE, tmp_path, simulated=True, jobs=2, on_scan=seen.append)
    assert again.folder.name == store.folder.name
    assert contents(again.folder) == contents(store.folder)
    assert sorted(seen) == [scan.name for scan in store.scans]


def test_a_store_is_used_again_until_anything_changes(
    raw: tuple[Path, list[Scan]], store: PreparedDataset, tmp_path: Path
) -> None:
    root, scans = raw
    seen: list[str] = []

    def key(scans: list[Scan], recipe: Recipe = RECIPE, **more: bool | int) -> tuple[str, str]:
        options = {"simulated": True, **more}
        made = prepare(Toy(scans), root, recipe, tmp_path, on_scan=seen.append, **options)  # type: ignore[arg-type]
        return made.folder.name, made.manifest_hash

    some = scans[1:3]
    first = key(some)
    assert len(seen) == 2
    assert key(some) == first
    assert len(seen) == 2  # nothing was prepared again
    others = [
        key(some, Recipe(pixel_mm=2.0, slice_mm=9.0)),
        key(some, RECIPE.model_copy(update={"size": 96})),
        key(some, simulated=False),
        key(some, limit=1),
        key([replace(some[0], split="validation"), some[1]]),
        key([replace(some[0], ignore_labels=frozenset({2})), some[1]]),
        key([replace(some[0], tissues=None), some[1]]),
    ]
    assert len({first, *others}) == len(others) + 1
    assert len({h for _, h in (first, *others)}) == len(others) + 1


def test_the_manifest_hash_knows_content_but_no_paths_or_times(
    raw: tuple[Path, list[Scan]], tmp_path: Path
) -> None:
    root, scans = raw
    here = prepare(Toy(scans[1:2]), root, RECIPE, tmp_path / "a", simulated=True)
    other = tmp_path / "elsewhere"
    other.mkdir()
    moved = replace(
        scans[1],
        flair=Path(shutil.copy(scans[1].flair, other / "x.nii.gz")),
        tissues=Path(shutil.copy(scans[1].tissues or "", other / "t.nii.gz")),
    )
    there = prepare(Toy([moved]), other, RECIPE, tmp_path / "b", simulated=True)
    assert there.manifest_hash == here.manifest_hash
    changed = np.asarray(nib.load(moved.flair).dataobj).copy()
    changed[20, 24, 24] += 1
    save(moved.flair, changed)
    third = prepare(Toy([moved]), other, RECIPE, tmp_path / "b", simulated=True)
    assert third.manifest_hash != here.manifest_hash
    assert third.folder != there.folder


def test_limit_takes_the_first_subjects_of_every_split(
    raw: tuple[Path, list[Scan]], tmp_path: Path
) -> None:
    root, scans = raw
    made = prepare(Toy(scans), root, RECIPE, tmp_path, simulated=True, limit=1)
    assert [scan.name for scan in made.scans] == ["s01", "s04", "s05"]


def test_a_bad_scan_is_excluded_by_name_and_changes_no_other(
    raw: tuple[Path, list[Scan]], store: PreparedDataset, tmp_path: Path
) -> None:
    root, scans = raw
    broken = root / "sub" / "broken.nii.gz"
    broken.parent.mkdir()
    broken.write_bytes(scans[0].flair.read_bytes()[:2000])
    bad = Scan("s00", broken, healthy=True, split="test", space="mni152")
    made = prepare(Toy([bad, *scans]), root, RECIPE, tmp_path, simulated=True, jobs=1)
    assert made.use("train").excluded == ()
    (excluded,) = made.use("test").excluded
    assert type(excluded) is Exclusion
    assert excluded.scan == "s00"
    assert excluded.reason.startswith("sub/broken.nii.gz: the .gz file is truncated")
    assert contents(made.folder)["image.npy"] == contents(store.folder)["image.npy"]
    assert made.manifest_hash != store.manifest_hash


def test_all_scans_bad_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    bad = [Scan(f"p{k}", tmp_path / f"p{k}.nii.gz") for k in range(3)]
    with pytest.raises(UadBenchError, match="none of the 3 scans can be used; the first, p0:"):
        prepare(Toy(bad), tmp_path, RECIPE, tmp_path / "store", simulated=False)
    assert leftovers(tmp_path / "store") == []


def test_no_scans_a_name_twice_or_a_person_in_two_splits_are_errors(
    raw: tuple[Path, list[Scan]], tmp_path: Path
) -> None:
    root, scans = raw
    for found, words in (
        ([], "toy: .* holds no scan"),
        ([scans[0], scans[0]], "s05: 2 scans have this name; rename one"),
        (
            [scans[1], replace(scans[1], session="2", split="test")],
            "is in test and train; a person belongs to one split",
        ),
    ):
        with pytest.raises(UadBenchError, match=words):
            prepare(Toy(found), root, RECIPE, tmp_path, simulated=True)


@pytest.mark.parametrize("after", [0, 2, 5])
def test_a_full_disk_is_one_line_and_leaves_nothing(
    raw: tuple[Path, list[Scan]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    root, scans = raw
    calls = []

    def full(self: write.ArrayFile, rows: np.ndarray) -> None:
        calls.append(len(rows))
        if len(calls) > after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(self, rows)

    original = write.ArrayFile.append
    monkeypatch.setattr(write.ArrayFile, "append", full)
    with pytest.raises(UadBenchError, match="the disk is full while writing"):
        prepare(Toy(scans[:2]), root, RECIPE, tmp_path, simulated=True)
    assert leftovers(tmp_path) == []


def test_ctrl_c_leaves_nothing_and_a_killed_run_is_cleaned_up(
    raw: tuple[Path, list[Scan]], tmp_path: Path
) -> None:
    root, scans = raw

    def interrupt(name: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(Toy(scans[:2]), root, RECIPE, tmp_path, simulated=True, on_scan=interrupt)
    assert leftovers(tmp_path) == []
    made = prepare(Toy(scans[:2]), root, RECIPE, tmp_path, simulated=True)
    killed = made.folder.rename(tmp_path / f".{made.folder.name}.partial")
    (killed / "manifest.json").unlink()
    again = prepare(Toy(scans[:2]), root, RECIPE, tmp_path, simulated=True)
    assert leftovers(tmp_path) == [again.folder.name]


def test_a_damaged_store_is_refused_and_prepared_again(
    raw: tuple[Path, list[Scan]], tmp_path: Path
) -> None:
    root, scans = raw
    made = prepare(Toy(scans[:1]), root, RECIPE, tmp_path, simulated=True)
    before = contents(made.folder)
    for name in ("manifest.json", "image.npy", "index.csv"):
        path = made.folder / name
        path.write_bytes(path.read_bytes()[:-200])
        with pytest.raises(UadBenchError, match="prepare again"):
            PreparedDataset.open(made.folder)
        prepare(Toy(scans[:1]), root, RECIPE, tmp_path, simulated=True)
        assert contents(made.folder) == before
    with pytest.raises(UadBenchError, match="not a whole prepared store"):
        PreparedDataset.open(tmp_path / "nowhere")


def test_tissue_is_there_only_where_every_scan_has_it(
    raw: tuple[Path, list[Scan]], store: PreparedDataset, tmp_path: Path
) -> None:
    root, scans = raw
    tissue = store.tissue("train")
    assert tissue is not None
    assert tissue.shape == (len(store.split("train")), 3, 128, 128)
    assert tissue.astype(int).sum(axis=1).max() <= 255
    mixed = prepare(
        Toy([replace(scans[1], tissues=None), scans[2], scans[3]]),
        root,
        RECIPE,
        tmp_path,
        simulated=True,
    )
    assert mixed.tissue("train") is None
    assert mixed.tissue("validation") is not None
    assert mixed.tissue("test") is None


def test_prior_is_mean_and_variance_over_training_subjects(store: PreparedDataset) -> None:
    """By hand: every training subject is one map, background where it has no slice."""
    maps = []
    for scan in store.scans_of("train"):
        full = np.zeros((4, *template_grid(RECIPE).shape))
        full[3] = 1.0
        tissue = np.moveaxis(store.tissue_of(scan), 1, 0) / 255.0
        full[:3, store.slices(scan).z] = tissue
        full[3, store.slices(scan).z] = 1.0 - tissue.sum(axis=0)
        maps.append(full)
    prior = tissue_prior(store)
    np.testing.assert_allclose(prior.mean, np.mean(maps, axis=0), atol=1e-6)
    np.testing.assert_allclose(prior.variance, np.var(maps, axis=0), atol=1e-6)
    np.testing.assert_allclose(prior.mean.sum(axis=0), 1.0, atol=1e-5)
    assert prior.mean.dtype == prior.variance.dtype == np.float32
    assert prior.source == "tissue maps of 3 simulated training subjects of toy"


def test_a_subject_with_two_sessions_counts_once(
    raw: tuple[Path, list[Scan]], tmp_path: Path
) -> None:
    root, scans = raw
    one, two = scans[1], scans[2]
    twice = [replace(one, session="1"), replace(one, session="2"), two]
    once = tissue_prior(prepare(Toy([one, two]), root, RECIPE, tmp_path, simulated=True))
    both = tissue_prior(prepare(Toy(twice), root, RECIPE, tmp_path, simulated=True))
    np.testing.assert_allclose(both.mean, once.mean, atol=1e-6)
    np.testing.assert_allclose(both.variance, once.variance, atol=1e-6)


def test_without_training_tissues_the_template_serves(
    raw: tuple[Path, list[Scan]], tmp_path: Path
) -> None:
    root, scans = raw
    patients = [scan for scan in scans if scan.split == "test"]
    prior = tissue_prior(prepare(Toy(patients), root, RECIPE, tmp_path, simulated=True))
    assert prior.source == "MNI152 template maps (fallback)"
    np.testing.assert_allclose(prior.mean[:3], template_tissues(RECIPE), atol=1e-6)
    np.testing.assert_allclose(prior.mean.sum(axis=0), 1.0, atol=1e-5)
    np.testing.assert_allclose(prior.variance, prior.mean * (1 - prior.mean), atol=1e-6)


def test_a_dark_rim_does_not_appear_at_the_brains_edge(tmp_path: Path) -> None:
    """Voxels half in the brain take the mean of their brain part."""
    brain = template_brain(SOURCE)[CROP]
    flair = np.where(brain, 50.0 + np.arange(brain.size).reshape(brain.shape) % 3, 0.0)
    scan = Scan("p", save(tmp_path / "f.nii.gz", flair.astype(np.float32)), space="mni152")
    native = load_scan(scan)
    assert native.brain is not None
    loaded = LoadedScan(native.image, native.brain, None, None, native.affine)
    slices = slice_scan(loaded, scan.flair, RECIPE, template_grid(RECIPE))
    inside = slices.image[slices.brain > 0]
    assert np.percentile(inside, 2) >= 0.0
    assert (inside < 0.1).mean() < 0.05


@pytest.mark.data
def test_real_patients_become_slices(real_patients: Path, tmp_path: Path) -> None:
    """MSLUB (LAS, MNI152) and BraTS (LPS, SRI24), found without being told their space."""
    mslub, brats = real_patients / "MSLUB", real_patients / "BraTS" / "HGG"
    scans = [
        Scan(
            path.parent.name,
            path,
            lesion=(path.with_name("consensus_gt.nii.gz"),),
            brain_mask=path.with_name("brainmask.nii.gz"),
        )
        for path in sorted(mslub.glob("*/FLAIR.nii.gz"))
    ]
    for name in ("Brats18_2013_2_1", "Brats18_2013_6_1"):
        mask = brats / name / f"{name}_seg.nii.gz"
        scans.append(Scan(name, brats / name / f"{name}_flair.nii.gz", lesion=(mask,)))
    made = prepare(Toy(scans), real_patients, Recipe(), tmp_path, simulated=False, jobs=1)
    assert made.excluded == ()
    assert [scan.standard.registration for scan in made.scans] == [
        *["published in MNI152 space"] * 2,
        *["published in SRI24 space"] * 2,
    ]
    for scan in made.scans:
        slices = made.slices(scan)
        inside = slices.image[slices.brain].astype(float)
        assert shortest_half_median(inside) == pytest.approx(0.55, abs=2e-3)
        before, after = scan.quality.lesion_ml_before, scan.quality.lesion_ml_after
        assert 1 - after / before < (0.35 if before < 2 else 0.06)
    tumour = made.scans[-2]  # in the patient's left parietal lobe, posterior
    lesion = made.lesion(tumour) == 1
    _, rows, columns = np.nonzero(lesion)
    assert rows.mean() > 64
    assert columns.mean() > 64


def test_array_files_grow_in_place(tmp_path: Path) -> None:
    """The header keeps its length however many slices follow (numpy as the oracle)."""
    array = write.ArrayFile(tmp_path / "a.npy", "<f4", (2, 3))
    rows = np.arange(60, dtype=np.float32).reshape(10, 2, 3)
    array.append(rows[:1])
    array.append(rows[1:])
    array.close()
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), rows)
    stream: BinaryIO
    with (tmp_path / "a.npy").open("rb") as stream:
        assert len(stream.read()) == 128 + rows.nbytes


def test_a_displaced_mask_takes_part_only_where_it_is_allowed(tmp_path: Path) -> None:
    """Its voxels are the FLAIR's, so that its lesion is the one of the undisplaced mask."""
    root = tmp_path / "raw"
    scans = [make(root, 7, "test", lesion=True), make(root, 8, "test", lesion=True)]
    sound = prepare(Toy(scans), root, RECIPE, tmp_path / "a", simulated=True)
    save(scans[0].lesion[0], np.asarray(nib.load(scans[0].lesion[0]).dataobj), shift_mm=5.0)
    strict = prepare(Toy(scans), root, RECIPE, tmp_path / "b", simulated=True)
    assert [scan.name for scan in strict.scans] == ["s08"]
    assert "up to 5 mm away" in strict.excluded[0].reason
    assert (strict.use("test").displaced, strict.use("test").displaced_mm) == (0, 0.0)
    loose = prepare(Toy(scans), root, RECIPE, tmp_path / "b", simulated=True, mask_shift=6.0)
    np.testing.assert_array_equal(loose.lesions("test"), sound.lesions("test"))
    assert [(m.file, m.mm) for m in loose.scans[0].standard.displaced] == [("s07_l0.nii.gz", 5.0)]
    assert not loose.scans[1].standard.displaced
    assert (loose.use("test").displaced, loose.use("test").displaced_mm) == (1, 5.0)
    assert len({sound.manifest_hash, strict.manifest_hash, loose.manifest_hash}) == 3
    assert strict.folder != loose.folder


def test_an_allowed_shift_is_part_of_a_store_only_where_there_are_masks(tmp_path: Path) -> None:
    root = tmp_path / "raw"
    patient = make(root, 7, "test", lesion=True)
    healthy = replace(make(root, 8, "train"), tissues=None)

    def names(scan: Scan) -> set[str]:
        dataset = Toy([scan])
        return {
            preparation.take_order(
                dataset, root, RECIPE, tmp_path, simulated=True, mask_shift=mm
            ).folder_name
            for mm in (0.0, 1.0, 2.0)
        }

    assert (len(names(patient)), len(names(healthy))) == (3, 1)


def test_a_lesion_mostly_outside_the_brain_is_refused_in_a_run_as_in_validate(
    tmp_path: Path,
) -> None:
    """A mask that was cut out with a wrong origin has another shape: its header is believed."""
    root = tmp_path / "raw"
    scans = [make(root, 7, "test", lesion=True), make(root, 8, "test", lesion=True)]
    mask = np.asarray(nib.load(scans[0].lesion[0]).dataobj)
    save(scans[0].lesion[0], np.pad(mask, ((0, 0), (0, 0), (0, 20))), shift_mm=48.0)
    store = prepare(Toy(scans), root, RECIPE, tmp_path / "s", simulated=True)
    assert [scan.name for scan in store.scans] == ["s08"]
    assert "of the lesion lies outside the brain" in store.excluded[0].reason


def test_a_mask_that_cannot_be_read_excludes_its_scan(tmp_path: Path) -> None:
    root = tmp_path / "raw"
    scans = [make(root, 7, "test", lesion=True), make(root, 8, "test", lesion=True)]
    scans[0].lesion[0].unlink()
    scans[0].lesion[0].mkdir()
    store = prepare(Toy(scans), root, RECIPE, tmp_path / "s", simulated=True)
    assert [scan.name for scan in store.scans] == ["s08"]
    assert "s07_l0.nii.gz: cannot be read" in store.excluded[0].reason


def test_a_whole_store_of_another_user_is_used_without_writing_beside_it(
    raw: tuple[Path, list[Scan]], store: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, scans = raw

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    for name in ("os.open", "os.mkdir", "shutil.rmtree"):
        monkeypatch.setattr(name, refuse)
    again = prepare(Toy(scans), root, RECIPE, store.folder.parent, simulated=True)
    assert again.manifest_hash == store.manifest_hash


def test_a_store_that_another_user_does_not_share_is_named_and_kept(
    raw: tuple[Path, list[Scan]], store: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, scans = raw
    read = Path.read_text

    def refuse(path: Path, *args: Any, **options: Any) -> str:
        if path == store.folder / "manifest.json":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return read(path, *args, **options)

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(UadBenchError, match=r"is not yours to read: ask whoever made it.*--cache"):
        prepare(Toy(scans), root, RECIPE, store.folder.parent, simulated=True)
    monkeypatch.undo()
    PreparedDataset.open(store.folder)


@pytest.mark.parametrize(("name", "fits"), [("spm", True), ("fast", False)])
def test_mapped_labels_that_make_bright_tissue_csf_leave_the_scan_out(
    raw: tuple[Path, list[Scan]], tmp_path: Path, name: str, fits: bool
) -> None:
    root, scans = raw
    mapping = LabelMapping(file="{subject}_tissues.nii.gz", labels=name)
    plain = [replace(scan, tissues=None) for scan in (scans[1], scans[4], scans[0])]
    store = prepare(Toy(plain), root, RECIPE, tmp_path, simulated=True, tissues=mapping)
    left = {item.scan: item.reason for item in store.excluded}
    assert len(left) == (0 if fits else 2)
    assert all("than the mapping file says" in reason for reason in left.values())


def test_a_store_that_finds_no_memory_is_not_called_damaged_nor_deleted(
    store: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(np, "load", refuse)
    with pytest.raises(MemoryError, match="cannot be mapped"):
        PreparedDataset.open(store.folder)
