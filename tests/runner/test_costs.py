"""What a run should take: from earlier cells, from a probe, and while it goes on."""

from __future__ import annotations

import io
import shutil
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from uad_bench.cells import CellRecord
from uad_bench.front.progress import LiveProgress
from uad_bench.method import FitContext, FitReport, Method, MethodInfo, Params, Slices
from uad_bench.plugins.registry import open_registry
from uad_bench.runner.config import load_config
from uad_bench.runner.costs.amounts import START_S, find_amount
from uad_bench.runner.costs.known import Costs, cost_key
from uad_bench.runner.costs.probe import _step_seconds, noise, people, probe
from uad_bench.runner.data.gather import STORES, phantom_folder, source_order
from uad_bench.runner.data.source import Source, cache_folder
from uad_bench.runner.detectors.trainings import trainings
from uad_bench.runner.events import JobEnded, Overall, Progressed, Started
from uad_bench.runner.outlook import OpenJob, Outlook
from uad_bench.system.text import duration
from uad_bench.volumes.recipe import Recipe
from uad_bench.volumes.store.prepare import prepare


def methods(*names: str) -> dict[str, type[Method]]:
    registry = open_registry(None)
    return {name: registry.method(name) for name in names}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "0 s"),
        (89, "89 s"),
        (90, "2 min"),
        (3600, "60 min"),
        (5400, "1.5 h"),
        (2e5, "2.3 days"),
    ],
)
def test_times_are_said_as_a_person_would(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_detectors_that_share_a_training_have_one_training() -> None:
    some = methods("cevae", "cevae-gradient", "cevae-combined")
    roots = {
        (root.info.name, cost_key(root, params), seed)
        for one in some.values()
        for root, params, seed in trainings(one, one.Params(), 3)
    }
    # two: the scores by the gradient have parameters of their own, which both share
    assert len(roots) == 2
    assert {(name, seed) for name, _, seed in roots} == {("cevae", 3)}


def test_an_ensemble_has_the_trainings_of_its_members() -> None:
    (ensemble,) = methods("spa-ensemble").values()
    found = list(trainings(ensemble, ensemble.Params(), 1))
    assert {root.info.name for root, _, _ in found} == {"spa"}
    assert len({seed for _, _, seed in found}) == len(found) > 1


@given(steps=st.integers(1, 10**6), beta=st.floats(1e-6, 1.0))
def test_neither_steps_nor_what_is_tuned_change_what_a_step_costs(steps: int, beta: float) -> None:
    spa = methods("spa")["spa"]
    usual = cost_key(spa, spa.Params())
    assert cost_key(spa, spa.Params(steps=steps, beta=beta)) == usual
    assert cost_key(spa, spa.Params(width=8)) != usual


class Slow(Method):
    """Takes its time, on a clock of its own."""

    info = MethodInfo("slow", "Slow")

    class Params(Params):
        steps: int = 1000

    clock = 0.0

    def fit(self, train: Slices, validation: Slices, context: FitContext) -> FitReport:
        Slow.clock += 7.0 + 2.0 * self.params.steps
        return FitReport(steps=self.params.steps)

    def score(self, slices: Slices) -> Any:
        Slow.clock += 0.5 * len(slices)
        return slices.image


TIMES = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=4)


@cache
def coarse() -> Slices:
    """Noise on a coarse grid."""
    return noise(Recipe(pixel_mm=4.0, slice_mm=8.0))


def test_a_probe_tells_a_step_from_what_comes_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uad_bench.runner.costs.probe.time.perf_counter", lambda: Slow.clock)
    scan = noise(Recipe(pixel_mm=4.0, slice_mm=10.0))
    assert scan.lesion is not None
    assert scan.lesion.any()
    assert (scan.image[scan.brain] > 0).all()
    params = Slow.Params()
    found = probe(Slow, params, Costs(), scan, "cpu")
    key = cost_key(Slow, params)
    assert found.unit_s[key] == pytest.approx(2.0)
    assert found.slice_s[key] == pytest.approx(0.5)
    assert probe(Slow, params, found, scan, "cpu").unit_s == {}


