"""Writing simulated scans as NIfTI, in the folder layout that each real dataset has."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from uad_bench.errors import UadBenchError
from uad_bench.phantom.scan import PhantomScan
from uad_bench.system.disk import writing
from uad_bench.volumes.steps.space import SRI24_TO_MNI152

MARKER = "SIMULATED.txt"
"""The file that says, to people and to software, that a folder's scans are simulated."""

_MNI152, _ALIGNED = 4, 2
"""NIfTI-1 codes of the coordinate system: MNI152, and aligned to some other template."""

_TEMPLATE = "MNI152NLin2009aSym"
_MARKER_TEXT = """\
The scans in this folder are simulated: no patient was scanned.
They stand in for the dataset '{dataset}' in its own folder layout. Written by uad-bench.
"""
_WMH_SITES = {
    "utrecht": "Utrecht",
    "singapore": "Singapore",
    "amsterdam": "Amsterdam/GE3T",
    "amsterdam-ge3t": "Amsterdam/GE3T",
}


WITH_HEALTHY: Final = ("msi", "gbi")
"""The datasets of patients whose layout can also hold healthy people, and say who they are."""


def refuse_healthy(dataset: str) -> None:
    """Refuse healthy people beside the patients of a dataset.

    Raises:
        UadBenchError: its layout cannot hold any.
    """
    if dataset not in WITH_HEALTHY:
        raise UadBenchError(
            f"simulated {dataset}: no healthy people can be beside its patients; choose from "
            f"{', '.join(WITH_HEALTHY)}"
        )


def is_simulated(folder: Path) -> bool:
    """Whether the dataset in ``folder`` was written by `write_layout`."""
    return (folder / MARKER).is_file()


def write_layout(dataset: str, folder: Path, scans: Iterable[PhantomScan]) -> None:
    """Write simulated scans in a dataset's true layout; the folder appears when it is whole.

    Scans are written one by one as they come. The same scans give the same bytes.

    Args:
        dataset: one of `LAYOUTS`.
        folder: the dataset's folder; it must not exist yet, or be empty.
        scans: the scans in MNI152 world space.

    Raises:
        UadBenchError: no layout of that name, a folder with something in it, no scan at all, two
            scans of one subject and session, or healthy people where the layout cannot hold any.
    """
    write = LAYOUTS.get(dataset)
    if write is None:
        raise UadBenchError(f"no simulated layout '{dataset}': choose from {', '.join(LAYOUTS)}")
    with whole_folder(folder, _MARKER_TEXT.format(dataset=dataset)) as partial:
        write(partial, _each_once(dataset, scans))


@contextmanager
def whole_folder(folder: Path, marker: str) -> Iterator[Path]:
    """Give a marked folder to write simulated scans into; it gets its name when it is whole.

    Args:
        folder: must not exist yet, or be empty.
        marker: what ``MARKER`` says of the scans.

    Raises:
        UadBenchError: a folder with something in it.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UadBenchError(f"{folder} is not empty: give a new folder for the simulated scans")
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        with writing(folder):
            partial.mkdir(parents=True)
            (partial / MARKER).write_text(marker, encoding="utf-8")
            yield partial
            if folder.exists():
                folder.rmdir()
            partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _each_once(dataset: str, scans: Iterable[PhantomScan]) -> Iterator[PhantomScan]:
    seen: set[tuple[int, int | None]] = set()
    for scan in scans:
        key = (scan.subject, scan.session)
        if key in seen:
            raise UadBenchError(f"simulated {dataset}: subject {key[0]}, session {key[1]} twice")
        seen.add(key)
        if scan.healthy and dataset != "hi":
            refuse_healthy(dataset)
        yield scan
    if not seen:
        raise UadBenchError(f"simulated {dataset}: no scan to write: ask for at least one subject")


def _write_bids(folder: Path, scans: Iterable[PhantomScan], dataset: str) -> None:
    """A BIDS derivative: stripped FLAIR in template space, masks and tissue maps beside it."""
    tissues = "index\tname\n1\tCSF\n2\tGM\n3\tWM\n"
    (folder / "dseg.tsv").write_text(tissues, encoding="utf-8")
    splits: dict[str, str] = {}
    healthy: set[str] = set()
    for scan in scans:
        subject = f"sub-{scan.subject:03d}"
        if scan.healthy:
            healthy.add(subject)
        if splits.setdefault(subject, scan.split) != scan.split:
            raise UadBenchError(f"simulated {dataset}: {subject} is in two splits")
        session = None if scan.session is None else f"ses-{scan.session:02d}"
        anat = folder / subject / (session or "") / "anat"
        stem = "_".join(part for part in (subject, session, f"space-{_TEMPLATE}") if part)
        _save_flair(anat / f"{stem}_desc-brain_FLAIR.nii.gz", scan)
        _save_labels(anat / f"{stem}_desc-brain_mask.nii.gz", scan.brain, scan.affine)
        _save_labels(anat / f"{stem}_dseg.nii.gz", scan.tissues, scan.affine)
        if scan.lesion.any():
            _save_labels(anat / f"{stem}_label-lesion_mask.nii.gz", scan.lesion, scan.affine)
    if healthy == splits.keys():  # the dataset itself says that
        healthy.clear()
    name = f"{dataset} and healthy people" if healthy else dataset
    write_description(folder, f"{name} (simulated)", "derivative")
    write_people(folder, splits, healthy)


def write_description(folder: Path, name: str, kind: Literal["raw", "derivative"]) -> None:
    """Write the ``dataset_description.json`` of a simulated dataset."""
    content = {
        "Name": name,
        "BIDSVersion": "1.9.0",
        "DatasetType": kind,
        "GeneratedBy": [{"Name": "uad-bench", "Description": "simulated, no patient was scanned"}],
    }
    write_json(folder / "dataset_description.json", content)


def write_people(folder: Path, splits: Mapping[str, str], healthy: Collection[str] = ()) -> None:
    """Write the ``participants.tsv`` that says each subject's split.

    Args:
        folder: the dataset's.
        splits: by subject.
        healthy: those who are, where patients and healthy people are in one dataset.
    """
    rows = [["participant_id", "split"], *([one, split] for one, split in sorted(splits.items()))]
    if healthy:
        rows[0].append("group")
        for row in rows[1:]:
            row.append("control" if row[0] in healthy else "patient")
    text = "".join("\t".join(row) + "\n" for row in rows)
    (folder / "participants.tsv").write_text(text, encoding="utf-8")


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write a JSON file and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def write_image(path: Path, image: nib.Nifti1Image) -> None:
    """Write an image and its folder; gzip without a time stamp, so that bytes are repeatable."""
    content = image.to_bytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    compressed = path.name.endswith(".gz")
    path.write_bytes(gzip.compress(content, compresslevel=1, mtime=0) if compressed else content)


def _write_hi(folder: Path, scans: Iterable[PhantomScan]) -> None:
    _write_bids(folder, scans, "hi")


def _write_msi(folder: Path, scans: Iterable[PhantomScan]) -> None:
    _write_bids(folder, scans, "msi")


def _write_gbi(folder: Path, scans: Iterable[PhantomScan]) -> None:
    _write_bids(folder, scans, "gbi")


def _write_mslub(folder: Path, scans: Iterable[PhantomScan]) -> None:
    """As open_ms_data: ``patientNN/FLAIR.nii.gz``, consensus and brain mask beside it."""
    for scan in scans:
        patient = folder / f"patient{scan.subject:02d}"
        _save_flair(patient / "FLAIR.nii.gz", scan)
        _save_labels(patient / "consensus_gt.nii.gz", scan.lesion, scan.affine)
        _save_labels(patient / "brainmask.nii.gz", scan.brain, scan.affine)


def _write_msisbi(folder: Path, scans: Iterable[PhantomScan]) -> None:
    """As the challenge's training part: time points in one folder, two raters, uncompressed."""
    for scan in scans:
        person = folder / "training" / f"training{scan.subject:02d}"
        stem = f"{person.name}_{scan.session or 1:02d}"
        second = scan.lesion if scan.second_lesion is None else scan.second_lesion
        _save_flair(person / "preprocessed" / f"{stem}_flair_pp.nii", scan)
        _save_labels(person / "masks" / f"{stem}_mask1.nii", scan.lesion, scan.affine)
        _save_labels(person / "masks" / f"{stem}_mask2.nii", second, scan.affine)


