"""Measure what a GPU does, print the table, and write it to a page.

    python -m benchmarks.device [--device cuda:0] [--page device.md]

It takes at most eight minutes. Without a GPU it says so, and ends well.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle, product
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

from benchmarks._slices import METHODS, WIDTH, PlainLoop, as_torch_has_it, context, detector, slices
from benchmarks.measure import Row, at_least, at_most, compare, ratio
from benchmarks.page import page, screen
from benchmarks.scoring import near, ours, plain
from uad_bench.method import Slices
from uad_bench.models.batches import Batch
from uad_bench.training import train_players
from uad_bench.training.loop.feed import resident
from uad_bench.training.loop.train import REPORT_EVERY

SLICES = 2048
STEPS = {2: 300, 32: 100}
"""Steps that are timed, by the size of a batch."""

GOALS = {2: 5.0, 32: None}
"""How many times as fast as the plain loop training is to be, by the size of a batch."""

SLICES_PER_S = 8000
"""What the VAE is to reach with batches of 32, on one H100."""

ROUNDED = 655
"""Levels by which scores may differ, 1 % of all: a GPU rounds what it multiplies to 10 bits."""

WORKERS = 4
SCAN = 128
SHORT = 60
"""Steps of the training whose metrics are compared with the CPU's."""

COMMAND = "`python -m benchmarks.device`"

_MINUTES = 8


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.device", description=__doc__)
    parser.add_argument("--device", default="cuda:0", help="default: cuda:0")
    parser.add_argument("--page", type=Path, default=Path("device.md"), help="default: device.md")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("No GPU that torch can use: nothing to measure.")
        return
    rows = list[Row]()
    title = f"On {torch.cuda.get_device_name(options.device)}"
    for row in measured(options.device, time.monotonic() + 60 * _MINUTES):
        rows.append(row)  # written at once: who takes the GPU back does not wait for the last one
        options.page.write_text(page({title: rows}, COMMAND), encoding="utf-8")
    print(screen(title, rows))
    print(f"page: {options.page}")


def measured(device: str, end: float) -> Iterator[Row]:
    """Yield the rows. What fails, and what there is no time left for, is a row that says so.

    Args:
        device: the device.
        end: by the monotonic clock, in seconds: after it nothing more is started.
    """
    data = slices(SLICES)
    works: dict[str, Callable[[], list[Row]]] = {}
    for name, batch in product(METHODS, STEPS):
        works[f"training {name.upper()}, batch {batch}"] = partial(
            trained, name, batch, data, device
        )
    for name, batch in product(METHODS, STEPS):
        works[f"steps of {name.upper()}, batch {batch}"] = partial(paid, name, batch, data, device)
    for name in METHODS:
        works[f"scoring {name.upper()}"] = partial(scored, name, slices(SCAN), device)
    for name in METHODS:
        works[f"metrics of {name.upper()}"] = partial(agreed, name, data, device)
    works["tests marked gpu"] = tested
    for title, work in works.items():
        if time.monotonic() > end:
            yield _without(title, "no time left")
            continue
        try:
            yield from work()
        except Exception as error:
            traceback.print_exc()
            yield _without(title, f"{type(error).__name__}, see the traceback")


def _without(work: str, why: str) -> Row:
    """The row of what was not measured."""
    return Row(work=work, ours="", got=why, reached=False)


def trained(name: str, batch: int, data: Slices, device: str) -> list[Row]:
    """Compare training with a plain loop that reads by a DataLoader and looks at every loss."""
    steps = STEPS[batch]
    found = list[float]()

    def report(*_: object) -> None:
        found.append(time.perf_counter())

    here = context(device, report=report)
    method = detector(
        name, here, steps=steps + REPORT_EVERY, checks=1, batch_size=batch, perceptual_weight=0.0
    )
    train_players(method.trainable(here), method.params, data, slices(batch), here)
    mine = (found[-1] - found[0]) / steps  # the first report comes after the warm-up
    loop = PlainLoop(name, loaded(data, batch, device), context(device), perceptual_weight=0.0)
    as_torch_has_it(loop.network)
    for _ in range(REPORT_EVERY):
        loop.step().item()
    start = time.perf_counter()
    for _ in range(steps):
        loop.step().item()
    theirs = (time.perf_counter() - start) / steps
    work = f"training {name.upper()}, width {WIDTH}, batch {batch}"
    rows = [ratio(f"{work}, a step", mine, "plain loop, DataLoader", theirs, GOALS[batch])]
    goal = SLICES_PER_S if (name, batch) == ("vae", 32) else None
    return [*rows, at_least(work, batch / mine, "slices/s", goal)]


