"""The dataset contract: what a dataset is, and where its files lie. Nothing is loaded here."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from uad_bench.discovery.walk import Identity, identity_of
from uad_bench.errors import UadBenchError

if TYPE_CHECKING:
    from uad_bench.discovery.file_mapping import FileMapping
    from uad_bench.discovery.people.participants import Participants

Split = Literal["train", "validation", "test"]
Space = Literal["mni152", "sri24"]


@dataclass(frozen=True, slots=True)
class Scan:
    """One FLAIR scan of one subject, described by paths only.

    Attributes:
        subject: the person; statistics treat a person's scans as one unit.
        session: the time point, where the dataset has several.
        flair: path of the FLAIR volume.
        lesion: one mask per rater. A voxel is lesion where more than half of the raters marked it;
            where exactly half did, it is ignored, that is, counted neither as lesion nor as
            healthy. A test scan without a mask takes part only where ``healthy`` says so.
        healthy: whether the adapter, or the dataset's own list of participants, says that the
            subject is healthy (``True``) or a patient (``False``); ``None`` where nobody says it. A
            scan whose masks are all zero is healthy without it.
        brain_mask: a given brain mask, which wins over everything else.
        tissues: a tissue label map, where the dataset has one: 1 GM, 2 WM, 3 CSF, as BIDS numbers
            them, unless ``tissue_table`` says otherwise.
        tissue_table: a ``dseg.tsv`` that says what the labels of ``tissues`` mean.
        split: which part of the protocol may see this scan.
        lesion_labels: the mask values that mean lesion; ``None`` means every value above 0.
        ignore_labels: mask values counted neither as lesion nor as healthy.
        label_advice: what to do about a mask with any other value, in a few words.
        space: the template space the dataset is published in; ``None`` where it is not known.
        site: scanner or centre, where the dataset has several.
    """

    subject: str
    flair: Path
    session: str | None = None
    lesion: tuple[Path, ...] = ()
    healthy: bool | None = None
    brain_mask: Path | None = None
    tissues: Path | None = None
    tissue_table: Path | None = None
    split: Split = "test"
    lesion_labels: frozenset[int] | None = None
    ignore_labels: frozenset[int] = frozenset()
    label_advice: str = "check the mask"
    space: Space | None = None
    site: str | None = None

    @property
    def name(self) -> str:
        """Subject and session, unique inside a dataset."""
        return self.subject if self.session is None else f"{self.subject}_{self.session}"


@dataclass(frozen=True, slots=True)
class LeftFile:
    """A file of a dataset that no scan uses.

    Attributes:
        path: the file.
        reason: why, or what it seems to be, in a few words.
        stops: whether it may be a FLAIR or a lesion mask that was not understood. A run must not
            go on before somebody has said what it is.
        told: whether a run says that it was left, because a user may have wanted it.
    """

    path: Path
    reason: str
    stops: bool = False
    told: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything that an adapter found by name.

    Attributes:
        scans: every scan, complete or not.
        left: files that the adapter understood and that no scan uses.
        images: every volume below the folder that is not waived, used or not; ``None`` where the
            adapter did not look for them.
        waived: volumes that the dataset's ``.bidsignore`` waives.
        mapped: how many files are what the user said, and not what their names say.
        people: the list of people that the scans go by; ``None`` where the adapter reads none.
    """

    scans: tuple[Scan, ...]
    left: tuple[LeftFile, ...] = ()
    images: tuple[Path, ...] | None = None
    waived: tuple[Path, ...] = ()
    mapped: int = 0
    people: Participants | None = None


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a download.

    Attributes:
        path: below the source and below the dataset's folder alike, with ``/``.
        sha256: its SHA-256 in hexadecimal, ``None`` where its publisher states none.
        size: its length in bytes, ``None`` where its publisher states none.
    """

    path: str
    sha256: str | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Download:
    """Where a dataset whose licence allows it is fetched from, file by file.

    Attributes:
        sources: addresses that files' paths are appended to. A file that the first does not have
            is asked of the next.
        files: what is fetched.
        megabytes: how much that is, roughly.
    """

    sources: tuple[str, ...]
    files: tuple[RemoteFile, ...]
    megabytes: int


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """Frozen facts about a dataset.

    Attributes:
        name: the name on the command line.
        title: one line for tables and listings.
        disease: what its patients have; ``healthy`` for a training dataset.
        citation: author and year, as in the text.
        bibtex: the full entry.
        licence: licence or terms of use.
        obtain: where to register or download, in one line.
        layout: the expected folder layout below the dataset's folder, as a small tree.
        folders: folder names tried below the data root, in this order.
        expected_scans: how many scans the published dataset has, where fixed.
        notes: remarks for a reader, one line each.
        download: how to fetch it, where its licence allows that; ``None`` means by hand.
        released: whether its data can be had, so that its folder holds these and no others. Tables
            give data of one's own the name of their description or folder.
    """

    name: str
    title: str
    disease: str
    citation: str
    bibtex: str
    licence: str
    obtain: str
    layout: str
    folders: tuple[str, ...]
    expected_scans: int | None = None
    notes: tuple[str, ...] = field(default=())
    download: Download | None = None
    released: bool = True


class Dataset(ABC):
    """A dataset adapter: ``info`` and ``scans``. One per file in ``datasets/``.

    Examples:
        >>> import uad_bench as ub
        >>> from uad_bench.dataset import DatasetInfo, Scan
        >>> class Ours(ub.Dataset):
        ...     info = DatasetInfo(
        ...         name="ours", title="Our patients", disease="stroke", citation="", bibtex="",
        ...         licence="not public", obtain="ask us", layout="PATIENT/flair.nii.gz",
        ...         folders=("ours",),
        ...     )
        ...
        ...     def scans(self, root):
        ...         for flair in sorted(root.glob("*/flair.nii.gz")):
        ...             mask = flair.with_name("lesion.nii.gz")
        ...             yield Scan(flair.parent.name, flair, lesion=(mask,), split="test")
        >>> Ours().info.disease
        'stroke'
    """

    info: ClassVar[DatasetInfo]
    asks_about_unclaimed: ClassVar[bool] = False
    """Whether a run stops where a volume that no scan uses may be a FLAIR or a lesion mask. It does
    where the files' names decide, as in BIDS; a published layout is known as a whole."""

    @abstractmethod
    def scans(self, root: Path) -> Iterator[Scan]:
        """Yield the scans below ``root`` (the dataset's own folder), sorted, by names only.

        A scan that lacks a file it must have is still yielded, with the path where that file
        should be, so that preparation can report it by name.
        """

    def read(self, root: Path) -> Reading:
        """Return the scans, and what else the adapter knows of the files below ``root``.

        An adapter that chooses between several files says here which it left and why.

        Args:
            root: the dataset's own folder.
        """
        return Reading(tuple(self.scans(root)))

    def mapped(self, mapping: FileMapping) -> Dataset:
        """Return an adapter that takes files for what the user says they are.

        An adapter of a fixed layout is returned as it is.

        Args:
            mapping: patterns of lesion masks and of FLAIR volumes.
        """
        del mapping
        return self


