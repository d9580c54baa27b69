"""A scan that cannot be used is left out by name, and changes no other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from made_store import RECIPE, Toy, contents, leftovers, make, prepare, save

from uad_bench.cells import Exclusion
from uad_bench.dataset import Scan
from uad_bench.errors import UadBenchError
from uad_bench.volumes.steps.tissue_maps import LabelMapping
from uad_bench.volumes.store.prepared import PreparedDataset


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
