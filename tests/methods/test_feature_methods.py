"""Methods that compare features: what they learn, and how far a slice is from it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from scipy.spatial.distance import mahalanobis
from uad_bench.methods.fae import FAE
from uad_bench.methods.padim import RIDGE, PaDiM
from uad_bench.methods.patchcore import PatchCore
from uad_bench.methods.rd4ad import RD4AD

from uad_bench.errors import UadBenchError
from uad_bench.method import FitContext, Slices
from uad_bench.models.backbones import (
    CHANNELS,
    STRIDE,
    efficientnet,
    load_backbone,
    on_grid,
    share_inside,
)
from uad_bench.models.batches import Batch
from uad_bench.models.features import coreset as coreset_module
from uad_bench.models.features.coreset import coreset, distance_to_nearest, fitting
from uad_bench.plugins.conformance import check_method
from uad_bench.training.loop.feed import free_memory

MEMORIES = (PatchCore, PaDiM)
TRAINED = (FAE, RD4AD)
EVERY = (*MEMORIES, *TRAINED)
HEIGHT, WIDTH = 32, 48
GRID = sum(CHANNELS["efficientnet-lite0"][:3])


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def slices(count: int, seed: int = 0) -> Slices:
    """Textured brains of one shape."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:HEIGHT, :WIDTH]
    inside = ((row - 16) / 14) ** 2 + ((column - 24) / 21) ** 2 < 1
    image = np.where(inside, rng.normal(0.5, 0.05, (count, 1, HEIGHT, WIDTH)), 0).clip(0, 1)
    brain = np.broadcast_to(inside, image.shape).copy()
    return Slices(image.astype(np.float32), brain, np.arange(count) % 6, (3.0, 2.0, 2.0))


def batch(scan: Slices) -> Batch:
    return Batch.read(scan, np.arange(len(scan)), torch.device("cpu"))


def fitted(cls, **params):
    method = cls(cls.Params(**params))
    report = method.fit(slices(24), slices(6, 1), FitContext(0))
    method.calibrate(slices(6, 1), FitContext(0))
    return method, report


@pytest.mark.parametrize("cls", EVERY, ids=lambda cls: cls.info.name)
def test_every_method_keeps_the_contract(cls):
    assert check_method(cls) == []


@pytest.mark.parametrize("cls", MEMORIES, ids=lambda cls: cls.info.name)
def test_a_bright_lesion_painted_in_is_seen(cls):
    method, _ = fitted(cls)
    scan = slices(6, seed=2)
    lesion = np.zeros_like(scan.brain)
    lesion[:, :, 12:20, 16:26] = True
    scan.image[lesion] = 0.95
    score = method.score(scan)
    assert np.median(score[lesion]) > np.quantile(score[scan.brain & ~lesion], 0.9)
    assert (score[~scan.brain] == 0).all()


def test_features_lie_on_one_grid_and_are_not_squashed():
    network = load_backbone("efficientnet-lite0", None, None, "cpu")
    layers = list(network.layers(batch(slices(2))))
    assert tuple(layer.shape[1] for layer in layers) == CHANNELS["efficientnet-lite0"]
    found = on_grid(layers[:3], (HEIGHT, WIDTH))
    assert found.shape == (2, GRID, HEIGHT // STRIDE, WIDTH // STRIDE)
    assert (found < 0).any()
    assert (found > 6).any() or found.std() > 0.1


def test_a_place_counts_by_how_much_of_it_is_brain():
    brain = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    brain[..., :4, :2] = True
    assert share_inside(brain).tolist() == [[[[0.5, 0.0], [0.0, 0.0]]]]


@pytest.mark.parametrize("cls", MEMORIES, ids=lambda cls: cls.info.name)
def test_features_of_healthy_brains_have_mean_0_and_deviation_1(cls):
    method, _ = fitted(cls)
    seen = torch.cat([patches for patches, _, _ in method.patches(slices(24))])
    assert seen.mean(dim=0).abs().max() < 1e-3
    assert (seen.std(dim=0, unbiased=False) - 1).abs().max() < 1e-3


@pytest.mark.parametrize("cls", EVERY, ids=lambda cls: cls.info.name)
def test_training_slices_without_a_brain_are_refused(cls):
    train = slices(4)
    train.brain[:] = False
    with pytest.raises(UadBenchError, match="is brain"):
        cls().fit(train, slices(2), FitContext(0))


def test_missing_weights_are_told_when_a_run_is_planned(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(efficientnet, "files", missing)
    with pytest.raises(UadBenchError, match="not installed"):
        PatchCore.resolve(PatchCore.Params())


@given(st.integers(2, 40), st.integers(1, 12), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_each_further_patch_is_the_farthest_from_those_before(number, count, seed):
    patches = np.random.default_rng(seed).normal(size=(number, 3))
    rows = coreset(torch.from_numpy(patches), count, source(seed)).numpy()
    assert len(rows) == len(set(rows)) == min(number, count)
    if number <= count:
        return
    for place in range(1, count):
        reach = cKDTree(patches[rows[:place]]).query(patches)[0]
        assert reach[rows[place]] == pytest.approx(reach.max())


def test_equal_patches_are_kept_once_each():
    rows = coreset(torch.ones(20, 3), 5, source())
    assert len(set(rows.tolist())) == 5


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_the_distance_is_that_to_the_nearest(number, count, seed):
    rng = np.random.default_rng(seed)
    patches, kept = rng.normal(size=(number, 4)), rng.normal(size=(count, 4))
    found = distance_to_nearest(torch.from_numpy(patches), torch.from_numpy(kept))
    np.testing.assert_allclose(found.numpy(), cKDTree(kept).query(patches)[0], rtol=1e-6, atol=1e-7)


def test_a_memory_larger_than_allowed_is_thinned_and_said():
    method, report = fitted(PatchCore, memory=7, candidates=20)
    assert method.memory_.patches.shape == (7, GRID)
    assert any(note.startswith("7 of 20 of ") for note in report.notes)
    seen = torch.cat([patches for patches, _, _ in method.patches(slices(24))])
    assert distance_to_nearest(method.memory_.patches, seen).max() < 1e-2


def test_patches_to_choose_from_that_memory_does_not_hold_are_thinned_and_said(monkeypatch):
    a_patch = 4 * (2 * GRID + 6)
    monkeypatch.setattr(coreset_module, "free_memory", lambda: 2 * 9 * a_patch + 1)
    method, report = fitted(PatchCore, memory=7)
    total = method.places(slices(24))
    assert f"7 of 9 of {total} patches kept" in report.notes
    said = f"half of the free memory holds 9 of {total} to choose from"
    assert said in report.notes
    few, _ = fitted(PatchCore, memory=7, candidates=9)
    assert torch.equal(method.memory_.patches, few.memory_.patches), "as if so many were asked for"


def test_what_ran_before_does_not_decide_how_many_patches_a_gpu_holds(monkeypatch):
    """torch keeps the memory of what is done; the system counts it as used."""
    held = []
    for kept in (0, 900):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, kept=kept: (1000 - kept, 2000))
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _, kept=kept: 50 + kept)
        monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 50)
        held.append((fitting(1, "cuda:0"), free_memory(torch.device("cuda:0"))))
    assert held == [(15, 1000), (15, 1000)]


