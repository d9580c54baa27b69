"""Fetching a dataset's files: resumed where they broke off, checked, and whole or not there.

A file grows under a partial name and gets its own when it is right. What right means depends on
what the publisher states: SHA-256 and size where known. Where they are not, a first copy can only
be checked for being whole (the length that the server announces, gzip's checksum, the NIfTI
header); its SHA-256 is then recorded in ``SHA256SUMS`` beside the data and holds from then on.
"""

from __future__ import annotations

import gzip
import os
import re
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from threading import Event, Lock
from typing import Literal
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

import nibabel as nib
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from uad_bench import __version__
from uad_bench.dataset import Download, RemoteFile
from uad_bench.errors import UadBenchError
from uad_bench.system.disk import sha256_of, storage_error, writing
from uad_bench.system.locks import HeldError, held

SUMS = "SHA256SUMS"
"""The record of checksums in the dataset's folder, in the format of ``sha256sum``."""

_CHUNK = 1 << 18
_TIMEOUT_S = 20.0
_REPORT_EVERY_S = 0.5
_NIFTI2_HEADER = 540
_ENDIANS: tuple[Literal["little", "big"], ...] = ("little", "big")
_NOT_NIFTI = (ImageFileError, HeaderDataError, WrapStructError)
_PASSING = (408, 429, 500, 502, 503, 504)
"""HTTP answers that are worth another try."""


@dataclass(frozen=True, slots=True)
class FetchState:
    """How far a download is: files that are whole, of how many, and bytes received so far."""

    whole: int
    total: int
    received: int


def fetch(
    download: Download,
    folder: Path,
    *,
    connections: int = 4,
    pauses: Sequence[float] = (1.0, 2.0, 4.0),
    on_progress: Callable[[FetchState], None] | None = None,
) -> tuple[str, ...]:
    """Fetch the files that are missing or wrong below ``folder``, and check all of them.

    Interrupted at any moment, it leaves whole files, and partial ones that the next call resumes.
    A file of the wrong content is deleted and named; the others go on. Without network, or on a
    full disk, everything stops.

    Args:
        download: the sources and the files.
        folder: the dataset's own folder; made if it is not there.
        connections: files in flight at once.
        pauses: seconds before another try of a connection that brought nothing.
        on_progress: called twice a second, and at the end.

    Returns:
        The paths that were fetched now; none where everything was there.

    Raises:
        UadBenchError: a file could not be had or is not what it should be; no network; the disk
            is full; another process fetches into ``folder``.
    """
    try:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with held(folder / ".get.lock", wait=False):
                return _fetch(download, folder, connections, _Line(tuple(pauses)), on_progress)
    except HeldError as error:
        raise UadBenchError(
            f"{folder}: another process is fetching into it ({error.holder}): {error.remedy}"
        ) from None


class _Line:
    """What the connections of one download share."""

    def __init__(self, pauses: tuple[float, ...]) -> None:
        self.pauses = pauses
        self.stop = Event()
        self.received = 0
        self._lock = Lock()

    def count(self, size: int) -> None:
        """Note ``size`` more bytes; leave the download where it has been stopped."""
        with self._lock:
            self.received += size
        if self.stop.is_set():
            raise CancelledError


def _fetch(
    download: Download,
    folder: Path,
    connections: int,
    line: _Line,
    on_progress: Callable[[FetchState], None] | None,
) -> tuple[str, ...]:
    sums = _read_sums(folder)
    wanted = [file for file in download.files if not _is_whole(folder, file, sums)]
    present = len(download.files) - len(wanted)
    waiting: dict[Future[str], RemoteFile] = {}
    fetched: list[str] = []
    failures: list[str] = []
    pool = ThreadPoolExecutor(connections)
    try:
        for file in wanted:
            task = pool.submit(_fetch_file, download.sources, file, folder, sums, line)
            waiting[task] = file
        while waiting:
            done = wait(waiting, _REPORT_EVERY_S, return_when="FIRST_COMPLETED").done
            for task in done:
                path = waiting.pop(task).path
                try:
                    sums[path] = task.result()
                except UadBenchError as error:
                    failures.append(str(error))
                except CancelledError:
                    continue
                else:
                    fetched.append(path)
            if done:
                _write_sums(folder, sums)
            if on_progress is not None:
                whole = present + len(fetched)
                on_progress(FetchState(whole, len(download.files), line.received))
    finally:
        line.stop.set()
        pool.shutdown(cancel_futures=True)
    if failures:
        lacking = len(wanted) - len(fetched)
        raise UadBenchError(
            f"{lacking} of {len(download.files)} files are lacking: {failures[0]} "
            "(the whole ones are kept; the same command fetches the rest)"
        )
    _write_sums(folder, sums)
    for file in download.files:  # read back, all of it: the disk has the last word
        if not _is_whole(folder, file, sums):
            raise UadBenchError(f"{folder / file.path}: changed on the disk; fetch again")
    return tuple(sorted(fetched))


def _is_whole(folder: Path, file: RemoteFile, sums: dict[str, str]) -> bool:
    """Whether the file is there and right; a right one without a checksum gets one in ``sums``."""
    path = folder / file.path
    if not path.is_file():
        return False
    expected = file.sha256 or sums.get(file.path)
    if _fault(path, file, expected) is not None:
        return False
    if expected is None:
        sums[file.path] = sha256_of(path)
    return True


