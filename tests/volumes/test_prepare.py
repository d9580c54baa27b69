"""Preparing gives the same bytes every time, and anew where anything changes."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from made_store import RECIPE, Toy, contents, make, prepare, save

from uad_bench.dataset import Scan
from uad_bench.errors import UadBenchError
from uad_bench.volumes.recipe import Recipe
from uad_bench.volumes.store import prepare as preparation
from uad_bench.volumes.store.prepared import PreparedDataset


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
