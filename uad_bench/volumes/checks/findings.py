"""What a check of a dataset finds: one line per matter, with its severity."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from uad_bench.dataset import Scan
from uad_bench.errors import ScanError

Severity = Literal["error", "warning", "note"]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""From the worst to the least."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong or worth knowing.

    Attributes:
        severity: ``error``: the scan cannot be used, or results would be wrong; ``warning``: look
            at it; ``note``: good to know.
        scan: the scan's name, or the dataset's where it is about all of them.
        where: the file below the dataset's folder, or what else it is about.
        message: one line: what is wrong and what to do.
    """

    severity: Severity
    scan: str
    where: str
    message: str


@dataclass(slots=True)
class Notes:
    """Collects what is found about one scan."""

    scan: Scan
    root: Path
    found: list[Finding] = field(default_factory=list)

    def add(self, severity: Severity, path: Path, message: str) -> None:
        """Add a finding about a file."""
        where = path.relative_to(self.root) if path.is_relative_to(self.root) else path
        self.found.append(Finding(severity, self.scan.name, where.as_posix(), message))

    def refuse(self, path: Path, error: ScanError) -> None:
        """Take over the reading's own words, which begin with the path."""
        self.add("error", path, str(error).removeprefix(f"{path}: "))
