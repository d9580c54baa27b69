"""The phantom default: what the README's first command spends outside of training and scoring.

    uad-bench run --methods spa,gmvae --datasets all

Shorter runs of the same kind are measured: both methods, one dataset instead of six, 2 steps of
training, no tuning. The rest follows from them. Simulation and preparation grow with people, from
what 5 and 15 people take to 30; the template, which each process makes once, does not.
Evaluation, pictures and MLflow grow with cells, to 72; that MLflow and matplotlib are imported and
the database is made, in the first job, does not. Everything else happens once. Processor time,
worker processes included, with compiled loops there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

from benchmarks.measure import Row, at_most

_PEOPLE, _CELLS = 30, 72
_HALF_S = 0.5 * 28.9 * 60
"""Half the processor time that the whole command took before; a tenth of it may go elsewhere."""


def measure() -> list[Row]:
    """Run once with one patient, so that loops are compiled; then run, and extrapolate."""
    _shorter_run(1)
    few, many = _shorter_run(1), _shorter_run(3)
    a_person = (many.data - few.data) / (many.people - few.people)
    data = many.data + (_PEOPLE - many.people) * a_person
    first, *later = many.evaluations
    a_cell = sum(one.seconds for one in later) / sum(one.cells for one in later)
    begun = first.seconds - first.cells * a_cell
    cells = _CELLS * a_cell + begun
    return [
        at_most("simulation and preparation of 30 people", data, "s"),
        at_most("evaluation, pictures and MLflow, 72 cells", cells, "s"),
        at_most("all else, once", many.else_s, "s"),
        at_most(
            "outside of training and scoring in all",
            data + cells + many.else_s,
            "s",
            round(0.1 * _HALF_S),
        ),
    ]


class Evaluation(NamedTuple):
    """A detector's evaluation on a dataset: its seconds without scoring, and its cells."""

    seconds: float
    cells: int


@dataclass(frozen=True, slots=True)
class Spent:
    """What a shorter run took.

    Attributes:
        people: how many were simulated and prepared.
        data: seconds of both.
        evaluations: in their order.
        else_s: seconds of all but these, training and scoring.
    """

    people: int
    data: float
    evaluations: tuple[Evaluation, ...]
    else_s: float


def _shorter_run(patients: int) -> Spent:
    """Do a shorter run in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, "-m", "benchmarks.phantoms", name, str(patients)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    evaluations = tuple(Evaluation(*one) for one in found.pop("evaluations"))
    return Spent(**found, evaluations=evaluations)


def processor_s() -> float:
    """Seconds of this process and of those that it waited for."""
    return sum(os.times()[:4])


class CountingExecutor:
    """Runs jobs in this process, and adds up what each kind takes."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self.evaluations: list[Evaluation] = []

    def run(self, jobs: Iterable[Any], perform: Any, tell: Any) -> Iterator[tuple[Any, object]]:
        """Run every job; see ``uad_bench.runner.executors.contract.Executor``."""
        from uad_bench.runner.executors.local import LocalExecutor
        from uad_bench.runner.jobs.cells import Evaluated

        def counted(job: Any, done: Any, slot: Any) -> object:
            kind = type(job).__name__
            before = self.spent[kind] - self.spent["scoring"]
            with self.counting(kind):
                result = perform(job, done, slot)
            if isinstance(result, Evaluated):
                seconds = self.spent[kind] - self.spent["scoring"] - before
                self.evaluations.append(Evaluation(seconds, result.computed))
            return result

        return LocalExecutor().run(jobs, counted, tell)

    @contextmanager
    def counting(self, part: str) -> Iterator[None]:
        """Add what the block takes to a part."""
        start = processor_s()
        yield
        self.spent[part] += processor_s() - start


def run(folder: Path, patients: int) -> Spent:
    """Do the shorter run, and return what each part took."""
    from uad_bench.plugins.registry import open_registry
    from uad_bench.runner.config import load_config
    from uad_bench.runner.detectors.scoring import anomaly_maps
    from uad_bench.runner.run import run as run_jobs

    executor = CountingExecutor()

    @contextmanager
    def counted(*given: Any, **named: Any) -> Iterator[Any]:
        with executor.counting("scoring"):
            stack = ExitStack()
            found = stack.enter_context(anomaly_maps(*given, **named))
        with stack:
            yield found

    words = {
        "methods": "spa,gmvae",
        "phantoms": patients,
        "datasets": "mslub",
        "tune": False,
        "param": {"spa.steps": 2, "gmvae.steps": 2},
        "cache": folder / "cache",
        "results": folder / "results",
    }
    with (
        patch("uad_bench.runner.jobs.evaluate.anomaly_maps", counted),
        patch("uad_bench.runner.detectors.trainer.anomaly_maps", counted),
    ):
        done = run_jobs(load_config(None, words), open_registry(None), executor=executor)
    assert not done.failed, [record.reason for record in done.failed]
    spent = executor.spent
    data = spent["FindFiles"] + spent["Prepare"]
    return Spent(
        people=5 * patients,
        data=data,
        evaluations=tuple(executor.evaluations),
        else_s=processor_s() - data - spent["Evaluate"] - spent["Train"],
    )


if __name__ == "__main__":
    print(json.dumps(asdict(run(Path(sys.argv[1]), int(sys.argv[2])))))
