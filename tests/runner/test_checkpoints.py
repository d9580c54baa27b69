"""A training that was stopped or killed goes on to the same bits, or begins anew and says why."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from made_player import Student, slices
from torch import Tensor, nn

import uad_bench
from uad_bench.errors import UadBenchError
from uad_bench.method import FitContext, FitReport
from uad_bench.models.batches import Batch
from uad_bench.plugins.conformance import check_method
from uad_bench.runner.detectors import checkpoints
from uad_bench.runner.detectors.checkpoints import Checkpoints
from uad_bench.runner.detectors.folder import DetectorRecord, read_record
from uad_bench.training import Loss, Player, Trainable, TrainingParams, Turn, train_players
from uad_bench.training.variational import VariationalTraining

STEPS = 12
PARAMS = TrainingParams(
    steps=STEPS, batch_size=2, checks=STEPS, patience=2, decay=0.9, decay_per="epoch"
)


class Following(Trainable):
    """A student with drawn noise, a network that follows it slowly, and a critic of both."""

    def __init__(self, stop: Callable[[int], None] = lambda _: None) -> None:
        torch.manual_seed(0)
        self.student = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2))
        self.critic = nn.Conv2d(2, 1, 1)
        self.follower = nn.Conv2d(1, 2, 3, padding=1)
        self.seen = torch.zeros((), dtype=torch.int64)
        self.stop = stop

    @property
    def players(self) -> tuple[Player, ...]:
        return Player("student", self.student), Player("critic", self.critic, turns=2)

    @property
    def extra_state(self) -> dict[str, Tensor]:
        return {"seen": self.seen, **self.follower.state_dict()}

    @property
    def notes(self) -> tuple[str, ...]:
        return (f"{int(self.seen)} slices",)

    def optimiser(self, player: Player, learning_rate: float) -> torch.optim.Optimizer:
        if player.name == "critic":
            return torch.optim.SGD(player.module.parameters(), learning_rate, momentum=0.9)
        return super().optimiser(player, learning_rate)

    def loss(self, batch: Batch, turn: Turn) -> Loss:
        self.stop(turn.step)
        self.seen += len(batch.z)
        noise = torch.randn(batch.image.shape, generator=turn.generator)
        made = self.student(batch.image + noise)
        if turn.player == "critic":
            return Loss((self.critic(made.detach()) - batch.image).square().mean())
        with torch.no_grad():
            for slow, fast in zip(
                self.follower.parameters(), self.student[0].parameters(), strict=True
            ):
                slow.lerp_(fast, 0.5)
            wanted = self.follower(batch.image)
        return Loss((made - wanted).square().mean() + self.critic(made).square().mean())

    def validate(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        made = self.critic(self.student(batch.image))
        return {"error": (made - batch.image).square().mean(dim=(1, 2, 3))}

    def judge(self, metrics: dict[str, float]) -> float:
        return abs(metrics["error"] - 0.56)


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def context(tmp_path: Path, told: list[str]) -> Callable[[], FitContext]:
    """Makes what a process gives a fit: the files stay, the rest is new."""

    def make() -> FitContext:
        kept = Checkpoints(tmp_path / "key", "train x", "cpu", lambda e: told.append(e.text))
        return FitContext(3, checkpoint=kept)

    return make


def train(game: Following, context: FitContext) -> tuple[FitReport, list[bytes]]:
    report = train_players(game, PARAMS, slices(11), slices(6, 1), context)
    modules = game.student, game.critic, game.follower
    weights = [value for module in modules for value in module.state_dict().values()]
    return report, [value.numpy().tobytes() for value in weights]


@pytest.fixture(scope="module")
def unbroken() -> tuple[FitReport, list[bytes]]:
    return train(Following(), FitContext(3))


def at(step: int) -> Callable[[int], None]:
    """Send the signal of Ctrl-C once, in the midst of a step."""
    left = [step]

    def stop(here: int) -> None:
        if here in left:
            left.clear()
            os.kill(os.getpid(), signal.SIGINT)

    return stop


def file(tmp_path: Path) -> Path:
    return tmp_path / ".training-key" / "1"


def stop(context: Callable[[], FitContext], step: int = 3) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(Following(at(step)), context())


def test_a_training_that_is_stopped_at_any_step_ends_in_the_same_bits(unbroken, context, told):
    assert unbroken[0].steps < STEPS  # it ends early, which a training that goes on must do too
    for step in range(1, unbroken[0].steps):
        stop(context, step)
    assert train(Following(), context()) == unbroken
    assert told[-1].startswith("train x: goes on from its checkpoint, after")
    # one whose end was reached is not trained again
    assert train(Following(at(unbroken[0].steps + 1)), context()) == unbroken


def test_a_kill_loses_what_was_done_since_the_last_checkpoint_and_no_more(
    unbroken, context, told, monkeypatch
):
    monkeypatch.setattr(checkpoints, "EVERY_S", 0.0)

    def die(step: int) -> None:
        if step == 4:
            raise SystemExit

    with pytest.raises(SystemExit):
        train(Following(die), context())
    asked: list[int] = []
    assert train(Following(asked.append), context()) == unbroken
    assert min(asked) == 4


def test_a_second_signal_stops_at_once(context, tmp_path):
    def twice(step: int) -> None:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError

    with pytest.raises(KeyboardInterrupt):
        train(Following(twice), context())
    assert not file(tmp_path).exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def cut(data: bytes) -> bytes:
    return data[:-9]


def flipped(data: bytes) -> bytes:
    return data[:-400] + bytes([data[-400] ^ 1]) + data[-399:]


def other_torch(data: bytes) -> bytes:
    line, _, state = data.partition(b"\n")
    header = json.loads(line)
    header["made_by"]["torch"] = "1.0"
    return json.dumps(header).encode() + b"\n" + state


def other_layout(data: bytes) -> bytes:
    return data.replace(b"trained_s", b"trained__", 1)


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (cut, "is damaged"),
        (flipped, "is damaged"),
        (lambda _: b"", "is damaged"),
        (other_layout, "is damaged"),
        (other_torch, f"is of torch 1.0, not {torch.__version__.partition('+')[0]}"),
    ],
)
def test_a_checkpoint_that_is_no_good_is_told_and_the_training_begins_anew(
    unbroken, context, told, tmp_path, damage, why
):
    stop(context)
    file(tmp_path).write_bytes(damage(file(tmp_path).read_bytes()))
    assert train(Following(), context()) == unbroken
    (note,) = told
    assert note.startswith(f"train x: its checkpoint {why}")
    assert note.endswith(", so it begins anew")


def test_a_checkpoint_of_a_gpu_is_not_gone_on_with_on_a_cpu(unbroken, context, told, tmp_path):
    stop(context)
    of_gpu = file(tmp_path).read_bytes().replace(b'"device":"cpu"', b'"device":"cuda"')
    file(tmp_path).write_bytes(of_gpu)
    assert train(Following(), context()) == unbroken
    assert told == ["train x: its checkpoint is of device cuda, not cpu, so it begins anew"]


def test_a_disk_that_takes_no_checkpoint_is_told_once_and_the_old_one_stays(
    unbroken, context, told, tmp_path, monkeypatch
):
    stop(context)
    kept = file(tmp_path).read_bytes()

    def full(path: Path, data: bytes) -> None:
        raise UadBenchError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "write_whole", full)
        patch.setattr(checkpoints, "EVERY_S", 0.0)
        assert train(Following(), context()) == unbroken
    assert told[1:] == ["train x: goes on without a new checkpoint: the disk is full"]
    assert file(tmp_path).read_bytes() == kept


class Forgetful(Student):
    """Counts its batches in a number that is not kept, and learns by it."""

    def trainable(self, context: FitContext) -> Trainable:
        self.count_ = 0
        return self

    def loss(self, batch: Batch, turn: Turn) -> Loss:
        self.count_ += 1
        return Loss(self.count_ * self.distance(batch).mean())


def test_a_state_that_a_trainable_forgets_is_found():
    assert {one.rule for one in check_method(Forgetful)} == {"resume"}


def fit(lab: Path, cache: Path, results: str) -> DetectorRecord:
    vae = {
        "steps": 4,
        "width": 2,
        "batch_size": 2,
        "checks": 2,
        "perceptual_weight": 0.0,
        "clean_target": True,
    }
    where = {"data_root": lab, "cache": cache, "limit": 1, "device": "cpu", "results": results}
    uad_bench.fit("vae", tune=False, **vae, **where)
    (folder,) = Path(results, "detectors").iterdir()
    return read_record(folder)


def test_a_detector_whose_training_was_stopped_is_the_one_that_it_would_have_been(
    lab, prepared, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    whole = fit(lab, prepared, "whole")
    original, stops = VariationalTraining.loss, at(2)

    def loss(self: VariationalTraining, batch: Batch, turn: Turn) -> Loss:
        stops(turn.step)
        return original(self, batch, turn)

    monkeypatch.setattr(VariationalTraining, "loss", loss)
    with pytest.raises(KeyboardInterrupt):
        fit(lab, prepared, "broken")
    (kept,) = Path("broken/detectors").iterdir()
    line, _, state = (kept / "1").read_bytes().partition(b"\n")
    header = json.loads(line) | {"trained_s": 1000.0}
    (kept / "1").write_bytes(json.dumps(header).encode() + b"\n" + state)
    capsys.readouterr()

    broken = fit(lab, prepared, "broken")  # the checkpoint is gone, or there were two folders
    told = " ".join(capsys.readouterr().err.split())
    assert "train vae, seed 0: goes on from its checkpoint, after 17 min" in told
    assert broken.sha256 == whole.sha256
    assert broken.fit.wall_s > 1000
    assert broken.fit == whole.fit.model_copy(update={"wall_s": broken.fit.wall_s})
