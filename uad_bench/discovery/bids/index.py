"""Every volume of a BIDS dataset by name: those that can be read, and the others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from uad_bench.discovery.bids.ignore import find_images
from uad_bench.discovery.bids.names import BidsFile, read_mapped, read_name
from uad_bench.errors import UadBenchError

if TYPE_CHECKING:
    from uad_bench.discovery.file_mapping import FileMapping


@dataclass(frozen=True, slots=True)
class Index:
    """The volumes of a dataset.

    Attributes:
        files: FLAIR volumes, lesion masks, brain masks and tissue maps, in the order of the walk.
        images: every volume that is not waived, those in ``files`` among them.
        waived: the volumes that ``.bidsignore`` waives.
    """

    files: tuple[BidsFile, ...]
    images: tuple[Path, ...]
    waived: tuple[Path, ...]


def index_dataset(root: Path, mapping: FileMapping | None = None) -> Index:
    """Find every volume of a dataset and read the names of those that matter.

    Args:
        root: the dataset's own folder.
        mapping: what the user says of files with other names; it wins over ``.bidsignore``.

    Raises:
        OSError: a folder that cannot be read.
        UadBenchError: a name that contradicts its folder, two files that cannot be told apart, or
            a mapped file that is not understood.
    """
    images, waived = find_images(root)
    mapped = {} if mapping is None else _mapped(mapping, root, (*images, *waived))
    images = (*images, *(path for path in waived if path in mapped))
    named = (
        read_name(path, root) for path in images if path not in mapped and _may_matter(path.name)
    )
    files = [file for file in named if file is not None and matters(file)]
    files += mapped.values()
    _refuse_twins(files)
    return Index(tuple(files), images, tuple(path for path in waived if path not in mapped))


def _mapped(mapping: FileMapping, root: Path, images: Iterable[Path]) -> dict[Path, BidsFile]:
    """The files that the user's patterns fit."""
    from uad_bench.discovery.file_mapping import compiled

    rules = [("mask", compiled(pattern)) for pattern in mapping.lesion]
    rules += [("FLAIR", compiled(pattern)) for pattern in mapping.flair]
    found: dict[Path, BidsFile] = {}
    for path in images:
        below = path.relative_to(root).as_posix()
        for suffix, rule in rules:
            if (match := rule.fullmatch(below)) is None:
                continue
            file = read_mapped(path, root, suffix, match.groupdict())
            if found.setdefault(path, file).suffix != suffix:
                raise UadBenchError(f"{path}: fits patterns of lesion masks and of FLAIR volumes")
    return found


def matters(file: BidsFile) -> bool:
    """Whether a file is a FLAIR's magnitude, a lesion mask, a brain mask or a tissue map."""
    if file.is_of_another_image:
        return False
    if file.suffix in ("mask", "roi"):
        return file.shows_lesion or file.shows_brain
    if file.suffix == "FLAIR":
        return file.entities.get("part", "mag") == "mag"
    # desc and label say that a segmentation is of something else, such as lesions.
    return file.suffix == "dseg" and not {"desc", "label"} & file.entities.keys()


def _may_matter(name: str) -> bool:
    """Whether a name's last word is one that is read, so that most names need no reading."""
    return name.partition(".")[0].endswith(("_FLAIR", "_mask", "_roi", "_dseg"))


def _refuse_twins(files: Iterable[BidsFile]) -> None:
    """Refuse two files that state the same: ``.nii`` beside ``.nii.gz``, ``run-1`` and ``run-01``.

    Raises:
        UadBenchError: naming the first two.
    """
    known: dict[object, BidsFile] = {}
    for file in files:
        entities = frozenset(file.entities.items())
        other = known.setdefault((file.source, file.subject, file.suffix, entities), file)
        if other is not file:
            raise UadBenchError(
                f"{other.path} and {file.path} state the same subject, session and entities; keep "
                "one of them"
            )
