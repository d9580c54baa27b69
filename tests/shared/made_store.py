"""A dataset of template-shaped brains, and what is prepared of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import nibabel as nib
import numpy as np

from uad_bench.dataset import Dataset, DatasetInfo, Scan
from uad_bench.volumes.recipe import Recipe
from uad_bench.volumes.steps.space import template_brain, template_grid, template_tissues
from uad_bench.volumes.steps.tissue_maps import LabelMapping
from uad_bench.volumes.store import prepare as preparation
from uad_bench.volumes.store.prepared import PreparedDataset

RECIPE = Recipe(name="coarse", pixel_mm=2.0, slice_mm=8.0)
SOURCE = Recipe(name="source", pixel_mm=4.0, slice_mm=4.0)
"""The grid the toy scans are stored on."""


@dataclass(frozen=True)
class Toy(Dataset):
    """A dataset that yields what it is told."""

    found: Sequence[Scan]

    info = DatasetInfo("toy", "Toy", "none", "", "", "", "", "", ("Toy",))

    def scans(self, root: Path) -> Iterator[Scan]:
        yield from self.found


CROP = np.s_[:, 36:92, 36:92]
"""The part of it that holds the brain: less to write."""


BIDS_LABELS = np.array([0, 3, 1, 2], np.uint8)
"""How BIDS numbers nothing, CSF, GM and WM."""


def save(path: Path, data: np.ndarray, shift_mm: float = 0.0) -> Path:
    affine = template_grid(SOURCE).affine.copy()
    affine[:3, 3] = (affine @ (0, 36, 36, 1))[:3]
    affine[0, 3] += shift_mm
    nib.save(nib.Nifti1Image(data, affine), path)
    return path


def make(root: Path, number: int, split: str, *, lesion: bool = False, raters: int = 1) -> Scan:
    """One scan: a template-shaped brain with its own tissue labels and, if asked, a lesion."""
    root.mkdir(parents=True, exist_ok=True)
    brain, rng = template_brain(SOURCE)[CROP], np.random.default_rng(number)
    tissues = template_tissues(SOURCE)[:, *CROP] + rng.normal(0, 0.1, (3, 1, 1, 1))
    labels = np.where(brain, tissues.argmax(axis=0) + 1, 0).astype(np.uint8)
    flair = np.choose(labels, [0, 40, 120, 100]) + rng.normal(0, 3, brain.shape) * brain
    mask = np.zeros(brain.shape, np.uint8)
    mask[18:22, 24:30, 12:18] = 1
    name = f"s{number:02d}"
    if lesion:
        flair = flair + 80.0 * mask
    return Scan(
        name,
        save(root / f"{name}_flair.nii.gz", flair.astype(np.float32)),
        lesion=tuple(save(root / f"{name}_l{r}.nii.gz", mask) for r in range(raters * lesion)),
        tissues=save(root / f"{name}_tissues.nii.gz", np.choose(labels, BIDS_LABELS)),
        split=split,  # type: ignore[arg-type]
        space="mni152",
    )


def prepare(
    dataset: Dataset,
    root: Path,
    recipe: Recipe,
    folder: Path,
    *,
    simulated: bool,
    limit: int | None = None,
    jobs: int | None = None,
    on_scan: Callable[[str], None] = lambda _: None,
    mask_shift: float = 0.0,
    tissues: LabelMapping | None = None,
) -> PreparedDataset:
    """Order and prepare in one call."""
    order = preparation.take_order(
        dataset, root, recipe, folder, simulated=simulated, limit=limit, tissues=tissues,
        mask_shift=mask_shift,
    )  # fmt: skip
    return preparation.prepare(
        order, folder, jobs=jobs, on_scan=lambda outcome: on_scan(outcome.name)
    )


def contents(folder: Path) -> dict[str, str]:
    """What each file holds, but for the seconds that steps took."""
    texts = {p.name: p.read_bytes() for p in sorted(folder.iterdir())}
    texts["manifest.json"] = re.sub(rb'"seconds": [0-9.]+', b"", texts["manifest.json"])
    return {name: sha256(text).hexdigest() for name, text in texts.items()}


def leftovers(store_root: Path) -> list[str]:
    return [p.name for p in store_root.iterdir() if not p.name.endswith(".lock")]
