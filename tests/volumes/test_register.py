"""Registration finds its way back from any pose, grid and contrast, the same each time."""

from __future__ import annotations

import multiprocessing
import re
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from uad_bench.errors import ScanError, UadBenchError
from uad_bench.system.extras import install_command
from uad_bench.volumes.grid import Grid
from uad_bench.volumes.recipe import Recipe
from uad_bench.volumes.steps.atropos import segment_tissues
from uad_bench.volumes.steps.register import Target, load_target, register
from uad_bench.volumes.steps.resample import resample
from uad_bench.volumes.steps.space import (
    SRI24_TO_MNI152,
    overlap,
    template_brain,
    template_grid,
    template_tissues,
)

pytest.importorskip("ants", reason="ANTs is in the extra [prepare]")

RECIPE = Recipe()


@dataclass(frozen=True)
class Raw:
    """A FLAIR-like scan of the template's own brain, whose way to MNI152 is exactly known."""

    image: np.ndarray
    brain: np.ndarray
    affine: np.ndarray
    truth: np.ndarray

    def error_mm(self, found: np.ndarray) -> float:
        points = np.argwhere(self.brain)[::7] @ self.affine[:3, :3].T + self.affine[:3, 3]
        ours, theirs = (points @ m[:3, :3].T + m[:3, 3] for m in (found, self.truth))
        return float(np.linalg.norm(ours - theirs, axis=1).mean())


@pytest.fixture(scope="module")
def target() -> Target:
    return load_target(None)


def scanned(
    *,
    turn: tuple[float, float, float] = (0, 0, 0),
    shift: tuple[float, float, float] = (0, 0, 0),
    size: tuple[float, float, float] = (1, 1, 1),
    axes: str = "RAS",
    spacing: tuple[float, float, float] = (2, 2, 2),
    skew: float = 0.0,
    cut: int = 0,
) -> Raw:
    """Scan the template: CSF dark, grey matter brighter than white, noise, a bright lesion."""
    tissues, grid = template_tissues(RECIPE), template_grid(RECIPE)
    flair = np.tensordot((0.1, 1.25, 1.0), tissues, axes=1)
    flair[40:50, 50:62, 40:50] *= 1.8
    brain = template_brain(RECIPE)
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_rotvec(turn, degrees=True).as_matrix() @ np.diag(size)
    pose[:3, 3] = shift
    affine = np.eye(4)
    ornt = nib.orientations.axcodes2ornt(tuple(axes))
    affine[:3, :3] = 0
    affine[ornt[:, 0].astype(int), range(3)] = ornt[:, 1] * spacing
    affine[0, 1] += skew
    shape = tuple(int(230 / step) for step in spacing)
    middle = pose @ [0, -18, 5, 1]
    affine[:3, 3] = middle[:3] - affine[:3, :3] @ (np.array(shape) / 2)
    around = Grid(affine, shape)
    inside = resample(brain, pose @ grid.affine, around) > 0.5
    if cut:
        inside[..., -cut:] = False
    noise = np.random.default_rng(1).normal(0, 0.04, shape)
    image = 300 * (resample(flair, pose @ grid.affine, around) + noise) * inside
    return Raw(image.astype(np.float32), inside, affine, np.linalg.inv(pose))


POSES: dict[str, dict[str, Any]] = {
    "turned, shifted, resized": {
        "turn": (20, -15, 14), "shift": (60, -55, 40), "size": (0.9, 0.95, 1.08), "axes": "PSR",
    },
    "thick slices": {
        "turn": (-9, 25, 10), "shift": (-60, 0, 60), "axes": "LPS", "spacing": (1, 1, 6.5),
    },
    "skewed grid, cut field of view": {
        "turn": (16, 0, -20), "axes": "LIA", "spacing": (2, 2.5, 3), "skew": 0.5, "cut": 28,
    },
}  # fmt: skip


@cache
def registered(pose: str) -> tuple[Raw, np.ndarray]:
    """A scan, and the way back that is found for it."""
    raw = scanned(**POSES[pose])
    return raw, register(raw.image, raw.brain, raw.affine, load_target(None), "affine-fast")


@pytest.mark.parametrize("pose", POSES)
def test_the_way_back_is_found(pose: str) -> None:
    raw, found = registered(pose)
    assert raw.error_mm(np.eye(4)) > 10
    assert raw.error_mm(found) < 1.0


