"""Built-in methods made small, and brains of two tissues to train them on."""

from __future__ import annotations

import numpy as np
import torch
from uad_bench.methods.ae import AE
from uad_bench.methods.cevae import CEVAE
from uad_bench.methods.control_no_prior import ControlNoPrior
from uad_bench.methods.dae import DAE
from uad_bench.methods.gmvae import GMVAE
from uad_bench.methods.spa import SPA
from uad_bench.methods.vae import VAE

from uad_bench.method import FitContext, Slices, TissuePrior
from uad_bench.models.batches import Batch

SIZE, DEPTH = 32, 6
LATENT = (VAE, GMVAE, SPA, CEVAE)
DEEP = (*LATENT, ControlNoPrior, AE, DAE)
TINY = {"width": 4, "steps": 3, "batch_size": 4}


def tissues() -> np.ndarray:
    """Labels ``[H, W]``: 0 CSF inside, 1 GM at the rim, 2 WM between, 3 background."""
    row, column = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    radius = np.hypot(row / 14, column / 12)
    return np.select([radius < 0.25, radius < 0.7, radius < 1], [0, 2, 1], 3)


def brains(count: int, seed: int = 0) -> Slices:
    """Healthy slices: dark ventricles, white matter, slightly brighter grey matter, noise."""
    rng = np.random.default_rng(seed)
    labels = np.stack([np.roll(tissues(), rng.integers(-1, 2, 2), (0, 1)) for _ in range(count)])
    image = np.array([0.15, 0.6, 0.5, 0.0])[labels] * rng.uniform(0.95, 1.05, (count, 1, 1))
    brain = (labels < 3)[:, None]
    image = np.where(brain, image[:, None] + rng.normal(0, 0.02, brain.shape), 0).clip(0, 1)
    return Slices(image.astype(np.float32), brain, np.arange(count) % DEPTH, (2.0, 6.0, 6.0))


def prior() -> TissuePrior:
    hard = (tissues() == np.arange(4)[:, None, None]).astype(np.float32)
    mean = np.repeat(hard[:, None], DEPTH, axis=1)
    return TissuePrior(mean, np.full_like(mean, 0.02), "test")


def fitted(cls, **params):
    method = cls(cls.Params(**TINY | params))
    method.fit(brains(12), brains(6, seed=1), FitContext(0, tissue_prior=prior()))
    return method


def training(cls, healthy=None, **params):
    """What is trained, before the first step; SPA's knows the tissue prior."""
    method = cls(cls.Params(**TINY | params))
    method.build()
    return method.trainable(FitContext(0, tissue_prior=prior() if healthy is None else healthy))


def batch(slices: Slices) -> Batch:
    return Batch.read(slices, np.arange(len(slices)), torch.device("cpu"))


def tensors(slices: Slices) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(slices.image), torch.from_numpy(slices.z)
