"""A prepared store is seen by split and by scan, and travels by name."""

from __future__ import annotations

import csv
import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_store import RECIPE

from uad_bench.discovery.people.traits import PersonTraits
from uad_bench.volumes.steps.space import template_grid
from uad_bench.volumes.store.prepared import PreparedDataset


def test_scans_stand_by_split_and_every_split_is_one_view(store: PreparedDataset) -> None:
    assert [scan.name for scan in store.scans] == ["s01", "s02", "s03", "s04", "s05", "s06"]
    assert [scan.start for scan in store.scans[1:]] == [scan.stop for scan in store.scans[:-1]]
    train = store.split("train")
    assert len(train) == store.scans[2].stop
    np.testing.assert_array_equal(
        train.image[:, 0], np.load(store.folder / "image.npy")[: len(train)]
    )
    assert isinstance(train.image, np.memmap)


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
