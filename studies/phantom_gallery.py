"""Simulated beside real FLAIR: the picture and the numbers of ``docs/studies/phantoms.md``.

Simulates every dataset, prepares simulated and real patients by the same code, prints for each
dataset the intensities, lesion loads and the average precision of plain thresholding, and draws
simulated beside real slices. Real patients are read from ``$UAD_BENCH_SHARED`` (``MSLUB``
and ``BraTS``); only those of MSLUB (CC-BY) are drawn.

    OMP_NUM_THREADS=1 python -m studies.phantom_gallery --subjects 8 --jobs 2
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from uad_bench.phantom.layouts import write_layout
from uad_bench.phantom.parallel import simulate_in_pool, simulation_pool
from uad_bench.phantom.specs import DATASETS
from uad_bench.plugins.registry import discover
from uad_bench.volumes.recipe import RECIPES
from uad_bench.volumes.store.prepare import prepare, take_order
from uad_bench.volumes.store.prepared import PreparedDataset, PreparedScan

REPOSITORY = Path(__file__).resolve().parents[1]
PERCENTILES = (1, 5, 25, 75, 95, 99)
HEIGHTS_MM = (-14, 4, 16, 28, 44)
DRAWN = (
    ("real MSLUB, patient 1", "real mslub", 0),
    ("simulated mslub", "mslub", 0),
    ("real MSLUB, patient 2", "real mslub", 1),
    ("simulated mslub", "mslub", 1),
    ("simulated hi (healthy)", "hi", 0),
    ("simulated wmh", "wmh", 2),
    ("simulated brats", "brats", 0),
)
"""Title, dataset, and which of its scans with the largest lesions."""


@dataclass(frozen=True)
class Sample:
    """In-brain voxels of one dataset: intensity over the patient's median, and lesion or not."""

    values: NDArray[np.float32]
    lesion: NDArray[np.bool_]
    loads_ml: tuple[float, ...]
    per_scan: tuple[float, ...]


def main() -> None:
    """Run everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subjects", type=int, default=8)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--picture", type=Path, default=REPOSITORY / "docs" / "images" / "phantoms.png"
    )
    arguments = parser.parse_args()
    default = REPOSITORY.parent / "shared" / "data"
    data = Path(os.environ.get("UAD_BENCH_SHARED", default))
    with tempfile.TemporaryDirectory() as name, simulation_pool(arguments.jobs) as pool:
        folder = Path(name)
        stores = {
            f"real {dataset}": store(dataset, data / below, folder, arguments.jobs, simulated=False)
            for dataset, below in (("mslub", "MSLUB"), ("brats", "BraTS"))
        }
        for dataset in DATASETS:
            start = time.perf_counter()
            scans = simulate_in_pool(
                dataset, subjects=arguments.subjects, seed=arguments.seed, pool=pool
            )
            write_layout(dataset, folder / dataset, scans)
            seconds = time.perf_counter() - start
            stores[dataset] = store(
                dataset, folder / dataset, folder, arguments.jobs, simulated=True
            )
            count = len(stores[dataset].scans)
            print(f"{dataset}: {count} scans simulated and written in {seconds:.0f} s", flush=True)
        print_table(stores)
        draw(stores, arguments.picture)


def store(dataset: str, root: Path, folder: Path, jobs: int, *, simulated: bool) -> PreparedDataset:
    """Prepare a dataset by the default recipe."""
    adapter = discover().dataset(dataset)()
    recipe = RECIPES["median"]
    order = take_order(adapter, root, recipe, folder / "stores", simulated=simulated)
    return prepare(order, folder / "stores", jobs=jobs)


def sample(prepared: PreparedDataset) -> Sample:
    """Collect the in-brain voxels that are lesion or healthy."""
    values, lesions, loads, scores = [], [], [], []
    for scan in prepared.scans:
        slices = prepared.slices(scan)
        brain, mask = slices.brain[:, 0], prepared.lesion(scan)
        counted = brain & (mask < 2)
        values.append(slices.image[:, 0][counted] / prepared.recipe.anchor)
        lesions.append(mask[counted] == 1)
        if scan.has_lesion:
            loads.append(scan.quality.lesion_ml_before)
            scores.append(float(average_precision_score(lesions[-1], values[-1])))
    return Sample(np.concatenate(values), np.concatenate(lesions), tuple(loads), tuple(scores))


def print_table(stores: dict[str, PreparedDataset]) -> None:
    """Print one Markdown row per dataset."""
    names = [f"p{percentile}" for percentile in PERCENTILES]
    print("| dataset | scans | " + " | ".join(names) + " | lesion p5/p50/p95 | load in ml "
          "(least, median, most) | AP pooled | AP per scan (least, median, most) |")  # fmt: skip
    print("|---" * (len(names) + 6) + "|")
    for name, prepared in stores.items():
        found = sample(prepared)
        healthy = np.percentile(found.values[~found.lesion], PERCENTILES)
        row = [name if name.startswith("real") else f"simulated {name}", str(len(prepared.scans))]
        row += [f"{value:.2f}" for value in healthy]
        if found.loads_ml:
            lesion = np.percentile(found.values[found.lesion], (5, 50, 95))
            row.append(" / ".join(f"{value:.2f}" for value in lesion))
            row.append(", ".join(f"{value:.1f}" for value in _span(found.loads_ml)))
            row.append(f"{average_precision_score(found.lesion, found.values):.2f}")
            row.append(", ".join(f"{value:.2f}" for value in _span(found.per_scan)))
        else:
            row += ["-"] * 4
        print("| " + " | ".join(row) + " |", flush=True)


def _span(values: tuple[float, ...]) -> tuple[float, float, float]:
    return min(values), float(np.median(values)), max(values)


def draw(stores: dict[str, PreparedDataset], picture: Path) -> None:
    """Draw one row of axial slices per entry of ``DRAWN``, lesion outlines in red."""
    figure, axes = plt.subplots(
        len(DRAWN), len(HEIGHTS_MM), figsize=(10.5, 2.35 * len(DRAWN)), facecolor="black"
    )
    for row, (title, dataset, rank) in zip(axes, DRAWN, strict=True):
        prepared = stores[dataset]
        scan = sorted(prepared.scans, key=lambda item: -item.quality.lesion_ml_before)[rank]
        _draw_scan(row, prepared, scan)
        row[0].set_title(title, color="white", fontsize=9, loc="left", pad=3)
    figure.subplots_adjust(0, 0, 1, 0.975, 0.01, 0.09)
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=68, facecolor="black", metadata={"Software": ""})


def _draw_scan(row: NDArray[np.object_], prepared: PreparedDataset, scan: PreparedScan) -> None:
    slices, mask = prepared.slices(scan), prepared.lesion(scan)
    grid_z = np.asarray(slices.z)
    for axis, height in zip(row, HEIGHTS_MM, strict=True):
        wanted = _slice_of(prepared, height)
        at = int(np.argmin(np.abs(grid_z - wanted)))
        image = slices.image[at, 0]
        axis.imshow(image[4:124, 14:114], cmap="gray", vmin=0, vmax=1)
        if (mask[at] == 1).any() and height != HEIGHTS_MM[-2]:
            axis.contour(mask[at, 4:124, 14:114] == 1, [0.5], colors="red", linewidths=0.5)
        axis.axis("off")


def _slice_of(prepared: PreparedDataset, height_mm: float) -> int:
    from uad_bench.volumes.steps.space import template_grid

    grid = template_grid(prepared.recipe)
    lowest = float(grid.affine[2, 3])
    return round((height_mm - lowest) / prepared.recipe.slice_mm)


if __name__ == "__main__":
    main()
