"""Tissue maps of a scan that other tools made: where they lie and what they hold, in a mapping.

Tissue maps are ``shares``: float32 ``[3, X, Y, Z]`` on the FLAIR's grid, the part of each voxel
that is CSF, GM and WM, each in [0, 1] and together at most 1.
``docs/how-to/give-tissue-maps.md`` has mapping files to copy.
"""

from __future__ import annotations

import string
import zlib
from pathlib import Path
from typing import Annotated, Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform
from numpy.typing import NDArray
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

from uad_bench.dataset import Scan
from uad_bench.errors import ScanError, UadBenchError
from uad_bench.system.yaml_files import read_yaml
from uad_bench.volumes.files.masks import whole_numbers
from uad_bench.volumes.files.nifti import MAX_SHIFT, SCANNER, Volume, corner_distance, read_volume
from uad_bench.volumes.grid import Affine, FloatArray, Grid
from uad_bench.volumes.steps.resample import resample

TISSUES = ("csf", "gm", "wm")
"""The tissues in the order of every array of shares."""

MIN_COVERED = 0.5
"""Least share of the brain that tissue maps fill. FreeSurfer's labels leave out the fluid around
the brain, and masks are often wide: a third may be missing where nothing is wrong."""

MIN_INSIDE = 0.75
"""Least share of the grey and white matter in the field of view that lies in the brain."""

SLACK = 0.02
"""How far probabilities may leave [0, 1], or their sum exceed 1, before they are refused: three
maps rounded to 8 bits exceed it by 0.006."""


class LabelTable(BaseModel):
    """Which labels are which tissue.

    Attributes:
        csf: labels of cerebrospinal fluid.
        gm: labels of grey matter.
        wm: labels of white matter.
        outside: labels that are no tissue of the brain, as 0 is. Every other label is refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    csf: tuple[int, ...] = Field(min_length=1)
    gm: tuple[int, ...] = Field(min_length=1)
    wm: tuple[int, ...] = Field(min_length=1)
    outside: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _every_label_once(self) -> LabelTable:
        groups = {"outside": {0, *self.outside}, **{t: set(getattr(self, t)) for t in TISSUES}}
        seen: set[int] = set()
        for name, labels in groups.items():
            if min(labels) < 0 or seen & labels:
                odd = min(seen & labels, default=min(labels))
                raise ValueError(f"label {odd} under {name} is negative, or 0, or there twice")
            seen |= labels
        return self


_FREESURFER = LabelTable(
    csf=(4, 5, 14, 15, 24, 30, 31, 43, 44, 62, 63, 72, 75, 76),
    gm=(
        *(3, 8, 9, 10, 11, 12, 13, 17, 18, 19, 20, 26, 27, 80, 81, 82, 96, 136, 163),
        *(42, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 58, 59, 97, 137, 164),
        *(label for label in range(1000, 3000) if label not in (1004, 2004)),
        *range(11100, 11200),
        *range(12100, 12200),
    ),
    wm=(
        *(2, 7, 16, 25, 28, 41, 46, 57, 60, 77, 78, 79, 85, 192),
        *range(170, 180),
        *range(250, 256),
        *(1004, 2004),
        *range(3000, 5003),
        *range(13100, 13200),
        *range(14100, 14200),
    ),
)

LABEL_TABLES = {
    "freesurfer": _FREESURFER,
    "fast": LabelTable(csf=(1,), gm=(2,), wm=(3,)),
    "spm": LabelTable(csf=(3,), gm=(1,), wm=(2,), outside=(4, 5, 6)),
    "synthseg": _FREESURFER.model_copy(update={"outside": tuple(range(500, 600))}),
}
"""Label tables by name. ``freesurfer`` reads aseg, aparc+aseg, aparc.a2009s+aseg and wmparc;
lesions (25, 57) and white-matter hypointensities are white matter. ``synthseg`` is the same with
the labels around the brain that its training maps have."""

_PLACEHOLDERS = ("subject", "subject_id", "session", "session_id")


def _check_pattern(pattern: str) -> str:
    try:
        names = [name for _, name, _, _ in string.Formatter().parse(pattern) if name is not None]
    except ValueError as error:
        raise ValueError(f"no file pattern ({error})") from None
    unknown = [name for name in names if name not in _PLACEHOLDERS]
    if unknown:
        known = ", ".join(f"{{{name}}}" for name in _PLACEHOLDERS)
        raise ValueError(f"unknown placeholder {{{unknown[0]}}}; known: {known}")
    if not {"subject", "subject_id"} & set(names):
        raise ValueError("needs {subject} or {subject_id}: every person has maps of their own")
    return pattern


def _check_table_name(name: str) -> str:
    if name not in LABEL_TABLES:
        raise ValueError(f"unknown table '{name}'; known: {', '.join(LABEL_TABLES)}")
    return name


FilePattern = Annotated[str, AfterValidator(_check_pattern)]
"""A path below the dataset's folder. ``{subject}`` and ``{session}`` stand for the names as in the
dataset (``sub-01``, ``ses-1``), ``{subject_id}`` and ``{session_id}`` for those without prefix."""


class LabelMapping(BaseModel):
    """Where a scan's label map lies and what its labels mean.

    Attributes:
        file: the label map.
        labels: a key of ``LABEL_TABLES``, or a table.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: FilePattern
    labels: Annotated[
        Annotated[str, AfterValidator(_check_table_name), Tag("name")]
        | Annotated[LabelTable, Tag("table")],
        Discriminator(lambda value: "name" if isinstance(value, str) else "table"),
    ]

    @property
    def table(self) -> LabelTable:
        """The table, also where ``labels`` is a name."""
        return LABEL_TABLES[self.labels] if isinstance(self.labels, str) else self.labels


