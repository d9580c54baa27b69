"""A run that is killed at random moments, and goes on to the numbers of one that is not.

    python -m studies.kills --kills 100 [--seed 0] [--work kills]

A tiny run tunes and trains one method on phantoms, evaluates it and records it in MLflow. It is
killed with SIGKILL at a random moment after its first file, and the same command is given again and
killed again, up to four times. When it has ended, every number, histogram, picture, weight and
MLflow run is compared with those of a run that nobody disturbed. That is repeated for as many kills
as are asked for. Exits with 1 where something differs.

Processes are forked from one that has imported everything, so that the moments fall into the work.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from uad_bench.cli import main as uad_bench
from uad_bench.results import ResultsFolder, load_cells
from uad_bench.system.disk import sha256_of

RUN = (
    *("run", "--methods", "vae", "--controls", "none", "--datasets", "wmh", "--phantoms", "1"),
    *("--postprocessing", "none,star", "--trials", "3", "--device", "cpu", "-j", "1"),
)
PARAMS = {
    "steps": 16,
    "width": 2,
    "checks": 2,
    "batch_size": 2,
    "perceptual_weight": 0,
    "clean_target": "true",
}

PER_RUN = 4
"""Kills of a run at most, before it is left alone."""

_HEAVY = ("uad_bench", "torch", "mlflow", "optuna", "matplotlib", "pandas", "scipy", "sqlalchemy")
"""What takes seconds to import."""

_STARTED = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d ")
"""When a command began, in the name of its run in MLflow."""

_FORK = multiprocessing.get_context("fork")


def command(cache: Path, results: Path) -> list[str]:
    """Return the words of the run."""
    params = [word for name, value in PARAMS.items() for word in ("--param", f"vae.{name}={value}")]
    return [*RUN, *params, "--cache", str(cache), "--results", str(results)]


def carry_out(words: list[str], log: Path, modules: Path) -> None:
    """Run the command line in this process, and leave what it printed and imported."""
    stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for standard in (1, 2):
        os.dup2(stream, standard)
    code = uad_bench(words)
    modules.write_text(json.dumps(sorted(sys.modules)), encoding="utf-8")
    sys.exit(code)


def finish(words: list[str], work: Path) -> float:
    """Run the command to its end, and return how many seconds that took.

    Raises:
        SystemExit: it failed.
    """
    started = time.monotonic()
    process = _FORK.Process(target=carry_out, args=(words, work / "log", work / "modules"))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"the run ended with {process.exitcode}: see {work / 'log'}")
    return time.monotonic() - started


def kill(words: list[str], work: Path, results: Path, after_s: float) -> str | None:
    """Run the command, and kill it some seconds after its first file.

    Returns:
        What it was at; ``None`` where it had ended.
    """
    log = work / "log"
    log.unlink(missing_ok=True)
    process = _FORK.Process(target=carry_out, args=(words, log, work / "modules"))
    process.start()
    while process.is_alive() and not ResultsFolder(results).plan.is_file():
        time.sleep(0.005)
    process.join(after_s)
    process.kill()
    process.join()
    if process.exitcode == 0:
        return None
    if process.exitcode != -signal.SIGKILL:
        raise SystemExit(f"the run ended with {process.exitcode}: see {log}")
    return _at_work(log.read_text(encoding="utf-8").splitlines())


def _at_work(lines: list[str]) -> str:
    """What the last lines of a log say that was done."""
    stages = ("tune", "train", "score", "evaluate", "mlflow")
    for line in reversed(lines):
        for stage in stages:
            if stage in line.lower():
                return stage
    return "the beginning"


def came_to(results: Path) -> Mapping[str, Any]:
    """Return all that must not depend on a kill, by what it is."""
    folder, found = ResultsFolder(results), dict[str, Any]()
    for cell in load_cells(results):
        values = cell.model_dump(mode="json", exclude={"environment"})
        values["fit"].pop("wall_s")
        found[f"cell {cell.spec.name}"] = values
    for kept in (folder.histograms, folder.pictures, folder.detectors):
        for file in sorted(kept.rglob("*")):
            if file.is_file() and file.suffix in (".npz", ".png", ".safetensors"):
                found[str(file.relative_to(results))] = sha256_of(file)
    hidden = (file.relative_to(results) for file in results.rglob(".*"))
    found["what is hidden"] = sorted(
        str(file) for file in hidden if not file.name.endswith(".lock")
    )
    with sqlite3.connect(results / "mlflow.db") as store:
        numbers = store.execute(
            "select r.name, r.status, m.key, m.step, m.value from runs r join metrics m "
            "using (run_uuid) where r.lifecycle_stage = 'active' and m.key not like 'cost/%' "
            "order by r.name, m.key, m.step"
        ).fetchall()
        found["MLflow"] = [(_STARTED.sub("", name), *others) for name, *others in numbers]
    return found


def study(kills: int, seed: int, work: Path) -> int:
    """Kill and compare; return how many runs came to something else."""
    work.mkdir(parents=True, exist_ok=True)
    cache, whole, broken = work / "cache", work / "whole", work / "broken"
    for results in (whole, broken):
        shutil.rmtree(results, ignore_errors=True)
    finish(command(cache, whole), work)
    for name in json.loads((work / "modules").read_text(encoding="utf-8")):
        if name.partition(".")[0] in _HEAVY:
            with suppress(Exception):  # some can only be imported by others
                importlib.import_module(name)
    expected = came_to(whole)
    words = command(cache, broken)
    took = finish(words, work)
    draws, moments, wrong = random.Random(seed), Counter[str](), 0
    while moments.total() < kills:
        shutil.rmtree(broken)
        killed = list[str]()
        while len(killed) < PER_RUN:
            moment = kill(words, work, broken, draws.uniform(0, took))
            if moment is None:
                break
            killed.append(moment)
        else:
            finish(words, work)
        if not killed:
            continue
        moments.update(killed)
        got = came_to(broken)
        differ = sorted(k for k in expected.keys() | got.keys() if expected.get(k) != got.get(k))
        if differ:
            wrong += 1
            shutil.copytree(broken, work / f"wrong-{moments.total()}")
        said = f"differs: {', '.join(differ)}" if differ else "the same"
        print(f"{moments.total()} kills, the last in {', '.join(killed)}: {said}", flush=True)
    counted = ", ".join(f"{count} in {moment}" for moment, count in moments.most_common())
    print(f"{moments.total()} kills ({counted}); {wrong} runs came to something else")
    return wrong


def main() -> None:
    """Read the flags, and do it."""
    parser = argparse.ArgumentParser(prog="python -m studies.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("kills"))
    options = parser.parse_args()
    sys.exit(1 if study(options.kills, options.seed, options.work) else 0)


if __name__ == "__main__":
    main()
