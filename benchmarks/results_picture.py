"""Draw the README's picture: one slice per prepared dataset, and what each detector makes of it.

    python benchmarks/results_picture.py RESULTS STORE [STORE ...] --methods spa,gmvae --out FILE

RESULTS is a run's results folder, a STORE a prepared dataset's folder in the cache.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from uad_bench.evaluation.postprocessings.star import STAR
from uad_bench.method import Method
from uad_bench.plugins.registry import discover
from uad_bench.report.bercea2022 import BERCEA_2022
from uad_bench.report.figures.cells import MethodView, SliceView, results_picture
from uad_bench.results import load_cells
from uad_bench.runner.detectors.scoring import signed_residual
from uad_bench.runner.detectors.trainer import validated
from uad_bench.volumes.store.prepared import PreparedDataset


def detectors(results: Path, names: list[str]) -> list[Method]:
    """Load one stored detector per method."""
    registry, found = discover(), []
    cells = load_cells(results)
    for name in names:
        cell = next(c for c in cells if c.spec.method == name and c.fit is not None)
        method = registry.method(name)
        detector = method(validated(method, cell.spec.params))
        assert cell.fit is not None
        detector.load(load_file(results / "detectors" / cell.fit.detector / "state.safetensors"))
        found.append(detector)
    return found


def view(store: Path, methods: list[Method]) -> SliceView:
    """The slice with the most lesion of the dataset's scan with the most lesion."""
    dataset = PreparedDataset.open(store)
    scan = max(dataset.scans_of("test"), key=lambda s: int((dataset.lesion(s) == 1).sum()))
    slices, lesion = dataset.slices(scan), np.asarray(dataset.lesion(scan))
    at = int((lesion == 1).sum(axis=(1, 2)).argmax())
    views = []
    for method in methods:
        residual, reconstruction = signed_residual(method, slices)
        score = STAR.apply(residual)[at]
        views.append(
            MethodView(
                f"{method.info.title}*",
                score,
                None if reconstruction is None else reconstruction[at],
            )
        )
    title = f"{BERCEA_2022.title(dataset.name)}, {scan.name}"
    image = np.asarray(slices.image[at, 0])
    return SliceView(title, dataset.simulated, image, lesion[at], tuple(views))


def main() -> None:
    """Read the arguments and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("stores", type=Path, nargs="+")
    parser.add_argument("--methods", default="spa,gmvae")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    methods = detectors(arguments.results, arguments.methods.split(","))
    arguments.out.write_bytes(results_picture([view(s, methods) for s in arguments.stores]))


if __name__ == "__main__":
    main()
