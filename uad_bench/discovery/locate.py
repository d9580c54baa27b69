"""Where a dataset's folder is, and what lies in it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from uad_bench.dataset import Dataset, DatasetInfo, LeftFile, Reading, Scan
from uad_bench.discovery.bids.ignore import NAME, find_images
from uad_bench.discovery.contradictions import refuse_contradictions, refuse_empty
from uad_bench.discovery.mask_notes import mask_notes
from uad_bench.discovery.people.participants import Participants
from uad_bench.discovery.unclaimed import scan_paths, unclaimed
from uad_bench.discovery.walk import identity_of
from uad_bench.errors import UadBenchError

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Found:
    """What an adapter found in a dataset's folder.

    Attributes:
        folder: the folder that was read.
        reading: what the adapter found: every scan, complete or not, in its order.
        missing: paths that a scan must have and that are not there.
        problems: one line per incomplete scan, naming it and the file.
        incomplete: one line per test scan without a lesion mask of somebody whom nobody calls
            healthy.
        left: files that the adapter understood and that no scan uses.
        unclaimed: files that nobody explains, see :mod:`uad_bench.discovery.unclaimed`.
        mask_notes: what to know of the choice of lesion masks in BIDS.
    """

    folder: Path
    reading: Reading
    missing: tuple[Path, ...]
    problems: tuple[str, ...]
    incomplete: tuple[str, ...] = ()
    left: tuple[LeftFile, ...] = ()
    unclaimed: tuple[LeftFile, ...] = ()
    mask_notes: tuple[str, ...] = ()

    @property
    def scans(self) -> tuple[Scan, ...]:
        """Every scan, complete or not, in the adapter's order."""
        return self.reading.scans

    @property
    def people(self) -> Participants | None:
        """The dataset's own list of people, where the adapter reads one."""
        return self.reading.people

    @property
    def waived(self) -> int:
        """How many volumes the dataset's ``.bidsignore`` waives."""
        return len(self.reading.waived)

    @property
    def mapped(self) -> int:
        """How many files are what the user said, and not what their names say."""
        return self.reading.mapped


def locate(info: DatasetInfo, data_root: Path) -> Path | None:
    """The dataset's folder: one of ``info.folders`` below the data root, or the root itself.

    Letter case does not matter. Two folders that may both be the dataset are refused, unless one
    is a link to the other.

    Args:
        info: the dataset.
        data_root: the folder that holds the datasets' folders, or is the dataset's own.

    Returns:
        The folder, or ``None`` where the dataset is not there.

    Raises:
        UadBenchError: the data root does not exist, is no folder, or cannot be read, or holds
            several folders with names of the dataset.
    """
    if not data_root.is_dir():
        state = "is not a folder" if data_root.exists() else "does not exist"
        raise UadBenchError(
            f"data root {data_root} {state}: give the folder that holds the datasets "
            "with --data-root or UAD_BENCH_DATA"
        )
    try:
        below = [path for path in sorted(data_root.iterdir()) if path.is_dir()]
    except OSError as error:
        raise UadBenchError(f"data root {data_root} cannot be read: {error.strerror}") from error
    names = {name.lower() for name in info.folders}
    found = {identity_of(path): path for path in below if path.name.lower() in names}
    if len(found) > 1:
        folders = " and ".join(path.name for path in found.values())
        raise UadBenchError(
            f"data root {data_root}: {folders} may each be {info.name}: rename all but one, or "
            f"name the one that is meant, as {info.name}:PATH"
        )
    if found:
        return next(iter(found.values()))
    return data_root if data_root.resolve().name.lower() in names else None


