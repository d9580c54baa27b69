"""How a run looks while it goes on: a live line on a terminal, plain lines in a pipe."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from uad_bench.runner.events import Ended, Event, JobFailed, Noted, Progressed, Started

_PLAIN_EVERY_S = 15.0


class LiveProgress:
    """Shows stages, steps and notes on stderr. Use it as a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        # Not `is_terminal`: notebooks ask for colours (FORCE_COLOR), and keep every frame of a bar.
        self._is_live = console.file.isatty()
        self._started = time.monotonic()
        self._last: dict[str, float] = {}
        self._stages: dict[str, str] = {}
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[detail]}"),
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

    def stage(self, text: str, worker: str = "") -> None:
        """Begin a new part of the work, which a worker does where there are several."""
        self._stages[worker] = text
        self._last[worker] = time.monotonic()
        self._bar.reset(self._task(worker), description=text, total=None, detail="")
        if not self._is_live:
            self._plain(text)

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
