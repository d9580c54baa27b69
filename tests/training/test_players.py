"""Whatever says its loss is trained: several players in turns, a student, a diffusion model."""

from __future__ import annotations

import copy

import pytest
import torch
from made_player import Student, slices
from torch import Tensor, nn

from uad_bench.errors import DivergenceError
from uad_bench.method import FitContext, FitReport, MethodInfo, Slices
from uad_bench.models.batches import Batch
from uad_bench.plugins.conformance import check_method
from uad_bench.training import (
    DeepReconstruction,
    Loss,
    Player,
    Trainable,
    TrainingParams,
    Turn,
    train_players,
)


class Game(Trainable):
    """Two scales that are drawn to different values, and a network that is no player."""

    def __init__(self, turns: int = 1) -> None:
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1)
        self.teacher = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)).eval()
        self.turns = turns
        self.asked: list[tuple[str, int]] = []
        self.batches: list[Tensor] = []
        self.best = -1

    @property
    def players(self) -> tuple[Player, ...]:
        return (Player("first", self.first, self.turns), Player("second", self.second))

    def optimiser(self, player: Player, learning_rate: float) -> torch.optim.Optimizer:
        if player.name == "first":
            return torch.optim.SGD(player.module.parameters(), lr=learning_rate)
        return super().optimiser(player, learning_rate)

    def loss(self, batch: Batch, turn: Turn) -> Loss:
        self.asked.append((turn.player, turn.step))
        self.batches.append(batch.image)
        with torch.no_grad():
            wanted = self.teacher(batch.image)
        made = self.second(self.first(batch.image))  # whoever's turn it is, both get gradients
        error = (made - wanted).square().mean()
        return Loss(error, {"size": made.abs().mean()} if turn.player == "second" else {})

    def validate(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        assert not self.first.training
        assert not torch.is_grad_enabled()
        drawn = torch.rand(len(batch.z), generator=generator)
        return {"drawn": drawn, "bias": self.first.bias.expand(len(batch.z))}


def run(game: Game, **params) -> tuple[FitReport, list[dict[str, float]]]:
    shown: list[dict[str, float]] = []
    context = FitContext(0, report=lambda _, values: shown.append(dict(values)))
    values = {"steps": 4, "batch_size": 2, "checks": 2, **params}
    report = train_players(game, TrainingParams(**values), slices(12), slices(6, 1), context)
    return report, shown


def test_players_take_their_turns_in_order_each_with_a_fresh_batch():
    game = Game(turns=3)
    report, _ = run(game, steps=2)
    step = ["first", "first", "first", "second"]
    assert game.asked == [(name, number) for number in (1, 2) for name in step]
    assert report.slices_seen == 2 * 4 * 2
    seen = torch.cat(game.batches[:6])  # 12 slices: the whole dataset once
    assert len({image.sum().item() for image in seen}) == 12


def test_only_the_weights_of_the_player_whose_turn_it_is_move(monkeypatch):
    game, moved = Game(), []
    original = Game.loss

    def watch(self, batch, turn):
        moved.append([copy.deepcopy(part.state_dict()) for part in (self.first, self.second)])
        return original(self, batch, turn)

    monkeypatch.setattr(Game, "loss", watch)
    run(game)
    for before, after, (name, _) in zip(moved, moved[1:], game.asked, strict=False):
        kept = [torch.equal(before[i]["weight"], after[i]["weight"]) for i in (0, 1)]
        assert kept == [name != "first", name != "second"]


def test_what_is_no_player_is_not_trained():
    game = Game()
    teacher = game.teacher
    before = copy.deepcopy(teacher.state_dict())
    run(game)
    assert not teacher.training
    assert all(
        torch.equal(value, before[name]) for name, value in game.teacher.state_dict().items()
    )


def test_progress_names_the_player():
    _, shown = run(Game())
    assert [set(values) for values in shown] == [{"first loss", "second loss", "second size"}]


def test_every_check_draws_the_same_and_the_first_metric_chooses():
    report, _ = run(Game(), steps=6, checks=3)
    drawn = [value for _, value in report.curves["validation_drawn"]]
    assert len(set(drawn)) == 1
    assert report.curves["validation_loss"] == report.curves["validation_drawn"]
    # of equals the first is kept, with the metrics of its own check
    assert report.validation["bias"] == report.curves["validation_bias"][0][1]


def test_every_player_is_left_in_the_state_that_was_judged_best(monkeypatch):
    judged, states = [], []

    def judge(self, metrics):
        judged.append(metrics)
        states.append([copy.deepcopy(part.state_dict()) for part in (self.first, self.second)])
        return [3.0, 1.0, 2.0][len(judged) - 1]

    monkeypatch.setattr(Game, "judge", judge)
    game = Game()
    report, _ = run(game, steps=6, checks=3)
    assert report.validation == judged[1]
    for part, state in zip((game.first, game.second), states[1], strict=True):
        assert all(torch.equal(value, state[name]) for name, value in part.state_dict().items())
    assert not torch.equal(states[1][0]["weight"], states[2][0]["weight"])


def test_a_loss_that_is_not_finite_names_what_may_be_too_high(monkeypatch):
    monkeypatch.setattr(Game, "suspects", ("batch_size",))
    monkeypatch.setattr(Game, "loss", lambda *_: Loss(torch.tensor(torch.nan, requires_grad=True)))
    with pytest.raises(DivergenceError) as caught:
        run(Game())
    assert str(caught.value) == (
        "the loss of first is no longer finite at step 1 (batch_size 2, learning_rate 0.002); "
        "lower learning_rate or batch_size"
    )


class Diffusion(DeepReconstruction, Trainable):
    """Learns to take noise off at every level; the reconstruction starts from half of it."""

    info = MethodInfo("diffusion", "Diffusion")
    objective = ("error",)

    def build(self) -> None:
        layers = nn.Conv2d(2, 8, 3, padding=1), nn.LeakyReLU(), nn.Conv2d(8, 1, 3, padding=1)
        self.network_ = nn.Sequential(*layers)

    def trainable(self, context: FitContext) -> Trainable:
        return self

    @property
    def players(self) -> tuple[Player, ...]:
        return (Player("network", self.network_),)

    def loss(self, batch: Batch, turn: Turn) -> Loss:
        return Loss(self.error(batch, turn.generator).mean())

    def validate(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        return {"error": self.error(batch, generator)}

    def error(self, batch: Batch, generator: torch.Generator) -> Tensor:
        level = torch.rand(len(batch.z), 1, 1, 1, generator=generator)
        noise = torch.randn(batch.image.shape, generator=generator)
        clean = self.clean((1 - level) * batch.image + level * noise, level)
        return (clean - batch.image).square().mean(dim=(1, 2, 3))

    def clean(self, noisy: Tensor, level: Tensor) -> Tensor:
        given = torch.cat([noisy, level.expand_as(noisy)], dim=1)
        made: Tensor = self.network_(given).sigmoid()
        return made

    def reconstruct_batch(self, batch: Batch) -> Tensor:
        noise = torch.randn(batch.image[0].shape, generator=torch.Generator().manual_seed(0))
        return self.clean(0.5 * (batch.image + noise), torch.full((1, 1, 1, 1), 0.5))


@pytest.mark.parametrize("cls", [Student, Diffusion])
def test_a_student_and_a_diffusion_model_keep_the_contract_of_methods(cls):
    assert check_method(cls) == []


class InStages(Student):
    """Trains twice: the second stage goes on from the first."""

    info = MethodInfo("in-stages", "In stages")

    def fit(self, train: Slices, validation: Slices, context: FitContext) -> FitReport:
        self.initialise(context)
        given = (self, self.params, train, validation, context)
        return [train_players(*given) for _ in range(2)][-1]


def test_training_in_two_stages_goes_on_from_the_first_and_keeps_the_contract():
    assert check_method(InStages) == []
    fitted = [cls(TrainingParams(steps=20)) for cls in (Student, InStages)]
    once, twice = (method.fit(slices(12), slices(6, 1), FitContext(0)) for method in fitted)
    assert torch.equal(fitted[0].teacher_.weight, fitted[1].teacher_.weight)
    assert twice.validation["distance"] < once.validation["distance"]
