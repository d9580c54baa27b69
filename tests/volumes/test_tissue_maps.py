"""Tissue maps: other tools' files mean what they say, and Atropos finds the tissues of a FLAIR."""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import yaml
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform
from scipy import ndimage

from uad_bench.dataset import Scan
from uad_bench.errors import ScanError, UadBenchError
from uad_bench.phantom.datasets import simulate_subject
from uad_bench.system.extras import install_command
from uad_bench.volumes.grid import Grid
from uad_bench.volumes.recipe import Recipe
from uad_bench.volumes.steps import tissue_maps
from uad_bench.volumes.steps.atropos import segment_tissues
from uad_bench.volumes.steps.label_map import label_shares
from uad_bench.volumes.steps.resample import resample
from uad_bench.volumes.steps.space import template_grid, template_tissues
from uad_bench.volumes.steps.tissue_maps import (
    LABEL_TABLES,
    LabelMapping,
    ProbabilityMapping,
    load_mapping,
    mapped_tissues,
    mapping_files,
)

SCAN = Scan("sub-01", Path("flair.nii.gz"))
AFFINE = np.array([[-2.0, 0, 0, 20], [0, 2, 0, -20], [0, 0, 2, -20], [0, 0, 0, 1]])
DOCS = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "give-tissue-maps.md"


def ball() -> np.ndarray:
    """Tissue labels of a round brain of 2 mm: white inside, then grey, then fluid, then nothing."""
    index = np.indices((20, 20, 20)) - np.array([9.0, 10.0, 9.5])[:, None, None, None]
    return (np.digitize(-np.linalg.norm(index, axis=0), [-8.0, -7.0, -5.0])).astype(np.uint8)


LABELS = ball()
BRAIN = LABELS > 0
SHARES = label_shares(LABELS).astype(np.float32)


def save(path: Path, data: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    nib.save(nib.Nifti1Image(data, affine), path)
    return path


def fast(tmp_path: Path, labels: np.ndarray, affine: np.ndarray = AFFINE) -> LabelMapping:
    save(tmp_path / "sub-01.nii.gz", labels, affine)
    return LabelMapping(file="{subject}.nii.gz", labels="fast")


def pve(tmp_path: Path, maps: np.ndarray, scale: float = 1.0) -> ProbabilityMapping:
    for name, part in zip(("csf", "gm", "wm"), maps, strict=True):
        save(tmp_path / f"01_{name}.nii.gz", part)
    names = {name: f"{{subject_id}}_{name}.nii.gz" for name in ("csf", "gm", "wm")}
    return ProbabilityMapping(**names, scale=scale)


def mapped(mapping: tissue_maps.TissueMapping, root: Path) -> np.ndarray:
    return mapped_tissues(mapping, root, SCAN, BRAIN, AFFINE)


def dice(first: np.ndarray, second: np.ndarray) -> float:
    return float(2 * (first & second).sum() / (first.sum() + second.sum()))


def tissue_dice(shares: np.ndarray, labels: np.ndarray) -> list[float]:
    found = np.where(shares.sum(axis=0) > 0.5, shares.argmax(axis=0) + 1, 0)
    return [dice(found == k, labels == k) for k in (1, 2, 3)]


# --- mapping files


def test_the_examples_of_the_page_are_mappings(tmp_path: Path) -> None:
    examples = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) >= 3
    kinds = set()
    for number, text in enumerate(examples):
        file = tmp_path / f"{number}.yaml"
        file.write_text(text, encoding="utf-8")
        kinds.add(type(load_mapping(file)))
    assert kinds == {LabelMapping, ProbabilityMapping}


