"""Where a cohort's folder is, and what lies in it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from uad_bench.cohort import Cohort, CohortInfo, Scan
from uad_bench.errors import UadBenchError
from uad_bench.participants import Participants


@dataclass(frozen=True, slots=True)
class Found:
    """What an adapter found in a cohort's folder.

    Attributes:
        folder: the folder that was read.
        scans: every scan, complete or not, in the adapter's order.
        missing: paths that a scan must have and that are not there.
        problems: one line per incomplete scan, naming it and the file.
        people: the dataset's own list of people, where the adapter reads one.
    """

    folder: Path
    scans: tuple[Scan, ...]
    missing: tuple[Path, ...]
    problems: tuple[str, ...]
    people: Participants | None = None


def locate(info: CohortInfo, data_root: Path) -> Path | None:
    """The cohort's folder: one of ``info.folders`` below the data root, or the root itself.

    Letter case does not matter; the names are tried in the order in which they are listed.

    Args:
        info: the cohort.
        data_root: the folder that holds the cohorts' folders, or is the cohort's own.

    Returns:
        The folder, or ``None`` where the cohort is not there.

    Raises:
        UadBenchError: the data root does not exist, is no folder, or cannot be read.
    """
    if not data_root.is_dir():
        state = "is not a folder" if data_root.exists() else "does not exist"
        raise UadBenchError(
            f"data root {data_root} {state}: give the folder that holds the cohorts "
            "with --data-root or UAD_BENCH_DATA"
        )
    try:
        below = {path.name.lower(): path for path in sorted(data_root.iterdir()) if path.is_dir()}
    except OSError as error:
        raise UadBenchError(f"data root {data_root} cannot be read: {error.strerror}") from error
    names = [name.lower() for name in info.folders]
    for name in names:
        if name in below:
            return below[name]
    return data_root if data_root.resolve().name.lower() in names else None


def inspect(cohort: Cohort, folder: Path) -> Found:
    """Let the adapter read the names below ``folder`` and check that every file is there.

    Args:
        cohort: the adapter.
        folder: the cohort's own folder.

    Raises:
        UadBenchError: the folder does not exist or cannot be read, holds no scan in the expected
            layout, or holds two scans of one name.
    """
    name = cohort.info.name
    if not folder.is_dir():
        raise UadBenchError(f"{name}: the folder {folder} does not exist: give an existing one")
    try:
        scans = tuple(cohort.scans(folder))
    except OSError as error:
        raise UadBenchError(
            f"{name}: {error.filename or folder} cannot be read: {error.strerror}"
        ) from error
    if not scans:
        raise UadBenchError(
            f"{name}: {folder} holds no scan in the layout {_one_line(cohort.info.layout)} "
            f"(run `uad-bench data {name}` for the whole layout)"
        )
    twice = [scan for scan, count in Counter(scan.name for scan in scans).items() if count > 1]
    if twice:
        raise UadBenchError(
            f"{name}: {folder} holds {len(twice)} scans more than once, {twice[0]} among them: "
            "keep one copy of each"
        )
    lacking = [(scan, path) for scan in scans for path in _required(scan) if not path.is_file()]
    return Found(
        folder=folder,
        scans=scans,
        missing=tuple(path for _, path in lacking),
        problems=tuple(f"{scan.name}: {path} is missing" for scan, path in lacking),
        people=cohort.participants(folder),
    )


def _required(scan: Scan) -> tuple[Path, ...]:
    given = (scan.brain_mask, scan.tissues)
    return (scan.flair, *scan.lesion, *(path for path in given if path is not None))


def _one_line(layout: str) -> str:
    """The layout's first path down to an image, without remarks."""
    parts: list[tuple[int, str]] = []
    for line in layout.splitlines():
        name = line.split()[0] if line.strip() else ""
        depth = len(line) - len(line.lstrip())
        parts = [part for part in parts if part[0] < depth]
        parts.append((depth, name.rstrip("/")))
        if ".nii" in name:
            break
    return "/".join(name for _, name in parts)
