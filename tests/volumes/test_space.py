"""Template space: the grid's orientation, the template on it, and SRI24's place in MNI152."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.spatial.transform import Rotation

from uad_bench.cells import short_hash
from uad_bench.errors import UadBenchError
from uad_bench.volumes.files.mni152 import brain_of, read_mni152
from uad_bench.volumes.grid import Grid
from uad_bench.volumes.recipe import RECIPES, Recipe
from uad_bench.volumes.steps.resample import resample
from uad_bench.volumes.steps.space import (
    SRI24_TO_MNI152,
    TO_MNI152,
    _shared,
    overlap,
    template_brain,
    template_grid,
    template_tissues,
)

RECIPE = Recipe()


def load(path: Path) -> tuple[np.ndarray, np.ndarray]:
    image = nib.load(path)
    return np.asarray(image.dataobj).reshape(image.shape[:3]), image.affine


def dice(first: np.ndarray, second: np.ndarray) -> float:
    return 2 * (first & second).sum() / (first.sum() + second.sum())


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_the_grid_holds_the_whole_template_brain_and_is_centred_on_it(recipe: Recipe) -> None:
    grid, brain = template_grid(recipe), template_brain(recipe)
    assert grid.shape[1:] == (128, 128)
    assert grid.spacing == (recipe.slice_mm, recipe.pixel_mm, recipe.pixel_mm)
    assert brain.sum() * grid.voxel_ml == pytest.approx(1883, rel=0.002)  # the mask at 1 mm
    assert brain[0].any()
    assert brain[-1].any()
    for axis in (1, 2):
        where = np.flatnonzero(brain.any(axis=tuple({0, 1, 2} - {axis})))
        assert where[0] > 0
        assert abs(where[0] - (127 - where[-1])) <= 1


@pytest.mark.parametrize("size", [64, 96])
def test_fewer_pixels_are_the_middle_of_the_usual_ones(size: int) -> None:
    usual, small = Recipe(pixel_mm=3.0, slice_mm=6.0), Recipe(pixel_mm=3.0, slice_mm=6.0, size=size)
    edge = (128 - size) // 2
    middle = (slice(None), slice(edge, edge + size), slice(edge, edge + size))
    np.testing.assert_array_equal(template_brain(small), template_brain(usual)[middle])
    assert template_brain(small).sum() == template_brain(usual).sum()
    corner = template_grid(usual).affine @ (0, edge, edge, 1)
    np.testing.assert_allclose(template_grid(small).affine[:3, 3], corner[:3])


@pytest.mark.parametrize(("pixel_mm", "size"), [(1.5, 96), (2.5, 64), (2.5, 100), (1.5, 160)])
def test_a_size_that_does_not_cover_the_brain_or_cannot_be_halved_is_refused(
    pixel_mm: float, size: int
) -> None:
    with pytest.raises(ValidationError, match="size"):
        Recipe(pixel_mm=pixel_mm, size=size)


def test_the_usual_size_leaves_the_hash_of_a_recipe_as_it_was() -> None:
    assert Recipe().hash == short_hash(Recipe().model_dump(exclude={"name", "size"}))
    assert Recipe(pixel_mm=2.5, size=96).hash != Recipe(pixel_mm=2.5).hash


def test_index_grows_to_superior_posterior_and_the_patients_left() -> None:
    steps = template_grid(RECIPE).affine[:3, :3]
    np.testing.assert_array_equal(steps, [[0, 0, -1.5], [0, -1.5, 0], [2.0, 0, 0]])


def test_the_template_brain_fits_itself_perfectly() -> None:
    grid, brain = template_grid(RECIPE), template_brain(RECIPE)
    result = overlap(brain, grid.affine, brain, grid)
    assert result.inside == pytest.approx(1.0)
    assert result.covered == pytest.approx(1.0)
    assert result.dice == pytest.approx(1.0)
    assert result.accepted


@given(
    shape=st.tuples(*[st.integers(1, 6)] * 3),
    spacing=st.tuples(*[st.floats(0.3, 4)] * 3),
    origin=st.tuples(*[st.floats(-3, 3)] * 3),
    turn=st.floats(-45, 45),
    seed=st.integers(0, 99),
)
def test_shares_and_dice_are_at_most_1_on_any_voxels(shape, spacing, origin, turn, seed):
    rng = np.random.default_rng(seed)
    brain, template = (rng.random(size) < 0.9 for size in (shape, (4, 6, 5)))
    brain[0, 0, 0] = template[0, 0, 0] = True
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("z", turn, degrees=True).as_matrix() * spacing
    affine[:3, 3] = origin
    axes = np.array([[0, 0, 1, 0], [0, 1.5, 0, 0], [2, 0, 0, 0], [0, 0, 0, 1.0]])
    grid = Grid(axes, template.shape)
    found = overlap(brain, affine, template, grid)
    for share in (found.inside, found.covered, found.dice):
        assert 0 <= share <= 1
    assert found.dice == pytest.approx(
        2 / (1 / found.inside + 1 / found.covered) if found.dice else 0.0
    )


def test_template_tissues_share_the_brain_out() -> None:
    tissues, brain = template_tissues(RECIPE), template_brain(RECIPE)
    total = tissues.sum(axis=0)
    assert tissues.shape == (3, *brain.shape)
    assert tissues.min() >= 0.0
    assert total.max() <= 1.0 + 1e-5
    assert (total >= 0.5).sum() == pytest.approx(brain.sum(), rel=1e-3)  # up to rounding
    csf, grey, white = (tissues * brain).sum(axis=(1, 2, 3)) / brain.sum()
    assert csf < white < grey  # nilearn's maps have thick grey matter


def test_sri24_to_mni152_is_a_plausible_head_to_head_affine() -> None:
    linear = SRI24_TO_MNI152[:3, :3]
    assert 1.2 < np.linalg.det(linear) < 1.5  # MNI152 is larger than a person; no mirror
    np.testing.assert_array_equal(SRI24_TO_MNI152[3], [0, 0, 0, 1])
    assert not SRI24_TO_MNI152.flags.writeable


@pytest.mark.data
def test_sri24_template_lies_in_mni152_through_its_own_headers(real_patients: Path) -> None:
    """LAS and RAS files of the template, each by its own affine, against nilearn's MNI152."""
    grid, folder = template_grid(RECIPE), real_patients / "atlas" / "SRI24"
    parts = {}
    for name in ("t1_stripped", "tissues", "gm_probability", "wm_probability"):
        data, affine = load(folder / f"{name}.nii.gz")
        data = data > 0 if name == "t1_stripped" else data
        data = data == 2 if name == "tissues" else data
        parts[name] = resample(data, SRI24_TO_MNI152 @ affine, grid) >= 0.5
    assert dice(parts["t1_stripped"], template_brain(RECIPE)) > 0.96
    _, grey, white = template_tissues(RECIPE) >= 0.5
    assert dice(parts["gm_probability"], grey) > 0.7
    assert dice(parts["wm_probability"], white) > 0.75
    agreement = dice(parts["gm_probability"], parts["tissues"])
    assert agreement > 0.85  # RAS against LAS
    assert agreement > dice(parts["gm_probability"], parts["tissues"][:, :, ::-1]) + 0.02