@pytest.mark.parametrize("free", [None, 10**12])
def test_enough_or_unknown_memory_changes_nothing(free, monkeypatch):
    expected, report = fitted(PatchCore, memory=7, candidates=20)
    monkeypatch.setattr(coreset_module, "free_memory", lambda: free)
    method, again = fitted(PatchCore, memory=7, candidates=20)
    assert torch.equal(method.memory_.patches, expected.memory_.patches)
    assert report.notes == again.notes


def test_a_memory_that_is_compared_in_parts_has_the_same_nearest_patch(monkeypatch):
    rng = np.random.default_rng(0)
    patches, kept = (torch.from_numpy(rng.normal(size=(size, 4))) for size in (30, 17))
    expected = distance_to_nearest(patches, kept)
    monkeypatch.setattr(coreset_module, "_AT_ONCE", 5)
    assert torch.allclose(distance_to_nearest(patches, kept), expected, atol=1e-6)


def test_padim_says_at_once_that_it_has_too_many_channels_and_no_weights():
    with pytest.raises(UadBenchError, match=r"has 256; take fewer; .* needs a weight file"):
        PaDiM.resolve(PaDiM.Params(backbone="resnet18", channels=999))


def test_a_patch_of_the_memory_is_at_distance_0():
    method, _ = fitted(PatchCore, memory=10_000)
    scan = slices(24)
    inside = share_inside(torch.from_numpy(scan.brain))[:, 0] >= 0.5
    found = method.distance(batch(scan))
    assert found[inside].max() < 0.05 < found[~inside].max()


def test_a_gaussian_is_that_of_its_place_and_of_all_places():
    method, _ = fitted(PaDiM, channels=4, prior=3.0, band_mm=9.0)
    assert (method.slices_, method.bands_) == (3, 2)
    drawn = method.gaussians_.drawn.long()
    parts = list(method.patches(slices(24)))
    values = torch.cat([patches[:, drawn] for patches, _, _ in parts]).numpy().astype(float)
    z = torch.cat([z for _, z, _ in parts]).numpy()
    place = torch.cat([place for _, _, place in parts]).numpy()
    middle = (HEIGHT // STRIDE // 2) * (WIDTH // STRIDE) + WIDTH // STRIDE // 2
    here = values[(place == middle) & (z >= 3)]
    assert len(here) == 12
    weight = len(here) + 3.0
    mean = (here.sum(axis=0) + 3.0 * values.mean(axis=0)) / weight
    second = (here.T @ here + 3.0 * values.T @ values / len(values)) / weight
    covariance = second - np.outer(mean, mean) + RIDGE * np.eye(4)
    scan = slices(6, seed=3)
    found = method.distance(batch(scan)).flatten(1)[4, middle].item()
    seen = method.features(batch(scan))[4, drawn].flatten(1)[:, middle].numpy().astype(float)
    assert found == pytest.approx(mahalanobis(seen, mean, np.linalg.inv(covariance)), rel=1e-3)


def test_slices_beyond_those_trained_on_take_the_nearest_band():
    method, _ = fitted(PaDiM)
    scan = slices(1)
    last, beyond = (method.distance(batch(replace(scan, z=np.array([z])))) for z in (5, 99))
    assert torch.equal(last, beyond)


def test_patches_that_are_not_drawn_are_never_held():
    method, _ = fitted(PatchCore, memory=30, candidates=30)
    seen = torch.cat([patches for patches, _, _ in method.patches(slices(24))])
    assert method.places(slices(24)) == len(seen)
    drawn = torch.randperm(len(seen), generator=source())[:30].sort().values
    assert torch.equal(method.memory_.patches, seen[drawn])
