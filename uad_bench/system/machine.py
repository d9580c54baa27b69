"""What this process may use of the machine: cores, and memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

PROCESS_BYTES = 1_200_000_000
"""What a process that simulates or prepares takes, at most."""


def fitting_processes(asked: int | None = None) -> int:
    """Return how many processes simulate and prepare: what was asked for, else what fits.

    That is one per core that this process may run on, as far as the free memory holds them, and at
    least one.
    """
    if asked is not None:
        return asked
    cores, free = len(os.sched_getaffinity(0)), free_memory()
    return cores if free is None else max(1, min(cores, free // PROCESS_BYTES))


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
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, group = line.split(":", 2)
        if not controllers:
            base, limit, used, cache = _VERSION_2
        elif "memory" in controllers.split(","):
            base, limit, used, cache = _VERSION_1
        else:
            continue
        # In a container, its own folder is often what is mounted as the root.
        for folder in (root / base / group.strip("/"), root / base):
            values = [*_lines(folder / limit), *_lines(folder / used)]
            if len(values) == 2 and values[0].isdecimal():
                kept = dict(one.split() for one in _lines(folder / "memory.stat"))
                yield max(0, int(values[0]) - int(values[1]) + int(kept.get(cache, 0)))


_VERSION_1 = (
    "sys/fs/cgroup/memory",
    "memory.limit_in_bytes",
    "memory.usage_in_bytes",
    "total_inactive_file",
)
_VERSION_2 = ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file")


def _lines(file: Path) -> list[str]:
    """The lines of a file of the kernel's; none where it cannot be read."""
    try:
        return file.read_text().splitlines()
    except OSError:
        return []
