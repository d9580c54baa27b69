"""What a method with latent tissue maps makes of a healthy person and of patients."""

from __future__ import annotations

from typing import cast

import numpy as np
from matplotlib.figure import Figure

from uad_bench.evaluation.latent import TISSUES
from uad_bench.front.detector import Detector
from uad_bench.front.figures.stored import data_behind, first_seed, is_stored, prepared
from uad_bench.front.searched import Searched
from uad_bench.method import ReconstructionMethod, TissueMapping
from uad_bench.report.figures.sweep import DICE
from uad_bench.report.plots.latent import MOST_ROWS, LatentView, latent_figure, refuse_too_many
from uad_bench.report.plots.source import NothingToDrawError, Source
from uad_bench.report.tables.notes import people_in_words
from uad_bench.runner.detectors.scoring import typical_scan
from uad_bench.runner.events import Listener, Progressed, Started
from uad_bench.runner.jobs.measure import HeldOut
from uad_bench.volumes.store.prepared import PreparedDataset, PreparedScan


def draw_latent(source: Source, searched: Searched, tell: Listener) -> Figure:
    """Draw the latent of the first method that maps tissues, of those that are chosen.

    The healthy person is the first of the training dataset's held-out people, all of whom are
    measured. The patients are those with the median lesion volume of each dataset. Datasets that
    nobody named give way where the page ends; the figure says so.

    Args:
        source: the cells.
        searched: where detectors and prepared data are.
        tell: told about every scan.

    Raises:
        NothingToDrawError: no such method has a stored detector for each dataset.
        UadBenchError: a detector that cannot be loaded, or more datasets than a page holds.
    """
    shown = source.arrangement
    column = _column(source)
    rows, left_out = shown.rows, ""
    if source.choice.datasets is None and len(rows) >= MOST_ROWS:
        rows, gone = rows[: MOST_ROWS - 1], rows[MOST_ROWS - 1 :]
        left_out = f"Not shown for want of room: {', '.join(row.label for row in gone)}."
    refuse_too_many(1 + len(rows))
    records = [first_seed(shown.own[row, column]) for row in range(len(rows))]
    keys = {record.fit.detector for record in records if record.fit is not None}
    if len(keys) > 1:
        raise NothingToDrawError(
            f"{source.root}: {shown.columns[column].title} was trained on other data for other "
            "datasets; choose some with --datasets"
        )
    data = [
        data_behind([record], searched, row.label)
        for record, row in zip(records, rows, strict=True)
    ]
    people = HeldOut.of(prepared(records[0].training, searched, "the training dataset"))
    detector = searched.detector(keys.pop())
    tell(Started(f"map tissues of healthy people with {detector.method.info.title}"))
    means, view = people.look(detector.method, tell)
    healthy = people.shown({})
    assert view.tissues is not None
    mark = " (simulated)" if people.dataset.simulated else ""
    views = [
        LatentView(
            f"healthy{mark}", healthy.image, healthy.brain, None, view.tissues, view.reconstruction
        )
    ]
    tell(Started("map tissues of a patient of each dataset"))
    for row, one in enumerate(data):
        scan = typical_scan(one.scans_of("test"))
        if scan is not None:
            title = rows[row].label + (" (simulated)" if one.simulated else "")
            views.append(_patient(title, detector, one, scan))
        tell(Progressed(row + 1, len(data), rows[row].label))
    dice = ", ".join(
        f"{tissue} {means[DICE + tissue]:.2f}" for tissue in TISSUES if DICE + tissue in means
    )
    count = people_in_words(len({one.subject for one in people.scans}))
    said = (
        f"{shown.columns[column].title}.",
        *source.facts([column]),
        f"Dice of the maps of {count} (healthy), split {people.split}: {dice}." if dice else "",
        "Patients: the median lesion volume of each dataset. Below each panel: values along the "
        "line, from 0 to 1; grey where the lesion is. Each residual has colours of its own.",
        left_out,
    )
    return latent_figure(views, " ".join(filter(None, said)))


def _column(source: Source) -> int:
    """The first method with latent tissue maps that is at hand for every dataset."""
    shown = source.arrangement
    for column, one in enumerate(shown.columns):
        cells = [shown.own.get((row, column), ()) for row in range(len(shown.rows))]
        if all(map(is_stored, cells)):
            cls = source.registry.method(one.method)
            if issubclass(cls, TissueMapping) and issubclass(cls, ReconstructionMethod):
                return column
    raise NothingToDrawError(
        f"{source.root}: no method with latent tissue maps, such as spa, has a stored detector for "
        "each dataset"
    )


def _patient(
    title: str, detector: Detector, data: PreparedDataset, scan: PreparedScan
) -> LatentView:
    """The slice with most lesion of a scan."""
    slices, lesion = data.slices(scan), np.asarray(data.lesion(scan))
    at = int((lesion == 1).sum(axis=(1, 2)).argmax())
    rebuilt = cast(ReconstructionMethod, detector.method).reconstruct(slices)
    tissues = cast(TissueMapping, detector.method).tissues(slices)
    image, brain = (np.asarray(one)[at, 0] for one in (slices.image, slices.brain))
    return LatentView(title, image, brain, lesion[at], tissues[at], np.asarray(rebuilt)[at, 0])
