"""A worker process that dies, whenever and however, is one line at once, and no endless wait."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from uad_bench.errors import ScanError, UadBenchError
from uad_bench.system.processes import Workers

ROOT = Path(__file__).parents[2]
BIG = 8 * 2**20


def twice(number: int) -> int:
    return 2 * number


def end(code: int) -> None:
    os._exit(code)


def die(number: int) -> None:
    os.kill(os.getpid(), number)


def fail(kind: type[Exception], *args: object) -> None:
    raise kind(*args)


class OddError(Exception):
    """An error that pickle can write and not read."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


remembered: list[int] = []


def remember(number: int) -> None:
    remembered.append(number)


def recall() -> tuple[int, int]:
    return os.getpid(), remembered[0]


def test_results_come_back_in_the_order_of_the_tasks():
    with Workers(2, "counted") as pool:
        futures = [pool.submit(twice, number) for number in range(20)]
        assert [future.result() for future in futures] == list(range(0, 40, 2))


def test_every_worker_is_set_up_once():
    with Workers(2, "counted", (remember, (7,))) as pool:
        told = {future.result() for future in [pool.submit(recall) for _ in range(8)]}
    assert {value for _, value in told} == {7}
    assert 1 <= len(told) <= 2


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ((die, signal.SIGKILL), "was killed by SIGKILL, most likely for memory: use fewer jobs"),
        ((die, signal.SIGSEGV), "was killed by SIGSEGV: use fewer jobs"),
        ((end, 3), r"ended \(exit code 3\)"),
        ((fail, SystemExit, 4), r"ended \(exit code 4\)"),
    ],
)
def test_a_death_at_work_is_one_line_and_stops_everything(task, message):
    started = time.monotonic()
    with Workers(2, "counted") as pool:
        futures = [pool.submit(time.sleep, 300), pool.submit(*task)]
        for future in reversed(futures):
            with pytest.raises(UadBenchError, match=f"a process that counted {message}"):
                future.result()
    assert time.monotonic() - started < 60


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_sent_to_all_processes_is_for_the_parent(number):
    """A cluster sends SIGTERM to every process of a job, and a terminal Ctrl-C."""
    with Workers(1, "counted") as pool:
        pool.submit(die, number).result()
        assert pool.submit(twice, 2).result() == 4


def test_a_result_that_ends_halfway_is_a_death():
    with Workers(2, "counted") as pool:
        pool.submit(time.sleep, 300)  # another worker, which must not keep the pipe open
        with pytest.raises(UadBenchError, match="was killed by SIGALRM"):
            pool.submit(send_half).result()


def send_half() -> None:
    """Write the start of a message to the parent, as a worker does that is killed meanwhile."""
    import gc
    from multiprocessing.connection import Connection

    (pipe,) = (each for each in gc.get_objects() if isinstance(each, Connection))
    os.write(pipe.fileno(), (BIG).to_bytes(4, "big") + b"half")
    die(signal.SIGALRM)


def test_arguments_larger_than_a_pipe_stop_nobody():
    with Workers(1, "counted", (len, (bytes(BIG),))) as pool:
        assert pool.submit(len, bytes(BIG)).result() == BIG


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        ((ScanError, "bad"), ScanError),
        ((MemoryError, "too much"), MemoryError),
        ((OddError, "a", "b"), RuntimeError),
    ],
)
def test_what_a_task_raises_comes_back_and_the_worker_lives(raised, expected):
    with Workers(1, "counted") as pool:
        with pytest.raises(expected) as caught:
            pool.submit(fail, *raised).result()
        assert str(caught.value) in ("bad", "too much", "OddError: a b")
        assert pool.submit(twice, 1).result() == 2


def test_a_setup_that_fails_is_told_by_every_task():
    with Workers(2, "counted", (fail, (ScanError, "no template"))) as pool:
        for future in [pool.submit(twice, 1) for _ in range(3)]:
            with pytest.raises(ScanError, match="no template"):
                future.result()


def test_a_worker_that_never_starts_is_told_after_a_while(monkeypatch):
    monkeypatch.setattr("uad_bench.system.processes.START_S", 0.5)
    with (
        pytest.raises(UadBenchError, match=r"did not start within 0\.5 s"),
        Workers(1, "counted", (time.sleep, (300,))) as pool,
    ):
        pool.submit(twice, 1).result()


DEATHS = {
    "kill": "os.kill(os.getpid(), 9)",
    "exit": "os._exit(1)",
    "error": "raise ImportError('no numpy here')",
}


@pytest.mark.parametrize("death", DEATHS)
@pytest.mark.parametrize("size", [0, BIG])
def test_a_worker_that_dies_at_its_start_is_one_line(death, size, tmp_path):
    """python/cpython#118981: the parent would fill the pipe of a process that is gone.

    The program has no guard against being run again by its workers, and needs none.
    """
    (tmp_path / "sitecustomize.py").write_text(
        f"import os, sys\nif '--multiprocessing-fork' in sys.orig_argv:\n    {DEATHS[death]}\n"
    )
    code = (
        "from uad_bench.system.processes import Workers\n"
        f"with Workers(2, 'counted', (len, (bytes({size}),))) as pool:\n"
        "    tasks = [pool.submit(abs, 1) for _ in range(4)]\n"
        "    print([task.result() for task in tasks])\n"
    )
    program = tmp_path / "program.py"
    program.write_text(code)
    done = subprocess.run(
        [sys.executable, str(program)],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    last = done.stderr.splitlines()[-1]
    if death == "error":  # Python ignores an error of sitecustomize and goes on
        assert (done.returncode, done.stdout) == (0, "[1, 1, 1, 1]\n")
    else:
        assert "UadBenchError: a process that counted " in last
        assert " at its start" in last
