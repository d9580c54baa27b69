"""An MLflow database that was moved or copied with its files learns where they are now.

MLflow writes whole paths into it. As they were, a run in a moved folder would send its files to
where the folder was before, and MLflow's pages would look for them there.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from uad_bench.tracking.connection import ARTIFACTS, artifact_location, sqlite_file

_WAIT_S = 3.0


def follow_files(uri: str, experiment: str) -> None:
    """Correct the places of an experiment's files, where they are beside an SQLite file.

    Other experiments with files in the same place are corrected with it. Nothing happens for
    another store, for an experiment whose files were never beside its database, and for files that
    are still where they were and not here.

    Args:
        uri: an MLflow tracking URI.
        experiment: the experiment's name.

    Raises:
        sqlite3.Error: the database cannot be read or written.
    """
    file = sqlite_file(uri)
    here = artifact_location(uri, Path())
    if file is None or here is None or not file.is_file():
        return
    with closing(sqlite3.connect(file, timeout=_WAIT_S)) as database, database:
        asked = "SELECT artifact_location FROM experiments WHERE name = ?"
        (then,) = database.execute(asked, (experiment,)).fetchone() or ("",)
        if then == here or not _was_beside(then) or _place_now(then, then, here) == then:
            return
        database.create_function("place_now", 1, lambda one: _place_now(one, then, here))
        for change in (
            "UPDATE runs SET artifact_uri = place_now(artifact_uri)",
            "UPDATE logged_models SET artifact_location = place_now(artifact_location)",
            "UPDATE model_versions SET source = place_now(source), "
            "storage_location = place_now(storage_location)",
            "UPDATE experiments SET artifact_location = place_now(artifact_location)",
        ):
            database.execute(change)


def _was_beside(place: str) -> bool:
    return place.startswith("file:") and place.endswith(f"/{ARTIFACTS}")


def _place_now(uri: str | None, then: str, here: str) -> str | None:
    """Where files are that were at ``uri``, below ``then``."""
    if uri is None or (uri != then and not uri.startswith(f"{then}/")):
        return uri
    now = here + uri.removeprefix(then)
    return uri if _folder(uri).is_dir() and not _folder(now).is_dir() else now


def _folder(uri: str) -> Path:
    return Path(url2pathname(urlsplit(uri).path))
