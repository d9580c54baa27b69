"""What results of prepared scans can be grouped by."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from uad_bench.cells import ScanTraits
from uad_bench.discovery.people.traits import PersonTraits
from uad_bench.evaluation.components import Components
from uad_bench.evaluation.histograms import LESION
from uad_bench.volumes.store.prepared import PreparedDataset, PreparedScan


def scan_traits(dataset: PreparedDataset, scans: Iterable[PreparedScan]) -> tuple[ScanTraits, ...]:
    """Gather the traits of test scans: from the list of people, and from their own lesion masks.

    Args:
        dataset: the prepared dataset.
        scans: some of its test scans.
    """
    found = []
    for scan in scans:
        person, masks = dataset.people.get(scan.subject, PersonTraits()), dataset.native(scan)
        sizes = Components.of(masks.lesion == LESION).sizes
        found.append(
            ScanTraits(
                subject=scan.subject,
                session=scan.session,
                site=scan.site or person.site,
                scanner=person.scanner,
                age=person.age,
                sex=person.sex,
                lesion_ml=int(sizes.sum()) * prod(masks.spacing) / 1000.0,
                lesions=len(sizes),
            )
        )
    return tuple(found)
