"""Diffusion: noise goes on and comes off by its closed form; a network learns to take it off."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.networks.schedulers import DDIMScheduler, DDPMScheduler
from sklearn.metrics import roc_auc_score
from torch import nn
from uad_bench.methods.anoddpm import AnoDDPM
from uad_bench.methods.disyre import DISYRE
from uad_bench.methods.itermask2 import IterMask2
from uad_bench.methods.pddpm import PDDPM, boxes
from uad_bench.methods.thor import THOR

from uad_bench.cli import main
from uad_bench.errors import DivergenceError
from uad_bench.method import FitContext, Slices
from uad_bench.models.batches import Batch
from uad_bench.models.diffusion.denoiser import Attention, Denoiser, sinusoids
from uad_bench.models.diffusion.schedule import (
    TIMES,
    centred,
    noise_between,
    noised,
    reverse,
    shown,
    signal,
    times_down,
    without_noise,
    without_velocity,
)
from uad_bench.plugins.conformance import check_method
from uad_bench.training import Turn
from uad_bench.training.diffusion import noisy_example

EVERY = (AnoDDPM, THOR, DISYRE, PDDPM, IterMask2)
TINY = {"width": 4, "steps": 2, "batch_size": 4, "checks": 1}
SHORT = {"width": 8, "batch_size": 4, "checks": 1, "learning_rate": 3e-3}
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def slices(count: int, seed: int = 0, *, side: int = 32) -> Slices:
    """Healthy brains: a bright rim, a dark middle, somewhat larger or smaller."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:side, :side] - (side - 1) / 2
    radius = np.hypot(row, column * 1.2) / (0.45 * side) / rng.uniform(0.9, 1.0, (count, 1, 1, 1))
    image = np.select([radius < 0.3, radius < 0.8, radius < 1], [0.2, 0.5, 0.6], 0.0)
    image = image * rng.uniform(0.95, 1.05, (count, 1, 1, 1))
    brain = radius < 1
    image = np.where(brain, image + rng.normal(0, 0.02, image.shape), 0).clip(0, 1)
    return Slices(image.astype(np.float32), brain, np.arange(count), (3.0, 5.0, 5.0))


def batch(count: int = 4, seed: int = 0) -> Batch:
    return Batch.read(slices(count, seed), np.arange(count), CPU)


def fitted(cls, **params):
    method = cls(cls.Params(**TINY | params))
    method.fit(slices(12), slices(6, 1), FitContext(0))
    method.calibrate(slices(6, 1), FitContext(0))
    return method


# --- the schedule -------------------------------------------------------------------------------


def test_the_schedule_is_the_published_linear_one():
    assert signal(CPU)[0] == 1
    theirs = DDPMScheduler(TIMES, schedule="linear_beta", beta_start=1e-4, beta_end=0.02)
    torch.testing.assert_close(signal(CPU)[1:], theirs.alphas_cumprod, rtol=1e-4, atol=1e-7)
    rates = np.linspace(1e-4, 0.02, TIMES)
    by_hand = np.exp(np.cumsum(np.log1p(-rates)))
    np.testing.assert_allclose(signal(CPU)[1:].numpy(), by_hand, rtol=1e-5)


@pytest.mark.parametrize("time", [1, 250, 1000])
def test_noised_slices_have_the_moments_of_the_closed_form(time):
    clean = torch.full((20_000, 1, 1, 1), 0.4)
    noise = torch.randn(clean.shape, generator=source())
    found = noised(clean, torch.full((len(clean),), time), noise)
    left = float(np.prod(1 - np.linspace(1e-4, 0.02, TIMES)[:time]))
    sd = (1 - left) ** 0.5
    assert found.mean().item() == pytest.approx(0.4 * left**0.5, abs=4 * sd / 20_000**0.5)
    assert found.std().item() == pytest.approx(sd, rel=0.03)


def test_noising_step_by_step_comes_to_the_closed_form():
    rates = np.linspace(1e-4, 0.02, TIMES)
    mean, variance = 1.0, 0.0
    for time in range(1, 301):
        mean *= (1 - rates[time - 1]) ** 0.5
        variance = variance * (1 - rates[time - 1]) + rates[time - 1]
    left = signal(CPU)[300].item()
    assert (mean**2, variance) == pytest.approx((left, 1 - left), rel=1e-5)


