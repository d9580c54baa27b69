"""The rules of the dataset contract, tried on an empty folder and on the data that is there."""

from __future__ import annotations

import builtins
import inspect
import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, get_args
from unittest.mock import patch

from uad_bench.dataset import Dataset, DatasetInfo, Scan, Split
from uad_bench.plugins.conformance.findings import Findings, Stop, Violation
from uad_bench.plugins.declarations import name_fault

_LINES = ("title", "disease", "licence", "obtain")


def check_dataset(cls: type[Dataset], root: Path | None = None) -> list[Violation]:
    """Return every rule of its contract that a dataset adapter breaks.

    Args:
        cls: the adapter.
        root: the dataset's own folder, to look at the scans in it; an empty folder is tried in
            any case.
    """
    findings = Findings(Path(inspect.getfile(cls)))
    _check_info(getattr(cls, "info", None), findings)
    with suppress(Stop), tempfile.TemporaryDirectory() as empty:
        found = _scans(cls, Path(empty), findings)
        findings.check(not found, "empty", f"an empty folder has no scans, but got {len(found)}")
    if root is not None:
        with suppress(Stop):
            _check_scans(cls, root, findings)
    return findings.violations


def _check_info(info: object, findings: Findings) -> None:
    """The facts that listings, tables and ``uad-bench data`` rely on are there."""
    if not isinstance(info, DatasetInfo):
        findings.check(False, "info", f"info must be a DatasetInfo, is {type(info).__name__}")
        return
    fault = name_fault("dataset", info.name)
    findings.check(fault is None, "name", str(fault))
    for field in _LINES:
        text = getattr(info, field)
        is_line = isinstance(text, str) and text.strip() != "" and "\n" not in text
        findings.check(is_line, "info", f"info.{field} must be one line of text, is {text!r}")
    findings.check(bool(info.layout.strip()), "info", "info.layout must show the folder's layout")
    findings.check(
        bool(info.citation) == bool(info.bibtex),
        "citation",
        "info.citation and info.bibtex belong together: give both or neither",
    )
    is_entry = not info.bibtex or info.bibtex.lstrip().startswith("@")
    findings.check(is_entry, "citation", "info.bibtex must be a BibTeX entry, starting with '@'")
    is_tuple = isinstance(info.folders, tuple) and all(isinstance(f, str) for f in info.folders)
    findings.check(
        is_tuple and bool(info.folders), "folders", "info.folders must name at least one folder"
    )
    count = info.expected_scans
    findings.check(
        count is None or count > 0, "info", f"info.expected_scans must be positive, is {count}"
    )


def _check_scans(cls: type[Dataset], root: Path, findings: Findings) -> None:
    """The scans of a folder are found by names only, in order, each once."""
    with _watched(root) as opened:
        scans = _scans(cls, root, findings)
    findings.check(
        not opened, "loads", f"scans() goes by names only, but opens {', '.join(opened[:3])}"
    )
    findings.check(bool(scans), "scans", f"no scans found in {root}")
    odd = sorted({type(scan).__name__ for scan in scans if not isinstance(scan, Scan)})
    findings.check(not odd, "scans", f"scans() must yield Scan, yields {', '.join(odd)}")
    found = [scan for scan in scans if isinstance(scan, Scan)]
    keys = [(scan.subject, scan.session or "") for scan in found]
    findings.check(keys == sorted(keys), "order", "scans must be sorted by subject and session")
    names = [scan.name for scan in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    findings.check(not twice, "unique", f"scans must have unique names; twice: {', '.join(twice)}")
    for scan in found:
        is_known = scan.split in get_args(Split)
        findings.check(is_known, "split", f"{scan.name}: unknown split {scan.split!r}")
    findings.check(
        _scans(cls, root, findings) == scans, "repeat", "scans() must yield the same scans again"
    )


def _scans(cls: type[Dataset], root: Path, findings: Findings) -> list[Scan]:
    """The scans of a folder, or :class:`Stop`."""
    with findings.attempt("scans", "scans"):
        return list(cls().scans(root))
    raise Stop


@contextmanager
def _watched(root: Path) -> Iterator[list[str]]:
    """The names of image files below ``root`` that are opened meanwhile."""
    opened: list[str] = []
    original = io.open

    def watch(file: Any, *args: Any, **kwargs: Any) -> Any:
        path = Path(file) if isinstance(file, str | Path) else None
        is_image = path is not None and path.name.endswith((".nii", ".nii.gz"))
        if is_image and path is not None and path.is_relative_to(root):
            opened.append(path.name)
        return original(file, *args, **kwargs)

    with patch.object(builtins, "open", watch), patch.object(io, "open", watch):
        yield opened