def _write_wmh(folder: Path, scans: Iterable[PhantomScan]) -> None:
    """As the final release: three sites; a scan without a site goes round them by number."""
    rounds = ("utrecht", "singapore", "amsterdam")
    for scan in scans:
        name = (scan.site or rounds[(scan.subject - 1) % len(rounds)]).lower()
        if name not in _WMH_SITES:
            raise UadBenchError(f"simulated wmh: no site '{name}': choose from {', '.join(rounds)}")
        case = folder / "training" / _WMH_SITES[name] / str(scan.subject)
        _save_flair(case / "pre" / "FLAIR.nii.gz", scan)
        _save_labels(case / "wmh.nii.gz", scan.lesion, scan.affine)


def _write_brats(folder: Path, scans: Iterable[PhantomScan]) -> None:
    """As the 2021 release; BraTS lies in SRI24 space, so the world coordinates are SRI24's."""
    to_sri24 = np.linalg.inv(SRI24_TO_MNI152)
    for scan in scans:
        case = folder / f"BraTS2021_{scan.subject:05d}"
        affine = to_sri24 @ scan.affine
        _save_flair(case / f"{case.name}_flair.nii.gz", scan, affine)
        _save_labels(case / f"{case.name}_seg.nii.gz", scan.lesion, affine, _ALIGNED)


LAYOUTS: dict[str, Callable[[Path, Iterable[PhantomScan]], None]] = {
    "hi": _write_hi,
    "mslub": _write_mslub,
    "msisbi": _write_msisbi,
    "msi": _write_msi,
    "wmh": _write_wmh,
    "gbi": _write_gbi,
    "brats": _write_brats,
}
"""What `write_layout` can write, by dataset name."""


def _save_flair(path: Path, scan: PhantomScan, affine: NDArray[np.float64] | None = None) -> None:
    """Write a FLAIR as scaled int16, in which 0 stays exactly 0 and no other value becomes 0.

    Args:
        path: where to.
        scan: the scan.
        affine: voxel to world in another template's space; ``None`` keeps MNI152.
    """
    highest = float(scan.flair.max())
    slope = highest / np.iinfo(np.int16).max if highest > 0 else 1.0
    stored = np.maximum(np.rint(scan.flair / slope), scan.flair > 0).astype(np.int16)
    code = _MNI152 if affine is None else _ALIGNED
    _save(path, stored, scan.affine if affine is None else affine, code, slope)


def _save_labels(
    path: Path, labels: NDArray[np.uint8], affine: NDArray[np.float64], code: int = _MNI152
) -> None:
    _save(path, labels.astype(np.uint8), affine, code, 1.0)


def _save(
    path: Path, stored: NDArray[np.generic], affine: NDArray[np.float64], code: int, slope: float
) -> None:
    """Write integers and their scale."""
    image = nib.Nifti1Image(stored, None)
    image.header.set_zooms(np.linalg.norm(affine[:3, :3], axis=0))
    image.set_sform(affine, code=code)
    image.header.set_slope_inter(slope, 0.0)
    image.header.set_xyzt_units("mm")
    write_image(path, image)