class ProbabilityMapping(BaseModel):
    """Where a scan's three probability maps lie.

    Attributes:
        csf: the map of cerebrospinal fluid.
        gm: the map of grey matter.
        wm: the map of white matter.
        scale: the value that means 1, such as 255 in maps of bytes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    csf: FilePattern
    gm: FilePattern
    wm: FilePattern
    scale: float = Field(default=1.0, gt=0.0, allow_inf_nan=False)


TissueMapping = LabelMapping | ProbabilityMapping
"""What a mapping file says."""


def load_mapping(path: Path) -> TissueMapping:
    """Read a mapping file: YAML with the fields of either mapping.

    Raises:
        UadBenchError: a file that is no mapping; one line for all that is wrong.
    """
    values = read_yaml(path, "--tissues", ": file and labels, or csf, gm and wm")
    kind = LabelMapping if {"file", "labels"} & set(values) else ProbabilityMapping
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(_problem(item, kind) for item in error.errors())
        raise UadBenchError(f"--tissues {path}: {problems}") from None


def _problem(item: Any, kind: type[BaseModel]) -> str:
    """One of pydantic's findings in the words of the mapping file."""
    key = ".".join(str(part) for part in item["loc"] if part not in ("name", "table"))
    if item["type"] == "extra_forbidden":
        fields = LabelTable.model_fields if len(item["loc"]) > 1 else kind.model_fields
        return f"{key}: unknown key here; known: {', '.join(fields)}"
    if item["type"] == "missing":
        return f"{key}: is needed"
    return f"{key}: {item['msg'].removeprefix('Value error, ')}"


def mapping_files(mapping: TissueMapping, root: Path, scan: Scan) -> tuple[tuple[str, Path], ...]:
    """Return the files that ``mapping`` names for ``scan``, each with its key in the mapping file.

    Args:
        mapping: where maps lie.
        root: the dataset's own folder.
        scan: whose maps.

    Raises:
        ScanError: when a pattern asks for a session and the scan has none.
    """
    keys = ("file",) if isinstance(mapping, LabelMapping) else TISSUES
    session = scan.session
    files = []
    for key in keys:
        pattern = getattr(mapping, key)
        if session is None and "{session" in pattern:
            raise ScanError(
                f"{scan.name} has no session, but the tissue maps' `{key}: {pattern}` asks for "
                "one; mend the mapping file"
            )
        name = pattern.format(
            subject=scan.subject,
            subject_id=scan.subject.removeprefix("sub-"),
            session=session,
            session_id=(session or "").removeprefix("ses-"),
        )
        files.append((key, root / Path(name).expanduser()))
    return tuple(files)


