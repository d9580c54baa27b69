"""The training loop: determinism, the state it keeps, what it reports and when it gives up."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from uad_bench.errors import DeviceMemoryError, DivergenceError, UadBenchError
from uad_bench.method import FitContext, MethodInfo, Slices
from uad_bench.models.batches import SIZE, Batch, in_batches
from uad_bench.models.corruption.self_supervision import clean
from uad_bench.models.latent.gaussians import Gaussian, Sampler
from uad_bench.models.latent.variational import GaussianLatent, GaussianNetwork
from uad_bench.models.losses.pixelwise import absolute_error
from uad_bench.runner.detectors.params import validated
from uad_bench.runner.failures import failure_reason
from uad_bench.training import Loss, VariationalParams, VariationalReconstruction
from uad_bench.training.loop.feed import feed, resident
from uad_bench.training.variational import VariationalTraining

WIDE = 32


def brains(count: int, seed: int = 0) -> Slices:
    """Noisy discs of two tissues."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:WIDE, :WIDE] - (WIDE - 1) / 2
    radius = np.hypot(row, column)[None, None] / rng.uniform(11, 15, (count, 1, 1, 1))
    image = np.where(radius < 0.6, 0.5, 0.65) + rng.normal(0, 0.02, radius.shape)
    brain = radius < 1
    values = np.where(brain, image.clip(0, 1), 0).astype(np.float32)
    return Slices(values, brain, np.arange(count) % 7, (2.0, 6.0, 6.0))


class _Encoder(nn.Module):
    """Mean and log-variance by one convolution each."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, image: Tensor) -> Gaussian:
        return Gaussian(*self.norm(self.layers(image)).chunk(2, dim=1))


class _Network(GaussianNetwork):
    def divergence(self, latent: GaussianLatent, z: Tensor) -> Tensor:
        return latent.posterior.mean.square().sum(dim=(1, 2, 3)) + 0 * z


class Tiny(VariationalReconstruction):
    """The smallest deep method."""

    info = MethodInfo("tiny", "Tiny")

    def network(self) -> GaussianNetwork:
        decoder = nn.Sequential(nn.Conv2d(2, 1, 1), nn.Sigmoid())
        return _Network(_Encoder(), decoder, self.params.sampler)


def fit(seed: int = 0, train: Slices | None = None, **params) -> tuple[Tiny, object]:
    method = Tiny(
        VariationalParams(**{"steps": 20, "batch_size": 4, "learning_rate": 1e-2, **params})
    )
    data = brains(24) if train is None else train
    return method, method.fit(data, brains(10, seed=1), FitContext(seed))


def bits(method: Tiny) -> list[bytes]:
    return [array.tobytes() for array in method.state().values()]


def test_a_seed_gives_the_same_bits_and_another_seed_does_not():
    first, second, other = fit(3)[0], fit(3)[0], fit(4)[0]
    assert bits(first) == bits(second)
    assert bits(first) != bits(other)


def test_training_leaves_the_global_random_state_alone():
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    fit()
    assert torch.equal(torch.rand(3), expected)


def test_training_on_memory_maps_gives_the_same_bits(tmp_path: Path):
    data = brains(24)
    for name in ("image", "brain"):
        np.save(tmp_path / f"{name}.npy", getattr(data, name))
    mapped = Slices(
        np.load(tmp_path / "image.npy", mmap_mode="r"),
        np.load(tmp_path / "brain.npy", mmap_mode="r"),
        data.z,
        data.spacing,
    )
    assert bits(fit()[0]) == bits(fit(train=mapped)[0])


def test_training_lowers_the_validation_loss_and_reports_what_it_kept():
    method, report = fit(steps=60)
    curve = dict(report.curves["validation_loss"])
    assert list(curve) == [15, 30, 45, 60]
    assert len(curve) == VariationalParams().checks
    assert curve[60] < 0.9 * curve[15]
    kept = report.validation["l1"] + method.params.beta * report.validation["kl"]
    assert kept == pytest.approx(min(curve.values()))
    assert report.steps == 60
    assert report.slices_seen == 240


def test_the_state_kept_is_the_one_with_the_best_validation_loss():
    # a learning rate this high makes the loss jump, so that the last check is not the best
    for seed in range(8):
        method, report = fit(seed, steps=40, learning_rate=1.0, decay=1.0, corruption="none")
        curve = dict(report.curves["validation_loss"])
        validation = brains(10, seed=1)
        l1 = np.abs(validation.image - method.reconstruct(validation)).mean()
        assert l1 == pytest.approx(report.validation["l1"], rel=1e-4)
        if min(curve.values()) < curve[40]:
            return
    pytest.fail("no run in which the last state was not the best")


def test_progress_is_reported_every_few_steps_and_at_the_end():
    steps = []
    method = Tiny(VariationalParams(steps=25, batch_size=4))
    context = FitContext(0, report=lambda step, values: steps.append((step, set(values))))
    method.fit(brains(8), brains(4), context)
    assert steps == [(step, {"loss", "l1", "kl"}) for step in (10, 20, 25)]


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_stops_training_with_one_line(poison):
    data = brains(8)
    data.image[3, 0, 16, 16] = poison
    with pytest.raises(DivergenceError, match="lower learning_rate or beta") as caught:
        fit(train=data)
    assert "\n" not in str(caught.value)


def test_a_loss_that_is_not_finite_names_its_own_step_however_late_it_is_seen(monkeypatch):
    original = VariationalTraining.loss

    def loss(self, batch, turn):
        made = original(self, batch, turn)
        return Loss(made.value * (np.nan if turn.step == 13 else 1), made.parts)

    monkeypatch.setattr(VariationalTraining, "loss", loss)
    seen = []
    method = Tiny(VariationalParams(steps=40, batch_size=4))
    with pytest.raises(DivergenceError, match="at step 13 "):
        method.fit(brains(8), brains(4), FitContext(0, report=lambda step, _: seen.append(step)))
    assert seen == [10]


class Waits(TorchDispatchMode):
    """Counts what would wait for a GPU: values that Python looks at, and shapes made of them."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name
        self.count += name in {"aten::_local_scalar_dense", "aten::nonzero", "aten::equal"}
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("given", [{}, {"corruption": "noise"}, {"clean_target": True}], ids=str)
def test_no_step_waits_for_the_device(given, monkeypatch):
    monkeypatch.setattr("uad_bench.training.loop.feed.free_memory", lambda _: 1 << 40)
    data = brains(24)
    data.image[::2, 0, 15:17, 15:17] = 1.0
    waits = []
    for steps in (2, 9):
        with Waits() as counted:
            fit(train=data, steps=steps, checks=1, perceptual_weight=0.1, **given)
        waits.append(counted.count)
    assert waits[0] == waits[1] > 0


