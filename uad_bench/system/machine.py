"""What this process may use of the machine: cores, and memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

PROCESS_BYTES = 1_200_000_000
"""What a process that simulates or prepares takes, at most."""


def fitting_processes(asked: int | None = None) -> int:
    """Return how many processes simulate and prepare: what was asked for, else what fits.

    That is one per core that this process may run on, as far as the free memory holds them, and at
    least one.
    """
    if asked is not None:
        return asked
    usable, free = cores(), free_memory()
    return usable if free is None else max(1, min(usable, free // PROCESS_BYTES))


def cores(root: Path = Path("/")) -> int:
    """Return how many cores this process may use, at least one.

    That is how many it may run on, and no more than the time that its control groups grant
    (``docker run --cpus 2``, a cluster's share), rounded up.

    Args:
        root: where ``proc`` and ``sys`` are.
    """
    return min([len(os.sched_getaffinity(0)), *_core_limits(root)])


def free_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes that are free, in the machine and in the control group of this process.

    A container's or a cluster's limit is that of a control group, of version 1 or 2 (cgroups(7)).
    Caches of files that would make room count as free.

    Args:
        root: where ``proc`` and ``sys`` are.

    Returns:
        ``None`` where the system does not say.
    """
    available = (line.split() for line in _lines(root / "proc/meminfo"))
    machine = [1024 * int(line[1]) for line in available if line[0] == "MemAvailable:"]
    return min([*machine, *_in_groups(root)], default=None)


def _in_groups(root: Path) -> Iterator[int]:
    """Yield the bytes that the limits of this process's control groups leave."""
    for folder, version in _folders(root, "memory"):
        limit, used, cache = _MEMORY[version]
        values = [*_lines(folder / limit), *_lines(folder / used)]
        if len(values) == 2 and values[0].isdecimal():
            kept = dict(one.split() for one in _lines(folder / "memory.stat"))
            yield max(0, int(values[0]) - int(values[1]) + int(kept.get(cache, 0)))


def _core_limits(root: Path) -> Iterator[int]:
    """Yield the cores whose time the control groups of this process grant."""
    for folder, version in _folders(root, "cpu"):
        words = " ".join(line for name in _TIME[version] for line in _lines(folder / name)).split()
        if len(words) == 2 and all(word.isdecimal() and int(word) for word in words):
            yield -(-int(words[0]) // int(words[1]))


def _folders(root: Path, controller: str) -> Iterator[tuple[Path, int]]:
    """Yield the folders of this process's control groups and of those around them.

    With each comes its version, 1 or 2.
    """
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, group = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        base = root / "sys/fs/cgroup" / (controller if controllers else "")
        # A limit holds for all groups below: a job's, or a user's, is often not on the innermost.
        # In a container, its own folder is often what is mounted as the root.
        inner = PurePosixPath(group.strip("/"))
        for path in (inner, *inner.parents):
            yield base / path, 1 if controllers else 2


_MEMORY = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    2: ("memory.max", "memory.current", "inactive_file"),
}
_TIME = {1: ("cpu.cfs_quota_us", "cpu.cfs_period_us"), 2: ("cpu.max",)}
"""Files with the microseconds granted in a period, and those of the period."""


def _lines(file: Path) -> list[str]:
    """The lines of a file of the kernel's; none where it cannot be read."""
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