@given(st.integers(1, TIMES), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_what_was_added_comes_off_again(time, seed):
    clean = 2 * torch.rand(2, 1, 4, 4, generator=source(seed), dtype=torch.float64) - 1
    noise = torch.randn(clean.shape, generator=source(seed + 1), dtype=torch.float64)
    times = torch.full((2,), time)
    given_ = noised(clean, times, noise)
    torch.testing.assert_close(without_noise(given_, times, noise), clean, atol=1e-4, rtol=0)
    torch.testing.assert_close(noise_between(given_, times, clean), noise, atol=1e-4, rtol=0)


def test_a_velocity_takes_the_noise_off_and_0_is_the_best_linear_guess():
    clean, noise = torch.randn(2, 4000, 1, 1, 1, generator=source()).unbind()
    time = torch.full((4000,), 400)
    left = signal(CPU)[400].sqrt()
    seen = noised(clean, time, noise)
    velocity = left * noise - (1 - left**2).sqrt() * clean
    torch.testing.assert_close(without_velocity(seen, time, velocity), clean, atol=1e-4, rtol=0)
    best = (seen * clean).mean() / seen.square().mean() * seen
    guess = without_velocity(seen, time, torch.zeros_like(seen))
    assert (guess - best).abs().max() < 0.2


def test_slices_are_bounded_where_they_are_and_not_at_0_and_1():
    # a published reverse process bounds images in [-1, 1] to [0, 1], and loses all dark tissue
    dark = torch.full((1, 1, 2, 2), -0.8)
    time, noise = torch.tensor([100]), torch.zeros(1, 1, 2, 2)
    torch.testing.assert_close(without_noise(noised(dark, time, noise), time, noise), dark)
    far = without_noise(torch.full((1, 1, 2, 2), -5.0), time, noise)
    assert (far == -1).all()
    image = torch.linspace(0, 1, 5)
    torch.testing.assert_close(shown(centred(image)), image)


@given(st.integers(1, TIMES), st.integers(1, TIMES))
@settings(max_examples=50, deadline=None)
def test_times_fall_evenly_from_the_start_to_the_slice(start, steps):
    steps = min(start, steps)
    times = times_down(start, steps)
    assert (times[0], times[-1], len(times)) == (start, 0, steps + 1)
    falls = [now - then for now, then in pairwise(times)]
    assert min(falls) >= 1
    assert max(falls) - min(falls) <= 2


# --- the reverse process ------------------------------------------------------------------------


class Knowing(nn.Module):
    """A network that knows the noise."""

    def __init__(self, noise: torch.Tensor) -> None:
        super().__init__()
        self.noise, self.asked = noise, []
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, image: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        self.asked.append(time.tolist())
        return self.noise


@pytest.mark.parametrize("ddim_steps", [1, 7, 140])
def test_the_true_noise_gives_back_the_slice(ddim_steps):
    method = AnoDDPM(AnoDDPM.Params(ddim_steps=ddim_steps))
    method.seed_ = 0
    given_ = batch()
    method.network_ = Knowing(method.noise_for(given_))
    made = method.reconstruct_batch(given_)
    torch.testing.assert_close(made, given_.image, atol=1e-4, rtol=0)
    assert [times[0] for times in method.network_.asked] == list(times_down(140, ddim_steps)[:-1])


def test_a_step_is_that_of_another_library():
    theirs = DDIMScheduler(
        TIMES, schedule="linear_beta", beta_start=1e-4, beta_end=0.02, clip_sample=False
    )
    theirs.set_timesteps(100)
    image, noise = torch.rand(2, 3, 1, 8, 8, generator=source()).unbind()
    current = noised(0.2 * image, torch.full((3,), 250), noise)
    took = 0.1 * noise + 0.8  # not the noise that was added
    found = reverse(lambda *_: took, current, (241, 231))
    wanted, clean = theirs.step(took, 240, current)  # theirs counts from 0
    assert clean.abs().max() < 1  # nothing is cut off
    torch.testing.assert_close(found, wanted, atol=2e-4, rtol=0)


# --- the network --------------------------------------------------------------------------------


def awake(width: int = 4) -> Denoiser:
    """A network none of whose layers gives 0."""
    torch.manual_seed(0)
    network = Denoiser(1, width)
    for weight in network.parameters():
        nn.init.normal_(weight, std=0.2)
    return network.eval()


def test_the_network_looks_at_the_time_and_at_the_whole_slice():
    network, image = awake(), torch.rand(2, 1, 32, 32, generator=source())
    early, late = (network(image, torch.full((2,), time)) for time in (1, 400))
    assert early.shape == image.shape
    assert not torch.allclose(early, late, atol=1e-3)
    image.requires_grad_()
    network(image, torch.tensor([5, 5]))[0, 0, 0, 0].backward()
    assert (image.grad[0] != 0).all()
    assert (image.grad[1] == 0).all()


def test_attention_is_that_of_the_library():
    torch.manual_seed(0)
    attention, image = Attention(64), torch.randn(2, 64, 3, 5)
    nn.init.normal_(attention.answer.weight)
    heads = attention.asked(attention.norm(image)).flatten(2).transpose(1, 2)
    heads = heads.view(2, 15, 3, 2, 32).permute(2, 0, 3, 1, 4)
    seen = nn.functional.scaled_dot_product_attention(*heads)
    expected = image + attention.answer(seen.transpose(2, 3).reshape(2, 64, 3, 5))
    torch.testing.assert_close(attention(image), expected, atol=1e-4, rtol=0)


def test_it_says_nothing_before_it_has_learned():
    network = Denoiser(1, 4)
    assert (network(torch.rand(1, 1, 16, 16), torch.tensor([3])) == 0).all()


def test_times_are_told_by_sines_from_one_radian_to_a_ten_thousandth():
    found = sinusoids(torch.tensor([0, 7]), 8)
    frequencies = 1e4 ** (-np.arange(4) / 3)
    expected = np.concatenate([np.sin(7 * frequencies), np.cos(7 * frequencies)])
    np.testing.assert_allclose(found[1].numpy(), expected, atol=1e-5)
    assert found[0].tolist() == [0] * 4 + [1] * 4


# --- the methods --------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", EVERY, ids=lambda cls: cls.info.name)
def test_every_method_keeps_the_contract(cls):
    assert check_method(cls) == []


@pytest.mark.parametrize("cls", EVERY, ids=lambda cls: cls.info.name)
def test_the_bits_of_a_slice_do_not_depend_on_its_neighbours(cls):
    method, scan = fitted(cls), slices(6, 3)
    whole = method.score(scan)
    for rows in (slice(0, 1), slice(2, 5), slice(5, 6)):
        assert np.array_equal(method.score(scan.take(rows)), whole[rows])


def test_the_loss_is_0_for_a_network_that_knows_the_noise():
    # a published trainer compares (prediction + 1) / 2 with the noise
    method = fitted(AnoDDPM)
    given_ = batch()
    training = method.trainable(FitContext(0))
    example, time, noise = noisy_example(given_, method.params, source(5))
    assert time.min() >= 1
    assert time.max() <= method.params.trained_to
    torch.testing.assert_close(example, noised(centred(given_.image), time, noise))
    training.network = Knowing(noise)
    assert training.loss(given_, Turn("network", 1, source(5))).value == 0
    found = training.validate(given_, source(5))
    assert (found["misfit"] == 0).all()
    assert found["l1"].max() < 1e-4


@pytest.mark.parametrize("noise", ["gaussian", "simplex"])
def test_the_noise_at_test_is_of_the_kind_of_training(noise):
    method = AnoDDPM(AnoDDPM.Params(noise=noise))
    method.seed_ = 0
    maps = method.noise_for(batch())
    near = (maps[..., 1:] * maps[..., :-1]).mean()
    assert near > 0.3 if noise == "simplex" else near.abs() < 0.1


def test_another_seed_draws_other_noise_at_test():
    maps = []
    for seed in (0, 1):
        method = AnoDDPM(AnoDDPM.Params(**TINY))
        method.fit(slices(4), slices(4, 1), FitContext(seed))
        maps.append(method.noise_for(batch()))
    assert not torch.equal(*maps)


def test_a_schedule_beyond_the_training_is_refused_when_a_run_is_planned(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    asked = ("--param", "anoddpm.start=600", "--param", "anoddpm.ddim_steps=700")
    where = ("--datasets", "wmh", "--no-mlflow", "--dry-run")
    assert main(["run", "--methods", "anoddpm", *asked, *where]) == 2
    said = capsys.readouterr().err
    assert "start 600 is more noise than trained_to 300" in said
    assert "ddim_steps 700 is more than start 600" in said
    assert len(said.strip().splitlines()) == 1


@pytest.mark.parametrize("cls", [AnoDDPM, PDDPM, DISYRE])
def test_a_network_that_makes_one_slice_of_all_is_named(cls, monkeypatch):
    monkeypatch.setattr(cls, "reconstruct", lambda self, scan: 0.5 * scan.brain.astype(np.float32))
    with pytest.raises(DivergenceError, match="the network collapsed"):
        fitted(cls)


def test_a_network_that_fills_in_one_slice_whatever_it_sees_is_named(monkeypatch):
    made = torch.rand(1, 1, 32, 32, generator=source())

    def fill_in_alike(network, batch, mask, noise):
        return torch.where(mask, made, batch.image) * batch.brain

    monkeypatch.setattr("uad_bench.methods.itermask2.filled_in", fill_in_alike)
    with pytest.raises(DivergenceError, match="the network collapsed"):
        fitted(IterMask2)


def lesioned(count: int = 4) -> tuple[Slices, np.ndarray]:
    """Healthy brains with a bright square painted in, and where it is."""
    scan = slices(count, seed=9)
    lesion = np.zeros_like(scan.brain)
    lesion[:, :, 9:14, 15:21] = True
    scan.image[lesion] = 0.8  # no further from the rest than ventricles are
    return scan, lesion


@given(st.integers(1, 5), st.integers(5, 20), st.integers(5, 20))
@settings(max_examples=20, deadline=None)
def test_every_pixel_is_in_one_box(grid, height, width):
    found = boxes(torch.zeros(1, 1, height, width), grid)
    assert found.shape == (grid * grid, height, width)
    assert (found.sum(dim=0) == 1).all()
    assert found.flatten(1).any(dim=1).all()


class Watching(nn.Module):
    """Says 0, and keeps what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, image: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        self.seen.append(image)
        return 0 * image


def test_what_is_around_a_box_is_seen_as_it_is():
    method, given_ = PDDPM(), batch()
    method.seed_, method.network_ = 0, Watching()
    method.reconstruct_batch(given_)
    assert len(method.network_.seen) == 4
    image = centred(given_.image)
    for box, seen in zip(boxes(image, 2), method.network_.seen, strict=True):
        assert torch.equal(seen[..., ~box], image[..., ~box])
        assert not torch.isclose(seen[..., box], image[..., box]).any(dim=2).all()


def test_the_loss_of_a_box_counts_inside_it_alone():
    method, given_ = fitted(PDDPM), batch()
    training = method.trainable(FitContext(0))
    training.network = Watching()
    found = training.validate(given_, source(3))["misfit"]
    (seen,) = training.network.seen
    image = centred(given_.image)
    (_, time, _) = noisy_example(given_, method.params, source(3))
    made = without_velocity(seen, time, torch.zeros_like(seen))
    for one in range(4):
        changed = [box for box in boxes(image, 2) if (seen != image)[one, 0, box].any()]
        (box,) = changed
        expected = (made - image).abs()[one, 0, box].mean()
        torch.testing.assert_close(found[one], expected)


@cache
def trained(cls, steps: int):
    """The state after a short training."""
    method = cls(cls.Params(**SHORT, steps=steps))
    method.fit(slices(40), slices(8, 1), FitContext(0))
    return method.state()


SLOW = [pytest.param(cls, marks=pytest.mark.slow) for cls in (PDDPM, DISYRE)]


@pytest.mark.parametrize("cls", [AnoDDPM, THOR, IterMask2, *SLOW], ids=lambda cls: cls.info.name)
def test_learning_tells_a_painted_lesion_from_healthy_tissue(cls):
    scan, lesion = lesioned()
    found = []
    for steps in (1, 80):
        method = cls(cls.Params(**SHORT))
        method.load(trained(cls.trained_as or cls, steps))
        method.calibrate(slices(8, 1), FitContext(0))
        score = method.score(scan)
        found.append(roc_auc_score(lesion[scan.brain], score[scan.brain]))
    assert found[1] > max(found[0] + 0.03, 0.8)
    assert np.median(score[lesion]) > np.quantile(score[scan.brain & ~lesion], 0.7)
