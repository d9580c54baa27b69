"""How a run looks while it goes on: a live line on a terminal, plain lines in a pipe."""

from __future__ import annotations

import time
from collections.abc import Iterable
from types import TracebackType

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from uad_bench.runner.events import Ended, Event, JobFailed, Noted, Overall, Progressed, Started
from uad_bench.system.text import duration

_PLAIN_EVERY_S = 15.0

_WIDTH = 12
"""Columns of the bar, so that 80 hold it beside the longest stage."""


class _Bars(Progress):
    """The bar of each stage, between how far the whole run is and what a stage tells of itself."""

    overall = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        """Yield the lines. Where stages go on beside each other, none tells more of itself."""
        if self.overall:
            yield Text(self.overall, style="bold", no_wrap=True, overflow="ellipsis")
        yield from super().get_renderables()
        details = [task.fields["detail"] for task in self.tasks]
        if len(details) == 1 and details[0]:
            yield Text(f"  {details[0]}", style="dim", no_wrap=True, overflow="ellipsis")


class LiveProgress:
    """Shows stages, steps and notes on stderr. Use it as a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        # Not `is_terminal`: notebooks ask for colours (FORCE_COLOR), and keep every frame of a bar.
        self._is_live = console.file.isatty()
        self._started = time.monotonic()
        self._last: dict[str, float] = {}
        self._stages: dict[str, str] = {}
        self._bar = _Bars(
            TextColumn(
                "{task.description}",
                markup=False,
                table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1),
            ),
            BarColumn(bar_width=_WIDTH),
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            TimeElapsedColumn(table_column=Column(no_wrap=True)),
            TimeRemainingColumn(table_column=Column(no_wrap=True)),
            console=console,
            transient=True,
            disable=not self._is_live,
        )
        self._tasks = {"": self._bar.add_task("start", total=None, detail="")}

    def __enter__(self) -> LiveProgress:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def __call__(self, event: Event) -> None:
        """Show what a run tells."""
        match event:
            case Started(text, worker):
                self.stage(text, worker)
            case Progressed(done, total, detail, worker):
                self.step(done, total, detail, worker)
            case Ended(worker):
                self._end(worker)
            case Noted(text):
                self.note(text)
            case JobFailed(job, reason):
                self.note(f"{job} failed: {reason}")
            case Overall(done, total, left_s):
                left = "" if left_s is None else f", about {duration(left_s)} left"
                self._bar.overall = f"{done}/{total} cells{left}"

    def stage(self, text: str, worker: str = "") -> None:
        """Begin a new part of the work, which a worker does where there are several."""
        self._stages[worker] = text
        self._last[worker] = time.monotonic()
        self._bar.reset(self._task(worker), description=text, total=None, detail="")
        if not self._is_live:
            self._plain(f"{text} ({self._bar.overall})" if self._bar.overall else text)

    def busy(self, text: str) -> None:
        """Show on a terminal what takes a while; a pipe is told nothing."""
        self._bar.reset(self._task(""), description=text, total=None, detail="")

    def step(self, done: int, total: int, detail: str = "", worker: str = "") -> None:
        """Move the bar; in a pipe, print a line now and then."""
        self._bar.update(self._task(worker), completed=done, total=total or None, detail=detail)
        now = time.monotonic()
        if not self._is_live and now - self._last.get(worker, self._started) >= _PLAIN_EVERY_S:
            self._last[worker] = now
            self._plain(f"{self._stages.get(worker, '')}: {done}/{total}  {detail}".rstrip())

    def _task(self, worker: str) -> TaskID:
        """The bar of a worker; where workers have theirs, there is no other."""
        if worker not in self._tasks:
            if "" in self._tasks:
                self._end("")
            self._tasks[worker] = self._bar.add_task("start", total=None, detail="")
        return self._tasks[worker]

    def _end(self, worker: str) -> None:
        """Take a worker's bar away, if it has one."""
        if worker in self._tasks:
            self._bar.remove_task(self._tasks.pop(worker))

    def note(self, text: str) -> None:
        """Print something the user should read."""
        self._console.print(f"note: {text}", highlight=False, markup=False, soft_wrap=True)

    def line(self, text: str) -> None:
        """Print a line that stays, with the time."""
        self._plain(text)

    def _plain(self, text: str) -> None:
        clock = int(time.monotonic() - self._started)
        self._console.print(
            f"[{clock // 60:02d}:{clock % 60:02d}] {text}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