@pytest.mark.parametrize("slow", [{2}, {2, 4}, {0, 2, 4}, {3}, {5, 7}])
def test_what_slows_a_probe_now_and_then_changes_no_step(
    monkeypatch: pytest.MonkeyPatch, slow: set[int]
) -> None:
    """Trainings of one step and of several are timed by turns; other work slows some of them."""
    count = [0]

    class Disturbed(Slow):
        info = MethodInfo("disturbed", "Disturbed")

        def fit(self, train: Slices, validation: Slices, context: FitContext) -> FitReport:
            Slow.clock += (0.05 + 0.02 * self.params.steps) + (5.0 if count[0] in slow else 0.0)
            count[0] += 1
            return FitReport(steps=self.params.steps)

    monkeypatch.setattr("uad_bench.runner.costs.probe.time.perf_counter", lambda: Slow.clock)
    monkeypatch.setattr("uad_bench.runner.costs.probe._ENOUGH_S", 100.0)
    scan = noise(Recipe(pixel_mm=4.0, slice_mm=10.0))
    (seconds,) = probe(Disturbed, Disturbed.Params(), Costs(), scan, "cpu").unit_s.values()
    assert seconds == pytest.approx(0.02)


@given(short=TIMES, long=TIMES)
def test_a_step_always_costs_something(short: list[float], long: list[float]) -> None:
    assert 0 < _step_seconds(short, long) <= max(long)


@given(depth=st.integers(1, 19), count=st.integers(1, 100))
def test_noise_is_of_several_people_and_fills_a_batch(depth: int, count: int) -> None:
    scan = coarse().take(slice(depth))
    found = people(scan, count)
    assert len(found) >= count
    assert sum(1 for _ in found.scans()) >= 2
    assert {len(one) for one in found.scans()} <= set(range(1, len(scan) + 1))
    assert (found.image[found.brain] > 0).all()
    first, second, *_ = found.scans()
    assert (first.z == second.z).all()
    assert (first.image != second.image).any()


@pytest.mark.parametrize("name", ["fpi", "unet", "spa-ensemble"])
def test_a_probe_gives_a_method_what_it_needs(name: str) -> None:
    small = {"width": 2, "batch_size": 2}
    own = {"seeds": 2, "spa": {**small, "perceptual_weight": 0}} if "ensemble" in name else small
    method = methods(name)[name]
    params = method.Params.model_validate(own)
    found = probe(method, params, Costs(), coarse(), "cpu")
    parts = {cost_key(root, own) for root, own, _ in trainings(method, params, 0)}
    assert found.unit_s.keys() == parts
    assert found.slice_s.keys() == {*parts, cost_key(method, params)}
    assert min(*found.unit_s.values(), *found.slice_s.values()) > 0


def test_data_that_are_simulated_and_prepared_already_cost_nothing(
    lab: Path, tmp_path: Path
) -> None:
    """Also without a data root, where the run would simulate what the cache lacks."""
    cache = cache_folder(tmp_path / "cache")
    config = load_config(None, {"methods": "thresholding", "cache": tmp_path / "cache"})
    source = Source("wmh", open_registry(None).dataset("wmh")(), None)
    before = find_amount(config, source, None)
    assert before.to_do == sum(before.scans.values()) == 3
    assert before.prepare_s > START_S
    folder, _ = phantom_folder(config, source)
    folder.parent.mkdir(parents=True)
    shutil.copytree(lab / "WMH", folder)
    order = source_order(config, source.dataset, folder, None, simulated=True)
    assert find_amount(config, source, None).to_do == len(order.inputs)
    prepare(order, cache / STORES, jobs=1)
    after = find_amount(config, source, None)
    assert (after.to_do, after.prepare_s) == (0, 0.0)
    assert after.scans["test"] == len(order.inputs)


def outlook(jobs: dict[str, OpenJob], cells: int) -> tuple[Outlook, list[Overall]]:
    """An outlook on jobs."""
    told: list[Overall] = []
    plan: Any = SimpleNamespace(
        config=SimpleNamespace(overwrite="all"), cells=lambda: (), jobs=lambda: ()
    )
    found = Outlook(plan, list[CellRecord](), told.append)
    found._left, found._total = dict(jobs), cells
    return found, told


def test_the_time_left_is_known_once_each_kind_of_job_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jobs = {
        "train a": OpenJob("Train", "a"),
        "a on x": OpenJob("Evaluate", "a", "x"),
        "a on y": OpenJob("Evaluate", "a", "y"),
        "train b": OpenJob("Train", "b"),
        "b on x": OpenJob("Evaluate", "b", "x"),
        "b on y": OpenJob("Evaluate", "b", "y"),
    }
    found, told = outlook(jobs, 4)
    monkeypatch.setattr(found, "_abreast", lambda: 1.0)
    for key, seconds in (("train a", 10.0), ("a on x", 1.0), ("a on y", 3.0), ("train b", 20.0)):
        found(JobEnded(key, seconds))
    assert [one.left_s for one in told[:1]] == [None]
    assert told[1].left_s == pytest.approx(1.0 + 10.0 + 1.0 + 1.0)
    assert told[3].left_s == pytest.approx(1.0 + 3.0)
    found(JobEnded("b on x", 2.0))  # twice as slow as a
    assert told[4].left_s == pytest.approx(2.0 * 3.0 / 2.0)
    found(JobEnded("b on y", 6.0))
    found(JobEnded("something else", 99.0))
    assert len(told) == 6
    assert told[5].left_s == 0.0


