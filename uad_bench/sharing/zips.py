"""Zip archives of uad-bench: whole, the same bytes every time, and not trusted when they are read.

The first file, ``archive.json``, says what every other one is: its size and its SHA-256. An archive
with a file more, less or changed is refused before anything of it is used.
"""

from __future__ import annotations

import hashlib
import re
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from uad_bench.errors import UadBenchError
from uad_bench.runner.environment import versions
from uad_bench.system.disk import opened_whole, sha256_of, writing

What = Literal["results", "detector"]
"""What an archive is of."""

FORMAT = 1
"""Version of the layout of archives."""

LISTING = "archive.json"

LARGEST_GB = 64
"""What an archive may unpack to; more is taken for an attack."""

LARGEST_TEXT_MB = 512
"""What one file of an archive may unpack to, which is read whole. Weights may be larger where they
are stored as they are: a small archive fills no memory."""

_CHUNK = 1 << 20

_WEIGHTS = ".safetensors"
_PACKED = (".npz", _WEIGHTS)
"""Files that do not get smaller."""

_UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError),
    *(NotImplementedError, RuntimeError, ValueError, OverflowError),
)
"""What zipfile comes to where a file is damaged: a name that is no UTF-8 is a ValueError."""


class ArchivedFile(BaseModel):
    """Size and SHA-256 of a file in an archive."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Listing(BaseModel):
    """What an archive says of itself.

    Attributes:
        what: what it is of.
        format: version of the layout.
        versions: the packages that wrote it.
        notes: what is in it and what is not, one sentence each.
        files: every other file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    what: What
    format: int = FORMAT
    versions: dict[str, str]
    notes: tuple[str, ...] = ()
    files: dict[str, ArchivedFile]


def list_files(
    what: What, files: Mapping[str, bytes | Path], notes: tuple[str, ...]
) -> dict[str, bytes | Path]:
    """Return files with the listing of them before them, sorted.

    Args:
        what: what they are of.
        files: contents, or files that hold them, by name.
        notes: what is in them and what is not, one sentence each.
    """
    listed = {name: _described(files[name]) for name in sorted(files)}
    listing = Listing(what=what, versions=versions(), notes=notes, files=listed)
    text = f"{listing.model_dump_json(indent=1)}\n".encode()
    return {LISTING: text, **{name: files[name] for name in listed}}


def write_zip(path: Path, files: Mapping[str, bytes | Path]) -> None:
    """Write a zip whole or not at all; the same contents are the same bytes.

    Raises:
        UadBenchError: it cannot be written.
    """
    with writing(path), opened_whole(path) as stream, zipfile.ZipFile(stream, "w") as archive:
        for name, source in files.items():
            member = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            member.create_system = 3
            member.external_attr = (stat.S_IFREG | 0o644) << 16
            is_packed = name.endswith(_PACKED)
            member.compress_type = zipfile.ZIP_STORED if is_packed else zipfile.ZIP_DEFLATED
            if isinstance(source, bytes):
                archive.writestr(member, source)
                continue
            member.file_size = source.stat().st_size
            with source.open("rb") as content, archive.open(member, "w") as entry:
                while chunk := content.read(_CHUNK):
                    entry.write(chunk)


