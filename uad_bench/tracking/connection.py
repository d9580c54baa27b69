"""A connection to MLflow that is private, quiet, quick to give up, and fails with one line."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from shlex import quote
from textwrap import shorten
from typing import Any
from urllib.parse import SplitResult, urlsplit

from uad_bench.errors import UadBenchError
from uad_bench.system.locks import held

# Patients' data may not leave the lab, so telemetry is off whatever the user's shell says.
_ALWAYS = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}
# MLflow's own defaults wait minutes for a server that is away. A user's own values win.
_UNLESS_SET = {
    "MLFLOW_CONFIGURE_LOGGING": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
ARTIFACTS = "mlartifacts"
"""The folder of a database's files."""

_CHATTER = ("mlflow", "alembic", "urllib3")
_DATABASE_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
_PROBE_S = 3.0
_REASON_LENGTH = 160
_BUSY = ("already exists", "database is locked")


class TrackingError(UadBenchError):
    """MLflow did not take something. The results are whole, and ``sync`` sends it later."""


class BusyError(TrackingError):
    """Another process wrote to the store, or was creating it, at the same moment."""


@contextmanager
def connect(uri: str, results: Path) -> Iterator[Any]:
    """Give an ``mlflow.MlflowClient``; what goes wrong in the block becomes one line.

    MLflow's environment variables and loggers are changed for the block only, and its global
    state (active run, active experiment, tracking URI) is never touched.

    Args:
        uri: an MLflow tracking URI.
        results: the results folder, for the message.

    Raises:
        TrackingError: whatever MLflow, or what it stands on, fails with; ``BusyError`` where the
            same may succeed a moment later.
    """
    with _environment(), no_folders_of_quotes(uri):
        try:
            _probe(uri)
            # Imported here because it takes over a second.
            from mlflow import MlflowClient

            with _quiet(), _alone(uri):
                _make_tables(uri)
            with _quiet():
                with _alone(uri):
                    client = MlflowClient(tracking_uri=uri)
                yield client
        except UadBenchError:
            raise
        # MLflow fails in the ways of SQLAlchemy, requests and every cloud store behind it,
        # and none of these may end a run.
        except Exception as error:
            kind = BusyError if any(text in str(error) for text in _BUSY) else TrackingError
            raise kind(
                f"MLflow at {public_uri(uri)} did not take it ({_why(error, uri)}): the results "
                f"are safe, `uad-bench sync --results {quote(str(results))}` sends them later"
            ) from error


