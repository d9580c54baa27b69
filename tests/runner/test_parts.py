"""An evaluation that several workers share comes to the same cells as in one process."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import uad_bench as ub
from studies.workers import numbers
from uad_bench.cells import CellSpec, Environment
from uad_bench.errors import PluginError, UadBenchError
from uad_bench.evaluation.protocol import Protocol, validation_histogram
from uad_bench.evaluation.protocols.paper import PAPER
from uad_bench.evaluation.protocols.strict import STRICT
from uad_bench.evaluation.scored import Evaluation, MeasuredScan, ScoredScan
from uad_bench.histogram_files import save_histograms
from uad_bench.plugins.registry import open_registry
from uad_bench.results import ResultsFolder
from uad_bench.runner.config import load_config
from uad_bench.runner.events import Event, JobEnded, JobFailed, Noted, Overall
from uad_bench.runner.executors.agenda import Agenda
from uad_bench.runner.executors.contract import Failure, Slot
from uad_bench.runner.jobs import evaluate as evaluating
from uad_bench.runner.jobs.parts import LEAST_SCANS, PartFolder, PartRecord, divide
from uad_bench.runner.jobs.train import Trained
from uad_bench.runner.outlook import Outlook
from uad_bench.runner.plan.job import Evaluate, EvaluatePart
from uad_bench.runner.plan.make import make_plan
from uad_bench.runner.run import Outcome, run

NOWHERE = Environment(
    versions={}, git_commit=None, device="cpu", started="", wall_s=0, peak_memory_mb=0
)
RECORD = PartRecord(traits=(), orderings={}, shapes={}, example=None, environment=NOWHERE)
SHAPE = (4, 12, 10)


def scan(number: int, seed: int, session: str | None = None) -> ScoredScan:
    """A noisy scan of a patient, or of a healthy person where the seed is odd."""
    rng = np.random.default_rng(seed)
    lesion = np.zeros(SHAPE, np.uint8)
    lesion[1:3, 4:8, 3:6] = seed % 2 == 0
    scores = (rng.integers(0, 9000, SHAPE) + 5000 * (lesion == 1)).astype(np.uint16)
    brain = np.pad(np.ones((4, 10, 8), np.bool_), ((0, 0), (1, 1), (1, 1)))
    return ScoredScan(
        f"p{number}", session, scores, lesion, brain, (2.0, 3.0, 3.0), np.arange(4), seed % 2 == 1
    )


VALIDATION = validation_histogram([scan(99, 1), scan(98, 3)])


def said(found: Evaluation, folder: Path) -> tuple[object, ...]:
    """Everything that an evaluation says, to the last bit."""
    save_histograms(folder / "found.npz", found.histograms)
    numbers = (dict(found.metrics), found.scans, dict(found.thresholds), dict(found.missing))
    return (repr(numbers), (folder / "found.npz").read_bytes())


@settings(max_examples=40)
@given(
    protocol=st.sampled_from([STRICT, PAPER]),
    is_validated=st.booleans(),
    seeds=st.lists(st.integers(0, 10**6), min_size=1, max_size=7),
    draw=st.data(),
)
def test_any_division_in_any_order_comes_to_the_same_bits(
    protocol: Protocol, is_validated: bool, seeds: list[int], draw: st.DataObject
):
    """Every second subject has two sessions; parts are written and read in any order."""
    scans = [scan(at // 2, seed, str(at % 2)) for at, seed in enumerate(seeds)]
    cuts = draw.draw(st.sets(st.integers(1, len(scans)), max_size=len(scans)))
    parts = list(pairwise(sorted({0, *cuts, len(scans)})))
    validation = VALIDATION if is_validated else None
    spec = CellSpec(method="m", seed=0, dataset="d", protocol="p", postprocessing="none")
    with tempfile.TemporaryDirectory() as root:
        whole = protocol.evaluate(lambda: iter(scans), validation)
        for first, last in draw.draw(st.permutations(parts)):
            folder = PartFolder.of(Path(root), "one", first, last)
            folder.clear()
            folder.keep(spec, (protocol.measure(one, validation) for one in scans[first:last]))
            folder.write(RECORD, None)
        measured: list[MeasuredScan] = []
        for first, last in parts:
            folder = PartFolder.of(Path(root), "one", first, last)
            assert folder.holds([spec], [])
            found = folder.measured(spec)
            assert not isinstance(found, Failure)
            measured += found
        put_together = protocol.combined(measured, lambda: iter(scans), validation)
        assert said(put_together, Path(root)) == said(whole, Path(root))


def test_a_cell_that_failed_in_a_finished_part_is_tried_again(tmp_path: Path):
    spec = CellSpec(method="m", seed=0, dataset="d", protocol="p", postprocessing="none")
    other = spec.model_copy(update={"postprocessing": "star"})
    folder = PartFolder.of(tmp_path, "one", 0, 1)
    folder.clear()
    folder.keep(spec, [STRICT.measure(scan(1, 2), VALIDATION)])
    folder.keep_failure(other, Failure("no memory", "", NOWHERE))
    folder.write(RECORD, None)
    assert folder.holds([spec], [])
    assert not folder.holds([spec, other], [])


def test_a_protocol_that_reads_scans_again_says_so():
    odd = Protocol(
        name="odd",
        version=1,
        caption="",
        description="",
        metrics=(),
        measure=STRICT.measure,
        combine=lambda measured, scans, validation: list(scans()),
    )
    with pytest.raises(UadBenchError, match=r"must say so with reads_again=True"):
        odd.evaluate(lambda: iter([scan(1, 2)]), None)


class Parted:
    """Runs jobs one by one in this process, and divides evaluations as workers would."""

    def __init__(self, ends: Sequence[int]) -> None:
        self.ends, self.parts = ends, 0

    def run(
        self, jobs: Iterable[Any], perform: Any, tell: Callable[[Event], None]
    ) -> Iterator[tuple[Any, object]]:
        agenda, slot = Agenda(jobs), Slot(tell)
        while (job := agenda.take()) is not None:
            needed = agenda.needed(job)
            if isinstance(job, Evaluate) and not agenda.is_divided(job):
                agenda.divide(job, [EvaluatePart(job, *some) for some in pairwise(self.ends)])
                continue
            self.parts += isinstance(job, EvaluatePart)
            sent = pickle.loads(pickle.dumps(job))
            result = needed if isinstance(needed, Failure) else perform(sent, needed, slot)
            agenda.finish(job, pickle.loads(pickle.dumps(result)))
            yield job, result


@pytest.fixture
def words(lab: Path, prepared: Path, tmp_path: Path) -> dict[str, Any]:
    return {
        "methods": "thresholding",
        "datasets": "mslub",
        "data_root": lab,
        "cache": prepared,
        "controls": "control-random",
        "protocol": "strict,paper",
        "postprocessing": "none,star+erode=2",
        "mlflow": False,
        "results": tmp_path / "parts",
    }


def ran(words: dict[str, Any], executor: Any = None, tell: Any = None) -> Outcome:
    listeners = () if tell is None else (tell,)
    return run(load_config(None, words), open_registry(None), listeners, executor=executor)


def files(results: Path, folder: str) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in (results / folder).iterdir()}


@pytest.mark.parametrize(
    ("ends", "space"), [((0, 1, 2, 3), "template"), ((0, 2, 3), "native"), ((0, 3), "template")]
)
def test_a_run_in_parts_writes_the_same_files(
    words: dict[str, Any], tmp_path: Path, ends: Sequence[int], space: str
):
    words |= {"space": space}
    executor = Parted(ends)
    parted = ran(words, executor)
    whole = ran(words | {"results": tmp_path / "whole"})
    assert executor.parts == 2 * (len(ends) - 1)
    assert not whole.failed
    assert whole.computed == parted.computed == 8
    assert [numbers(one) for one in parted.records] == [numbers(one) for one in whole.records]
    for folder in ("histograms", "pictures") if space == "template" else ("histograms",):
        assert files(tmp_path / "parts", folder) == files(tmp_path / "whole", folder)
    assert not (tmp_path / "parts" / ".parts").exists(), "what parts left is removed"


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[slice]:
    """The scans that are scored."""
    found: list[slice] = []
    maps = evaluating.anomaly_maps

    def noted(*given: Any, some: slice = slice(None), **more: Any) -> Any:
        found.append(some)
        return maps(*given, some=some, **more)

    monkeypatch.setattr(evaluating, "anomaly_maps", noted)
    return found


def stopped(words: dict[str, Any], ends: Sequence[int], after: int) -> None:
    """A run that ends once so many parts are done."""
    done: list[Event] = []

    def count(event: Event) -> None:
        if isinstance(event, JobEnded) and event.is_part:
            done.append(event)
        if len(done) == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ran(words, Parted(ends), count)


def test_a_finished_part_outlives_the_run_and_is_no_cell(
    words: dict[str, Any], tmp_path: Path, scored: list[slice]
):
    words |= {"controls": ""}
    stopped(words, (0, 1, 2, 3), after=2)
    results = ResultsFolder(tmp_path / "parts")
    assert len(list(results.parts.glob("*/*/part.json"))) == 2
    with pytest.raises(UadBenchError, match="no results in"):
        ub.load_results(results.root)
    assert scored == [slice(0, 1), slice(1, 2)]
    again = ran(words, Parted((0, 1, 2, 3)))
    assert scored[2:] == [slice(2, 3)]
    whole = ran(words | {"results": tmp_path / "whole"})
    assert [numbers(one) for one in again.records] == [numbers(one) for one in whole.records]
    assert not results.parts.exists()


@pytest.mark.parametrize(
    "other",
    [
        {"param": {"thresholding.variant": "quantile"}},
        {"protocol": "strict"},
        {"overwrite": "all"},
        {"space": "native"},
    ],
)
def test_a_part_of_another_evaluation_is_not_taken_for_one_of_this(
    words: dict[str, Any], scored: list[slice], other: dict[str, Any]
):
    words |= {"controls": "", "methods": "thresholding"}
    stopped(words, (0, 2, 3), after=1)
    found = ran(words | other, Parted((0, 2, 3)))
    assert scored == [slice(0, 2), slice(0, 2), slice(2, 3)]
    assert not found.failed


@pytest.mark.parametrize("name", ["part.json", "strict-none.json"])
def test_a_damaged_part_is_done_again(
    words: dict[str, Any], tmp_path: Path, scored: list[slice], name: str
):
    words |= {"controls": ""}
    stopped(words, (0, 2, 3), after=1)
    (file,) = (tmp_path / "parts" / ".parts").glob(f"*/*/{name}")
    file.write_text("{", encoding="utf-8")
    assert not ran(words, Parted((0, 2, 3))).failed
    assert scored == [slice(0, 2), slice(0, 2), slice(2, 3)]


COUNTING = """
import gc
from uad_bench.evaluation.protocol import Protocol
from uad_bench.evaluation.protocols.strict import STRICT
from uad_bench.evaluation.scored import MeasuredScan
from uad_bench.evaluation.scores.tally import Tally