GOOD = {"file": "{subject}.nii.gz", "labels": "fast"}
OWN = {"csf": [1], "gm": [2], "wm": [3]}
MAPS = {name: f"{{subject}}_{name}.nii" for name in ("csf", "gm", "wm")}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({**GOOD, "labels": "freesurfr"}, "labels: unknown table 'freesurfr'; known: freesurfer"),
        ({**GOOD, "scale": 255}, "scale: unknown key here; known: file, labels"),
        ({**GOOD, "file": "{subjct}.nii"}, "file: unknown placeholder {subjct}; known: {subject}"),
        ({**GOOD, "file": "aseg.nii"}, "file: needs {subject} or {subject_id}"),
        ({**GOOD, "file": "{subject.nii"}, "file: no file pattern"),
        ({"labels": "fast"}, "file: is needed"),
        ({**GOOD, "labels": {**OWN, "gm": [2, 3]}}, "labels: label 3 under wm"),
        ({**GOOD, "labels": {**OWN, "csf": [0]}}, "labels: label 0 under csf"),
        ({**GOOD, "labels": {"csf": [1], "gm": [2]}}, "labels.wm: is needed"),
        ({**GOOD, "labels": {**OWN, "bone": [4]}}, "labels.bone: unknown key here; known: csf, gm"),
        ({**MAPS, "scale": 0}, "scale: Input should be greater than 0"),
        ({"csf": MAPS["csf"], "gm": MAPS["gm"]}, "wm: is needed"),
        (["csf", "gm"], "must hold `key: value` lines"),
        ("a: b: c", "not YAML"),
        (None, "No such file"),
    ],
)
def test_a_mapping_file_that_is_none_is_refused_in_one_line(
    tmp_path: Path, values: object, says: str
) -> None:
    file = tmp_path / "mapping.yaml"
    if values is not None:
        file.write_text(values if isinstance(values, str) else yaml.safe_dump(values))
    with pytest.raises(UadBenchError) as error:
        load_mapping(file)
    assert str(error.value).startswith(f"--tissues {file}: ")
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_patterns_know_names_with_and_without_their_prefix() -> None:
    scan = Scan("sub-07", Path("f.nii"), session="ses-2")
    pattern = "{subject}/{session}/x{subject_id}_{session_id}.nii"
    mapping = LabelMapping(file=pattern, labels="fast")
    found = mapping_files(mapping, Path("root"), scan)
    assert found == (("file", Path("root/sub-07/ses-2/x07_2.nii")),)
    with pytest.raises(ScanError, match="sub-01 has no session, but"):
        mapping_files(mapping, Path("root"), SCAN)


# --- label maps


@pytest.mark.parametrize(
    ("label", "tissue"),
    [
        *((label, 0) for label in (4, 14, 24)),
        *((label, 1) for label in (3, 10, 47, 1001, 2035, 11101)),
        *((label, 2) for label in (2, 46, 16, 25, 57, 77, 251, 1004, 3001, 5002)),
    ],
)
def test_freesurfer_labels_are_their_tissues(label: int, tissue: int) -> None:
    table = LABEL_TABLES["freesurfer"]
    assert [label in group for group in (table.csf, table.gm, table.wm)].index(True) == tissue


def test_a_label_map_on_the_same_grid_stays_as_it_is(tmp_path: Path) -> None:
    shares = mapped(fast(tmp_path, LABELS), tmp_path)
    assert shares.dtype == np.float32
    np.testing.assert_array_equal(shares, SHARES)
    np.testing.assert_array_equal(shares.sum(axis=0), BRAIN)


@pytest.mark.parametrize("codes", ["RAS", "LIA", "PSR"])
def test_the_affine_decides_and_mgz_is_read(tmp_path: Path, codes: str) -> None:
    change = ornt_transform(nib.io_orientation(AFFINE), axcodes2ornt(tuple(codes)))
    data = nib.apply_orientation(LABELS, change)
    affine = AFFINE @ inv_ornt_aff(change, LABELS.shape)
    nib.save(nib.MGHImage(data.astype(np.int32), affine), tmp_path / "sub-01.mgz")
    shares = mapped(LabelMapping(file="{subject}.mgz", labels="fast"), tmp_path)
    np.testing.assert_array_equal(shares, SHARES)


def test_a_cut_mgz_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "sub-01.mgz"
    nib.save(nib.MGHImage(LABELS.astype(np.int32), AFFINE), path)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(ScanError, match="cut short or damaged"):
        mapped(LabelMapping(file="{subject}.mgz", labels="fast"), tmp_path)


def test_no_label_is_invented_between_two_others(tmp_path: Path) -> None:
    """Fluid (1) beside white matter (3) must not become grey matter (2) on a shifted grid."""
    labels = np.where(LABELS == 2, 3, LABELS).astype(np.uint8)
    labels[10, 10, 10] = 2  # the map must hold every tissue
    shifted = AFFINE.copy()
    shifted[:3, 3] += 1.0
    shares = mapped(fast(tmp_path, labels, shifted), tmp_path)
    assert shares[1].sum() == pytest.approx(1.0, abs=0.01)
    assert shares[2].max() == pytest.approx(1.0)
    assert shares.sum(axis=0).max() <= 1.0 + 1e-6