class ReadDataset(Dataset):
    """A dataset whose folder was read. Its scans are known, and the adapter is not asked again.

    So every part of a command sees the same scans, and a large folder is walked once.
    """

    def __init__(self, dataset: Dataset, reading: Reading) -> None:
        """Keep what the adapter ``dataset`` found."""
        self.info = dataset.info  # type: ignore[misc]  # a class has one, and so has this adapter
        self.asks_about_unclaimed = dataset.asks_about_unclaimed  # type: ignore[misc]
        self._reading = reading

    def scans(self, root: Path) -> Iterator[Scan]:
        """Yield the scans that were found."""
        del root
        yield from self._reading.scans

    def read(self, root: Path) -> Reading:
        """Return what was found."""
        del root
        return self._reading


def find_nifti(folder: Path, *stems: str) -> Path | None:
    """The NIfTI file in ``folder`` with the first of these stems that there is.

    Args:
        folder: where to look; it need not exist.
        stems: file names without extension, in order of preference.

    Raises:
        UadBenchError: one stem with both endings, ``.nii.gz`` and ``.nii``.
    """
    for stem in stems:
        found = [
            path for ending in (".nii.gz", ".nii") if (path := folder / f"{stem}{ending}").is_file()
        ]
        if len(found) > 1:
            raise UadBenchError(f"{found[0]} and {found[1].name}: keep one of them")
        if found:
            return found[0]
    return None


def walk_folders(root: Path, name: re.Pattern[str], depth: int = 5) -> Iterator[Path]:
    """Yield the folders below ``root`` whose whole name matches, sorted; none inside a match.

    Links are followed. A folder that contains itself through a link is entered once.

    Args:
        root: where to start; it is not itself a candidate.
        name: what a folder's name must match from end to end.
        depth: how many levels to go down.

    Raises:
        OSError: a folder that cannot be read.
    """
    yield from _walk_folders(root, name, depth, (identity_of(root),))


def _walk_folders(
    root: Path, name: re.Pattern[str], depth: int, above: tuple[Identity, ...]
) -> Iterator[Path]:
    for path in sorted(root.iterdir()):
        if path.name.startswith(".") or not path.is_dir():
            continue
        if name.fullmatch(path.name):
            yield path
        elif depth > 1 and (identity := identity_of(path)) not in above:
            yield from _walk_folders(path, name, depth - 1, (*above, identity))
