"""One lock for everything that two runs may want at once, and no endless wait for it.

The lock is the kernel's (``flock``), so that a process that is killed leaves none behind. A file
system without it gets a mark instead: a file that only one process can create. The holder writes
into the file who it is, and touches it once a minute; whoever waits says so on the screen, and
stops where the holder shows no sign of life.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from uad_bench.errors import RunError
from uad_bench.system.disk import full_disk, is_full
from uad_bench.system.user import user_name

try:
    import fcntl
except ImportError:  # not a Unix
    fcntl = None  # type: ignore[assignment]

NOTE_S = 5.0
"""Seconds of waiting before the screen says for whom; and ten minutes before it says so again."""

QUIET_S = 15 * 60.0
"""Seconds that a holder elsewhere may show no sign of life before a wait for it ends."""

_NOTE_AGAIN_S = 600.0
_BEAT_S = 60.0
_LOOK_S = 0.5

_TAKEN = (errno.EAGAIN, errno.EACCES)
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP)

_log = logging.getLogger(__name__)


class HeldError(RunError):
    """Another process holds the lock. ``holder`` says who, and ``remedy`` what can be done."""

    def __init__(self, file: Path, holder: Holder | None, quiet: str = "") -> None:
        self.holder = f"held by {holder or 'an unknown process'}"
        self.remedy = "wait for it"
        if holder is None or not holder.is_here:
            self.remedy += f", or delete {file} if that process no longer runs"
        self._text = f"{file} is {self.holder}{quiet}: {self.remedy}"
        super().__init__(file, holder, quiet)  # what it is made from again in another process

    def __str__(self) -> str:
        return self._text


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a lock.

    Attributes:
        host: name of its machine.
        space: its name space of process numbers: containers of one machine have several.
        pid: its number there.
        user: whose it is.
        since: when it took the lock.
    """

    host: str
    space: str
    pid: int
    user: str
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} of {self.user} on {self.host} since {self.since}"

    @property
    def is_here(self) -> bool:
        """Whether its number means something in this process's own name space."""
        return (self.host, self.space) == (socket.gethostname(), _space())

    @property
    def is_alive(self) -> bool:
        """Whether it runs on this machine."""
        return self.is_here and _runs(self.pid)

    @property
    def is_dead(self) -> bool:
        """Whether it ran on this machine and is gone."""
        return self.is_here and not _runs(self.pid)


@contextmanager
def held(file: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock called ``file`` while the block runs. Its folder is made if it is missing.

    Args:
        file: the lock's file, which stays.
        wait: for another holder as long as it lives.

    Raises:
        HeldError: another process holds it, at once or after a wait that showed no life.
        RunError: the file cannot be made or opened.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = _take(file, wait)
    except OSError as error:
        if is_full(error):
            raise full_disk(file) from error
        raise RunError(
            f"{error.filename or file}: {error.strerror}, and two runs need a lock there: "
            "name another folder (--cache, --results)"
        ) from error
    done = threading.Event()
    heart = threading.Thread(target=lock.beat, args=(done,), daemon=True)
    heart.start()
    try:
        yield
    finally:
        done.set()
        heart.join()
        lock.release()


@dataclass(frozen=True, slots=True)
class _Lock:
    """A lock that this process holds: an open file, and the mark that stands for it, if any."""

    handle: int
    mark: Path | None

    def sign(self) -> None:
        """Write down who holds it; where the file is another user's, or the disk full, nobody."""
        here = Holder(
            host=socket.gethostname(),
            space=_space(),
            pid=os.getpid(),
            user=user_name(),
            since=datetime.now().astimezone().isoformat(" ", "seconds"),
        )
        with contextlib.suppress(OSError):
            os.ftruncate(self.handle, 0)
            os.pwrite(self.handle, json.dumps(asdict(here)).encode(), 0)

    def beat(self, done: threading.Event) -> None:
        """Show a sign of life until ``done``."""
        while not done.wait(_BEAT_S):
            with contextlib.suppress(OSError):
                os.utime(self.handle)

    def release(self) -> None:
        """Let the next one have it."""
        if self.mark is not None:
            self.mark.unlink(missing_ok=True)
        else:
            with contextlib.suppress(OSError):
                os.ftruncate(self.handle, 0)
        os.close(self.handle)


def _take(file: Path, wait: bool) -> _Lock:
    started = seen = noted = time.monotonic()
    next_note, life = NOTE_S, None
    while True:
        if (lock := _try(file)) is not None:
            lock.sign()
            return lock
        place = _mark(file) if _mark(file).exists() else file
        holder, now = _holder(place), time.monotonic()
        if not wait:
            raise HeldError(place, holder)
        last, life = life, _touched(place)
        if life != last or (holder is not None and holder.is_alive):
            seen = now
        if now - seen > QUIET_S:
            raise HeldError(place, holder, f", without a sign of life for {QUIET_S / 60:g} min")
        if now - noted > next_note:
            noted, next_note = now, _NOTE_AGAIN_S
            who = holder or "an unknown process"
            _log.warning("note: waiting since %.0f s for %s, held by %s", now - started, place, who)
        time.sleep(_LOOK_S)


def _try(file: Path) -> _Lock | None:
    """Take the lock if it is free."""
    handle = _open(file)
    try:
        if fcntl is None:
            raise OSError(errno.ENOSYS, "no flock")
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_ours = os.path.samestat(os.fstat(handle), file.stat()) and not _is_marked(file)
    except FileNotFoundError:  # somebody deleted the file
        is_ours = False
    except OSError as error:
        os.close(handle)
        if error.errno in _TAKEN:
            return None
        if error.errno in _NO_LOCKS:
            return _try_mark(_mark(file))
        raise
    if is_ours:
        return _Lock(handle, None)
    os.close(handle)
    return None


def _open(file: Path) -> int:
    try:
        return os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS) or not file.exists():
            raise
        return os.open(file, os.O_RDONLY | os.O_NOFOLLOW)  # another user's can be locked so


def _try_mark(mark: Path) -> _Lock | None:
    if _is_marked(mark.with_suffix("")):
        return None
    try:
        return _Lock(os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), mark)
    except FileExistsError:
        return None


def _is_marked(file: Path) -> bool:
    """Whether a mark stands for the lock. That of a killed process of this machine is removed."""
    mark = _mark(file)
    if (holder := _holder(mark)) is not None and holder.is_dead:
        mark.unlink(missing_ok=True)
    return mark.exists()


def _mark(file: Path) -> Path:
    return file.with_name(f"{file.name}.held")


def _holder(place: Path) -> Holder | None:
    """Who signed a lock's file; ``None`` where nobody did."""
    try:
        return Holder(**json.loads(place.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _touched(place: Path) -> float | None:
    with contextlib.suppress(OSError):
        return place.stat().st_mtime
    return None


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def _space() -> str:
    with contextlib.suppress(OSError):
        return str(Path("/proc/self/ns/pid").readlink())
    return ""
