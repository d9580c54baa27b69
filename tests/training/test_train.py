"""The training loop: determinism, the state it keeps, what it reports and when it gives up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_method import Encoder, Tiny, bits, brains, fit

from uad_bench.errors import DivergenceError, UadBenchError
from uad_bench.method import FitContext, Slices
from uad_bench.training import Loss, VariationalParams
from uad_bench.training.variational import VariationalTraining


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


def test_after_a_short_run_the_running_statistics_are_those_of_the_batches_seen(monkeypatch):
    seen = []
    original = Encoder.forward

    def watch(self, image):
        if self.training:
            seen.append(self.layers(image).detach().mean(dim=(0, 2, 3)))
        return original(self, image)

    monkeypatch.setattr(Encoder, "forward", watch)
    method, _ = fit(steps=6)
    expected = torch.stack(seen).mean(dim=0)
    torch.testing.assert_close(method.network_.encoder.norm.running_mean, expected)


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