@pytest.mark.data
def test_brats_lies_in_mni152_by_its_own_header(real_patients: Path) -> None:
    """BraTS is LPS, the template's files are not: only affines may decide."""
    grid, template = template_grid(RECIPE), template_brain(RECIPE)
    for path in sorted((real_patients / "BraTS").rglob("*_flair.nii.gz")):
        data, affine = load(path)
        affine = TO_MNI152["sri24"] @ affine
        found = overlap(data != 0, affine, template, grid)
        assert found.accepted, path
        if "2013_6_1" not in path.name:  # a truncated field of view
            assert found.dice > 0.9, path
            assert dice(resample(data != 0, affine, grid) >= 0.5, template) > 0.9, path


@given(st.integers(0, 10**6))
def test_compiled_or_not_the_voxels_that_brains_share_are_the_same(seed: int) -> None:
    rng = np.random.default_rng(seed)
    template, brain = rng.random((5, 6, 7)) < 0.5, rng.random((8, 4, 6)) < 0.7
    m = np.eye(4)
    m[:3, :3] = rng.choice([0.0, 0.5, 1.0, -1.0], (3, 3))
    m[:3, 3] = rng.choice([-1.0, 0.5, 3.0], 3)
    points = np.argwhere(template)
    voxels = np.rint(points @ m[:3, :3].T + m[:3, 3]).astype(int)
    inside = voxels[((voxels >= 0) & (voxels < brain.shape)).all(axis=1)]
    expected = brain[tuple(inside.T)].sum()
    assert _shared(template, m, brain) == _shared.plain(template, m, brain) == expected
    assert _shared(template, m, np.asfortranarray(brain)) == expected


def test_the_template_is_what_nilearn_loads() -> None:
    from nilearn import datasets

    loaders = {
        "t1": datasets.load_mni152_template,
        "gm": datasets.load_mni152_gm_template,
        "wm": datasets.load_mni152_wm_template,
    }
    for part, load_part in loaders.items():
        data, affine = read_mni152(part)
        image = load_part(resolution=1)
        np.testing.assert_array_equal(data, image.get_fdata(dtype=np.float32))
        np.testing.assert_array_equal(affine, image.affine)
    mask = datasets.load_mni152_brain_mask(resolution=1)
    np.testing.assert_array_equal(brain_of(read_mni152("t1")[0]), np.asarray(mask.dataobj) > 0)


def test_a_nilearn_without_the_template_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uad_bench.volumes.files.mni152.find_spec", lambda name: None)
    with pytest.raises(UadBenchError, match="install another version of it"):
        read_mni152("t1")