started = []

def alive():
    gc.collect()
    return sum(type(one) is Tally for one in gc.get_objects())

def measure(scan, validation):
    started.append(alive())
    found = STRICT.measure(scan, validation)
    many = {f"{number}": scan.whole_slice_histogram() for number in range(50)}
    return MeasuredScan(found.scores, {**many, **found.histograms}, found.healthy, found.penalised)

def combine(measured, scans, validation):
    assert alive() - started[0] < 50
    found = STRICT.combine(measured, scans, validation)
    assert alive() - started[0] < 50
    return found

COUNTING = Protocol(name="counting", version=1, caption="version 1", description="counting",
    metrics=STRICT.metrics, measure=measure, combine=combine)
"""
"""The protocol ``strict`` with more histograms; it fails where they are in memory."""


@pytest.mark.parametrize("executor", [None, Parted((0, 2, 3))])
def test_what_was_counted_in_a_scan_is_in_memory_only_while_it_is_used(
    words: dict[str, Any], tmp_path: Path, executor: Any
):
    plugin = tmp_path / "counting.py"
    plugin.write_text(COUNTING, encoding="utf-8")
    words |= {"controls": "", "protocol": "counting", "plugin": [plugin]}
    config = load_config(None, words)
    found = run(config, open_registry(config.plugin), executor=executor)
    assert not found.failed
    assert len(found.records) == 2


def test_a_method_that_fails_in_one_part_fails_as_in_one_process(
    words: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    scoring = "uad_bench.runner.detectors.scoring.signed_residual"
    from uad_bench.runner.detectors.scoring import signed_residual

    def odd(method: Any, slices: Any) -> Any:
        if method.info.name == "thresholding" and slices.image.sum() == worst[0]:
            raise PluginError("it cannot score this")
        return signed_residual(method, slices)

    words |= {"controls": "control-black"}
    data = ub.prepare("mslub", data_root=words["data_root"], cache=words["cache"], progress=False)
    worst = [data.slices(one).image.sum() for one in data.scans_of("test")][1:]
    monkeypatch.setattr(scoring, odd)
    parted = ran(words, Parted((0, 1, 2, 3)))
    whole = ran(words | {"results": tmp_path / "whole"})
    assert {one.reason for one in parted.failed} == {"it cannot score this"}
    assert [numbers(one) for one in parted.records] == [numbers(one) for one in whole.records]


def test_a_protocol_that_fails_in_one_part_fails_its_cells_only(
    words: dict[str, Any], tmp_path: Path
):
    plugin = tmp_path / "picky.py"
    plugin.write_text(
        "from uad_bench.evaluation.protocol import Protocol\n"
        "from uad_bench.evaluation.protocols.strict import STRICT\n"
        "def measure(scan, validation):\n"
        "    if '13' in scan.subject:\n"
        "        raise ValueError('not this one')\n"
        "    return STRICT.measure(scan, validation)\n"
        "PICKY = Protocol(name='picky', version=1, caption='version 1', description='picky',\n"
        "    metrics=STRICT.metrics, measure=measure, combine=STRICT.combine)\n",
        encoding="utf-8",
    )
    words |= {"controls": "", "protocol": "paper,picky", "plugin": [plugin]}
    heard: list[Event] = []

    def both(**more: Any) -> Outcome:
        config = load_config(None, words | more)
        executor = None if more else Parted((0, 1, 3))
        return run(config, open_registry(config.plugin), (heard.append,), executor=executor)

    parted = both()
    told = [one.reason for one in heard if isinstance(one, JobFailed)]
    assert told == ["ValueError: not this one"] * 2, "one for each post-processing"
    assert {one.spec.protocol for one in parted.failed} == {"picky"}
    whole = both(results=tmp_path / "whole")
    assert [numbers(one) for one in parted.records] == [numbers(one) for one in whole.records]


@pytest.mark.parametrize(
    ("scans", "workers", "wanted"),
    [
        (2 * LEAST_SCANS - 1, 8, []),
        (100, 1, []),
        (0, 8, []),
        (2 * LEAST_SCANS, 8, [LEAST_SCANS, LEAST_SCANS]),
        (41, 3, [13, 14, 14]),
    ],
)
def test_there_is_a_part_for_each_worker_unless_the_detector_would_be_loaded_for_few_scans(
    words: dict[str, Any], scans: int, workers: int, wanted: list[int]
):
    plan = make_plan(load_config(None, words), open_registry(None))
    jobs = plan.jobs()
    job = next(one for one in jobs if isinstance(one, Evaluate))
    dataset = SimpleNamespace(scans_of=lambda split: range(scans))
    data = SimpleNamespace(tested=lambda on, label: dataset)
    done = SimpleNamespace(of=lambda one, _: {job.train: trained, job.data: data}[one])
    trained = Trained(job.train.params, "key")
    parts = divide(job, done, workers)
    assert [one.last - one.first for one in parts] == wanted
    assert [one.first for one in parts[1:]] == [one.last for one in parts[:-1]]
    trained = Trained(job.train.params)
    assert divide(job, done, workers) == (), "no cell is pending"
    assert all(divide(one, done, workers) == () for one in jobs if not isinstance(one, Evaluate))


def test_the_time_of_parts_counts_for_the_whole(words: dict[str, Any]):
    words |= {"controls": "", "methods": "thresholding,control-black", "seeds": "0"}
    plan = make_plan(load_config(None, words), open_registry(None))
    heard: list[Overall] = []
    outlook = Outlook(plan, (), heard.append)
    for train in {one.train.key: one.train for one in plan.jobs() if isinstance(one, Evaluate)}:
        outlook(JobEnded(train, 1.0))
    key = next(one.key for one in plan.jobs() if isinstance(one, Evaluate))
    outlook(JobEnded(key, 50.0, is_part=True))
    outlook(JobEnded(key, 50.0, is_part=True))
    assert len(heard) == 2, "a part is no step of the whole run"
    outlook(JobEnded(key, 2.0))
    assert heard[-1].left_s is not None
    spent = 104.0
    assert heard[-1].left_s * max(1.0, outlook._abreast()) == pytest.approx(spent - 2, rel=0.01)


def test_what_needs_a_job_that_failed_is_no_longer_left(
    words: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    words |= {"methods": "thresholding,control-black", "controls": "", "datasets": "mslub,wmh"}
    plan = make_plan(load_config(None, words), open_registry(None))
    heard: list[Overall] = []
    outlook = Outlook(plan, (), heard.append)
    monkeypatch.setattr(outlook, "_abreast", lambda: 1.0)
    first, second, third, _ = [one for one in plan.jobs() if isinstance(one, Evaluate)]
    assert first.train == second.train != third.train
    for job, seconds in ((first.train, 10.0), (first, 5.0), (third.train, 2.0)):
        outlook(JobEnded(job.key, seconds))
    assert heard[-1].left_s == pytest.approx(3 * 5.0)
    outlook.leave_out(third.train)
    assert heard[-1].left_s == pytest.approx(5.0)
    outlook.leave_out(second)  # whose workers died
    assert heard[-1].left_s == 0.0
    told = len(heard)
    outlook.leave_out(second)
    assert len(heard) == told


def test_nothing_is_left_at_the_end_of_a_run_in_which_a_training_failed(
    words: dict[str, Any], tmp_path: Path
):
    (tmp_path / "fails.py").write_text(
        "from uad_bench.method import Method, MethodInfo\n\n\nclass Fails(Method):\n"
        '    info = MethodInfo("fails", "Fails")\n\n'
        "    def fit(self, train, validation, context):\n"
        '        raise ValueError("no")\n\n'
        "    def score(self, slices):\n        return slices.image\n"
    )
    words |= {"methods": "fails", "plugin": tmp_path / "fails.py", "protocol": "paper"}
    heard: list[Event] = []
    config = load_config(None, words)
    outcome = run(config, open_registry(config.plugin), (heard.append,))
    assert len(outcome.failed) == 2
    assert [one.left_s for one in heard if isinstance(one, Overall)][-1] == 0.0


def test_parts_that_a_killed_run_left_go_with_the_next_that_ends(words: dict[str, Any]):
    words |= {"controls": ""}
    stopped(words, (0, 2, 3), after=1)
    heard: list[Event] = []
    ran(words, None, heard.append)
    assert not ResultsFolder(words["results"]).parts.exists()
    assert not [one for one in heard if isinstance(one, Noted)]
