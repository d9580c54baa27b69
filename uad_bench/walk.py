"""Walking through a dataset's folder: links are followed, and a folder inside itself ends there."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

IMAGE_ENDINGS = (".nii.gz", ".nii", ".img", ".hdr", ".mgz", ".mgh")
"""What the names of volumes end in, in any letter case."""

Identity = tuple[int, int]
"""What two paths of one folder have in common: its device and its number there."""


def walk_files(root: Path) -> Iterator[Path]:
    """Yield every file below a folder, sorted by name inside each folder.

    Links to folders are followed. A folder that contains itself through a link is entered once.
    Hidden files and folders, whose names begin with a dot, are left out. A link to a file that is
    not there is yielded, so that the file is missed by name.

    Args:
        root: where to start.

    Raises:
        OSError: a folder that cannot be read, or a link to a folder that is not there.
    """
    yield from _walk(root, (identity_of(root),))


def is_image(name: str) -> bool:
    """Whether a file's name is that of a volume, in any letter case."""
    return name.lower().endswith(IMAGE_ENDINGS)


def identity_of(folder: Path) -> Identity:
    """What tells a folder from every other one, by whatever path it is reached."""
    stat = folder.stat()
    return stat.st_dev, stat.st_ino


def _walk(folder: Path, above: tuple[Identity, ...]) -> Iterator[Path]:
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        if entry.name.startswith("."):
            continue
        path = folder / entry.name
        if _is_folder(entry):
            identity = identity_of(path)
            if identity not in above:
                yield from _walk(path, (*above, identity))
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
    """Whether a link leads nowhere and is named as a folder is: lower case, without an ending."""
    try:
        path.stat()
    except FileNotFoundError:
        return not path.suffix and not path.name.isupper()
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
    return False
