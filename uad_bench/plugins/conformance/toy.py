"""A toy dataset: a few smooth, seeded slices on which any method can be tried in seconds."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from uad_bench.method import FitContext, Slices, TissuePrior

SIDE = 64
"""Height and width of a toy slice in pixels."""

DEPTH = 12
"""Slices of the toy template grid."""

SPACING = (2.0, 3.0, 3.0)


@dataclass(frozen=True, slots=True)
class ToyDataset:
    """Healthy slices to learn from, and two scans with a bright lesion each.

    Attributes:
        train: 12 slices of two healthy scans.
        validation: 6 slices of one healthy scan.
        scans: two scans with lesions, of 5 and 3 slices.
        prior: tissue distributions on the toy grid.
    """

    train: Slices
    validation: Slices
    scans: tuple[Slices, Slices]
    prior: TissuePrior

    def slices(self, needs: frozenset[str]) -> tuple[Slices, Slices]:
        """Copies of the slices to learn from and to choose by, for a method with these needs.

        One that needs ``lesion_masks`` gets masks of a small lesion in every second slice.
        """
        train, validation = copied(self.train), copied(self.validation)
        if "lesion_masks" not in needs:
            return train, validation
        return replace(train, lesion=_masks(train)), replace(validation, lesion=_masks(validation))

    def context(self, needs: frozenset[str], seed: int, device: str = "cpu") -> FitContext:
        """The context of ``fit`` for a method with these needs."""
        return FitContext(
            seed=seed,
            device=device,
            tissue_prior=self.prior if "tissue_prior" in needs else None,
        )


def copied(slices: Slices) -> Slices:
    """Return slices whose arrays may be written to without harm."""
    return replace(slices, image=slices.image.copy(), brain=slices.brain.copy(), z=slices.z.copy())


def _masks(slices: Slices) -> NDArray[np.uint8]:
    masks = np.zeros(slices.image.shape, np.uint8)
    masks[::2, :, 30:34, 30:34] = 1
    return masks


def toy_dataset(seed: int = 0) -> ToyDataset:
    """Draw the toy dataset. The same seed gives the same arrays."""
    rng = np.random.default_rng(seed)
    healthy = [_scan(rng, np.arange(3, 9), lesion=False) for _ in range(3)]
    train = Slices(
        image=np.concatenate([scan.image for scan in healthy[:2]]),
        brain=np.concatenate([scan.brain for scan in healthy[:2]]),
        z=np.concatenate([scan.z for scan in healthy[:2]]),
        spacing=SPACING,
    )
    scans = (
        _scan(rng, np.arange(3, 8), lesion=True),
        _scan(rng, np.arange(6, 9), lesion=True),
    )
    return ToyDataset(train, healthy[2], scans, _prior())


def _radius(z: NDArray[np.int64]) -> NDArray[np.float64]:
    """Elliptic distance ``[N, H, W]`` from the brain's centre, 1 at its rim."""
    row, column = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    size = 1 - ((z - DEPTH / 2) / DEPTH) ** 2
    radius: NDArray[np.float64] = np.hypot(row / 27, column / 22)[None] / size[:, None, None]
    return radius


def _scan(rng: np.random.Generator, z: NDArray[np.int64], *, lesion: bool) -> Slices:
    """One scan: dark ventricles, grey rim, white matter, noise, and a bright disc if asked."""
    radius = _radius(z)
    image = np.where(radius < 0.3, 0.2, np.where(radius > 0.8, 0.6, 0.5))
    image = image * rng.uniform(0.95, 1.05) + rng.normal(0, 0.02, image.shape)
    if lesion:
        row, column = np.mgrid[:SIDE, :SIDE]
        disc = np.hypot(row - rng.integers(24, 40), column - rng.integers(24, 40)) < 4
        image = np.where(disc, 0.95, image)
    brain = (radius < 1)[:, None]
    values = np.where(brain, image[:, None].clip(0, 1), 0).astype(np.float32)
    return Slices(image=values, brain=brain, z=z.astype(np.int64), spacing=SPACING)


def _prior() -> TissuePrior:
    """Tissue probabilities of concentric CSF, white and grey matter, softened at the borders."""
    radius = _radius(np.arange(DEPTH))
    logits = -((radius[None] - np.array([0.15, 0.9, 0.55, 1.4])[:, None, None, None]) ** 2) / 0.05
    logits[3] = np.where(radius > 1.4, 0, logits[3])
    weight = np.exp(logits - logits.max(axis=0))
    mean = (weight / weight.sum(axis=0)).astype(np.float32)
    return TissuePrior(mean=mean, variance=mean * (1 - mean), source="toy dataset")
