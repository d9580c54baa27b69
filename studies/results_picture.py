"""Draw the README's picture: one slice per prepared dataset, and what each detector makes of it.

    python -m studies.results_picture RESULTS STORE [STORE ...] --methods spa,gmvae --out FILE

RESULTS is a run's results folder, a STORE a prepared dataset's folder in the cache.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import uad_bench as ub
from uad_bench.report.bercea2022 import BERCEA_2022
from uad_bench.report.figures.cells import MethodView, SliceView, results_picture
from uad_bench.volumes.store.prepared import PreparedDataset


def view(store: Path, detectors: list[ub.Detector]) -> SliceView:
    """The slice with the most lesion of the dataset's scan with the most lesion."""
    dataset = PreparedDataset.open(store)
    scan = max(dataset.scans_of("test"), key=lambda s: int((dataset.lesion(s) == 1).sum()))
    slices, lesion = dataset.slices(scan), np.asarray(dataset.lesion(scan))
    at = int((lesion == 1).sum(axis=(1, 2)).argmax())
    image, brain = np.zeros((2, *dataset.grid.shape), np.float32)
    image[slices.z], brain[slices.z] = slices.image[:, 0], slices.brain[:, 0]
    z, views = slices.z[at], []
    for detector in detectors:
        found = detector.predict(image, brain=brain, postprocessing="star")
        rebuilt = found.reconstruction
        views.append(
            MethodView(found.detector, found.map[z], None if rebuilt is None else rebuilt[z])
        )
    title = f"{BERCEA_2022.title(dataset.name)}, {scan.name}"
    return SliceView(title, dataset.simulated, image[z], lesion[at], tuple(views))


def main() -> None:
    """Read the arguments and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("stores", type=Path, nargs="+")
    parser.add_argument("--methods", default="spa,gmvae")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    results = ub.load_results(arguments.results)
    detectors = [results.detector(name) for name in arguments.methods.split(",")]
    arguments.out.write_bytes(results_picture([view(s, detectors) for s in arguments.stores]))


if __name__ == "__main__":
    main()
