"""What a user should know of the lesion masks that were taken: from where, and how many a scan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from uad_bench.dataset import Scan
from uad_bench.discovery.bids.names import source_of
from uad_bench.discovery.people.participants import first_of


def mask_notes(scans: Sequence[Scan], root: Path) -> Iterator[str]:
    """Say where the lesion masks of a BIDS dataset differ in origin, and which scans have several.

    Args:
        scans: the dataset's scans.
        root: its folder.
    """
    yield from origins(scans, root)
    yield from raters(scans)


def origins(scans: Sequence[Scan], root: Path) -> Iterator[str]:
    """Say which derivatives the lesion masks come from, where they are several."""
    there = [scan.lesion[0] for scan in scans if scan.lesion and scan.lesion[0].is_file()]
    sources = Counter(_source(path, root) for path in there)
    if len(sources) > 1:
        parts = ", ".join(f"{name} ({_scans(n)})" for name, n in sources.most_common())
        yield f"the lesion masks come from different folders: {parts}"


def raters(scans: Sequence[Scan]) -> Iterator[str]:
    """Say how many scans have several lesion masks, and how their names differ."""
    groups = Counter(differing(scan.lesion) for scan in scans if len(scan.lesion) > 1)
    if groups:
        parts = first_of(
            f"{_scans(n)} with {len(names)} ({', '.join(names)})"
            for names, n in groups.most_common()
        )
        yield (
            f"several lesion masks of a scan are taken for raters, of whom most decide: {parts}; "
            "list in .bidsignore what is no rater's"
        )


def differing(paths: Sequence[Path]) -> tuple[str, ...]:
    """What tells the names of files apart, as ``desc-1``; ``-`` for one that says nothing more.

    Where the names are the same, what tells their folders apart, as ``rater1``.

    Args:
        paths: files of one scan.
    """
    names = [path.name.partition(".nii")[0].split("_") for path in paths]
    if all(name == names[0] for name in names):
        names = [list(path.parts) for path in paths]
    common = set(names[0]).intersection(*names)
    return tuple("_".join(part for part in name if part not in common) or "-" for name in names)


def _source(path: Path, root: Path) -> str:
    parts = path.relative_to(root).parts
    source = source_of(parts)
    if source is None:
        return parts[0]
    return f"derivatives/{source}" if source else "the raw data"


def _scans(count: int) -> str:
    return "1 scan" if count == 1 else f"{count} scans"
