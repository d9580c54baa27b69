"""Whether the labels of a dataset's masks are numbered as its adapter says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from uad_bench.dataset import Scan


def misnumbered(scans: Iterable[tuple[Scan, Iterable[int]]]) -> Iterator[str]:
    """Yield a line where a label is ignored beside one that never occurs: of another release?

    Args:
        scans: each scan with the labels in its masks (``steps.read.telling_labels``).
    """
    by_rule: dict[tuple[frozenset[int], frozenset[int]], set[int]] = defaultdict(set)
    for scan, labels in scans:
        if scan.ignore_labels and scan.lesion_labels:
            by_rule[scan.ignore_labels, scan.lesion_labels].update(labels)
    for (ignored, lesion), found in by_rule.items():
        never, odd = lesion - found, ignored & found
        if never and odd:
            yield (
                f"label {_listed(odd)} is ignored, and {_listed(never)} is in no mask: are these "
                "masks numbered as another release numbers them?"
            )


def _listed(labels: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(labels)))