@pytest.mark.gpu
@pytest.mark.parametrize("clean_target", [False, True])
def test_no_step_waits_for_a_gpu(clean_target):
    waits = []
    for steps in (2, 9):
        given = {"steps": steps, "batch_size": 4, "checks": 1, "clean_target": clean_target}
        method = Tiny(VariationalParams(**given))
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                method.fit(brains(24), brains(10, seed=1), FitContext(0, device="cuda:0"))
            finally:
                torch.cuda.set_sync_debug_mode("default")
        waits.append(sum("synchronizing" in str(one.message) for one in said))
    assert waits[0] == waits[1]


@pytest.mark.gpu
def test_a_gpu_learns_what_the_cpu_learns():
    found = []
    for device in ("cpu", "cuda:0"):
        method = Tiny(VariationalParams(steps=20, batch_size=4, corruption="none", snr=1e6))
        report = method.fit(brains(24), brains(10, seed=1), FitContext(0, device=device))
        found.append(report.validation["l1"])
    assert found[1] == pytest.approx(found[0], rel=0.02)


def test_slices_on_the_device_make_the_same_batches():
    data, device = brains(600), torch.device("cpu")
    data.image[:, 0, 15:17, 15:17] = 1.0

    def cleaned(batch: Batch) -> Batch:
        return replace(batch, target=clean(batch.image, batch.brain))

    order = np.random.default_rng(0).integers(600, size=(5, 4))
    for rows, batch in zip(order, resident(data, order, device, cleaned), strict=True):
        expected = cleaned(Batch.read(data, rows, device))
        assert not torch.equal(expected.target, expected.image)
        assert all(
            torch.equal(getattr(batch, name), getattr(expected, name))
            for name in ("image", "brain", "z", "target")
        )
        assert batch.spacing == expected.spacing


def test_slices_stay_on_the_device_where_they_fit_with_room_to_spare(monkeypatch):
    data, device = brains(8), torch.device("cpu")
    made = []
    monkeypatch.setattr(
        "uad_bench.training.loop.feed.resident", lambda *_: made.append(1) or iter(())
    )
    size = data.image.nbytes + data.brain.nbytes
    with_targets = size + data.image.nbytes
    for needed, prepare in (
        (size, lambda batch: batch),
        (with_targets, lambda batch: replace(batch, target=batch.image)),
    ):
        made.clear()
        for free in (0, 4 * needed - 1, 4 * needed):
            monkeypatch.setattr(
                "uad_bench.training.loop.feed.free_memory", lambda _, free=free: free
            )
            feed(data, np.zeros((1, 2), np.int64), device, prepare)
        assert len(made) == 1


