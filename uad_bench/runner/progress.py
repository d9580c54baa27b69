"""What a run tells of itself while it goes on; the command line decides how it looks."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives what happens. Every call must return at once."""

    def stage(self, text: str) -> None:
        """A new part of the work begins."""

    def step(self, done: int, total: int, detail: str = "") -> None:
        """The current part has done ``done`` of ``total``."""

    def note(self, text: str) -> None:
        """Something the user should read, such as a left-out scan."""
