"""Jobs on real workers of Dask: as in one process, and nothing is lost where a worker is."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from uad_bench.cells import Environment
from uad_bench.errors import UadBenchError
from uad_bench.plugins.registry import PluginSources, discover
from uad_bench.runner.events import CellWritten, Ended, Event, JobFailed, Noted, Progressed, Started
from uad_bench.runner.executors import dask as dask_room
from uad_bench.runner.executors import pools
from uad_bench.runner.executors.contract import Done, Failure, Slot
from uad_bench.runner.executors.dask import DaskExecutor, Pool
from uad_bench.runner.executors.versions import version_fault


@dataclass(frozen=True)
class Step:
    """A job that does what its word says."""

    name: str
    needs: tuple[Step, ...] = ()
    word: str = "well"
    file: Path | None = None
    is_vital: bool = False
    uses_device: bool = False
    thing: type | None = None

    @property
    def key(self) -> str:
        return self.name


class Part(str):
    """What a part of a job comes to."""

    __slots__ = ()


def perform(job: Step, done: Done, slot: Slot) -> object:
    slot.tell(Started(job.name))
    for need in job.needs:
        assert done.of(need, str) == need.name.upper()
    if job.word == "die" or (job.word == "die once" and not job.file.exists()):
        if job.file is not None:
            job.file.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if job.word == "fail":
        slot.tell(JobFailed(job.name, "no such luck"))
        return Failure("no such luck", "", NOWHERE)
    if job.word == "raise":
        raise UadBenchError("the disk is full")
    if job.word == "wait":
        job.file.touch()
        for step in range(3000):
            slot.tell(Progressed(step, 3000))
            time.sleep(0.02)
    if job.word == "where":
        time.sleep(0.2)
        return f"{os.environ.get('CUDA_VISIBLE_DEVICES')} {os.environ['OMP_NUM_THREADS']}"
    if job.word == "whole":
        return " ".join(done.all_of(Part))
    if job.word == "part":
        time.sleep(0.3)
        return Part(f"{job.name.upper()}:{os.getpid()}")
    if job.word == "cell":
        slot.tell(CellWritten(job.name))
    if job.word == "processes":
        return str(slot.processes)
    slot.tell(Noted(f"{job.name} {job.thing.__name__}" if job.thing else job.name))
    return job.name.upper()


NOWHERE = Environment(
    versions={}, git_commit=None, device="cpu", started="", wall_s=0, peak_memory_mb=0
)


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    """Two workers of this machine, for all tests; the first is said to have a GPU."""
    with pools.local_pool(2, 1, gpus=("7",), said="--jobs 2") as opened:
        yield opened


@pytest.fixture
def ran(pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ran:
    monkeypatch.chdir(tmp_path)
    return Ran(pool, tmp_path)


@dataclass
class Ran:
    """Runs jobs, and keeps what was told."""

    pool: Pool
    folder: Path

    def __post_init__(self) -> None:
        self.heard: list[Event] = []

    def __call__(self, *jobs: Step, device: str = "cpu", **more: Any) -> dict[str, object]:
        folders = (self.folder / "results",)
        given = {"plugins": (), **more}
        executor = DaskExecutor(self.pool, device=device, folders=folders, **given)
        return {job.name: result for job, result in executor.run(jobs, perform, self.heard.append)}

    @property
    def notes(self) -> list[str]:
        return [event.text for event in self.heard if isinstance(event, Noted)]


def test_a_job_runs_after_what_it_needs_and_is_given_its_results(ran):
    first, other = Step("first"), Step("other")
    last = Step("last", (first, other))
    found = ran(last, first, other)
    assert found == {"first": "FIRST", "other": "OTHER", "last": "LAST"}
    assert list(found)[-1] == "last"
    # what workers tell arrives in order, and says whose it is
    for name in found:
        told = [one for one in ran.heard if getattr(one, "text", "") == name]
        assert [type(one) for one in told] == [Started, Noted]
        assert any(one == Ended(told[0].worker) for one in ran.heard[ran.heard.index(told[1]) :])
    assert not list((ran.folder / "results").iterdir()), "what shows that folders are shared"


def test_a_failing_job_fails_what_needs_it_and_nothing_else(ran):
    bad, good = Step("bad", word="fail"), Step("good")
    after = Step("after", (bad,))
    found = ran(bad, after, Step("later", (good, after)), good)
    assert found["good"] == "GOOD"
    assert found["bad"] == found["after"] == found["later"] == Failure("no such luck", "", NOWHERE)


def test_what_a_job_raises_stops_the_others_within_a_step(ran):
    waits = Step("waits", word="wait", file=ran.folder / "waits")
    with pytest.raises(UadBenchError, match="the disk is full"):
        ran(waits, Step("raises", word="raise"))
    assert waits.file.exists()
    started = time.monotonic()
    assert ran(Step("one"), Step("other")) == {"one": "ONE", "other": "OTHER"}
    assert time.monotonic() - started < 50, "nobody waited for the rest of it"


def test_the_job_of_a_worker_that_is_killed_is_done_by_another(ran):
    first = Step("first", word="die once", file=ran.folder / "killed")
    found = ran(first, Step("last", (first,)), Step("other"))
    assert found == {"first": "FIRST", "last": "LAST", "other": "OTHER"}
    assert ran.notes.count("the worker of `first` is gone: another one does it") == 1


def divided(*words: str, file: Path | None = None) -> Any:
    """Divides what is called `whole` into parts that do what their words say."""

    def divide(job: Step, done: Done, workers: int) -> tuple[Step, ...]:
        if job.name != "whole":
            return ()
        assert done.of(job.needs[0], str) == "FIRST", "it is divided once all that it needs is done"
        parts = (Step(f"part {at}", job.needs, word, file) for at, word in enumerate(words))
        return tuple(parts)

    return divide


def test_workers_share_the_parts_of_a_job_which_is_given_their_results_in_order(ran):
    ran.pool.client.wait_for_workers(2, timeout=60)
    first = Step("first")
    whole = Step("whole", (first,), "whole")
    after = Step("after", (first,))
    parts, asked = divided(*4 * ["part"]), set()

    def divide(job: Step, done: Done, workers: int) -> tuple[Step, ...]:
        asked.add(workers)
        return parts(job, done, workers)

    found = ran(first, whole, after, divide=divide)
    assert asked == {2}
    names, workers = zip(*(one.split(":") for one in found["whole"].split()[1::2]), strict=True)
    assert names == ("0", "1", "2", "3")
    assert len(set(workers)) == 2
    assert found["after"] == "AFTER"


def test_a_worker_that_dies_loses_one_part(ran):
    first, file = Step("first"), ran.folder / "killed"
    whole = Step("whole", (first,), "whole")
    parts = divided("part", "die once", "part", file=file)
    found = ran(first, whole, divide=parts)
    assert found["whole"].startswith("PART 0:")
    assert ran.notes.count("the worker of `part 1` is gone: another one does it") == 1
    started = [one.text for one in ran.heard if isinstance(one, Started)]
    assert [started.count(f"part {at}") for at in (0, 2)] == [1, 1]


def test_a_part_that_fails_is_one_line_of_the_whole_and_ends_the_other_parts(ran):
    first = Step("first")
    whole = Step("whole", (first,), "whole")
    found = ran(first, whole, Step("good"), divide=divided("fail", *5 * ["part"]))
    assert found["whole"] == Failure("no such luck", "", NOWHERE)
    assert found["good"] == "GOOD"
    assert [one.job for one in ran.heard if isinstance(one, JobFailed)] == ["whole"]
    assert found["part 5"] == found["whole"], "it was not begun any more"


def test_a_cell_is_told_once_its_worker_has_the_next_job_and_none_is_lost(ran, monkeypatch):
    """MLflow takes a while for a cell, and no worker waits for it."""
    given: list[str] = []
    give = dask_room._Crew._give

    def noted(crew: Any, member: Any, job: Step) -> None:
        given.append(job.name)
        give(crew, member, job)

    monkeypatch.setattr(dask_room._Crew, "_give", noted)
    before: list[int] = []
    hear = ran.heard.append

    def listen(event: Event) -> None:
        hear(event)
        if isinstance(event, CellWritten):
            before.append(len(given))

    ran.heard = SimpleNamespace(append=listen)
    ran.pool.client.wait_for_workers(2, timeout=60)
    ran(*(Step(f"cell {at}", word="cell") for at in range(6)))
    assert len(before) == 6
    assert all(count >= min(6, at + 3) for at, count in enumerate(before))


@pytest.mark.slow
def test_a_job_that_kills_its_workers_becomes_a_failure(ran):
    bad = Step("bad", word="die")
    found = ran(bad, Step("after", (bad,)), Step("good"))
    assert found["good"] == "GOOD"
    assert found["bad"] is found["after"]
    assert found["bad"].reason.startswith("3 workers ended while they did it")
    assert found["bad"].environment.wall_s > 0
    assert [event.job for event in ran.heard if isinstance(event, JobFailed)] == ["bad"]


def test_without_a_job_that_all_need_there_is_no_run(ran, monkeypatch):
    monkeypatch.setattr(dask_room, "MOST_DEATHS", 1)
    with pytest.raises(UadBenchError, match=r"^data: 1 workers ended while they did it"):
        ran(Step("data", word="die", is_vital=True))


def test_workers_have_their_share_of_threads_processes_and_gpus(ran):
    ran.pool.client.wait_for_workers(2, timeout=60)  # one may still be on its way back
    found = ran(*(Step(str(number), word="where") for number in range(6)))
    assert set(found.values()) == {"7 1", f"{os.environ.get('CUDA_VISIBLE_DEVICES')} 1"}
    assert set(ran(Step("one", word="processes")).values()) == {"1"}


@pytest.mark.slow
def test_a_gpu_that_a_worker_cannot_use_is_one_line(ran):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU, and the test is of one without")
    with pytest.raises(UadBenchError, match=r"^worker tcp://.* device cuda:0: not usable here"):
        ran(Step("train", uses_device=True), device="cuda:0")


def test_trainings_go_to_workers_with_a_gpu_and_to_no_others():
    member, agenda = dask_room._Member, dask_room.Agenda
    crew = object.__new__(dask_room._Crew)
    crew._device = "cuda:0"
    crew._agenda = agenda([Step("data"), Step("train", uses_device=True), Step("more")])
    with_gpu, without = member("one", has_gpu=True), member("other", has_gpu=False)
    taken = [crew._job_for(one) for one in (with_gpu, without, with_gpu, without)]
    assert [job and job.name for job in taken] == ["train", "data", "more", None]


def test_plugins_are_loaded_by_the_workers(ran):
    file = ran.folder / "mine.py"
    file.write_text(
        "from uad_bench.method import Method, MethodInfo\n"
        "class Mine(Method):\n"
        "    info = MethodInfo('mine', 'Mine')\n"
        "    def fit(self, train, validation, context): ...\n"
        "    def score(self, slices): ...\n"
    )
    method = discover(PluginSources((file,))).method("mine")
    step = Step("step", thing=method)
    assert pickle.loads(pickle.dumps(step)) == step
    ran(step, plugins=(file,))
    assert ran.notes == ["step Mine"]
    file.unlink()
    with pytest.raises(UadBenchError, match=r"^worker .* does not see the plugin .*mine\.py"):
        ran(Step("step"), plugins=(file,))


def test_workers_that_do_not_see_a_folder_are_one_line(ran, monkeypatch):
    elsewhere = ran.folder / "elsewhere" / ".workers-1"
    monkeypatch.setattr(dask_room, "shared_files", lambda _: nullcontext({elsewhere: "1"}))
    with pytest.raises(UadBenchError) as caught:
        ran(Step("first"))
    faults = str(caught.value).split("; ")
    assert len(faults) == 2, "both workers"
    assert all(f"does not see {elsewhere.parent}, or may not write there" in one for one in faults)


def test_a_scheduler_that_cannot_be_reached_is_one_line(monkeypatch):
    monkeypatch.setattr(pools, "REACH_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with (
            pytest.raises(UadBenchError, match=f"^--scheduler tcp://127.0.0.1:{port}: cannot be"),
            pools.running_pool(
                f"tcp://127.0.0.1:{port}", said=f"--scheduler tcp://127.0.0.1:{port}"
            ),
        ):
            raise AssertionError
    with (
        pytest.raises(UadBenchError, match="cannot be reached within 1 s"),
        pools.running_pool(f"tcp://127.0.0.1:{port}", said=f"--scheduler tcp://127.0.0.1:{port}"),
    ):
        raise AssertionError


def test_what_dask_logs_is_silenced_while_workers_are_used_and_only_then(pool):
    import distributed.client  # noqa: F401  # its logger has a level of its own

    names = [name for name in logging.root.manager.loggerDict if name.startswith("distributed.")]
    assert "distributed.client" in names
    before = [logging.getLogger(name).level for name in names]
    with pools.running_pool(pool.client.scheduler.address, said="--scheduler"):
        assert not any(logging.getLogger(name).isEnabledFor(logging.CRITICAL) for name in names)
    assert [logging.getLogger(name).level for name in names] == before


def test_workers_of_a_scheduler_that_runs_are_used_and_left_there(ran):
    address = ran.pool.client.scheduler.address
    with pools.running_pool(address, said="--scheduler") as running:
        assert Ran(running, ran.folder)(Step("first")) == {"first": "FIRST"}
    assert len(ran.pool.client.scheduler_info(n_workers=-1)["workers"]) == 2


def test_no_worker_is_no_endless_wait(ran, monkeypatch):
    crowd = dask_room.replace(ran.pool, patience_s=0.3, name="slurm.yaml", hint="look at its jobs")
    looks: list[None] = []
    monkeypatch.setattr(dask_room._Crew, "_there", lambda _: looks.append(None) or {})
    monkeypatch.setattr(dask_room, "_LOOK_S", 0.01)
    waits = Ran(crowd, ran.folder)
    with pytest.raises(UadBenchError, match=r"^slurm\.yaml: no worker came within 0.005 min: look"):
        waits(Step("first"))
    assert len(looks) > 2
    assert waits.heard == [Started("wait for a worker of slurm.yaml")], "not once a second"


def test_jobs_that_all_ended_are_no_wait_at_all_unless_a_worker_had_come(ran, monkeypatch):
    ended = dask_room.replace(ran.pool, all_ended=lambda: True, name="slurm.yaml", hint="see logs")
    assert Ran(ended, ran.folder)(Step("first")) == {"first": "FIRST"}
    monkeypatch.setattr(dask_room._Crew, "_there", lambda _: {})
    with pytest.raises(UadBenchError, match=r"^slurm\.yaml: every job ended before a .*: see logs"):
        Ran(ended, ran.folder)(Step("first"))


def test_one_job_that_cannot_be_submitted_ends_no_run_whose_others_wait_in_the_queue(
    ran, monkeypatch
):
    """On a busy cluster a submission fails now and then; the others' workers come later."""
    fault, looks = "sbatch: error: Socket timed out", []
    there = dask_room._Crew._there
    monkeypatch.setattr(dask_room, "_LOOK_S", 0.01)
    monkeypatch.setattr(
        dask_room._Crew, "_there", lambda crew: {} if len(looks) < 3 else there(crew)
    )
    look = dask_room._Crew._look
    monkeypatch.setattr(dask_room._Crew, "_look", lambda crew: looks.append(None) or look(crew))
    some = dask_room.replace(ran.pool, faults=[fault, fault], name="slurm.yaml")
    waits = Ran(some, ran.folder)
    assert waits(Step("first")) == {"first": "FIRST"}
    assert waits.notes.count(f"slurm.yaml: a job could not be submitted: {fault}") == 1
    looks.clear()
    none = dask_room.replace(some, none_submitted=lambda: True)
    with pytest.raises(UadBenchError, match=r"^slurm\.yaml: no job could be submitted: sbatch: er"):
        Ran(none, ran.folder)(Step("first"))