@pytest.mark.parametrize("task", ["fit", "score"])
def test_too_little_memory_is_one_line(monkeypatch, task):
    method = fit(steps=1)[0]

    def fail(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nSee ...")

    monkeypatch.setattr(_Encoder, "forward", fail)
    with pytest.raises(DeviceMemoryError, match="cpu has too little memory") as caught:
        fit(steps=1) if task == "fit" else method.score(brains(1))
    assert "\n" not in str(caught.value)
    assert failure_reason(caught.value) == str(caught.value)  # of this method, not of the run


def test_fewer_slices_than_a_batch_are_refused_in_one_line():
    with pytest.raises(UadBenchError, match="3 training slices do not fill a batch of 4") as caught:
        fit(train=brains(3), batch_size=4)
    assert not isinstance(caught.value, DivergenceError)
    assert "lower batch_size" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert fit(train=brains(4), batch_size=4, steps=2)[1].slices_seen == 8


def test_the_learning_rate_decays_over_a_hundred_parts_of_the_run_or_per_epoch(monkeypatch):
    rates = []
    original = torch.optim.Adam.step

    def watch(self, *args, **kwargs):
        rates.append(self.param_groups[0]["lr"])
        return original(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.Adam, "step", watch)
    fit(steps=200, learning_rate=1e-3, decay=0.97, batch_size=2)
    np.testing.assert_allclose(rates, 1e-3 * 0.97 ** (np.arange(200) // 2), rtol=1e-6)
    rates.clear()
    fit(steps=30, learning_rate=1e-3, decay=0.97, batch_size=4, decay_per="epoch")
    np.testing.assert_allclose(rates, 1e-3 * 0.97 ** (4 * np.arange(30) // 24), rtol=1e-6)


@pytest.mark.parametrize(
    ("corruption", "is_painted"), [("rectangles", True), ("noise", True), ("none", False)]
)
def test_what_is_painted_goes_into_the_input_and_never_into_the_target(
    monkeypatch, corruption, is_painted
):
    seen = []
    original = Tiny.network

    def network(self):
        made = original(self)
        made.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        return made

    monkeypatch.setattr(Tiny, "network", network)
    _, report = fit(corruption=corruption, steps=5)
    brightest = max(image.max().item() for image in seen)
    assert (brightest > 0.85) is is_painted
    assert report.validation["l1"] < 0.5


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


def test_the_sampler_follows_the_parameters():
    assert VariationalParams(snr=9.0).sampler == Sampler(9.0, "sample")
    assert VariationalParams(reparameterisation="plain").sampler == Sampler(None, "sample")
    assert VariationalParams(norm_scope="batch").sampler == Sampler(16.0, "batch")


def test_after_a_short_run_the_running_statistics_are_those_of_the_batches_seen(monkeypatch):
    seen = []
    original = _Encoder.forward

    def watch(self, image):
        if self.training:
            seen.append(self.layers(image).detach().mean(dim=(0, 2, 3)))
        return original(self, image)

    monkeypatch.setattr(_Encoder, "forward", watch)
    method, _ = fit(steps=6)
    expected = torch.stack(seen).mean(dim=0)
    torch.testing.assert_close(method.network_.encoder.norm.running_mean, expected)


def test_the_perceptual_loss_changes_what_is_learnt_and_is_named_in_the_report():
    plain, without = fit(steps=4, perceptual_weight=0.0)
    method, report = fit(steps=4)
    assert bits(method) != bits(plain)
    assert list(method.state()) == list(plain.state())
    assert "no perceptual loss" in without.notes
    assert any(
        re.fullmatch(r"perceptual loss: efficientnet-lite0, SHA-256 [0-9a-f]{64}", note)
        for note in report.notes
    )


def test_the_native_loss_is_trained_and_selects_and_knows_no_smoothness_or_perception():
    plain, native = fit(), fit(loss="native", beta=0.01)
    assert bits(native[0]) != bits(plain[0])
    same, report = fit(loss="native", beta=0.01, tv_weight=3.0, perceptual_weight=2.0)
    assert bits(same) == bits(native[0])
    assert "native loss" in report.notes
    validation = brains(10, seed=1)
    method = fit(loss="native", beta=0.01, corruption="none")
    squares = (validation.image - method[0].reconstruct(validation)) ** 2
    kept = 0.5 * squares.sum(axis=(1, 2, 3)).mean() + 0.01 * method[1].validation["kl"]
    assert min(loss for _, loss in method[1].curves["validation_loss"]) == pytest.approx(kept, 1e-4)


def test_the_weight_of_the_divergence_rises_in_a_straight_line_to_beta():
    params = VariationalParams(beta=0.4, steps=100, warmup=0.2)
    found = [params.beta_at(step) for step in (1, 10, 20, 21, 100)]
    np.testing.assert_allclose(found, [0.02, 0.2, 0.4, 0.4, 0.4])
    assert {VariationalParams(beta=0.4).beta_at(step) for step in (1, 50)} == {0.4}
    for warmup in (-0.1, 1.0):
        with pytest.raises(UadBenchError, match=r"tiny\.warmup"):
            validated(Tiny, {"warmup": warmup})


def test_a_warm_up_changes_the_first_steps_and_states_are_compared_by_the_full_weight():
    losses = {}
    for warmup in (0.0, 0.9):
        seen = []
        method = Tiny(VariationalParams(steps=30, batch_size=4, beta=0.01, warmup=warmup))
        context = FitContext(0, report=lambda _, values, seen=seen: seen.append(values))
        report = method.fit(brains(24), brains(10, seed=1), context)
        losses[warmup] = [v["loss"] - 0.01 * v["kl"] for v in seen]
        kept = report.validation["l1"] + 0.01 * report.validation["kl"]
        assert kept == pytest.approx(min(loss for _, loss in report.curves["validation_loss"]))
    assert losses[0.9][0] < 0 < losses[0.0][0]


def test_without_a_perceptual_loss_its_weights_are_not_asked_for():
    values = {"perceptual_weight": 0.1, "perceptual": "vgg19", "loss": "native"}
    assert not validated(Tiny, values).perceived


def test_vgg19_without_a_file_is_refused_when_the_parameters_are_read():
    with pytest.raises(UadBenchError) as caught:
        validated(Tiny, {"perceptual_weight": 0.1, "perceptual": "vgg19"})
    assert str(caught.value).endswith("perceptual vgg19 needs a weight file: set vgg19_weights")
    assert not VariationalParams(perceptual="vgg19", perceptual_weight=0.0).perceived


def test_a_clean_target_leaves_the_input_as_it_is_and_is_counted(monkeypatch):
    data = brains(24)
    data.image[::2, 0, 15:17, 15:17] = 1.0
    seen, targets = [], []
    original = Tiny.network

    def network(self):
        made = original(self)
        made.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        return made

    def watch(image, reconstruction):
        targets.append(image)
        return absolute_error(image, reconstruction)

    monkeypatch.setattr(Tiny, "network", network)
    monkeypatch.setattr("uad_bench.training.variational.absolute_error", watch)
    _, report = fit(train=data, clean_target=True, corruption="none", steps=6, batch_size=4)
    assert max(image.max().item() for image in seen) == 1.0
    assert max(image.max().item() for image in targets) < 0.9
    # 6 x 4 slices are the whole dataset once, of which half have a spot of 4 pixels
    assert "target cleaned of 48 pixels in 12 of 24 slices drawn" in report.notes


def test_on_slices_without_outliers_a_clean_target_changes_no_bit():
    data = brains(24)
    pairs = zip(data.image, data.brain, strict=True)
    assert all(image.max() < np.median(image[brain]) + 3 * 0.08 for image, brain in pairs)
    method, report = fit(train=data, clean_target=True)
    assert bits(method) == bits(fit(train=data)[0])
    assert "target cleaned of 0 pixels in 0 of 80 slices drawn" in report.notes


def test_a_run_ends_when_its_patience_does_and_keeps_the_best_state():
    # a learning rate this high makes the loss jump, so that some check is not the best
    jumpy = {"steps": 80, "checks": 20, "learning_rate": 1.0, "decay": 1.0, "corruption": "none"}
    _, whole = fit(2, **jumpy)
    losses = [loss for _, loss in whole.curves["validation_loss"]]
    since, expected = 0, len(losses)
    for number, loss in enumerate(losses):
        since = 0 if loss < min(losses[:number], default=np.inf) else since + 1
        if since == 2:
            expected = number + 1
            break
    assert expected < len(losses)
    method, report = fit(2, **jumpy, patience=2)
    found = report.curves["validation_loss"]
    assert [loss for _, loss in found] == losses[:expected]
    assert report.steps == 4 * expected
    assert report.slices_seen == 16 * expected
    assert f"stopped at step {4 * expected} of 80: 2 checks in vain" in report.notes
    validation = brains(10, seed=1)
    l1 = np.abs(validation.image - method.reconstruct(validation)).mean()
    assert l1 == pytest.approx(report.validation["l1"], rel=1e-4)
    assert min(losses[:expected]) == pytest.approx(
        report.validation["l1"] + method.params.beta * report.validation["kl"]
    )


def test_a_run_that_always_improves_is_not_cut_short_and_gives_the_same_bits():
    method, report = fit(steps=60, patience=1)
    assert report.steps == 60
    assert not any("in vain" in note for note in report.notes)
    assert bits(method) == bits(fit(steps=60)[0])
