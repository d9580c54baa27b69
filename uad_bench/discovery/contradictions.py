"""What no dataset may be: without a scan, with two of one name, with a person in two splits."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from uad_bench.dataset import DatasetInfo, Scan
from uad_bench.errors import UadBenchError
from uad_bench.system.text import is_text


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Two scans that cannot both be right.

    Attributes:
        scan: the name of the first of them.
        what: what contradicts itself.
        message: in a few words, with what to do.
    """

    scan: str
    what: Literal["name", "split"]
    message: str


def contradictions(scans: Sequence[Scan]) -> Iterator[Contradiction]:
    """Yield names that are no text or taken twice, then every person in two splits."""
    for scan in scans:
        if not is_text(str(scan.flair)):
            yield Contradiction(scan.name, "name", "its file's name is not UTF-8; rename it")
    for name, count in Counter(scan.name for scan in scans).items():
        if count > 1:
            yield Contradiction(name, "name", f"{count} scans have this name; rename one")
    splits = defaultdict(set)
    for scan in scans:
        splits[scan.subject].add(scan.split)
    first = {scan.subject: scan.name for scan in reversed(scans)}
    for subject, names in splits.items():
        if len(names) > 1:
            message = f"{subject} is in {' and '.join(sorted(names))}"
            yield Contradiction(
                first[subject], "split", f"{message}; a person belongs to one split"
            )


def refuse_empty(info: DatasetInfo, folder: Path, scans: Sequence[Scan], instead: str = "") -> None:
    """Refuse a dataset without a scan.

    Args:
        info: the dataset.
        folder: its own folder.
        scans: what was found in it.
        instead: what there is instead of scans, to end the line with.

    Raises:
        UadBenchError: in one line, with the layout that the folder must have.
    """
    if not scans:
        raise UadBenchError(
            f"{info.name}: {folder} holds no scan in the layout {_one_line(info.layout)} "
            f"(run `uad-bench data --datasets {info.name}` for the whole layout){instead}"
        )


def refuse_contradictions(name: str, folder: Path, scans: Sequence[Scan]) -> None:
    """Refuse a dataset that contradicts itself.

    Args:
        name: the dataset.
        folder: its own folder.
        scans: what was found in it.

    Raises:
        UadBenchError: in one line, the first contradiction and how many more there are.
    """
    found = list(contradictions(scans))
    if found:
        more = f" (and {len(found) - 1} more such errors)" if len(found) > 1 else ""
        raise UadBenchError(f"{name}: {folder}: {found[0].scan}: {found[0].message}{more}")


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