def test_a_real_whole_head_keeps_its_volumes_on_thick_oblique_slices(
    real_patients: Path, tmp_path: Path
) -> None:
    """FreeSurfer's axes (LIA) and labels around the brain; the scan has slices of 5 mm."""
    image = nib.load(real_patients / "anatomies" / "training_seg_01.nii.gz")
    labels = np.rint(np.asarray(image.dataobj)[::2, ::2, ::2]).astype(np.int16)
    world = image.affine @ np.diag([2.0, 2.0, 2.0, 1.0])
    save(tmp_path / "01.nii.gz", labels, world)
    table = LABEL_TABLES["synthseg"]
    truth = np.stack([np.isin(labels, group) for group in (table.csf, table.gm, table.wm)])
    turn = np.deg2rad(20)
    affine = np.eye(4)
    affine[1:3, 1:3] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    affine = affine @ np.diag([2.5, 2.5, 5.0, 1.0])
    centre = world[:3, :3] @ np.argwhere(truth[2]).mean(axis=0) + world[:3, 3]
    affine[:3, 3] = centre - affine[:3, :3] @ (50, 50, 25)
    brain = resample(truth.any(axis=0), world, Grid(affine, (100, 100, 50))) > 0.01
    mapping = LabelMapping(file="{subject_id}.nii.gz", labels="synthseg")
    shares = mapped_tissues(mapping, tmp_path, SCAN, brain, affine)
    ml = shares.sum(axis=(1, 2, 3)) * 2.5 * 2.5 * 5.0
    np.testing.assert_allclose(ml, truth.sum(axis=(1, 2, 3)) * 8.0, rtol=0.01)


# --- probability maps


def test_maps_of_bytes_are_scaled(tmp_path: Path) -> None:
    soft = np.stack([ndimage.gaussian_filter(part, 0.4) for part in SHARES])
    mapping = pve(tmp_path, np.rint(255 * soft).astype(np.uint8), scale=255)
    shares = mapped(mapping, tmp_path)
    np.testing.assert_allclose(shares, soft * BRAIN, atol=0.01)
    assert shares.sum(axis=0).max() <= 1.0 + 1e-6


# --- what is refused


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (
            lambda labels: np.where(labels == 2, 77, labels),
            "1 labels that 'fast' does not know: 77",
        ),
        (lambda labels: np.where(labels == 3, 2, labels), "no voxel is WM"),
        (lambda labels: np.roll(labels, 10, axis=0), "register them to the FLAIR"),
        (lambda labels: labels * (np.arange(20) > 10), "cover .*% of the FLAIR's brain"),
        (lambda labels: labels + 0.5, "values between whole numbers"),
    ],
)
def test_a_wrong_label_map_is_refused(tmp_path: Path, spoil: object, says: str) -> None:
    labels = np.asarray(spoil(LABELS))  # type: ignore[operator]
    labels = labels.astype(np.float32 if labels.dtype.kind == "f" else np.int16)
    mapping = fast(tmp_path, labels)
    with pytest.raises(ScanError, match=says) as error:
        mapped(mapping, tmp_path)
    assert str(error.value).startswith(str(tmp_path / "sub-01.nii.gz"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda maps: 255 * maps, "from 0 to 255, outside .* set `scale`"),
        (lambda maps: maps - 0.5, "from -0.5 to 0.5, outside"),
        (lambda maps: np.where(maps.sum(axis=0) > 0, 0.7, 0.0) + 0 * maps, "sums to 2.1"),
        (lambda maps: np.where(maps == 1, np.nan, maps), "NaN or infinite"),
        (lambda maps: maps * np.array([1, 1, 0.3])[:, None, None, None], "no voxel is WM"),
    ],
)
def test_wrong_probabilities_are_refused(tmp_path: Path, spoil: object, says: str) -> None:
    maps = spoil(SHARES).astype(np.float32)  # type: ignore[operator]
    with pytest.raises(ScanError, match=says):
        mapped(pve(tmp_path, maps), tmp_path)


def test_a_missing_map_names_its_key(tmp_path: Path) -> None:
    mapping = pve(tmp_path, SHARES)
    (tmp_path / "01_gm.nii.gz").unlink()
    with pytest.raises(ScanError, match=r"01_gm.nii.gz: no such tissue map; check `gm`"):
        mapped(mapping, tmp_path)


# --- Atropos

GRID = template_grid(Recipe(pixel_mm=3.0, slice_mm=3.0))


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    """A person's tissues: the template's labels, squeezed and moved by some 5 mm, at 3 mm."""
    tissues = template_tissues(Recipe(pixel_mm=3.0, slice_mm=3.0))
    labels = np.where(tissues.sum(axis=0) > 0.5, tissues.argmax(axis=0) + 1, 0)
    middle = np.array(labels.shape) / 2
    scale = np.diag([1.05, 1.08, 0.95])
    moved = ndimage.affine_transform(labels, scale, middle - scale @ middle + (0.5, 1, 0), order=0)
    return moved.astype(np.uint8)


