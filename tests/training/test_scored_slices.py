"""A slice is reconstructed to the same bits in any company, sampled or restored."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_method import Tiny, brains, fit

from uad_bench.method import Slices
from uad_bench.models.batches import SIZE, Batch, in_batches
from uad_bench.models.latent.gaussians import Gaussian, Sampler


@pytest.mark.parametrize("threads", [1, 2])
def test_a_slice_is_reconstructed_to_the_same_bits_in_any_company(threads):
    method, _ = fit()
    data = brains(3 * SIZE - 1, seed=2)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        together = method.reconstruct(data)
        for rows in (np.array([4]), np.array([8, 4, 0]), np.random.default_rng(0).permutation(9)):
            assert method.reconstruct(data.take(rows)).tobytes() == together[rows].tobytes()
        for place in range(SIZE):  # at each place of a batch, beside others each time
            rows = np.roll(np.arange(SIZE), place)
            assert method.reconstruct(data.take(rows)).tobytes() == together[rows].tobytes()
    finally:
        torch.set_num_threads(before)
    assert (together[~data.brain] == 0).all()


def test_batches_have_one_size_and_only_what_was_asked_for_comes_back():
    seen = []

    def look(batch: Batch) -> torch.Tensor:
        seen.append(batch.z.tolist())
        return batch.image

    data = brains(SIZE + 1)
    made = in_batches(look, data, torch.nn.Conv2d(1, 1, 1))
    assert np.array_equal(made, data.image)
    assert [len(batch) for batch in seen] == [SIZE, SIZE]
    assert seen[1] == [int(data.z[-1])] * SIZE


def sampled(method: Tiny, count: int) -> Tiny:
    """The same weights, used with ``count`` draws."""
    other = Tiny(method.params.model_copy(update={"n_samples": count}))
    other.load(method.state())
    return other


def test_a_slice_that_is_sampled_has_the_same_bits_in_any_company():
    method, data = sampled(fit()[0], 3), brains(9, seed=2)
    together = method.reconstruct(data)
    assert method.reconstruct(data).tobytes() == together.tobytes()
    for rows in (np.array([4]), np.array([8, 4, 0])):
        some = Slices(data.image[rows], data.brain[rows], data.z[rows], data.spacing)
        assert method.reconstruct(some).tobytes() == together[rows].tobytes()
    assert (together[~data.brain] == 0).all()


def test_samples_are_averaged_over_noise_that_differs_between_slices_and_draws():
    method, one = fit(reparameterisation="plain")[0], brains(1, seed=2)
    data = Slices(
        *(np.repeat(a, 4, axis=0) for a in (one.image, one.brain)), np.arange(4), one.spacing
    )
    mean = method.reconstruct(data)
    assert all(np.array_equal(mean[0], other) for other in mean)
    once, often = (sampled(method, count).reconstruct(data) for count in (1, 64))
    spread = [np.abs(drawn - drawn.mean(axis=0)).mean() for drawn in (once, often)]
    assert 0 < spread[1] < spread[0] / 4
    twice = sampled(method, 2).reconstruct(data)
    noise = torch.Generator().manual_seed(2)
    with torch.inference_mode():
        image = torch.from_numpy(one.image)
        draws = [method.network_.decode(method.network_.encode(image, noise)) for _ in range(2)]
    assert not torch.equal(*draws)
    expected = (draws[0] + draws[1]).numpy() / 2 * one.brain
    np.testing.assert_allclose(twice[2:3], expected, atol=1e-6)


def test_noise_does_not_depend_on_the_device_of_the_latent():
    # the meta device stands for a GPU: a draw on the latent's device would find no generator there
    elsewhere = Gaussian(*torch.zeros(2, 1, 2, 4, 4, device="meta"))
    noise, expected = (torch.Generator().manual_seed(5) for _ in range(2))
    assert Sampler()(elsewhere, noise).device.type == "meta"
    torch.randn(1, 2, 4, 4, generator=expected)
    assert torch.equal(noise.get_state(), expected.get_state())


def test_a_restored_detector_scores_the_same_bits():
    method, _ = fit()
    restored = Tiny(method.params)
    restored.load(method.state())
    data = brains(5, seed=2)
    assert restored.score(data).tobytes() == method.score(data).tobytes()


def test_the_stored_state_does_not_change_when_the_network_does():
    method, _ = fit()
    state = method.state()
    before = {name: array.copy() for name, array in state.items()}
    with torch.no_grad():
        for weight in method.network_.parameters():
            weight.zero_()
    assert all(np.array_equal(state[name], before[name]) for name in state)
    assert all(array.flags.c_contiguous for array in state.values())