def test_other_versions_are_one_line_that_names_both_sides(ran, monkeypatch):
    same = {"python": "3.11.7.final.0", "torch": "2.13.0+cpu", "numpy": "2.3.5", "uad-bench": "1"}
    other = {**same, "python": "3.11.2.final.0", "torch": "2.13.0+cu130"}
    assert version_fault(same, other) is None, "the build is another, the version is not"
    said = version_fault(same, {**other, "python": "3.12.1.final.0", "numpy": None})
    assert said == (
        "has python 3.12, numpy not at all, and this process has python 3.11, numpy 2.3.5: "
        "install the same versions on both"
    )
    monkeypatch.setattr(dask_room, "VERSIONED", ())
    monkeypatch.setattr(dask_room, "version_fault", lambda here, there: "has torch 1.0")
    with pytest.raises(UadBenchError, match=r"^the scheduler tcp://127\.0\.0\.1:\d+ has torch 1"):
        ran(Step("first"))


def test_nothing_is_left_behind():
    before = set(psutil.Process().children(recursive=True))
    environment = dict(os.environ)
    with pools.local_pool(1, 1, said="--jobs 1"):
        started = set(psutil.Process().children(recursive=True)) - before
        assert started
    _, alive = psutil.wait_procs(started, timeout=10)
    left = [one for one in alive if "resource_tracker" not in " ".join(one.cmdline())]
    assert not left
    assert os.environ == environment
