"""What a store is made from: the scans of a dataset and the identity of their files."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uad_bench.dataset import Dataset, Scan
from uad_bench.discovery.contradictions import refuse_contradictions, refuse_empty
from uad_bench.discovery.locate import read_folder
from uad_bench.discovery.walk import check_regular
from uad_bench.system.disk import sha256_of
from uad_bench.volumes.steps.read import scan_files
from uad_bench.volumes.store.prepared import SPLITS, InputFile

Files = tuple[tuple[str, Path], ...]
"""Files with their roles."""


@dataclass(frozen=True, slots=True)
class ScanInput:
    """A scan and the identity of its files."""

    scan: Scan
    files: tuple[InputFile, ...]


def dataset_scans(dataset: Dataset, root: Path, limit: int | None) -> list[Scan]:
    """Return the scans in the order train, validation, test; refuse a dataset that errs.

    Args:
        dataset: the adapter.
        root: the dataset's own folder.
        limit: only the first ``limit`` subjects of every split.

    Raises:
        UadBenchError: no scan at all, a name twice, or a person in two splits.
    """
    scans = sorted(read_folder(dataset, root).scans, key=lambda scan: SPLITS.index(scan.split))
    refuse_empty(dataset.info, root, scans)
    refuse_contradictions(dataset.info.name, root, scans)
    if limit is None:
        return scans
    kept: set[str] = set()
    for split in SPLITS:
        subjects = dict.fromkeys(scan.subject for scan in scans if scan.split == split)
        kept.update(list(subjects)[:limit])
    return [scan for scan in scans if scan.subject in kept]


def scan_inputs(
    scans: Sequence[Scan], root: Path, more: Callable[[Scan], Files] = lambda _: ()
) -> list[ScanInput]:
    """Hash every file of every scan; hashing lets go of the interpreter, so threads do it.

    Args:
        scans: the scans.
        root: the dataset's own folder.
        more: further files of a scan, with their roles, beside those that it names itself.
    """
    files = [(*scan_files(scan), *more(scan)) for scan in scans]
    paths = [path for found in files for _, path in found]
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        hashes = dict(zip(paths, pool.map(_file_hash, paths), strict=True))
    return [
        ScanInput(
            scan,
            tuple(
                InputFile(
                    role=role,
                    path=_below(path, root),
                    size=_size(path),
                    sha256=hashes[path],
                )
                for role, path in found
            ),
        )
        for scan, found in zip(scans, files, strict=True)
    ]


def facts(item: ScanInput, *, paths: bool) -> dict[str, Any]:
    """Return what identifies a scan, with or without its files' paths, as plain values."""
    scan = item.scan
    by_bids = scan.tissues is not None and scan.tissue_table is None
    return {
        "scan": [scan.name, scan.subject, scan.session, scan.site, scan.split, scan.space],
        "labels": None if scan.lesion_labels is None else sorted(scan.lesion_labels),
        "ignored": sorted(scan.ignore_labels),
        "healthy": scan.healthy,
        **({"tissues": "numbered by BIDS"} if by_bids else {}),
        "files": [
            [file.role, file.sha256, *((file.path, file.size) if paths else ())]
            for file in item.files
        ],
    }


def _below(path: Path, root: Path) -> str:
    """Return the path below ``root``, or only the name of a file that lies elsewhere."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def digest(value: object) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of ``value`` as canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _size(path: Path) -> int:
    """Return a file's size in bytes; 0 where there is no file that can be seen."""
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0


def _file_hash(path: Path) -> str:
    """Return the SHA-256 of a file's content; ``missing`` where there is no readable file."""
    try:
        check_regular(path)
        return sha256_of(path)
    except OSError:
        return "missing"