def inspect(dataset: Dataset, folder: Path) -> Found:
    """Let the adapter read the names below ``folder`` and check that every file is there.

    Args:
        dataset: the adapter.
        folder: the dataset's own folder.

    Raises:
        UadBenchError: the folder does not exist or cannot be read, holds no scan in the expected
            layout, or contradicts itself.
    """
    name = dataset.info.name
    if not folder.is_dir():
        raise UadBenchError(f"{name}: the folder {folder} does not exist: give an existing one")
    reading = read_folder(dataset, folder)
    scans = reading.scans
    unclaimed = unclaimed_files(dataset, reading, folder)
    refuse_empty(dataset.info, folder, scans, _seen(unclaimed))
    refuse_contradictions(name, folder, scans)
    lacking = [(scan, path) for scan in scans for path in scan_paths(scan) if not path.is_file()]
    locked = [
        (scan, path)
        for scan in scans
        for path in scan_paths(scan)
        if path.is_file() and not os.access(path, os.R_OK)
    ]
    return Found(
        folder=folder,
        reading=reading,
        missing=tuple(path for _, path in lacking),
        problems=(
            *(f"{scan.name}: {path} is missing" for scan, path in lacking),
            *(f"{scan.name}: {path} may not be read by this user" for scan, path in locked),
        ),
        incomplete=tuple(scan.name for scan in scans if is_incomplete(scan)),
        left=tuple(file for file in reading.left if not file.stops),
        unclaimed=unclaimed,
        mask_notes=tuple(mask_notes(scans, folder)) if dataset.asks_about_unclaimed else (),
    )


def read_folder(dataset: Dataset, folder: Path) -> Reading:
    """Let the adapter read the names below ``folder``.

    Raises:
        UadBenchError: a folder or a file of it that cannot be read.
    """
    try:
        return dataset.read(folder)
    except OSError as error:
        raise _unreadable(dataset, folder, error) from error


def unclaimed_files(dataset: Dataset, reading: Reading, folder: Path) -> tuple[LeftFile, ...]:
    """Return the volumes below ``folder`` that no scan uses and the adapter does not explain.

    One that may be a FLAIR or a lesion mask stops a run only where the adapter asks for that.

    Raises:
        UadBenchError: a folder that cannot be read.
    """
    images = reading.images
    if images is None:
        try:
            images, _ = find_images(folder)
        except OSError as error:
            raise _unreadable(dataset, folder, error) from error
    odd = [file for file in reading.left if file.stops]
    odd += unclaimed(images, folder, reading.scans, reading.left)
    if dataset.asks_about_unclaimed:
        return tuple(odd)
    return tuple(LeftFile(file.path, "not used by this layout") for file in odd)


def grouped(files: Iterable[LeftFile]) -> dict[str, list[Path]]:
    """The files by their reason, in the order in which reasons come first."""
    groups: dict[str, list[Path]] = {}
    for file in files:
        groups.setdefault(file.reason, []).append(file.path)
    return groups


def refuse_unclaimed(found: Found, name: str) -> None:
    """Refuse a dataset in which a file may be a FLAIR or a lesion mask that nobody read.

    Args:
        found: the dataset.
        name: what the user calls it.

    Raises:
        UadBenchError: in one line, how many there are, the first of them and what to do.
    """
    odd = [file for file in found.unclaimed if file.stops]
    if not odd:
        return
    names = ", ".join(file.path.relative_to(found.folder).as_posix() for file in odd[:_SHOWN])
    more = f" and {len(odd) - _SHOWN} more" if len(odd) > _SHOWN else ""
    what = "1 file is" if len(odd) == 1 else f"{len(odd)} files are"
    raise UadBenchError(
        f"{name}: {what} neither read nor known: {names}{more} ({odd[0].reason}); rename "
        "them, say which are lesion masks (--lesion-pattern), or list what is neither a FLAIR nor "
        f"a mask in {found.folder / NAME}"
    )


def _seen(files: Sequence[LeftFile]) -> str:
    """What there is instead of scans."""
    if not files:
        return ""
    first = files[0]
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    return f"; there are {first.path.name}{more} ({first.reason})"


def is_incomplete(scan: Scan) -> bool:
    """Whether a test scan has no lesion mask and nobody says that the subject is healthy."""
    return scan.split == "test" and not scan.lesion and not scan.healthy


def _unreadable(dataset: Dataset, folder: Path, error: OSError) -> UadBenchError:
    return UadBenchError(
        f"{dataset.info.name}: {error.filename or folder} cannot be read: {error.strerror}"
    )
