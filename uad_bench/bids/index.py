"""Every volume of a BIDS dataset by name: those that can be read, and the others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from uad_bench.bids.names import BidsFile, read_name
from uad_bench.bidsignore import find_images
from uad_bench.errors import UadBenchError


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


def index_dataset(root: Path) -> Index:
    """Find every volume of a dataset and read the names of those that matter.

    Args:
        root: the dataset's own folder.

    Raises:
        OSError: a folder that cannot be read.
        UadBenchError: a name that contradicts its folder, or two files that cannot be told apart.
    """
    images, waived = find_images(root)
    named = (read_name(path, root) for path in images if _may_matter(path.name))
    files = tuple(file for file in named if file is not None and matters(file))
    _refuse_twins(files)
    return Index(files, images, waived)


def matters(file: BidsFile) -> bool:
    """Whether a file is a FLAIR volume, a lesion mask, a brain mask or a tissue map."""
    if file.suffix in ("mask", "roi"):
        return file.shows_lesion or file.shows_brain
    return file.suffix == "FLAIR" or (file.suffix == "dseg" and "desc" not in file.entities)


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
                f"{other.path} and {file.path} have the same name but for their ending or their "
                "folder; keep one of them"
            )
