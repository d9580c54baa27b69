"""Records and settings as they leave this machine: without its paths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from uad_bench.cells import CellRecord
from uad_bench.runner.detectors.folder import DetectorRecord
from uad_bench.sharing.paths import without_folders, without_paths

_FOLDER_SETTINGS = ("data_root", "template", "anatomies", "atlas", "plugin")
_FILE_SETTINGS = ("recipe", "tissues", "lesion_pattern")
_DATASET_SETTINGS = ("datasets", "train", "supervised_on")


def shareable(record: CellRecord, *, histograms: bool = True) -> CellRecord:
    """Return a cell without the paths of this machine; one that names none is as it was.

    Args:
        record: the cell.
        histograms: whether its histograms go with it.
    """
    values = without_paths(record.model_dump(mode="json"))
    values["spec"]["params"] = without_folders(values["spec"]["params"])
    values["histograms"] = None  # below the results folder, and named as the cell will be
    clean = CellRecord.model_validate(values)
    if record.histograms is None or not histograms:
        return clean
    return clean.model_copy(update={"histograms": f"histograms/{clean.spec.name}.npz"})


def shareable_detector(record: DetectorRecord) -> bytes:
    """Return the record of a detector as JSON, without paths."""
    values = without_paths(record.model_dump(mode="json"))
    values["params"] = without_folders(values["params"])
    clean = DetectorRecord.model_validate(values)
    return f"{clean.model_dump_json(indent=1)}\n".encode()


def shareable_settings(values: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a run with names in place of paths, relative ones included."""
    found: dict[str, Any] = without_paths(values)
    if "param" in found:
        found["param"] = without_folders(found["param"])
    for key in (*_FOLDER_SETTINGS, *_FILE_SETTINGS, *_DATASET_SETTINGS):
        value, cut = values.get(key), _dataset if key in _DATASET_SETTINGS else _name
        if isinstance(value, list):
            found[key] = [cut(one) for one in value]
        elif value is not None and (key != "lesion_pattern" or is_file_setting(key, value)):
            found[key] = cut(value)
    return found


def is_file_setting(key: str, value: object) -> bool:
    """Whether the value of a setting is a file or folder that an archive does not hold."""
    if key in _FILE_SETTINGS:
        return str(value).endswith((".yaml", ".yml"))
    return key in _FOLDER_SETTINGS and value not in (None, [])


def _name(value: object) -> str:
    return Path(str(value)).name


def _dataset(value: str) -> str:
    """A dataset as it was named, such as ``bids:PATH``, with only the last part of its path."""
    adapter, colon, path = value.partition(":")
    return f"{adapter}:{_name(path)}" if colon else _name(value)
