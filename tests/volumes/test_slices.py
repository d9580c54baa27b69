"""Slices are what a method is promised: in the brain, in [0, 1], without a dark rim."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_store import CROP, RECIPE, SOURCE, Toy, prepare, save

from uad_bench.dataset import Scan
from uad_bench.evaluation.scored import MIN_BRAIN_MM2
from uad_bench.volumes.recipe import Recipe
from uad_bench.volumes.steps.normalise import shortest_half_median
from uad_bench.volumes.steps.read import LoadedScan, load_scan
from uad_bench.volumes.steps.slices import slice_scan
from uad_bench.volumes.steps.space import template_brain, template_grid
from uad_bench.volumes.store.prepared import PreparedDataset


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