def test_scale_and_what_is_outside_the_brain_do_not_matter_and_nothing_is_left_behind(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same bits twice, too: the seed and one thread are set."""
    raw, first = registered("thick slices")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    littered = np.where(raw.brain, raw.image * np.float32(4), 777).astype(np.float32)
    second = register(littered, raw.brain, raw.affine, target, "affine-fast")
    assert (first == second).all()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_atropos_before_it_changes_nothing(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """ITK reads threads and seed once per process, so this needs one that has used neither."""
    for name in ("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "ANTS_RANDOM_SEED"):
        monkeypatch.delenv(name, raising=False)
    raw = scanned(turn=(5, 5, 5), spacing=(3, 3, 3))
    given = (raw.image, raw.brain, raw.affine, target, "affine-fast")
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=fresh) as pool:
        pool.submit(segment_tissues, target.image, target.brain, target.affine).result()
        found = [pool.submit(register, *given).result() for _ in range(2)]
    assert (found[0] == found[1]).all()


def test_an_impossible_size_is_refused(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = scanned(spacing=(4, 4, 4))
    tenths = np.diag([10, 10, 10, 1]) @ raw.affine
    with pytest.raises(ScanError, match=r"1\d{6} ml are no brain; check .* voxel size"):
        register(raw.image, raw.brain, tenths, target, "affine-fast")
    monkeypatch.setattr("uad_bench.volumes.steps.register._coarse_start", lambda *_: np.eye(4))
    for wrong in (np.diag([3.0, 1, 1, 1]), np.diag([-1.0, 1, 1, 1])):
        monkeypatch.setattr("uad_bench.volumes.steps.register._ants_affine", lambda *_, w=wrong: w)
        with pytest.raises(ScanError, match=r"registration failed: it .* the brain"):
            register(raw.image, raw.brain, raw.affine, target, "affine-fast")


def test_without_ants_one_line_says_what_to_install(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ants", None)
    monkeypatch.setattr("uad_bench.volumes.steps.register._coarse_start", lambda *_: np.eye(4))
    raw = scanned(spacing=(4, 4, 4))
    with pytest.raises(UadBenchError, match=re.escape(install_command("prepare"))):
        register(raw.image, raw.brain, raw.affine, target, "affine-fast")


def test_the_target_is_the_template_of_the_stores(target: Target) -> None:
    """Its brain in MNI152 coordinates is the one that prepared scans are compared with."""
    there = target.to_mni152 @ target.affine
    found = overlap(target.brain, there, template_brain(RECIPE), template_grid(RECIPE))
    assert found.dice > 0.98
    assert (target.image[~target.brain] == 0).all()


def save(path: Path, data: np.ndarray, affine: np.ndarray) -> Path:
    image = nib.Nifti1Image(data, affine)
    image.set_sform(affine, code=1)
    nib.save(image, path)
    return path


def test_another_template_is_refused(tmp_path: Path) -> None:
    box = np.diag([-1.0, 1.0, 1.0, 1.0])
    ball = np.zeros((240, 240, 155), dtype=np.int16)
    ball[60:170, 40:190, 20:120] = 100
    assert load_target(save(tmp_path / "t1.nii.gz", ball, box)).name == "sri24"
    with pytest.raises(UadBenchError, match=r"head\.nii\.gz: 8\.9 l are not 0"):
        load_target(save(tmp_path / "head.nii.gz", ball + 1, box))
    with pytest.raises(UadBenchError, match=r"moved\.nii\.gz: not on SRI24's grid"):
        load_target(save(tmp_path / "moved.nii.gz", ball, np.diag([1.0, 1.0, 1.0, 1.0])))
    with pytest.raises(UadBenchError, match=r"small\.nii\.gz: not on SRI24's grid"):
        load_target(save(tmp_path / "small.nii.gz", ball[:90], box))
    with pytest.raises(UadBenchError, match=r"t1_stripped\.nii\.gz: no such file"):
        load_target(tmp_path)


@pytest.mark.slow
@pytest.mark.data
def test_sri24_brings_a_scan_to_mni152_too(real_patients: Path) -> None:
    sri24 = load_target(real_patients / "atlas" / "SRI24")
    assert (sri24.to_mni152 == SRI24_TO_MNI152).all()
    raw = scanned(turn=(12, -8, 15), shift=(30, 20, -10), axes="LPS", spacing=(2, 2, 4))
    found = register(raw.image, raw.brain, raw.affine, sri24, "affine-fast")
    assert raw.error_mm(found) < 3.0, "two templates differ by more than an affine"


@pytest.mark.data
def test_a_real_stripped_scan_lands_on_the_template(real_patients: Path, target: Target) -> None:
    image = nib.load(real_patients / "healthy" / "kirby113-02_FLAIR_stripped.nii.gz")
    values = np.asarray(image.dataobj, dtype=np.float32)
    brain, grid = template_brain(RECIPE), template_grid(RECIPE)
    before = overlap(values != 0, image.affine, brain, grid)
    found = register(values, values != 0, np.asarray(image.affine), target, "affine-fast")
    after = overlap(values != 0, found @ image.affine, brain, grid)
    assert not before.accepted
    assert after.accepted
    assert after.dice > 0.9
