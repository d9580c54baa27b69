"""Patches of other healthy people: what is mixed, what it is called, and what a network learns."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score
from uad_bench.methods.fpi import FPI

from uad_bench.errors import UadBenchError
from uad_bench.method import FitContext, Slices
from uad_bench.models.corruption.foreign_patch import OtherPeople, interpolate
from uad_bench.plugins.conformance import check_method


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), size=st.sampled_from([(20, 20), (16, 40)]))
def test_a_patch_is_a_rectangle_around_the_brain_in_which_both_are_mixed(seed, size):
    rng = np.random.default_rng(seed)
    brain = torch.from_numpy(rng.random((3, 1, *size)) < 0.7)
    image, foreign = (
        torch.from_numpy(rng.random((3, 1, *size), np.float32)) * brain for _ in range(2)
    )
    foreign[:, :, ::2] = image[:, :, ::2]  # every second row is alike
    mixed, share = interpolate(image, brain, foreign, generator(seed))
    for k in range(3):
        labels = share[k, 0].numpy()
        assert np.unique(labels[labels > 0]).size <= 1  # one share
        weight = labels.max()
        assert weight == 0 or 0.05 <= weight <= 0.95
        there = labels > 0
        assert not there[::2].any()
        assert not there[~brain[k, 0].numpy()].any()
        rows, columns = np.nonzero(there)
        if rows.size:
            assert np.ptp(rows) <= 0.4 * size[0]
            assert np.ptp(columns) <= 0.4 * size[1]
            box = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
            apart = (foreign[k, 0] - image[k, 0]).abs().numpy()
            whole = (apart > 1e-3) & brain[k, 0].numpy()
            assert (there[box] == whole[box]).all()
        expected = image[k, 0] + torch.from_numpy(labels) * (foreign[k, 0] - image[k, 0])
        assert torch.allclose(mixed[k, 0], expected, atol=1e-3)


def people(count: int, seed: int = 0) -> Slices:
    """Slices whose pixels say who and where: person / 10 + place / 100."""
    z = np.tile(np.arange(6), count)
    who = np.repeat(np.arange(count), 6)
    value = (who / 10 + z / 100 + 0.01).astype(np.float32)
    image = np.broadcast_to(value[:, None, None, None], (len(z), 1, 16, 16)).copy()
    return Slices(image, np.ones(image.shape, bool), z, (3.0, 2.0, 2.0))


def test_others_are_drawn_at_the_same_place_from_everybody_else_alike():
    slices = people(4)
    others = OtherPeople(slices)
    rows = torch.arange(24).repeat(50)
    z = torch.from_numpy(slices.z)[rows]
    image = torch.from_numpy(slices.image)[rows]
    drawn = others.draw(image, z, generator(0))[:, 0, 0, 0].numpy() - 0.01
    who = np.floor(drawn * 10 + 1e-3)
    assert np.allclose((drawn - who / 10) * 100, z.numpy(), atol=1e-3)
    pairs = np.unique(np.stack([rows.numpy() // 6, who]), axis=1, return_counts=True)[1]
    assert len(pairs) == 4 * 3
    assert pairs.min() > 70  # of 100 on average
    somebody = torch.zeros(2, 1, 16, 16)
    far = others.draw(somebody, torch.tensor([40, -3]), generator(0))[:, 0, 0, 0].numpy() - 0.01
    assert np.allclose(far * 100 % 10, [5, 0], atol=1e-3)


@given(st.integers(2, 4), st.integers(0, 10**6), st.data())
@settings(max_examples=30)
def test_nobody_is_mixed_with_the_same_slice(count, seed, data):
    """Also where a height is that of one person only."""
    whole = people(count)
    kept = np.array(
        data.draw(st.lists(st.sampled_from(range(len(whole))), min_size=2, unique=True))
    )
    slices = Slices(whole.image[kept], whole.brain[kept], whole.z[kept], whole.spacing)
    if len(np.unique(slices.z)) == len(slices):
        with pytest.raises(UadBenchError, match="at least 2"):
            OtherPeople(slices)
        return
    image = torch.from_numpy(slices.image)
    drawn = OtherPeople(slices).draw(image, torch.from_numpy(slices.z), generator(seed))
    assert not (drawn == image).flatten(1).all(1).any()


def test_slices_of_a_file_that_may_not_be_written_to_are_drawn_without_a_warning():
    slices = people(2)
    slices.image.flags.writeable = False
    z, image = torch.from_numpy(slices.z), torch.from_numpy(slices.image.copy())
    torch.set_warn_always(True)  # else only the first of a process is told
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            OtherPeople(slices).draw(image, z, generator(0))
    finally:
        torch.set_warn_always(False)


def test_one_person_has_no_others():
    with pytest.raises(UadBenchError, match="at least 2 training scans"):
        FPI().fit(people(1), people(1), FitContext(0))


def test_it_keeps_the_contract():
    assert check_method(FPI) == []


def brains(count: int, seed: int) -> Slices:
    """Heads of different people: each with a brightness and a place of its ventricles."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1:1:32j, -1:1:32j]
    brain = np.broadcast_to((y**2 + x**2 < 0.8)[None, None], (count * 4, 1, 32, 32)).copy()
    image = []
    for _ in range(count):
        dy, dx = rng.normal(0, 0.12, 2)
        ventricle = ((y - dy) ** 2 + (x - dx) ** 2) < 0.05
        image += [np.where(ventricle, 0.1, rng.uniform(0.25, 0.6))] * 4
    image = (np.stack(image)[:, None] + rng.normal(0, 0.01, brain.shape)) * brain
    z = np.tile(np.arange(4), count)
    return Slices(image.clip(0, 1).astype(np.float32), brain, z, (3.0, 4.0, 4.0))


@pytest.mark.slow
def test_it_learns_to_see_a_painted_lesion():
    params = FPI.Params(width=8, steps=800, batch_size=8, learning_rate=2e-3)
    method = FPI(params)
    method.fit(brains(12, 0), brains(4, 1), FitContext(0))
    scan = brains(3, 2)
    lesion = np.zeros_like(scan.brain)
    lesion[:, :, 18:23, 7:12] = True
    lesion &= scan.brain
    scan.image[lesion] = 0.75
    inside = scan.brain
    prevalence = lesion[inside].mean()
    untrained = FPI(params)
    untrained.initialise(FitContext(0))
    trained, before = (
        average_precision_score(lesion[inside], one.score(scan)[inside])
        for one in (method, untrained)
    )
    assert trained > 3 * prevalence
    assert trained > 1.5 * before
    score = method.score(scan)
    assert score[lesion].mean() > 2 * score[inside & ~lesion].mean()