def test_workers_make_the_time_left_shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("uad_bench.runner.outlook.time.monotonic", lambda: clock[0])
    jobs = {name: OpenJob("Evaluate", name, "x") for name in "abcdefgh"}
    found, told = outlook(jobs, 8)
    for name in "ab":  # both began at 90
        found(JobEnded(name, 10.0))
    for name in "cd":
        clock[0] = 110.0
        found(JobEnded(name, 10.0))
    assert told[0].left_s == pytest.approx(70.0)
    assert told[3].left_s == pytest.approx(4 * 10.0 / 2)


def test_the_time_left_of_networks_and_of_other_methods_is_not_mixed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    networks, others = ("spa", "gmvae"), ("black", "mean", "random")
    jobs = {
        f"{kind} {name}": OpenJob(kind, name, "x" if kind == "Evaluate" else "", name in networks)
        for name in ("spa", *others, "gmvae")
        for kind in ("Train", "Evaluate")
    }
    found, told = outlook(jobs, 5)
    monkeypatch.setattr(found, "_abreast", lambda: 1.0)
    for key, seconds in (("Train spa", 100.0), ("Evaluate spa", 10.0)):
        found(JobEnded(key, seconds))
    assert told[-1].left_s == pytest.approx(110.0)  # gmvae; the others take next to nothing
    for key, seconds in (("Train black", 0.1), ("Evaluate black", 2.0)):
        found(JobEnded(key, seconds))
    assert told[-1].left_s == pytest.approx(110.0 + 2 * 2.1)
    for name in others[1:]:
        for key, seconds in ((f"Train {name}", 0.1), (f"Evaluate {name}", 2.0)):
            found(JobEnded(key, seconds))
    assert told[-1].left_s == pytest.approx(110.0)  # they do not make a network look quick


@given(
    times=st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.floats(0, 1e6)), min_size=1
    )
)
def test_the_time_left_is_never_below_zero_and_ends_at_zero(
    times: list[tuple[str, str, float]],
) -> None:
    jobs = {
        str(n): OpenJob("Evaluate", method, data, is_network=method != "b")
        for n, (method, data, _) in enumerate(times)
    }
    found, told = outlook(jobs, len(times))
    for number, (_, _, seconds) in enumerate(times):
        found(JobEnded(str(number), seconds))
    assert all(one.left_s is not None and one.left_s >= 0 for one in told)
    assert told[-1].left_s == 0.0


class Terminal(io.StringIO):
    """What a terminal is told."""

    def isatty(self) -> bool:
        return True


def test_progress_fits_80_columns_and_says_what_is_left() -> None:
    kept = Terminal()
    console = Console(file=kept, width=80, force_terminal=True, color_system=None)
    stage = "evaluate gmvae-restoration, seed 0, on msisbi"
    with LiveProgress(console) as progress:
        progress(Overall(12, 72, 850.0))
        progress(Started(stage))
        progress(Progressed(2, 8, "autoencoder loss 0.4574  autoencoder latent 0.1722  " * 3))
        progress._bar.refresh()
    shown = kept.getvalue()
    assert "12/72 cells, about 14 min left" in shown
    (line,) = {one.strip() for one in shown.splitlines() if "2/8" in one and stage in one}
    assert len(line) <= 80


def test_a_pipe_reads_what_is_left_at_each_stage() -> None:
    kept = io.StringIO()
    with LiveProgress(Console(file=kept)) as progress:
        progress(Started("train spa, seed 0"))
        progress(Overall(3, 4, None))
        progress(Started("evaluate spa, seed 0, on wmh"))
        progress(Overall(3, 4, 7000.0))
        progress(Started("evaluate spa, seed 0, on mslub"))
    assert [line[8:] for line in kept.getvalue().splitlines()] == [
        "train spa, seed 0",
        "evaluate spa, seed 0, on wmh (3/4 cells)",
        "evaluate spa, seed 0, on mslub (3/4 cells, about 1.9 h left)",
    ]
