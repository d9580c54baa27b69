"""One lesion through every method: a slice of a simulated patient, and every map of it."""

from __future__ import annotations

import numpy as np

import uad_bench as ub
from uad_bench.cells import CellRecord
from uad_bench.report.figures.cells import MethodView, SliceView, lesion_picture

from .runs import POSTPROCESSING

_SHOWN = "wmh"
"""The dataset whose patient with the most lesion is shown. No supervised method learns from it."""


def picture(results: ub.Results, phantoms: int, recipe: str) -> bytes:
    """Return a PNG file of the slice with the most lesion, and of every method's map of it.

    Args:
        results: of simulated people.
        phantoms: how many patients there are.
        recipe: of their preparation.
    """
    data = ub.prepare(_SHOWN, progress=False, phantoms=phantoms, recipe=recipe)
    scan = max(data.scans_of("test"), key=lambda one: int((data.lesion(one) == 1).sum()))
    slices, lesion = data.slices(scan), np.asarray(data.lesion(scan))
    at = int((lesion == 1).sum(axis=(1, 2)).argmax())
    image, brain = np.zeros((2, *data.grid.shape), np.float32)
    image[slices.z], brain[slices.z] = slices.image[:, 0], slices.brain[:, 0]
    z, views = slices.z[at], []
    for cell in _first_seeds(results):
        detector = results.detector(
            cell.spec.method, seed=cell.spec.seed, supervised_on=cell.spec.supervised_on
        )
        found = detector.predict(image, brain=brain, postprocessing=POSTPROCESSING)
        title = f"{cell.method_title}{' (supervised)' if cell.supervised else ''}"
        views.append(MethodView(title, found.map[z]))
    title = f"{_SHOWN.upper()}, {scan.name}"
    return lesion_picture(SliceView(title, data.simulated, image[z], lesion[at], tuple(views)))


def _first_seeds(results: ub.Results) -> list[CellRecord]:
    """One finished cell of each method: that of its first seed."""
    found: dict[str, CellRecord] = {}
    for cell in results.cells:
        if cell.state == "done":
            known = found.setdefault(cell.spec.method, cell)
            if cell.spec.seed < known.spec.seed:
                found[cell.spec.method] = cell
    return list(found.values())
