"""Walking through a dataset's folder: links are followed, and links in a circle end."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
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
        OSError: a folder that cannot be read, or a link to a folder that is not there.
    """
    yield from _walk(root, (identity_of(root),), None)


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


def _walk(
    folder: Path, above: tuple[Identity, ...], linked: set[Identity] | None
) -> Iterator[Path]:
    """Walk one folder.

    Args:
        folder: to be walked.
        above: this folder and those that the path came through.
        linked: what links were followed into, below the first link of the path; ``None`` where
            the path has none.
    """
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        if entry.name.startswith("."):
            continue
        path = folder / entry.name
        if _is_folder(entry):
            identity, below = identity_of(path), linked
            if identity in above:
                continue
            if entry.is_symlink():
                below = set() if linked is None else linked
                if identity in below:
                    continue
                below.add(identity)
            yield from _walk(path, (*above, identity), below)
        elif entry.is_symlink() and _is_lost_folder(path):
            raise FileNotFoundError(
                errno.ENOENT, "it is a link to a folder that is not there", str(path)
            )
        else:
            yield path


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
