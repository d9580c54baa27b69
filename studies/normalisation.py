"""How far a lesion or a bright rim shifts the intensity of healthy tissue, per way to normalise.

The shift is the change of what the median healthy voxel becomes when lesion or rim take part in
the statistics. Prints a Markdown table; simulated scans, and BraTS and MSLUB where they are given:

    python -m studies.normalisation [--data-root DIR]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from uad_bench.discovery.locate import locate
from uad_bench.phantom.datasets import simulate_subject
from uad_bench.plugins.registry import PluginSources, discover
from uad_bench.volumes.steps.normalise import shortest_half_median
from uad_bench.volumes.steps.read import load_scan

Case = tuple[str, NDArray[np.float64], NDArray[np.bool_]]
"""A name, the brain's intensities ``[n]``, and which of them are lesion or rim."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root", type=Path, help="folder with BraTS and MSLUB")
    arguments = parser.parse_args()
    print("| scan | lesion, share of the brain | median of the shortest half | median | p99 |")
    print("|---|--:|--:|--:|--:|")
    real = () if arguments.data_root is None else _real(arguments.data_root)
    for name, values, marked in (*_simulated(), *real):
        healthy = values[~marked]
        before, after = _levels(healthy), _levels(values)
        middle = float(np.median(healthy))
        cells = []
        for (low0, high0), (low1, high1) in zip(before, after, strict=True):
            shift = (middle - low1) / (high1 - low1) / ((middle - low0) / (high0 - low0)) - 1
            cells.append(f"{100 * shift:+.1f} %")
        print(f"| {name} | {marked.mean():.0%} | {' | '.join(cells)} |")


def _levels(values: NDArray[np.float64]) -> list[tuple[float, float]]:
    """The 1st percentile and, per way to normalise, the value that becomes a constant."""
    low, middle, high = np.percentile(values, (1, 50, 99))
    return [(low, upper) for upper in (shortest_half_median(values), middle, high)]


def _simulated() -> Iterator[Case]:
    """Patients as simulated, and a healthy brain with a growing tumour, or with a bright rim."""
    for dataset in ("mslub", "wmh", "brats", "gbi"):
        scan = simulate_subject(dataset, 2, seed=0)[0]
        inside = scan.brain > 0
        name = f"{dataset} 2 (simulated)"
        yield name, scan.flair[inside].astype(np.float64), scan.lesion[inside] > 0
    scan = simulate_subject("hi", 1, seed=0)[0]
    inside, white = scan.brain > 0, scan.tissues == 3
    values = scan.flair[inside].astype(np.float64)
    level, noise = float(np.median(scan.flair[white])), np.random.default_rng(0)
    seeds = np.argwhere(white)
    order = np.linalg.norm(np.argwhere(inside) - seeds[len(seeds) // 3], axis=1).argsort()
    for share in (0.1, 0.2, 1 / 3):
        for gain in (1.4, 1.8):
            marked = np.zeros(len(values), dtype=np.bool_)
            marked[order[: int(share * len(values))]] = True
            tumour = values.copy()
            tumour[marked] = level * gain * noise.normal(1.0, 0.1, int(marked.sum()))
            yield f"tumour of {gain:g} x white matter (simulated)", tumour, marked
    depth = ndimage.distance_transform_edt(inside)[inside]
    marked = depth <= np.percentile(depth, 6)
    rim = values.copy()
    rim[marked] = 2.5 * level
    yield "rim of 2.5 x white matter (simulated)", rim, marked


def _real(root: Path) -> Iterator[Case]:
    """The real patients that lie in ``root``."""
    registry = discover(PluginSources.gather(()))
    for name in ("mslub", "brats"):
        dataset = registry.dataset(name)()
        folder = locate(dataset.info, root)
        for scan in () if folder is None else dataset.scans(folder):
            native = load_scan(scan)
            if native.brain is not None and native.lesion is not None:
                values = native.image[native.brain].astype(np.float64)
                yield scan.name, values, native.lesion[native.brain] == 1


if __name__ == "__main__":
    main()