def _described(source: bytes | Path) -> ArchivedFile:
    if isinstance(source, bytes):
        return ArchivedFile(size=len(source), sha256=hashlib.sha256(source).hexdigest())
    return ArchivedFile(size=source.stat().st_size, sha256=sha256_of(source))


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive of which every file was found to be what the listing says.

    Attributes:
        path: where it is.
        listing: what it says of itself.
    """

    path: Path
    listing: Listing
    _zip: zipfile.ZipFile

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        return self._zip.read(name)

    def unpack(self, name: str, file: Path) -> None:
        """Write a file of it to another place, whole or not at all.

        Raises:
            UadBenchError: it cannot be written.
        """
        with writing(file), opened_whole(file) as stream, self._zip.open(name) as content:
            while chunk := content.read(_CHUNK):
                stream.write(chunk)


@contextmanager
def opened_archive(path: Path, what: What) -> Iterator[Archive]:
    """Open an archive once every file in it is known to be what it should be.

    Args:
        path: the zip.
        what: what it should be of.

    Raises:
        UadBenchError: in one line, why it is not used.
    """
    with ExitStack() as stack:
        try:
            archive = stack.enter_context(zipfile.ZipFile(path))
            listing = _checked(path, archive, what)
        except _UNREADABLE as error:
            raise UadBenchError(
                f"{path}: no zip, or a damaged one ({error}); get it again"
            ) from None
        except OSError as error:
            raise UadBenchError(f"cannot read {path}: {error.strerror or error}") from None
        yield Archive(path, listing, archive)


def _checked(path: Path, archive: zipfile.ZipFile, what: What) -> Listing:
    """Return the listing of an archive that holds exactly what is listed."""
    members = archive.infolist()
    for member in members:
        _refuse_member(path, member)
    listing = _read_listing(path, archive, what)
    _refuse_other_files(path, members, listing)
    for name, file in listing.files.items():
        with archive.open(name) as content:
            if _digest(content) != file.sha256:
                raise _edited(path, name)
    return listing


def _refuse_member(path: Path, member: zipfile.ZipInfo) -> None:
    """Refuse what could be written elsewhere than below a folder, or is no plain file."""
    name = member.orig_filename
    parts = name.split("/")
    leads_outside = (
        name != member.filename
        or not {"", ".", ".."}.isdisjoint(parts[:-1] if name.endswith("/") else parts)
        or "\\" in name
        or re.match("[A-Za-z]:", name) is not None
        or not name.isprintable()
    )
    if leads_outside:
        raise UadBenchError(f"{path}: holds {name!a}, which leads out of a folder: it is not used")
    mode = member.external_attr >> 16
    if member.is_dir() or (mode and not stat.S_ISREG(mode) and stat.S_IFMT(mode)):
        raise UadBenchError(f"{path}: {name} is a link or a folder and no file: it is not used")
    if member.flag_bits & 1 or member.compress_type not in (
        zipfile.ZIP_STORED,
        zipfile.ZIP_DEFLATED,
    ):
        raise UadBenchError(f"{path}: {name} is encrypted, or packed as uad-bench packs nothing")


def _read_listing(path: Path, archive: zipfile.ZipFile, what: What) -> Listing:
    """Read what an archive says of itself.

    Raises:
        UadBenchError: it says nothing, or is of another format or of something else.
    """
    made_by = "`uad-bench export`" if what == "results" else "`uad-bench share`"
    try:
        member = archive.getinfo(LISTING)
    except KeyError:
        raise UadBenchError(
            f"{path}: has no {LISTING}: it is damaged, or no zip that {made_by} wrote; get it again"
        ) from None
    if member.file_size > LARGEST_TEXT_MB << 20:
        raise UadBenchError(f"{path}: its {LISTING} has over {LARGEST_TEXT_MB} MB: it is not used")
    text = archive.read(LISTING)
    try:
        form = _Format.model_validate_json(text)
        if form.format != FORMAT:
            raise UadBenchError(
                f"{path}: has format {form.format}, and this uad-bench reads {FORMAT}; use the "
                f"uad-bench that wrote it ({form.versions.get('uad-bench', 'unknown')})"
            )
        listing = Listing.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or LISTING
        raise UadBenchError(
            f"{path}: its {LISTING} is damaged ({where}: {first['msg']}); get it again"
        ) from None
    if listing.what != what:
        what_it_is = {"results": "results", "detector": "a detector"}[listing.what]
        raise UadBenchError(f"{path}: is of {what_it_is}; give a zip that {made_by} wrote")
    return listing


class _Format(BaseModel):
    """What of a listing is the same in every format."""

    format: int
    versions: dict[str, str] = {}


def _refuse_other_files(path: Path, members: list[zipfile.ZipInfo], listing: Listing) -> None:
    """Refuse files that are not listed, listed files that are not there, and too many bytes."""
    sizes = {member.filename: member.file_size for member in members}
    stored = {one.filename for one in members if one.compress_type == zipfile.ZIP_STORED}
    (most, count), *_ = Counter(member.filename for member in members).most_common(1)
    if count > 1:
        raise UadBenchError(f"{path}: was edited: {most} is in it twice; get it again")
    if more := sorted(sizes.keys() - listing.files.keys() - {LISTING}):
        raise UadBenchError(f"{path}: was edited: {more[0]} is not in its {LISTING}; get it again")
    if missing := sorted(listing.files.keys() - sizes.keys()):
        raise UadBenchError(f"{path}: was edited: {missing[0]} is missing; get it again")
    for name, file in listing.files.items():
        if sizes[name] != file.size:
            raise _edited(path, name)
        is_weights = name.endswith(_WEIGHTS) and name in stored
        if not is_weights and file.size > LARGEST_TEXT_MB << 20:
            raise UadBenchError(f"{path}: {name} has over {LARGEST_TEXT_MB} MB: it is not used")
    if sum(sizes.values()) > LARGEST_GB << 30:
        raise UadBenchError(f"{path}: unpacks to more than {LARGEST_GB} GB: it is not used")


def _edited(path: Path, name: str) -> UadBenchError:
    return UadBenchError(f"{path}: was edited: {name} is not what {LISTING} says; get it again")


def _digest(content: IO[bytes]) -> str:
    found = hashlib.sha256()
    while chunk := content.read(_CHUNK):
        found.update(chunk)
    return found.hexdigest()
