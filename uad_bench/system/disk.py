"""Files: there whole or not at all, known by their hash, and what a disk refuses in one line."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from uad_bench.errors import RunError

_DESCRIPTOR = re.compile(r"/dev/(?P<name>stdout|stderr)|/(dev|proc/self)/fd/(?P<number>\d+)")
"""Paths of streams that this process has open already."""


def write_whole(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` so that the file is there whole or not at all.

    A symbolic link stays, and its target is replaced. A device, a pipe and ``/dev/stdout`` are
    written to as they are. Who may read a new file, the user's umask decides: results can hold
    patients' names.

    Raises:
        RunError: if the disk is full, or the folder cannot be written to.
        BrokenPipeError: if the reader of a pipe went away.
    """
    with writing(path):
        stream = _open_stream(path)
        if stream is None:
            with opened_whole(Path(os.path.realpath(path))) as file:
                file.write(data)
        else:
            with os.fdopen(stream, "wb") as pipe:
                pipe.write(data)


def is_stream(path: Path) -> bool:
    """Whether what was written to a path went to a device, a pipe or a stream of this process."""
    return _DESCRIPTOR.fullmatch(str(path)) is not None or not path.is_file()


def _open_stream(path: Path) -> int | None:
    """Open what is no regular file, and return its descriptor; ``None`` for a file to replace.

    A stream of this process is not opened again: a shell may have led it into a file, behind what
    is there already.
    """
    if own := _DESCRIPTOR.fullmatch(str(path)):
        return os.dup({"stdout": 1, "stderr": 2}.get(own["name"]) or int(own["number"]))
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return None
    return os.open(path, os.O_WRONLY)


@contextmanager
def opened_whole(path: Path) -> Iterator[BinaryIO]:
    """Open a new file beside ``path``, and give it that name when the block is done.

    Raises:
        OSError: it cannot be written; then nothing is left of it.
    """
    temporary = path.with_name(f".partial-{os.urandom(8).hex()}")
    try:
        make_folder(path.parent)
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with suppress(OSError):  # it has its name by now, or something went wrong
            temporary.unlink()


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, where they are missing.

    Raises:
        OSError: it cannot be made, such as where a file has its name.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, f"{folder} is a file") from None


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file's content, in lower-case hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    from hashlib import file_digest  # brings OpenSSL, which most commands do without

    with file.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


@contextmanager
def writing(path: Path, advice: str = "") -> Iterator[None]:
    """Turn what the disk refuses inside the block into one line for the user.

    Args:
        path: what is written, for the line.
        advice: what to do where the disk is not full.

    Raises:
        RunError: the disk is full, or something cannot be written.
        BrokenPipeError: the reader of a pipe went away.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise storage_error(error, path, advice) from error


def is_full(error: BaseException) -> bool:
    """Whether an error says that a disk, or the user's share of it, is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def storage_error(error: OSError, path: Path, advice: str = "") -> RunError:
    """Return the line for a failed write; arguments as of `writing`."""
    if is_full(error):
        return full_disk(path)
    reason = f"cannot write {path}: {error.strerror or error}"
    return RunError(f"{reason}; {advice}" if advice else reason)


def full_disk(what: Path | str | None) -> RunError:
    """Return the line for a full disk.

    Args:
        what: was being written; ``None`` where it is not known.
    """
    where = "" if what is None else f" while writing {what}"
    return RunError(
        f"the disk is full{where}: make room and run the same command again; finished work is kept"
    )
