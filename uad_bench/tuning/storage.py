"""Where a study is kept: a journal file of one results folder, or a database that a team shares."""

from __future__ import annotations

import contextlib
import json
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import TrialState
from sqlalchemy import create_engine, inspect
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from uad_bench.errors import RunError, UadBenchError
from uad_bench.system.disk import write_whole, writing
from uad_bench.system.locks import held
from uad_bench.system.text import without_passwords

_FAILURES = (SQLAlchemyError, StorageInternalError)
_CONNECT_S = 10
_BEAT_S = 60
_QUIET_S = 180
_TRIES = 3
_AGAIN_S = 0.5


Make = Callable[[str, BaseStorage], optuna.Study]
"""Opens the study of this name in a storage, or begins it there."""


@dataclass(frozen=True, slots=True)
class Journal:
    """A file with one study, which one process at a time works on.

    Attributes:
        file: created if missing. A last line that was cut off is dropped.
    """

    file: Path

    shared: ClassVar[bool] = False

    def __str__(self) -> str:
        return str(self.file)

    @contextmanager
    def opened(self, name: str, make: Make) -> Iterator[optuna.Study]:
        """Hold the study while the block runs; trials that a kill cut short are marked so.

        Raises:
            UadBenchError: the journal is damaged.
            HeldError: another process that shows no sign of life tunes into it.
        """
        with held(self.file.with_name(f".{self.file.name}.lock")):
            _drop_cut_line(self.file)
            backend = _Lines(self.file)
            try:
                study = make(name, JournalStorage(backend))
            except (OSError, UadBenchError):
                raise
            except (
                Exception
            ) as error:  # Optuna reads the lines as they come, and fails in many ways
                raise UadBenchError(
                    f"{self.file}: its lines are no whole study ({type(error).__name__}): delete "
                    "it, and the next run tunes again"
                ) from error
            for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                study.tell(trial.number, state=TrialState.FAIL)
            yield study


@dataclass(frozen=True, slots=True)
class Database:
    """A database with the studies of a team; several processes work on one of them.

    Attributes:
        url: as SQLAlchemy writes it, with the password. ``str()`` hides that.
    """

    url: str

    shared: ClassVar[bool] = True

    def __repr__(self) -> str:
        return f"Database({self})"

    def __str__(self) -> str:
        return without_passwords(self.url)

    def refuse_unreachable(self) -> None:
        """Connect once, and look at the tables.

        Raises:
            RunError: in one line, why that cannot be.
        """
        with self._in_one_line("cannot be opened"):
            try:
                engine = create_engine(self._address, **_engine_options(self._address))
            except ModuleNotFoundError as error:
                raise RunError(
                    f"storage {self} needs the Python package {error.name}: "
                    "pip install 'uad-bench[tuning]' brings psycopg for PostgreSQL"
                ) from None
            try:
                with engine.connect() as connection:  # a file that is no database opens too
                    inspect(connection).get_table_names()
            finally:
                engine.dispose()

    @contextmanager
    def opened(self, name: str, make: Make) -> Iterator[optuna.Study]:
        """Open the study, or begin it.

        A process that works on a trial shows a sign of life once a minute; a trial without one is
        given up by the others.

        Raises:
            RunError: the database cannot be opened, or fails later.
        """
        with self._in_one_line("cannot be used"):
            storage = self._connected()
        later = "; trials that ended are in it, and the same command goes on once it works again"
        with self._in_one_line("failed", later):
            try:
                with self._in_one_line("cannot be used"):
                    study = make(name, storage)
                yield study
            finally:
                storage.remove_session()
                storage.engine.dispose()

    @property
    def _address(self) -> URL:
        address = make_url(self.url)
        if address.drivername in ("postgresql", "postgres"):
            address = address.set(drivername="postgresql+psycopg")
        return address

    @contextmanager
    def _in_one_line(self, what: str, then: str = "") -> Iterator[None]:
        try:
            yield
        except (*_FAILURES, UnboundLocalError) as found:
            # Where a trial cannot be written, Optuna trips over a variable of its own.
            error = found.__context__ if isinstance(found, UnboundLocalError) else found
            if not isinstance(error, _FAILURES):
                raise
            cause = error.__cause__ if isinstance(error, StorageInternalError) else error
            first = getattr(cause, "orig", None) or cause or error
            reason = next(iter(str(first).splitlines()), type(first).__name__)
            raise RunError(f"storage {self} {what}: {self._safe(reason)}{then}") from None

    def _connected(self) -> RDBStorage:
        """Open the storage. Of two processes that make its tables at once, one has to try again."""
        for left in reversed(range(_TRIES)):
            try:
                return self._opened_once()
            except SQLAlchemyError:
                if not left:
                    raise
                time.sleep(_AGAIN_S)
        raise AssertionError

    def _opened_once(self) -> RDBStorage:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            try:
                return RDBStorage(
                    self._address.render_as_string(hide_password=False),
                    engine_kwargs=_engine_options(self._address),
                    heartbeat_interval=_BEAT_S,
                    grace_period=_QUIET_S,
                )
            except RuntimeError as error:  # the tables of another version
                raise RunError(
                    f"storage {self}: made by another version of Optuna than "
                    f"{optuna.__version__}: use that version, or `optuna storage upgrade`"
                ) from error

    def _safe(self, text: str) -> str:
        """``text`` without the password, in whichever form a driver repeats it."""
        with contextlib.suppress(SQLAlchemyError):
            if password := make_url(self.url).password:
                text = text.replace(str(password), "***")
        return without_passwords(text)


Storage = Journal | Database


def _engine_options(address: URL) -> dict[str, Any]:
    """Connections that end instead of hanging, and survive an hour of training."""
    options: dict[str, Any] = {"pool_pre_ping": True}
    if address.get_backend_name() != "sqlite":
        options["connect_args"] = {"connect_timeout": _CONNECT_S}
    return options


class _Lines(JournalFileBackend):
    """The lines of a journal; what the disk refuses is said with the journal's name."""

    def __init__(self, file: Path) -> None:
        super().__init__(str(file), _NoLock(str(file)))
        self._file = file

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add lines to the file."""
        with writing(self._file):
            super().append_logs(logs)


class _NoLock(JournalFileOpenLock):
    """No lock around each line of a journal: the whole study is locked.

    Optuna's own locks need symbolic links or are left behind by a kill, and are waited for without
    end where the journal's path is relative.
    """

    def acquire(self) -> bool:
        """Take nothing."""
        return True

    def release(self) -> None:
        """Give nothing back."""


def _drop_cut_line(journal: Path) -> None:
    """Drop a last line that a full disk or a power loss cut off; its trial is done again.

    Raises:
        UadBenchError: a line before it is damaged.
    """
    if not journal.is_file():
        return
    *lines, rest = journal.read_bytes().split(b"\n")
    for number, line in enumerate(lines, 1):
        if not _is_entry(line):
            raise UadBenchError(
                f"{journal}, line {number} of {len(lines)}: damaged: delete the file, and the next "
                "run tunes again"
            )
    if rest:
        write_whole(journal, b"".join(line + b"\n" for line in lines))


def _is_entry(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
