"""How many processes fit: cores, and the memory that the machine and its control groups leave."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from uad_bench.system import machine

GB = 10**9


def system(
    root: Path, groups: str, files: dict[str, str], available_kb: int | None = 8_000_000
) -> Path:
    """Write what a kernel says below a folder."""
    files = {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    if available_kb is not None:
        files["proc/meminfo"] = f"MemTotal: 9000000 kB\nMemAvailable: {available_kb} kB\n"
    for name, text in {"proc/self/cgroup": groups, **files}.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


FIRST = {
    "memory.limit_in_bytes": f"{2 * GB}\n",
    "memory.usage_in_bytes": f"{GB}\n",
    "memory.stat": f"cache 5\ntotal_inactive_file {GB // 4}\n",
}
SECOND = {
    "memory.max": f"{3 * GB}\n",
    "memory.current": f"{GB}\n",
    "memory.stat": f"inactive_file {GB // 2}\n",
}


def below(folder: str, files: dict[str, str]) -> dict[str, str]:
    return {f"{folder}/{name}".strip("/"): text for name, text in files.items()}


@pytest.mark.parametrize(
    ("groups", "files", "free"),
    [
        ("", {}, 8 * GB * 1.024),
        ("4:memory:/a/b\n", below("memory/a/b", FIRST), 1.25 * GB),
        ("4:cpu,memory:/a/b\n3:cpuset:/\n", below("memory", FIRST), 1.25 * GB),
        ("0::/job\n", below("job", SECOND), 2.5 * GB),
        ("0::/job/step/task\n", below("job", SECOND), 2.5 * GB),
        (
            "0::/user/session\n",
            {**below("user", SECOND), **below("user/session", {**SECOND, "memory.max": "max\n"})},
            2.5 * GB,
        ),
        ("0::/\n", below("", SECOND), 2.5 * GB),
        ("0::/\n", below("", {**SECOND, "memory.max": "max\n"}), 8 * GB * 1.024),
        ("0::/\n", below("", {**SECOND, "memory.max": "100\n", "memory.stat": ""}), 0),
    ],
    ids=[
        "none",
        "first",
        "first, in a container",
        "second",
        "of the job, not of its task",
        "of the user, not of the session",
        "a container",
        "no limit",
        "full",
    ],
)
def test_the_narrowest_limit_counts(tmp_path, groups, files, free):
    assert machine.free_memory(system(tmp_path, groups, files)) == free


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        ("", {}, 8),
        ("0::/job\n", {"job/cpu.max": "150000 100000\n"}, 2),
        ("0::/job\n", {"cpu.max": "300000 100000\n"}, 3),
        ("0::/job/step\n", {"job/cpu.max": "200000 100000\n"}, 2),
        ("0::/job\n", {"job/cpu.max": "max 100000\n"}, 8),
        ("0::/job\n", {"job/cpu.max": "20000 100000\n"}, 1),
        ("0::/job\n", {"job/cpu.max": "6400000 100000\n"}, 8),
        (
            "4:cpu,cpuacct:/a\n",
            {"cpu/a/cpu.cfs_quota_us": "400000\n", "cpu/a/cpu.cfs_period_us": "100000\n"},
            4,
        ),
        (
            "4:cpu,cpuacct:/a\n",
            {"cpu/a/cpu.cfs_quota_us": "-1\n", "cpu/a/cpu.cfs_period_us": "100000\n"},
            8,
        ),
    ],
)
def test_as_many_cores_as_a_control_group_grants_the_time_of(
    tmp_path, monkeypatch, groups, files, cores
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert machine.cores(system(tmp_path, groups, files)) == cores


def test_a_system_that_says_nothing_is_not_narrow(tmp_path):
    assert machine.free_memory(tmp_path) is None


@pytest.mark.parametrize(
    ("free", "processes"), [(None, 4), (100 * GB, 4), (3 * GB, 2), (GB, 1), (0, 1)]
)
def test_as_many_processes_as_cores_and_memory_hold(monkeypatch, free, processes):
    monkeypatch.setattr(machine, "cores", lambda: 4)
    monkeypatch.setattr(machine, "free_memory", lambda: free)
    assert machine.fitting_processes() == processes
    assert machine.fitting_processes(7) == 7
