"""Broken rules, and how they are collected."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from uad_bench.errors import UadBenchError
from uad_bench.method import Slices
from uad_bench.plugins.declarations import one_line


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule.

    Attributes:
        rule: the rule's name, such as ``range``.
        message: what was found and what is asked, in one line.
    """

    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.message}"


class Stop(Exception):  # noqa: N818 (not an error: the rules that follow cannot be tried)
    """The rules that follow depend on one that was broken."""


class Findings:
    """Collects broken rules, each sentence once.

    Args:
        file: the plugin's file, whose line is named where the plugin raises.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._violations: dict[Violation, None] = {}

    @property
    def violations(self) -> list[Violation]:
        """The broken rules in the order of their discovery."""
        return list(self._violations)

    def check(self, kept: bool, rule: str, message: str) -> None:
        """Note a rule that was not kept."""
        if not kept:
            self._violations.setdefault(Violation(rule, one_line(message)))

    def add(self, violations: list[Violation]) -> None:
        """Note broken rules that were found elsewhere."""
        self._violations.update(dict.fromkeys(violations))

    @contextmanager
    def attempt(self, rule: str, what: str) -> Iterator[None]:
        """Note an exception as a broken rule, and leave what depends on it by :class:`Stop`."""
        try:
            yield
        except Stop:
            raise
        except UadBenchError as error:  # says in plain words what is wrong
            self.check(False, rule, f"{what}: {error}{self._where(error)}")
            raise Stop from error
        except Exception as error:
            where = self._where(error)
            self.check(False, rule, f"{what} raised {type(error).__name__}: {error}{where}")
            raise Stop from error

    def _where(self, error: Exception) -> str:
        """The last line of the plugin's file that led to an exception."""
        where, trace = "", error.__traceback__
        while trace is not None:
            if self._file is not None and trace.tb_frame.f_code.co_filename == str(self._file):
                where = f" ({self._file.name}:{trace.tb_lineno})"
            trace = trace.tb_next
        return where


def check_score(score: object, slices: Slices, what: str = "score") -> list[Violation]:
    """Return what is wrong with an anomaly map, or with a reconstruction, of ``slices``.

    It must be a float32 array ``[N, 1, H, W]`` of the image's shape, finite, in [0, 1].
    """
    findings = Findings()
    if not isinstance(score, np.ndarray):
        findings.check(False, "type", f"{what} must be a NumPy array, is {type(score).__name__}")
        return findings.violations
    shape = slices.image.shape
    findings.check(score.dtype == np.float32, "dtype", f"{what} must be float32, is {score.dtype}")
    findings.check(
        score.shape == shape, "shape", f"{what} must have shape {shape}, has {score.shape}"
    )
    if score.dtype.kind in "biuf" and score.size:
        finite = score[np.isfinite(score)]
        bad = score.size - finite.size
        message = f"{what} must be finite, but {bad} of {score.size} values are NaN or infinite"
        findings.check(not bad, "finite", message)
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
        message = f"{what} must lie in [0, 1], spans [{low:.4g}, {high:.4g}]"
        findings.check(low >= 0 and high <= 1, "range", message)
    return findings.violations
