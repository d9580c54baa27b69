"""Connected components: how fast are scipy, cc3d (connected-components-3d) and runs of voxels?

Run: OMP_NUM_THREADS=1 python benchmarks/components.py
"""

from __future__ import annotations

import time
from collections.abc import Callable

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from uad_bench.evaluation.lesions import numbered_components

Mask = NDArray[np.bool_]

SHAPE = (182, 218, 182)
REPEATS = 5


def masks() -> dict[str, Mask]:
    """Masks of a brain at 1 mm: predictions like noise and like blobs, one lesion, all of it."""
    rng = np.random.default_rng(0)
    places = np.moveaxis(np.indices(SHAPE, dtype=np.float32), 0, -1) - np.array(SHAPE) / 2
    brain = ((places / np.array(SHAPE) / 0.4) ** 2).sum(axis=-1) < 1
    smooth = ndimage.gaussian_filter(rng.standard_normal(SHAPE).astype(np.float32), 2)
    smooth[~brain] = -np.inf
    noise = rng.random(SHAPE)
    return {
        "blobs, 1 % of the brain": smooth > np.quantile(smooth[brain], 0.99),
        "blobs, 5 %": smooth > np.quantile(smooth[brain], 0.95),
        "noise, 1 %": brain & (noise < 0.01),
        "noise, 5 %": brain & (noise < 0.05),
        "noise, 30 %": brain & (noise < 0.3),
        "one lesion of 2 ml": (places**2).sum(axis=-1) < 64,
        "the whole brain": brain,
    }


def milliseconds(label: Callable[[Mask], object], mask: Mask) -> float:
    """The least of a few wall times."""
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        label(mask)
        times.append(time.perf_counter() - started)
    return 1000 * min(times)


def main() -> None:
    """Print one row per mask, and refuse labels that differ."""
    tools: dict[str, Callable[[Mask], NDArray[np.integer]]] = {
        "scipy": lambda mask: ndimage.label(mask, np.ones((3, 3, 3)))[0],
        "cc3d": lambda mask: cc3d.connected_components(mask, connectivity=26),
        "runs": lambda mask: numbered_components(mask)[0],
    }
    print("| mask | components |", " | ".join(f"{name}, ms" for name in tools), "|")
    for title, mask in masks().items():
        found = [label(mask) for label in tools.values()]
        assert all(np.array_equal(found[0], other) for other in found)
        times = " | ".join(f"{milliseconds(label, mask):.0f}" for label in tools.values())
        print(f"| {title} | {found[0].max()} | {times} |", flush=True)


if __name__ == "__main__":
    main()