def flair_of(labels: np.ndarray) -> np.ndarray:
    """Grey matter 15 % brighter than white, noise of 5 %, fluid dark; 0 outside."""
    noise = np.random.default_rng(3).normal(0, 5, labels.shape)
    signal = np.array([0, 15, 115, 100])[labels] + noise
    return np.where(labels > 0, np.abs(signal), 0).astype(np.float32)


@pytest.fixture(scope="module")
def segmented(truth: np.ndarray) -> np.ndarray:
    pytest.importorskip("ants", reason="Atropos needs the extra [prepare]")
    return segment_tissues(flair_of(truth), truth > 0, GRID.affine)


def test_atropos_finds_the_tissues_better_than_the_template_alone(
    truth: np.ndarray, segmented: np.ndarray
) -> None:
    assert segmented.dtype == np.float32
    np.testing.assert_allclose(segmented.sum(axis=0), truth > 0, atol=1e-5)
    assert segmented.min() >= 0
    found = tissue_dice(segmented, truth)
    template = tissue_dice(template_tissues(Recipe(pixel_mm=3.0, slice_mm=3.0)), truth)
    assert min(found) > 0.85
    assert all(ours > theirs + 0.1 for ours, theirs in zip(found, template, strict=True))


def test_atropos_repeats_itself_whatever_the_units_and_leaves_no_file(
    truth: np.ndarray,
    segmented: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    again = segment_tissues(flair_of(truth), truth > 0, GRID.affine)
    np.testing.assert_array_equal(again, segmented)
    other = segment_tissues(4 * flair_of(truth) - 100, truth > 0, GRID.affine)
    np.testing.assert_allclose(other, segmented, atol=0.01)
    assert not list(tmp_path.iterdir())


def test_atropos_follows_the_affine_also_a_sheared_one(
    truth: np.ndarray, segmented: np.ndarray
) -> None:
    """Stored with other axes in a world that registration has sheared a little."""
    change = ornt_transform(nib.io_orientation(GRID.affine), axcodes2ornt(tuple("LIA")))
    labels = nib.apply_orientation(truth, change)
    flair = nib.apply_orientation(flair_of(truth), change)
    shear = np.eye(4)
    shear[0, 1] = 0.03
    shares = segment_tissues(
        flair, labels > 0, shear @ GRID.affine @ inv_ornt_aff(change, truth.shape)
    )
    expected = np.array(tissue_dice(segmented, truth))
    np.testing.assert_allclose(tissue_dice(shares, labels), expected, atol=0.03)


def test_bright_lesions_do_not_swap_grey_and_white_matter(truth: np.ndarray) -> None:
    pytest.importorskip("ants", reason="Atropos needs the extra [prepare]")
    flair = flair_of(truth)
    deep = ndimage.binary_erosion(truth == 3, iterations=2)
    assert 0.01 < deep.sum() / (truth > 0).sum() < 0.1
    flair[deep] = 180.0
    shares = segment_tissues(flair, truth > 0, GRID.affine) * ~deep
    assert min(tissue_dice(shares, truth * ~deep)) > 0.8


def test_an_image_without_tissues_is_refused(truth: np.ndarray) -> None:
    pytest.importorskip("ants", reason="Atropos needs the extra [prepare]")
    brain = truth > 0
    with pytest.raises(ScanError, match="no contrast"):
        segment_tissues(100.0 * brain.astype(np.float32), brain, GRID.affine)
    with pytest.raises(ScanError, match="mask is empty"):
        segment_tissues(flair_of(truth), np.zeros_like(brain), GRID.affine)


def test_without_ants_it_says_what_to_install(
    truth: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ants", None)
    with pytest.raises(UadBenchError, match=re.escape(install_command("prepare"))):
        segment_tissues(flair_of(truth), truth > 0, GRID.affine)


@pytest.mark.slow
def test_atropos_finds_the_tissues_of_a_simulated_healthy_person(real_patients: Path) -> None:
    """An anatomy that is not the template's, unregistered but for its place; see the docs."""
    pytest.importorskip("ants", reason="Atropos needs the extra [prepare]")
    (scan,) = simulate_subject("hi", 1, seed=11, anatomies=real_patients / "anatomies")
    shares = segment_tissues(scan.flair, scan.brain > 0, scan.affine)
    csf, gm, wm = tissue_dice(shares, scan.tissues)
    assert csf > 0.93
    assert gm > 0.72
    assert wm > 0.68