def mapped_tissues(
    mapping: TissueMapping, root: Path, scan: Scan, brain: NDArray[np.bool_], affine: Affine
) -> FloatArray:
    """Read a scan's tissue maps and bring them onto its FLAIR's grid.

    Labels become shares before anything is resampled, so that no label is invented between two
    others. Maps on another grid are averaged over each voxel of the FLAIR.

    Args:
        mapping: where the maps lie and what they hold.
        root: the dataset's own folder.
        scan: whose maps.
        brain: bool ``[X, Y, Z]``, the brain on the FLAIR's grid.
        affine: voxel of the FLAIR to the world of its file, in mm, RAS+. The maps' headers must
            lead to the same world: maps in MNI152 space belong to a FLAIR in MNI152 space.

    Returns:
        float32 ``[3, X, Y, Z]``: CSF, GM, WM; 0 outside the brain.

    Raises:
        ScanError: in one line, which file, what is wrong with it and what to do.
    """
    files = mapping_files(mapping, root, scan)
    volumes = [_read(path, key) for key, path in files]
    if isinstance(mapping, LabelMapping):
        maps = _label_maps(volumes[0], mapping)
    else:
        maps = [_probability(volume, mapping.scale) for volume in volumes]
    sources = [*volumes * 3] if len(volumes) == 1 else volumes
    for tissue, source, part in zip(TISSUES, sources, maps, strict=True):
        if not (part >= 0.5).any():
            raise ScanError(f"{source.path}: no voxel is {tissue.upper()}; check the mapping file")
    shares = np.stack(
        [
            _on_grid(part, v.affine, brain.shape, affine)
            for part, v in zip(maps, sources, strict=True)
        ]
    )
    total = shares.sum(axis=0)
    if total.max() > 1.0 + SLACK:
        raise ScanError(
            f"{volumes[0].path}: with the other tissues' maps it sums to {total.max():.3g} in "
            "places, more than 1; check the mapping file and its scale"
        )
    _check_place(volumes[0].path, shares, brain)
    return np.asarray(shares / np.maximum(total, 1.0) * brain, dtype=np.float32)


def _read(path: Path, key: str) -> Volume:
    if not path.is_file():
        raise ScanError(f"{path}: no such tissue map; check `{key}` in the mapping file")
    if path.suffix.lower() not in (".mgz", ".mgh"):
        return read_volume(path)
    try:
        image = nib.load(path)
        data = np.asanyarray(image.dataobj).reshape(image.shape[:3])
    except (OSError, EOFError, ValueError, zlib.error, ImageFileError) as error:
        raise ScanError(f"{path}: the file is cut short or damaged; copy it again") from error
    return Volume(path, data, np.asarray(image.affine, dtype=np.float64), SCANNER)


def _label_maps(volume: Volume, mapping: LabelMapping) -> list[FloatArray]:
    """Return where each tissue is."""
    labels, table = whole_numbers(volume), mapping.table
    groups = ((0, *table.outside), table.csf, table.gm, table.wm)
    known = np.full(max(map(max, groups)) + 2, -1, dtype=np.int8)
    for code, group in enumerate(groups):
        known[list(group)] = code
    found = known[np.where(labels < 0, -1, labels.clip(max=len(known) - 1))]
    odd = np.unique(labels[found < 0])
    if len(odd):
        listed = ", ".join(str(label) for label in odd[:5]) + (", ..." if len(odd) > 5 else "")
        where = f"'{mapping.labels}'" if isinstance(mapping.labels, str) else "the mapping file"
        raise ScanError(
            f"{volume.path}: {len(odd)} labels that {where} does not know: {listed}; add them to "
            "the mapping file's labels, under outside where they are no tissue"
        )
    return [np.asarray(found == code, dtype=np.float32) for code in (1, 2, 3)]


def _probability(volume: Volume, scale: float) -> FloatArray:
    part = volume.data.astype(np.float32) / np.float32(scale)
    if not np.isfinite(part).all():
        raise ScanError(f"{volume.path}: holds NaN or infinite voxels; set them to 0")
    low, high = float(part.min()), float(part.max())
    if low < -SLACK or high > 1.0 + SLACK:
        raise ScanError(
            f"{volume.path}: probabilities from {low:.3g} to {high:.3g}, outside [0, 1]; set "
            "`scale` in the mapping file to the value that means 1"
        )
    return part.clip(0.0, 1.0)


def _on_grid(
    part: FloatArray, part_affine: Affine, shape: tuple[int, ...], affine: Affine
) -> FloatArray:
    """Bring one tissue's shares onto the FLAIR's grid; where they lie on it, they stay exact."""
    x, y, z = shape
    change = ornt_transform(io_orientation(part_affine), io_orientation(affine))
    turned_affine = part_affine @ inv_ornt_aff(change, part.shape)
    turned = np.asarray(apply_orientation(part, change), dtype=np.float32)
    if turned.shape == shape and corner_distance(affine, turned_affine, shape) <= MAX_SHIFT:
        return turned
    return resample(turned, turned_affine, Grid(affine, (x, y, z)))


def _check_place(path: Path, shares: FloatArray, brain: NDArray[np.bool_]) -> None:
    """Refuse maps that are not those of this brain."""
    covered = float((shares.sum(axis=0) >= 0.5)[brain].mean())
    matter = shares[1] + shares[2]
    inside = float(matter[brain].sum() / max(float(matter.sum()), 1e-6))
    if covered < MIN_COVERED or inside < MIN_INSIDE:
        raise ScanError(
            f"{path}: the tissue maps cover {covered:.0%} of the FLAIR's brain and lie "
            f"{inside:.0%} inside it; register them to the FLAIR"
        )
