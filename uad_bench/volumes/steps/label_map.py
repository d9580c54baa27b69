"""A tissue label map beside its FLAIR: what its labels mean, and whether the FLAIR agrees.

BIDS numbers tissues in its own way (1 GM, 2 WM, 3 CSF), unless a ``dseg.tsv`` says otherwise. Other
tools do it differently, and a wrong order would permute the tissue prior. So the FLAIR, in which
fluid is dark, has the last word.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from uad_bench.dataset import Scan
from uad_bench.errors import ScanError
from uad_bench.volumes.files.masks import check_labels, labels_on
from uad_bench.volumes.files.nifti import Volume, read_content
from uad_bench.volumes.grid import FloatArray

CSF, GM, WM = 1, 2, 3
"""Tissues in label maps of ours; 0 is none of them."""

BIDS_TISSUES: Mapping[int, int] = MappingProxyType({0: 0, 1: GM, 2: WM, 3: CSF})
"""What labels mean where no ``dseg.tsv`` says it."""

MAX_CSF_EXCESS = 0.05
"""How much brighter than the darker of GM and WM fluid may be, as a share of the range from the 1st
to the 99th percentile of all three, where somebody says which label is fluid; nothing where nobody
does. Fluid is far darker; even the template's tissues, laid on six real patients, exceed by 0.001
at most."""

_STANDARD: Mapping[int, int] = MappingProxyType(
    {**BIDS_TISSUES, 4: 0, 5: 0, 6: 0, 8: GM, 9: GM}  # bone, soft tissue, no brain; parts of GM
)
"""BIDS's common labels, which the column ``mapping`` refers to."""

_NAMES: Mapping[str, int] = MappingProxyType(
    {
        **dict.fromkeys(("csf", "cerebrospinalfluid", "ventricles", "ventricularcsf"), CSF),
        **dict.fromkeys(("gm", "graymatter", "greymatter", "gray", "grey"), GM),
        **dict.fromkeys(("cgm", "corticalgraymatter", "corticalgreymatter", "cortex"), GM),
        **dict.fromkeys(("sgm", "subcorticalgraymatter", "subcorticalgreymatter"), GM),
        **dict.fromkeys(("dgm", "deepgraymatter", "deepgreymatter"), GM),
        **dict.fromkeys(("wm", "whitematter", "white"), WM),
        **dict.fromkeys(("bg", "background", "b", "bone", "skull", "st", "softtissue"), 0),
        **dict.fromkeys(("nb", "nonbrain", "air", "scalp", "head", "outside"), 0),
    }
)
"""Names and abbreviations of tissues, letters only."""


def tissue_labels(
    volume: Volume,
    scan: Scan,
    flair: Volume,
    image: FloatArray,
    brain: NDArray[np.bool_] | None,
    *,
    mask_shift: float = 0.0,
) -> NDArray[np.uint8]:
    """Return a scan's label map on its FLAIR's grid: uint8 ``[X, Y, Z]``, 1 CSF, 2 GM, 3 WM.

    Args:
        volume: the label map.
        scan: whose it is.
        flair: the image it belongs to.
        image: its intensities, float32 ``[X, Y, Z]``.
        brain: bool ``[X, Y, Z]``, the FLAIR's brain, where it is known.
        mask_shift: as of :func:`uad_bench.volumes.files.masks.labels_on`.

    Raises:
        ScanError: labels that nothing explains, another place, or fluid that is bright.
    """
    labels = labels_on(volume, flair, brain, mask_shift)
    table = scan.tissue_table
    known = BIDS_TISSUES if table is None else read_table(table)
    said = "BIDS numbers 1 GM, 2 WM, 3 CSF" if table is None else f"{table.name} says"
    check_labels(volume, labels, known, "say in a dseg.tsv beside it which labels are CSF, GM, WM")
    tissues = np.zeros_like(labels, dtype=np.uint8)
    for label, tissue in known.items():
        if tissue:
            tissues += (labels == label).view(np.uint8) * np.uint8(tissue)
    margin = 0.0 if table is None else MAX_CSF_EXCESS
    refuse_bright_fluid(volume.path, label_shares(tissues), image, said, margin)
    return tissues