def public_uri(uri: str) -> str:
    """The URI without the user's name and password, fit for a message."""
    parts = urlsplit(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if parts.netloc else uri


def artifact_location(uri: str, results: Path) -> str | None:
    """Where a new experiment keeps its files: ``None`` leaves it to the server.

    A database has no place for files, and MLflow's own choice would be ``mlruns`` in the working
    directory. So it is ``mlartifacts``, beside an SQLite file, else in the results folder.
    """
    if (file := sqlite_file(uri)) is not None:
        return (file.parent / ARTIFACTS).resolve().as_uri()
    if _dialect(urlsplit(uri)) in _DATABASE_PORTS:
        return (results / ARTIFACTS).resolve().as_uri()
    return None


def sqlite_uri(file: Path) -> str:
    """The URI of an SQLite file, whatever its path has in it; :func:`sqlite_file` is its inverse.

    SQLAlchemy reads it: ``?`` begins options there, and ``%`` quotes. All else is left as it is,
    because MLflow also takes the text behind ``sqlite:///`` for a path, whose folders it makes: see
    :func:`no_folders_of_quotes`.
    """
    from sqlalchemy.engine import make_url

    plain = f"sqlite:///{file}"
    if make_url(plain).database == str(file):
        return plain
    return f"sqlite:///{str(file).replace('%', '%25').replace('?', '%3F')}"


def sqlite_file(uri: str) -> Path | None:
    """The file of ``sqlite:///relative.db`` or ``sqlite:////absolute.db``; ``None`` of another."""
    if _dialect(urlsplit(uri)) != "sqlite" or "://" not in uri:
        return None
    from sqlalchemy.engine import make_url

    database = make_url(uri).database
    return Path(database) if database else None


@contextmanager
def no_folders_of_quotes(uri: str) -> Iterator[None]:
    """Take away, after the block, the empty folders that MLflow makes of a quoted path.

    Args:
        uri: an MLflow tracking URI.
    """
    file, quoted = sqlite_file(uri), Path(uri.partition("sqlite:///")[2]).parent
    made: list[Path] = []
    if file is not None and quoted != file.parent:
        made = [one for one in (quoted, *quoted.parents) if not one.exists()]
    try:
        yield
    finally:
        for folder in made:
            with suppress(OSError):  # it was never made, or there is something in it
                folder.rmdir()


def _probe(uri: str) -> None:
    """Fail at once where a database cannot be opened; MLflow would retry for 100 seconds."""
    parts = urlsplit(uri)
    if (file := sqlite_file(uri)) is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()  # by the user's umask, which SQLite's own way of creating it narrows
        with closing(sqlite3.connect(file, timeout=_PROBE_S)) as database:
            database.execute("PRAGMA schema_version")
    elif (port := _DATABASE_PORTS.get(_dialect(parts))) and parts.hostname:
        socket.create_connection((parts.hostname, parts.port or port), _PROBE_S).close()


@contextmanager
def _alone(uri: str) -> Iterator[None]:
    """Let one process at a time create the tables of an SQLite file.

    MLflow migrates a new database in many steps, and two processes at it break it for good.

    Raises:
        TrackingError: the lock beside the file cannot be had.
    """
    with ExitStack() as stack:
        if (file := sqlite_file(uri)) is not None:
            try:
                stack.enter_context(held(file.with_name(f".{file.name}.lock")))
            except UadBenchError as error:
                raise TrackingError(str(error)) from None
        yield


def _dialect(parts: SplitResult) -> str:
    """``mysql`` of ``mysql+pymysql://``."""
    return parts.scheme.partition("+")[0]


def _why(error: BaseException, uri: str) -> str:
    """The cause in a few words, without the password that a URI may carry."""
    from requests.exceptions import ConnectionError as NoConnection
    from requests.exceptions import Timeout

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, NoConnection | Timeout | ConnectionError | TimeoutError):
            return "the server does not answer"
        cause = cause.__cause__ or cause.__context__
    text = str(error).replace(uri, public_uri(uri)) or type(error).__name__
    return shorten(text, _REASON_LENGTH, placeholder=" ...")


@contextmanager
def _environment() -> Iterator[None]:
    """MLflow's settings for the block; the environment is as before afterwards.

    MLflow itself sets and unsets further variables of its own name when it is imported.
    """
    wanted = _ALWAYS | {name: os.environ.get(name, value) for name, value in _UNLESS_SET.items()}
    before = _mlflow_variables()
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name in _mlflow_variables().keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


def _mlflow_variables() -> dict[str, str]:
    """The environment variables that are MLflow's."""
    return {name: value for name, value in os.environ.items() if "MLFLOW" in name}


@contextmanager
def _quiet() -> Iterator[None]:
    """No messages of MLflow's for the block: what matters in them arrives as an exception."""
    loggers = [logging.getLogger(name) for name in _CHATTER]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _make_tables(uri: str) -> None:
    """Give an empty SQLite file MLflow's tables all at once.

    MLflow makes them in many steps, and cannot go on where a kill came in the midst of one.
    """
    from mlflow import MlflowClient

    if (file := sqlite_file(uri)) is None or file.stat().st_size:
        return
    start = f".partial-{file.name}-"
    for left in file.parent.glob(f"{start}*"):
        left.unlink(missing_ok=True)
    partial = file.with_name(start + secrets.token_hex(8))  # MLflow keeps what it knows of a name
    partial.touch()
    MlflowClient(tracking_uri=sqlite_uri(partial)).search_experiments(max_results=1)
    partial.replace(file)
