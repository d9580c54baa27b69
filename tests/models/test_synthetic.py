"""Synthetic anomalies: what they change, how strong they are said to be, and who undoes them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from uad_bench.methods.disyre import DISYRE

from uad_bench.method import FitContext, Slices
from uad_bench.models.batches import Batch
from uad_bench.models.corruption.synthetic import _others, draw_shapes, synthesise
from uad_bench.training import Turn

SPACING = (2.0, 3.0)


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def brains(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    row, column = torch.meshgrid(torch.arange(64) - 31.5, torch.arange(48) - 23.5, indexing="ij")
    brain = ((row / 28).square() + (column / 20).square() < 1).expand(count, 1, 64, 48)
    image = 0.3 + 0.3 * torch.rand(brain.shape, generator=source(9))
    return image * brain, brain


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_nothing_changes_by_more_than_its_degree_says(seed):
    image, brain = brains(4)
    found, degree = synthesise(image, brain, SPACING, source(seed))
    assert torch.equal(found[~brain], image[~brain])
    assert found.min() >= 0
    assert found.max() <= 1
    assert degree.min() >= 0
    assert degree.max() <= 1
    changed = (found - image).abs().amax(dim=(1, 2, 3))
    assert (changed <= 2 * degree + 1e-6).all()


def test_each_slice_has_an_anomaly_of_its_own():
    image, brain = brains(60)
    found, degree = synthesise(image, brain, SPACING, source())
    assert len(degree.unique()) == 60
    differs = (found - image).abs() > 0.02
    assert (differs.flatten(1).sum(dim=1) > 0).float().mean() > 0.9
    assert differs.float().mean() < 0.5
    signed = (found - image)[differs]
    assert (signed > 0.1).float().mean() > 0.1
    assert (signed < -0.1).float().mean() > 0.1


def test_a_slice_is_mixed_with_every_other_of_its_batch_alike():
    """Not with the next one: rows of a batch are sorted, and the next is mostly its neighbour."""
    size, count = (32, 32), 5
    brain = torch.ones(count, 1, *size, dtype=torch.bool)
    level = torch.linspace(0.1, 0.9, count)[:, None, None, None]
    image = level.expand(count, 1, *size)
    met = torch.zeros(count, count)
    for seed in range(400):
        found = _others(image, source(seed))
        whose = (found[:, :1, 0, 0] - level[:, 0, 0, 0]).abs().argmin(dim=1)
        met[torch.arange(count), whose] += 1
    assert (met.diagonal() == 0).all()
    others = met[~torch.eye(count, dtype=torch.bool)]
    assert others.min() > 60, "of 100 on average"
    assert torch.equal(_others(image[:1], source()), image[:1])
    found, degree = synthesise(image, brain, SPACING, source())
    assert found.isfinite().all()
    assert degree.isfinite().all()


def test_shapes_have_their_sizes_and_centres():
    brain = brains(400)[1]
    shapes = draw_shapes(brain, SPACING, source())[:, 0] > 0.5
    rows = shapes.any(dim=2).sum(dim=1) * SPACING[0]
    columns = shapes.any(dim=1).sum(dim=1) * SPACING[1]
    # those cut at the slice's edge are smaller, ragged ones somewhat larger
    assert rows.float().quantile(0.95) < 60
    assert columns.float().quantile(0.95) < 60
    assert 20 < rows.float().median() < 34
    filled = shapes.sum(dim=(1, 2)) * SPACING[0] * SPACING[1] / (rows * columns)
    whole = (rows > 12) & (columns > 12)
    assert (filled[whole] > 0.99).float().mean() == pytest.approx(1 / 3, abs=0.1)
    assert (filled[whole] < 0.9).float().mean() == pytest.approx(2 / 3, abs=0.12)
    edges = draw_shapes(brain, SPACING, source())
    assert ((edges > 0.05) & (edges < 0.95)).any()


def test_a_slice_without_brain_is_left_alone():
    image, brain = torch.zeros(2, 1, 16, 16), torch.zeros(2, 1, 16, 16, dtype=torch.bool)
    found, degree = synthesise(image, brain, SPACING, source())
    assert torch.equal(found, image)
    assert degree.isfinite().all()


class Undoing(torch.nn.Module):
    """Takes off a tenth of the degree."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, image: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        return (-0.1 * time / 1000)[:, None, None, None].expand_as(image)


def test_an_anomaly_that_is_made_brighter_than_white_is_learned_from():
    """The network adds a tenth everywhere; white pixels must tell it not to, as others do."""
    image, brain = brains(16)
    batch = Batch(image, brain, torch.arange(16), (3.0, *SPACING))
    added = torch.full(image.shape, 0.1, requires_grad=True)
    method = DISYRE()
    method.network_ = lambda given, time: added
    training = method.trainable(FitContext(0))
    training.loss(batch, Turn("network", 1, source())).value.backward()
    given, _ = synthesise(image, brain, SPACING, source())
    white = brain & (given == 1)
    assert white.sum() > 20
    assert (added.grad[white] > 0).all()


def test_the_score_is_the_mean_residual_over_the_degrees():
    image, brain = brains(2)
    scan = Slices(image.numpy(), brain.numpy(), np.arange(2), (3.0, *SPACING))
    method = DISYRE(DISYRE.Params(degrees=2))
    method.network_ = Undoing()
    found = method.score(scan)
    np.testing.assert_allclose(found[scan.brain], (0.025 + 0.075) / 2, rtol=1e-4)
    assert (found[~scan.brain] == 0).all()
    made = method.reconstruct_batch(Batch.read(scan, np.arange(2), torch.device("cpu")))
    torch.testing.assert_close(made[brain], image[brain] - 0.05)