def label_shares(tissues: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Turn tissues (1 CSF, 2 GM, 3 WM) into shares, each all or nothing: bool ``[3, X, Y, Z]``."""
    shares = np.empty((3, *tissues.shape[::-1]), dtype=np.bool_).transpose(0, 3, 2, 1)
    for share, tissue in zip(shares, (CSF, GM, WM), strict=True):  # x nearest, as NIfTI keeps it
        np.equal(tissues, tissue, out=share)
    return shares


def refuse_bright_fluid(
    path: Path,
    marked: NDArray[np.bool_],
    image: FloatArray,
    said: str,
    margin: float = MAX_CSF_EXCESS,
) -> None:
    """Refuse tissues of which CSF is not dark in FLAIR: most likely they are permuted.

    Args:
        path: the map, for the message.
        marked: bool ``[3, X, Y, Z]``, where CSF, GM and WM are. Where one is nowhere, nothing is
            refused.
        image: float32 ``[X, Y, Z]``, the FLAIR.
        said: who says which is which, for the message.
        margin: see ``MAX_CSF_EXCESS``.

    Raises:
        ScanError: in one line, with the medians.
    """
    if not marked.any(axis=(1, 2, 3)).all():
        return
    image = image.T  # NIfTI keeps x nearest
    csf, gm, wm = (float(np.median(image[part.T])) for part in marked)
    low, high = np.percentile(image[marked.any(axis=0).T], (1, 99))
    if csf - min(gm, wm) > margin * float(high - low):
        raise ScanError(
            f"{path}: what it calls CSF is brighter in the FLAIR (median {csf:.3g}) than GM "
            f"({gm:.3g}) or WM ({wm:.3g}), but fluid is dark there: its labels mean other tissues "
            f"than {said}; say in a dseg.tsv beside it which they are, or correct the mapping"
        )


def read_table(path: Path) -> Mapping[int, int]:
    """Return the tissue of each label that a ``dseg.tsv`` explains: 1 CSF, 2 GM, 3 WM, 0 none.

    The column ``mapping`` wins over ``abbreviation`` and ``name``. A label with another name is
    left out, so that a map that holds it is refused.

    Raises:
        ScanError: a file that is no such table, or does not name all three tissues.
    """
    try:
        lines = read_content(path).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ScanError(f"{path}: not UTF-8 text; save it as UTF-8") from None
    rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    header = [(name or "").strip().lower() for name in rows.fieldnames or ()]
    rows.fieldnames = header
    if "index" not in header or not {"name", "abbreviation", "mapping"} & set(header):
        raise ScanError(f"{path}: needs the columns index and name, separated by tabs")
    known = {0: 0}
    for row in rows:
        cells = {key: (row[key] or "").strip() for key in header}
        label = _whole(cells["index"])
        if label is None:
            raise ScanError(f"{path}: {cells['index']!r} in the column index is no whole number")
        tissue = _tissue(cells)
        if tissue is not None and known.setdefault(label, tissue) != tissue:
            raise ScanError(f"{path}: says two things of label {label}; correct it")
    if lacking := [
        name for name, t in (("CSF", CSF), ("GM", GM), ("WM", WM)) if t not in known.values()
    ]:
        raise ScanError(f"{path}: names no label as {lacking[0]}; name CSF, GM and WM")
    return known


def _tissue(cells: Mapping[str, str]) -> int | None:
    """The tissue that a line names; ``None`` for another name."""
    mapped = _whole(cells.get("mapping", ""))
    if mapped is not None:
        return _STANDARD.get(mapped)
    words = (re.sub(r"[^a-z]", "", cells.get(k, "").lower()) for k in ("abbreviation", "name"))
    return next((_NAMES[word] for word in words if word in _NAMES), None)


def _whole(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\d{1,9}", text) else None
