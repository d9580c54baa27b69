"""Good scans are read whole, and a space is stated, found, or neither."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from spoilt_scans import RECIPE, Case, in_space, read, save

from uad_bench.dataset import Scan
from uad_bench.volumes.files.nifti import Volume
from uad_bench.volumes.steps.read import find_space, load_scan, stated_space
from uad_bench.volumes.steps.space import SRI24_TO_MNI152, template_brain, template_grid


def test_a_good_scan_passes_whole(case: Case) -> None:
    loaded = read(case.scan)
    np.testing.assert_array_equal(loaded.image, case.flair)
    np.testing.assert_array_equal(loaded.lesion, case.lesion)
    np.testing.assert_array_equal(loaded.brain, case.flair != 0)
    assert loaded.tissues is None


def test_loading_places_nothing(case: Case) -> None:
    """A stripped scan has a brain wherever it lies, a head has none; both load."""
    moved = case.affine.copy()
    moved[:3, 3] += 70.0
    save(case.scan.flair, case.flair, moved)
    save(case.mask, case.lesion, moved)
    native = load_scan(replace(case.scan, brain_mask=None, space=None))
    assert native.brain is not None
    np.testing.assert_array_equal(native.brain, case.flair != 0)
    np.testing.assert_array_equal(native.lesion, case.lesion)
    np.testing.assert_allclose(native.affine, moved)
    assert native.space is None
    template, grid = template_brain(RECIPE), template_grid(RECIPE)
    assert find_space(native.brain, native.affine, None, template, grid) is None
    assert find_space(native.brain, case.affine, None, template, grid) == "mni152"
    assert find_space(native.brain, case.affine, "sri24", template, grid) is None
    save(case.scan.flair, case.flair + 20.0, moved)
    assert load_scan(replace(case.scan, brain_mask=None)).brain is None


@pytest.mark.parametrize(
    ("shape", "affine", "space"),
    [
        ((182, 218, 182), [[-1, 0, 0, 90], [0, 1, 0, -126], [0, 0, 1, -72]], "mni152"),
        ((91, 109, 91), [[-2, 0, 0, 90], [0, 2, 0, -126], [0, 0, 2, -72]], "mni152"),
        ((197, 233, 189), [[1, 0, 0, -98], [0, 1, 0, -134], [0, 0, 1, -72]], "mni152"),
        ((229, 193, 193), [[0, 1, 0, -96], [1, 0, 0, -132], [0, 0, 1, -78]], "mni152"),
        ((240, 240, 155), [[-1, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0]], "sri24"),
        ((182, 218, 182), [[-1, 0, 0, 80], [0, 1, 0, -126], [0, 0, 1, -72]], None),
        ((182, 218, 182), [[-0.9, 0.1, 0, 90], [0, 1, 0, -126], [0, 0, 1, -72]], None),
        ((256, 256, 20), [[-0.9, 0, 0, 115], [0, 0.9, 0, -115], [0, 0, 6.5, -60]], None),
    ],
)
def test_a_templates_own_grid_states_its_space(
    shape: tuple[int, int, int], affine: list[list[float]], space: str | None
) -> None:
    data = np.broadcast_to(np.uint8(0), shape)
    volume = Volume(Path("x.nii"), data, np.array([*affine, [0, 0, 0, 1]], np.float64), code=2)
    assert stated_space(volume) == space
    assert stated_space(replace(volume, code=4)) == "mni152"


def test_a_brain_elsewhere_is_not_in_template_space(case: Case) -> None:
    moved = case.affine.copy()
    moved[:3, 3] += 70.0
    for path, data in ((case.scan.flair, case.flair), (case.mask, case.lesion)):
        save(path, data, moved)
    assert in_space(replace(case.scan, brain_mask=None)) is None


def test_a_head_has_no_brain_unless_a_mask_gives_it(case: Case) -> None:
    save(case.scan.flair, case.flair + 20.0, case.affine)
    assert load_scan(replace(case.scan, brain_mask=None)).brain is None
    assert read(case.scan).brain.sum() < case.flair.size  # a given mask strips it


def test_an_unknown_space_is_found_by_overlap(case: Case) -> None:
    assert in_space(replace(case.scan, space=None)) == "mni152"
    for path in (case.scan.flair, case.mask, case.scan.brain_mask):
        assert path is not None
        data = np.asarray(nib.load(path).dataobj)
        save(path, data, np.linalg.inv(SRI24_TO_MNI152) @ case.affine)
    loaded = read(replace(case.scan, space=None))
    assert in_space(replace(case.scan, space=None)) == "sri24"
    np.testing.assert_allclose(loaded.affine, case.affine, atol=1e-3)


@pytest.mark.data
def test_real_scans_load_as_what_they_are(real_patients: Path) -> None:
    """Heads have no brain yet, stripped scans do; only files of a template's grid state a space."""
    found = {}
    for path in sorted(real_patients.glob("*/**/*.nii.gz")):
        if "flair" in path.name.lower() and "atlas" not in path.parts:
            native = load_scan(Scan("x", path))
            found[path.name] = native.brain is not None, native.space
    (kirby,) = (name for name in found if "stripped" in name)
    assert found.pop(kirby) == (True, None)
    assert found.pop("FLAIR.nii.gz") == (True, "mni152")
    brats = {name for name in found if name.startswith("Brats")}
    assert {found.pop(name) for name in brats} == {(True, "sri24")}
    assert len(found) == 5
    assert set(found.values()) == {(False, None)}