def _fetch_file(
    sources: Sequence[str], file: RemoteFile, folder: Path, sums: dict[str, str], line: _Line
) -> str:
    """Bring one file to its place and return its SHA-256."""
    path = folder / file.path
    partial = path.with_name(f"{path.name}.part")
    expected = file.sha256 or sums.get(file.path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        was_resumed = _size(partial) > 0
        _receive(sources, file.path, partial, line)
        fault = _fault(partial, file, expected)
        if fault is not None and was_resumed:  # the old part may be another file's
            partial.unlink()
            _receive(sources, file.path, partial, line)
            fault = _fault(partial, file, expected)
        if fault is not None:
            partial.unlink()
            raise UadBenchError(f"{path}: {fault}; the copy is deleted")
        digest = sha256_of(partial)
        with partial.open("rb") as stream:
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        line.stop.set()
        raise storage_error(error, path) from error
    return digest


def _receive(sources: Sequence[str], path: str, partial: Path, line: _Line) -> None:
    """Complete ``partial`` from the first source that has the file."""
    for source in sources:
        if _receive_from(f"{source}{quote(path)}", partial, line):
            return
    raise UadBenchError(f"{sources[0]}{quote(path)}: HTTP 404, the source no longer has it")


def _receive_from(url: str, partial: Path, line: _Line) -> bool:
    """Complete ``partial`` in as many connections as it takes; false where there is no such file.

    Only a connection that brings nothing new counts as a failed try.
    """
    failed, furthest = 0, _size(partial)
    while True:
        try:
            if _request(url, partial, line):
                return True
            problem = "the connection breaks off"
        except HTTPError as error:
            if error.code == HTTPStatus.NOT_FOUND:
                return False
            problem = f"HTTP {error.code} {error.reason}"
            if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                partial.unlink()
                furthest = 0
            elif error.code not in _PASSING:
                raise UadBenchError(f"{url}: {problem}") from error
        except (URLError, HTTPException, ConnectionError, TimeoutError) as error:
            reason = error.reason if isinstance(error, URLError) else error
            problem = f"no connection ({reason or type(error).__name__})"
        failed = 0 if _size(partial) > furthest else failed + 1
        furthest = max(furthest, _size(partial))
        if failed > len(line.pauses):
            line.stop.set()
            raise UadBenchError(f"{url}: {problem}; check the network or the proxy")
        line.stop.wait(line.pauses[failed - 1] if failed else 0)
        line.count(0)


def _request(url: str, partial: Path, line: _Line) -> bool:
    """Receive into ``partial``, from where it ends if the server can; whether it is whole now."""
    had = _size(partial)
    headers = {"User-Agent": f"uad-bench/{__version__}"}
    if had:
        headers["Range"] = f"bytes={had}-"
    try:
        answer = urlopen(Request(url, headers=headers), timeout=_TIMEOUT_S)
    except HTTPError as error:
        if error.headers.get("Content-Range") == f"bytes */{had}":
            return True  # it was whole already
        raise
    with answer:
        resumes = answer.status == HTTPStatus.PARTIAL_CONTENT
        start = had if resumes else 0
        length = answer.headers.get("Content-Length")
        with partial.open("ab" if resumes else "wb") as stream:
            while chunk := _read(answer):
                stream.write(chunk)
                line.count(len(chunk))
    return length is None or _size(partial) == start + int(length)


def _read(answer: HTTPResponse) -> bytes:
    """The next bytes; a fault of the network is told from one of the disk."""
    try:
        return answer.read(_CHUNK)
    except OSError as error:
        raise ConnectionError(str(error)) from error


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _fault(path: Path, file: RemoteFile, expected: str | None) -> str | None:
    """What is wrong with a copy of ``file``, ``None`` if nothing is known to be."""
    if file.size is not None and path.stat().st_size != file.size:
        return f"{path.stat().st_size} bytes, not {file.size}"
    if expected is None:
        return _damage(path, file.path)
    found = sha256_of(path)
    return None if found == expected else f"its SHA-256 is {found}, not {expected}"


def _damage(path: Path, name: str) -> str | None:
    """What a file without a known checksum says of itself: gzip's checksum, the NIfTI header."""
    try:
        with gzip.open(path) if name.endswith(".gz") else path.open("rb") as stream:
            content = stream.read()
        if name.endswith((".nii", ".nii.gz")):
            is_second = _NIFTI2_HEADER in {int.from_bytes(content[:4], end) for end in _ENDIANS}
            image = (nib.Nifti2Image if is_second else nib.Nifti1Image).from_bytes(content)
            image.dataobj[..., -1]  # fails where the voxels end early
    except (OSError, EOFError, ValueError, zlib.error, *_NOT_NIFTI) as error:
        return f"not a whole {name.split('.', 1)[-1]} file ({error})"
    return None


def _read_sums(folder: Path) -> dict[str, str]:
    """The recorded checksums by path; none where there is no record."""
    path = folder / SUMS
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return {name: sum_ for sum_, name in re.findall(r"^([0-9a-f]{64}) [ *](.+)$", text, re.M)}


def _write_sums(folder: Path, sums: dict[str, str]) -> None:
    """Replace the record in one step."""
    partial = folder / f".{SUMS}.part"
    lines = (f"{sum_}  {name}\n" for name, sum_ in sorted(sums.items()))
    partial.write_text("".join(lines), encoding="utf-8")
    partial.replace(folder / SUMS)
