"""Where a cell was computed: versions, commit, device, time and memory."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from uad_bench import __version__
from uad_bench.cells import Environment
from uad_bench.errors import UadBenchError

_PACKAGES = ("torch", "numpy", "scipy", "nibabel", "nilearn", "optuna", "numba")


@cache
def git_commit() -> str | None:
    """The commit of the checkout this package runs from, ``+`` if it has local changes."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        commit, changes = (
            subprocess.run(
                ["git", "-C", str(root), *command],
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                check=True,
                timeout=10,
                env=environment,
            ).stdout.strip()
            for command in (["rev-parse", "HEAD"], ["status", "--porcelain", "-uno"])
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit}+" if changes else commit


@dataclass(frozen=True, slots=True)
class Stopwatch:
    """Started where a cell begins; says at its end what it took.

    Attributes:
        device: the torch device.
        started: when it was started.
        commit: of the checkout then; one that comes later is not of the code that runs.
    """

    device: str
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    commit: str | None = field(default_factory=git_commit)
    _clock: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """Wall seconds since the start."""
        return time.perf_counter() - self._clock

    def read(self) -> Environment:
        """The environment record, with the wall time since the start and the peak memory."""
        return Environment(
            versions=versions(),
            git_commit=self.commit,
            device=describe_device(self.device),
            started=self.started.isoformat(timespec="seconds"),
            wall_s=round(self.seconds, 3),
            peak_memory_mb=round(peak_bytes() / 2**20, 1),
        )


def resolve_device(name: str, said: str = "") -> str:
    """Turn ``auto`` into the best device there is, and check any other name.

    Args:
        name: the device.
        said: how a message names it, where it is a setting.

    Raises:
        UadBenchError: if torch does not know the device or the machine does not have it.
    """
    import torch

    is_auto = name == "auto"
    if is_auto:
        name = "cuda:0" if torch.cuda.is_available() else "cpu"
    _prepare(name)
    if is_auto:
        return name
    try:
        torch.ones(1, device=name)  # the device has to compute: memory alone, an old GPU has too
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        first = str(error).splitlines()[0]
        raise UadBenchError(f"{said or f'device {name}'}: not usable here ({first})") from None
    return name


def _prepare(device: str) -> None:
    """Set what a GPU's libraries read when they begin, and never again.

    With it cuBLAS repeats itself, where a training asks for that. It begins with the first product
    of matrices, which may be another method's.
    """
    if device.startswith("cuda"):
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@cache
def describe_device(device: str) -> str:
    """The device with its make, such as ``cpu (x86_64, 2 threads)``."""
    import torch

    if device.startswith("cuda"):
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device} ({platform.machine()}, {torch.get_num_threads()} threads)"


@cache
def versions() -> dict[str, str]:
    """Versions of Python, this package and what the numbers depend on."""
    found = {"uad-bench": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def peak_bytes() -> int:
    """Return the most memory that this process took so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
