"""What results of prepared scans can be grouped by."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

import numpy as np

from uad_bench.cells import ScanTraits
from uad_bench.discovery.people.traits import PersonTraits
from uad_bench.evaluation.masks.components import Components
from uad_bench.evaluation.scores.histograms import LESION
from uad_bench.evaluation.stack import stacked
from uad_bench.volumes.store.prepared import PreparedDataset, PreparedScan


def scan_traits(dataset: PreparedDataset, scans: Iterable[PreparedScan]) -> tuple[ScanTraits, ...]:
    """Gather the traits of scans: from the list of people, and from their prepared lesion masks.

    Volumes are a person's own: what registration enlarged a brain by is taken out.

    Args:
        dataset: the prepared dataset.
        scans: some of its scans.
    """
    found = []
    for scan in scans:
        person = dataset.people.get(scan.subject, PersonTraits())
        sizes = Components.of(stacked(dataset.lesion(scan) == LESION, dataset.z[scan.rows])).sizes
        enlarged = abs(float(np.linalg.det(np.array(scan.standard.to_mni152)[:3, :3])))
        found.append(
            ScanTraits(
                subject=scan.subject,
                session=scan.session,
                site=scan.site or person.site,
                scanner=person.scanner,
                age=person.age,
                sex=person.sex,
                lesion_ml=int(sizes.sum()) * prod(dataset.spacing) / enlarged / 1000.0,
                lesions=len(sizes),
            )
        )
    return tuple(found)
