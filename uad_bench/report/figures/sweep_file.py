"""A sweep as a file: all that its table and its figure are made from."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from uad_bench.cells import DatasetUse
from uad_bench.errors import UadBenchError
from uad_bench.report.figures.sweep import Shown, Sweep, Training, ValueView
from uad_bench.system.archives import npz_bytes

_VERSION = 1


def sweep_bytes(sweep: Sweep) -> bytes:
    """Return the file's bytes: arrays, and JSON that says what they are."""
    shown = sweep.shown
    about = {
        "version": _VERSION,
        **{name: getattr(sweep, name) for name in ("method", "title", "param", "values", "log")},
        "trainings": [asdict(one) for one in sweep.trainings],
        "learned": sweep.learned.model_dump(mode="json"),
        "measured": sweep.measured.model_dump(mode="json"),
        "split": sweep.split,
        "scan": shown.scan,
    }
    arrays: dict[str, NDArray[Any]] = {
        "about": np.array(json.dumps(about)),
        "image": shown.image,
        "brain": shown.brain,
    }
    if shown.tissues is not None:
        arrays["tissues"] = shown.tissues
    for at, value in enumerate(sweep.values):
        view = shown.views.get(value)
        if view is not None:
            arrays[f"reconstruction{at}"] = view.reconstruction
            if view.tissues is not None:
                arrays[f"tissues{at}"] = view.tissues
    return npz_bytes(arrays)


def read_sweep(file: Path) -> Sweep:
    """Read a sweep.

    Raises:
        UadBenchError: if the file is missing, damaged or of another version.
    """
    try:
        with np.load(file, allow_pickle=False) as held:
            arrays = dict(held)
        about = json.loads(arrays["about"].item())
        if about.pop("version") != _VERSION:
            raise ValueError
        values, scan = tuple(about.pop("values")), about.pop("scan")
        views = {
            value: ValueView(arrays[f"reconstruction{at}"], arrays.get(f"tissues{at}"))
            for at, value in enumerate(values)
            if f"reconstruction{at}" in arrays
        }
        return Sweep(
            values=values,
            trainings=tuple(Training(**one) for one in about.pop("trainings")),
            learned=DatasetUse.model_validate(about.pop("learned")),
            measured=DatasetUse.model_validate(about.pop("measured")),
            shown=Shown(scan, arrays["image"], arrays["brain"], arrays.get("tissues"), views),
            **about,
        )
    except OSError as error:
        raise UadBenchError(f"cannot read {file}: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, EOFError, BadZipFile):
        raise UadBenchError(
            f"{file} is not the sweep that this version writes: repeat `uad-bench sweep`, which "
            "trains nothing again"
        ) from None
