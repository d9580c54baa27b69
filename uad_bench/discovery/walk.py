"""Walking through a dataset's folder: links are followed, and links in a circle end."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

IMAGE_ENDINGS = (
    *(".nii.gz", ".nii", ".nii.bz2", ".nii.xz", ".nii.zst", ".nii.zip"),
    *(".img.gz", ".img", ".hdr.gz", ".hdr", ".mgh.gz", ".mgz", ".mgh"),
    *(".nrrd", ".nhdr", ".mha", ".mhd", ".mnc", ".mnc.gz"),
)
"""What the names of volumes end in, in any letter case; only the first two are read."""

_FILE_ENDINGS = (
    *IMAGE_ENDINGS,
    *(".json", ".tsv", ".tsv.gz", ".csv", ".txt", ".md", ".rst", ".pdf", ".html", ".xml", ".bib"),
    *(".bval", ".bvec", ".mat", ".h5", ".edf", ".fif", ".set", ".fdt", ".vhdr", ".vmrk", ".eeg"),
    *(".xlsx", ".ods", ".docx", ".png", ".jpg", ".jpeg", ".svg", ".tif", ".tiff", ".dcm", ".gii"),
    *(".zip", ".gz", ".tar", ".tgz", ".py", ".m", ".r", ".sh", ".yml", ".yaml", ".toml", ".cfg"),
    *(".log", ".label", ".annot", ".lta", ".stats", ".mp4", ".npy", ".npz"),
)
"""What the names of files of a dataset end in, in any letter case."""

MAX_BELOW_LINKS = 1_000_000
"""How many files and folders are seen below the second link of their path, before a dataset is
refused. A hundred folders that all link to each other have a hundred million."""

Identity = tuple[int, int]
"""What two paths of one folder have in common: its device and its number there."""


def walk_files(root: Path) -> Iterator[Path]:
    """Yield every file below a folder, sorted by name inside each folder.

    Links to folders are followed, but never into a folder that the path has already come through.
    What a link leads to may hold further links; below the first link of a path, these are followed
    once into each folder. So a store that two subjects link to is seen below both, and links that
    lead to each other end.

    Hidden files and folders, whose names begin with a dot, are left out. A link to a file that is
    not there is yielded, so that the file is missed by name.

    Args:
        root: where to start.

    Raises:
        OSError: a folder that cannot be read, a link to a folder that is not there, or links that
            lead to each other so often that ``MAX_BELOW_LINKS`` is passed.
    """
    yield from _Walk().files(root, (identity_of(root),), None)


def is_image(name: str) -> bool:
    """Whether a file's name is that of a volume, in any letter case."""
    return name.lower().endswith(IMAGE_ENDINGS)


def identity_of(folder: Path) -> Identity:
    """What tells a folder from every other one, by whatever path it is reached."""
    stat = folder.stat()
    return stat.st_dev, stat.st_ino


def check_regular(path: Path) -> None:
    """Refuse a pipe, a socket or a device, which a program that opens it may wait on for ever.

    A folder passes, because opening it fails at once.

    Args:
        path: what is to be opened as a file.

    Raises:
        OSError: it is none, or cannot be looked at.
    """
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file or a folder of a folder; ``identity`` is a folder's."""

    name: str
    is_link: bool
    identity: Identity | None


class _Walk:
    """One walk: what folders below links hold, each read once, and how many entries were seen."""

    def __init__(self) -> None:
        self._listed: dict[Identity, tuple[_Entry, ...]] = {}
        self._seen = 0

    def files(
        self, folder: Path, above: tuple[Identity, ...], linked: set[Identity] | None
    ) -> Iterator[Path]:
        """Walk one folder.

        Args:
            folder: to be walked.
            above: this folder and those that the path came through.
            linked: what links were followed into, below the first link of the path; ``None`` where
                the path has none.
        """
        for entry in self._entries(folder, above[-1], linked):
            path, identity = folder / entry.name, entry.identity
            if identity is None:
                yield path
                continue
            below = linked
            if identity in above:
                continue
            if entry.is_link:
                below = set() if linked is None else linked
                if identity in below:
                    continue
                below.add(identity)
            yield from self.files(path, (*above, identity), below)

    def _entries(
        self, folder: Path, identity: Identity, linked: set[Identity] | None
    ) -> tuple[_Entry, ...]:
        """What a folder holds, sorted by name."""
        if linked is None:  # the path has no link, so it is the only one that leads here
            return _listing(folder)
        if identity not in self._listed:
            self._listed[identity] = _listing(folder)
        found = self._listed[identity]
        self._seen += len(found) if len(linked) > 1 else 0
        if self._seen > MAX_BELOW_LINKS:
            raise OSError(
                errno.ELOOP, "its links lead to each other too often; remove some", str(folder)
            )
        return found


def _listing(folder: Path) -> tuple[_Entry, ...]:
    """What a folder holds but for hidden entries, sorted by name."""
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    return tuple(_entry(folder, entry) for entry in entries if not entry.name.startswith("."))


def _entry(folder: Path, entry: os.DirEntry[str]) -> _Entry:
    path, is_link = folder / entry.name, entry.is_symlink()
    if _is_folder(entry):
        return _Entry(entry.name, is_link, identity_of(path))
    if is_link and _is_lost_folder(path):
        raise FileNotFoundError(
            errno.ENOENT, "it is a link to a folder that is not there", str(path)
        )
    return _Entry(entry.name, is_link, None)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link to itself
            return False
        raise


def _is_lost_folder(path: Path) -> bool:
    """Whether a link leads nowhere and is named as a folder is.

    Files have a known ending, or capitals alone (``README``), or lie in the store of git-annex.
    """
    try:
        path.stat()
    except FileNotFoundError:
        named = path.name.lower().endswith(_FILE_ENDINGS) or path.name.isupper()
        return not named and ".git/annex/" not in path.readlink().as_posix()
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
    return False
