"""Raw phantoms: the stated way to MNI152 is the true one, and the dataset reads back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage
from uad_bench.datasets.bids import Bids

from uad_bench.cli import main
from uad_bench.errors import UadBenchError
from uad_bench.phantom.datasets import simulate_subject
from uad_bench.phantom.layouts import is_simulated
from uad_bench.phantom.raw import PROTOCOLS, RawPhantom, moved, raw_phantom, write_raw
from uad_bench.phantom.scan import PhantomScan


@pytest.fixture(scope="module")
def patient() -> PhantomScan:
    return simulate_subject("mslub", 1, seed=5)[0]


@pytest.fixture(scope="module")
def raw(patient: PhantomScan) -> RawPhantom:
    return raw_phantom("mslub", patient, seed=5)


def centre(mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    return np.argwhere(mask).mean(axis=0) @ affine[:3, :3].T + affine[:3, 3]


def test_the_rigid_way_leads_back_to_the_phantom(patient: PhantomScan, raw: RawPhantom) -> None:
    for ours, theirs in ((raw.brain, patient.brain), (raw.lesion, patient.lesion)):
        back = moved(centre(ours, raw.affine)[None], raw.to_phantom)[0]
        assert np.abs(back - centre(theirs, patient.affine)).max() < 0.5
        assert ours.sum() == pytest.approx(theirs.sum(), rel=0.1)
    assert (raw.flair[raw.brain == 0] == 0).all()
    turn = raw.to_phantom[:3, :3]
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-9)
    assert 10 <= np.rad2deg(np.arccos((np.trace(turn) - 1) / 2)) <= 30


def test_the_targets_are_the_templates_own_tissue(patient: PhantomScan, raw: RawPhantom) -> None:
    """Where the subject has white matter, the template has it at the target, not at the point."""
    from nilearn.datasets import load_mni152_wm_template

    template = load_mni152_wm_template(resolution=1)
    places = moved(raw.points, raw.to_phantom)
    voxels = np.rint(moved(places, np.linalg.inv(patient.affine))).astype(int)
    white = patient.tissues[tuple(voxels.T)] == 3

    def there(at: np.ndarray) -> float:
        to_voxel = np.linalg.inv(template.affine)
        values = template.get_fdata(dtype=np.float32)
        return float(ndimage.map_coordinates(values, moved(at[white], to_voxel).T, order=1).mean())

    assert there(raw.targets) > 0.8
    assert there(raw.targets) > there(places) + 0.03
    assert there(raw.targets) > there(2 * places - raw.targets) + 0.05, "not the other way"


def test_no_affine_comes_nearer_to_the_simulation(raw: RawPhantom) -> None:
    assert raw.error_mm(raw.to_mni152) == 0
    assert 0.5 < raw.full_error_mm(raw.to_mni152) < 3
    assert raw.error_mm(raw.to_phantom) > 1, "the brain is smaller than the template, too"

    def squares(affine: np.ndarray) -> float:
        return float(((moved(raw.points, affine) - raw.targets) ** 2).sum())

    rng = np.random.default_rng(0)
    for _ in range(20):
        other = raw.to_mni152 + np.vstack([rng.normal(0, 1e-3, (3, 4)), np.zeros(4)])
        assert squares(other) > squares(raw.to_mni152)
    shifted = raw.to_mni152.copy()
    shifted[:3, 3] += (3, 0, 4)
    assert raw.error_mm(shifted) == pytest.approx(5)


@pytest.mark.parametrize("protocol", PROTOCOLS[2:], ids=lambda protocol: protocol.name)
def test_a_protocol_has_its_axes_and_sees_the_brain(protocol: object, patient: PhantomScan) -> None:
    scan = raw_phantom("mslub", patient, seed=6, protocol=protocol)
    assert "".join(nib.aff2axcodes(scan.affine)) == scan.protocol.axes
    np.testing.assert_allclose(nib.affines.voxel_sizes(scan.affine), scan.protocol.spacing_mm)
    slices = scan.brain.any(axis=(0, 1))
    assert not slices[0]
    assert slices[-1] == (scan.protocol.cut_mm > 0), "the field of view is cut where it says so"
    upright = np.abs(scan.affine[:3, :3]) / scan.protocol.spacing_mm
    assert (upright.max(axis=0) < 0.999).any() == (scan.protocol.tilt > 0)


def test_another_visit_has_another_pose(patient: PhantomScan, raw: RawPhantom) -> None:
    other = raw_phantom("mslub", replace(patient, session=2), seed=5)
    assert np.abs(other.to_phantom - raw.to_phantom).max() > 1


def test_the_command_writes_a_raw_dataset_that_reads_back(tmp_path: Path, raw: RawPhantom) -> None:
    """The same seed gives the same pose and the same voxels in another run."""
    command = ["phantom", str(tmp_path), "--raw", "--datasets", "mslub", "--subjects", "1"]
    assert main([*command, "--seed", "5"]) == 0
    root = tmp_path / "mslub-raw"
    assert is_simulated(root)
    (scan,) = Bids().scans(root)
    assert (scan.subject, scan.space, scan.brain_mask) == ("sub-001", None, None)
    flair = nib.load(scan.flair)
    np.testing.assert_allclose(flair.affine, raw.affine, atol=1e-4)
    stored = np.asarray(flair.dataobj)
    assert np.abs(stored - raw.flair).max() <= 1
    assert ((stored > 0) == (raw.flair > 0)).all(), "zero is background, and nothing else"
    assert (np.asarray(nib.load(scan.lesion[0]).dataobj) == raw.lesion).all()
    (truth,) = root.glob("derivatives/truth/sub-001/anat/*.json")
    np.testing.assert_allclose(json.loads(truth.read_text())["Matrix"], raw.to_mni152)


def test_every_second_subject_has_a_brain_mask_and_the_healthy_no_lesion(
    tmp_path: Path, raw: RawPhantom
) -> None:
    healthy = replace(raw, subject=2, lesion=np.zeros_like(raw.lesion), split="train")
    write_raw("mslub", tmp_path / "raw", [raw, healthy])
    first, second = Bids().scans(tmp_path / "raw")
    assert (first.brain_mask, first.split) == (None, "test")
    assert (second.lesion, second.split) == ((), "train")
    assert second.brain_mask is not None
    assert (np.asarray(nib.load(second.brain_mask).dataobj) == raw.brain).all()


def test_what_cannot_be_written_is_refused_and_leaves_nothing(
    tmp_path: Path, raw: RawPhantom, capsys: pytest.CaptureFixture[str]
) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("mine")
    with pytest.raises(UadBenchError, match="full is not empty: give a new folder"):
        write_raw("mslub", full, [raw])

    def broken() -> object:
        yield raw
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_raw("mslub", tmp_path / "new", broken())
    nib.save(nib.Nifti1Image(np.zeros((3, 3, 3), np.uint8), np.eye(4)), full / "labels.nii.gz")
    assert main(["phantom", str(tmp_path / "out"), "--raw", "--anatomies", str(full)]) == 2
    error = capsys.readouterr().err
    assert "leave out --anatomies" in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["full"]
