"""One detector to give away: a folder or a zip that says what it is, and that scores scans."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from uad_bench.errors import UadBenchError
from uad_bench.histogram_files import load_histograms
from uad_bench.plugins.registry import Registry
from uad_bench.runner.detectors.folder import (
    RECORD,
    STATE,
    VALIDATION,
    DetectorRecord,
    find_method,
    read_record,
    refuse_damaged,
)
from uad_bench.sharing.card import detector_card
from uad_bench.sharing.held import files_of_user, held_of_people
from uad_bench.sharing.paths import without_paths
from uad_bench.sharing.zips import list_files, opened_archive, write_zip
from uad_bench.system.disk import write_whole, writing
from uad_bench.volumes.recipe import RECIPES, Recipe
from uad_bench.volumes.store.atlas import refuse_existing

CARD, LICENCE, RECIPE = "README.md", "LICENSE", "recipe.yaml"

_KNOWN = re.compile(
    rf"{re.escape(RECORD)}|{re.escape(STATE)}|validation(-native)?\.npz|{CARD}|{LICENCE}|{RECIPE}"
)
"""The files that a shared detector can have."""


def share_detector(folder: Path, out: Path, licence: str, registry: Registry) -> tuple[str, ...]:
    """Write a detector to give away, with card, recipe and licence.

    Args:
        folder: of the detector.
        out: a new folder, or a file that ends in ``.zip``.
        licence: under which it is given, by its name on spdx.org.
        registry: the methods.

    Returns:
        What is in it and what is not, one sentence each.

    Raises:
        UadBenchError: an unknown licence, a detector that cannot score elsewhere, or a place that
            is taken or cannot be written.
    """
    licence = _known_licence(licence)
    refuse_existing(out)
    record = read_record(folder)
    method = find_method(folder, record, registry)
    refuse_damaged(folder, record)
    if files := files_of_user(folder, record, method):
        raise UadBenchError(
            f"{folder}: reads {', '.join(files)}, which a shared detector does not hold; share one "
            "whose parameters name no file"
        )
    clean = _shareable(record)
    held = f"It holds {held_of_people(method)}."
    validation = load_histograms(folder / VALIDATION) if (folder / VALIDATION).is_file() else {}
    summary = registry.find("method", record.method).summary
    card = detector_card(
        clean, method.info, validation, summary=summary, held=held, licence=licence
    )
    files_: dict[str, bytes | Path] = {
        RECORD: f"{clean.model_dump_json(indent=1)}\n".encode(),
        RECIPE: _recipe_text(clean.recipe).encode(),
        CARD: card.encode(),
        LICENCE: _licence_text(licence).encode(),
    }
    files_ |= {
        file.name: file
        for file in folder.iterdir()
        if file.name not in files_ and _KNOWN.fullmatch(file.name)
    }
    notes = ("No images, no names of people, no path of the machine that trained it.", held)
    whole = list_files("detector", files_, notes)
    if out.suffix == ".zip":
        write_zip(out, whole)
    else:
        _write_folder(out, whole)
    return notes


def _known_licence(name: str) -> str:
    """Return a licence's name as SPDX spells it.

    Raises:
        UadBenchError: it is none, or several.
    """
    try:
        known = str(canonicalize_license_expression(name))
    except InvalidLicenseExpression:
        known = ""
    if not known or " " in known or known.startswith("LicenseRef-"):
        raise UadBenchError(
            f"--licence {name}: no licence of that name on https://spdx.org/licenses; give one, "
            "such as CC-BY-4.0"
        )
    return known


def _licence_text(licence: str) -> str:
    return (
        f"SPDX-License-Identifier: {licence}\n\n"
        f"This detector is given under the licence {licence}:\n"
        f"https://spdx.org/licenses/{licence}.html\n"
    )


def _recipe_text(recipe: Recipe) -> str:
    """A recipe as a file for ``--recipe``, which may not have a built-in one's name."""
    values = recipe.model_dump(mode="json", exclude={"name"} if recipe.name in RECIPES else None)
    return str(yaml.safe_dump(values, sort_keys=False))


def _shareable(record: DetectorRecord) -> DetectorRecord:
    """A detector's record without paths, and without the names of scans that were left out."""
    values = without_paths(record.model_dump(mode="json"))
    values["training"]["excluded"] = []
    return DetectorRecord.model_validate(values)


def _write_folder(out: Path, files: dict[str, bytes | Path]) -> None:
    """Write files into a new folder, which is there whole or not at all."""
    partial = out.with_name(f".partial-{out.name}")
    try:
        with writing(out):
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            for name, source in files.items():
                content = source if isinstance(source, bytes) else source.read_bytes()
                write_whole(partial / name, content)
            partial.replace(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def unpacked_detector(path: Path) -> Iterator[Path]:
    """Unpack a shared detector into a folder for a while, once every file is known to be whole.

    Raises:
        UadBenchError: in one line, why it is not used; also what the block says of the folder.
    """
    with opened_archive(path, "detector") as archive, tempfile.TemporaryDirectory() as folder:
        for name in archive.listing.files:
            if not _KNOWN.fullmatch(name):
                raise UadBenchError(f"{path}: holds {name}, which no shared detector does")
            archive.unpack(name, Path(folder) / name)
        try:
            yield Path(folder)
        except UadBenchError as error:
            raise UadBenchError(str(error).replace(folder, str(path))) from None