def paid(name: str, batch: int, data: Slices, device: str) -> list[Row]:
    """Compare a step in float32 and channels last with what might be faster on this device."""

    def loop(
        *, half: bool = False, nchw: bool = False, graphs: bool = False
    ) -> Callable[[], float]:
        batches = cycle(resident(data, rows, torch.device(device), lambda batch: batch))
        one = PlainLoop(name, batches, context(device), half=half, perceptual_weight=0.0)
        if nchw:
            as_torch_has_it(one.network)
        for part in ("encode", "decode") if graphs else ():
            fused = torch.compile(getattr(one.network, part), mode="reduce-overhead")
            setattr(one.network, part, fused)

        def steps() -> float:
            for _ in range(REPORT_EVERY):
                loss = one.step()
            return loss.item()  # waits for the device

        steps()
        return steps

    rows = np.arange(batch * (len(data) // batch)).reshape(-1, batch)
    return compare(
        f"{REPORT_EVERY} steps of {name.upper()}, width {WIDTH}, batch {batch}, channels last",
        loop(),
        {
            "bfloat16": (loop(half=True), None),
            "NCHW": (loop(nchw=True), None),
            "torch.compile, CUDA graphs": (loop(graphs=True), None),
        },
        same=lambda ours, theirs: math.isfinite(ours) and math.isfinite(theirs),
        repeat=5,
    )


def loaded(data: Slices, batch: int, device: str) -> Iterator[Batch]:
    """Yield batches for ever, as a DataLoader gives them."""
    parts = TensorDataset(*map(torch.from_numpy, (data.image, data.brain, data.z)))
    loader = DataLoader(
        parts,
        batch,
        shuffle=True,
        drop_last=True,
        num_workers=WORKERS,
        persistent_workers=True,
        pin_memory=device != "cpu",
    )
    while True:
        for image, brain, z in loader:
            yield Batch(image.to(device), brain.to(device), z.to(device), data.spacing)


def scored(name: str, scan: Slices, device: str) -> list[Row]:
    """Compare scoring with one slice at a time."""
    method, theirs = (detector(name, context(device)) for _ in range(2))
    as_torch_has_it(theirs.network_)
    return compare(
        f"scoring {name.upper()}, {len(scan)} slices",
        partial(ours, method, scan),
        {"one slice at a time, NCHW, scipy's median": (partial(plain, theirs, scan), 2)},
        same=partial(near, most=ROUNDED),
        repeat=3,
    )


def agreed(name: str, data: Slices, device: str) -> list[Row]:
    """Train at full width on the device and on the CPU, and compare the metrics."""
    found = []
    for place in (device, "cpu"):
        here = context(place)
        method = detector(name, here, steps=SHORT, batch_size=2, checks=1, perceptual_weight=0.0)
        trainable = method.trainable(here)
        found.append(train_players(trainable, method.params, data, slices(32), here).validation)
    return [
        at_most(
            f"{name.upper()}, {metric} after {SHORT} steps, difference from the CPU's",
            100 * abs(found[0][metric] / value - 1),
            "%",
            5,
        )
        for metric, value in found[1].items()
    ]


def tested() -> list[Row]:
    """Run the tests that need a GPU."""
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    last = (done.stdout.splitlines() or ["nothing"])[-1].strip("= ")
    return [
        Row(
            work="tests marked gpu",
            ours=last,
            got=f"exit code {done.returncode}",
            goal="exit code 0",
            reached=done.returncode == 0,
        )
    ]


if __name__ == "__main__":
    main()
