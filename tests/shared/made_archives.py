"""Exports of made cells, and what is done to them."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

import uad_bench as ub
from uad_bench.cells import CellRecord, CellSpec, DatasetUse, Environment, FitRecord
from uad_bench.evaluation.scores.histograms import ScoreHistogram
from uad_bench.evaluation.scores.tally import Tally
from uad_bench.evaluation.values import Metric, ScanScores
from uad_bench.histogram_files import save_histograms
from uad_bench.plugins.registry import open_registry
from uad_bench.results import ResultsFolder, write_cell
from uad_bench.sharing.zips import LISTING

HOME = "/home/alice/studies 2"


def cell(seed: int, value: float = 0.25, **more: object) -> CellRecord:
    spec = CellSpec(
        method="fae",
        params={"weights": f"{HOME}/net.pth", "steps": 5},
        seed=seed,
        dataset="wmh",
        protocol="strict",
        postprocessing="none",
    )
    return CellRecord.model_validate(
        {
            "spec": spec,
            "state": "done",
            "method_title": "FAE",
            "protocol_version": open_registry(None).protocol("strict").version,
            "run": "0a1b2c3d",
            "data": DatasetUse(
                dataset="wmh",
                simulated=False,
                manifest_hash="0123456789abcdef",
                recipe="median",
                subjects=1,
                scans=1,
                slices=3,
                excluded=({"scan": "b", "reason": f"{HOME}/b.nii.gz: no brain in it"},),
            ),
            "fit": FitRecord(detector="fae-s0-11111111", notes=("read /data/alice/net.pth",)),
            "metrics": {"dice": Metric(value=value, low=0.1 + 0.2, high=0.5, subjects=1)},
            "scans": (ScanScores(subject="a", metrics={"dice": value}),),
            "histograms": f"histograms/{spec.name}.npz",
            "environment": Environment(
                versions={}, git_commit=None, device="cpu", started="", wall_s=0, peak_memory_mb=0
            ),
            **more,
        }
    )


def results(root: Path, *records: CellRecord) -> ub.Results:
    folder = ResultsFolder(root)
    tally = Tally.at(np.array([3], np.uint16), np.array([7]))
    for record in records:
        write_cell(folder, record)
        if record.histograms is not None:
            save_histograms(root / record.histograms, {"a": ScoreHistogram(tally, tally)})
    settings = {
        "data_root": "scans of alice/all",
        "datasets": ["bids:/home/alice/wmh", "mslub"],
        "recipe": "median",
        "atlas": None,
        "param": {"fae.weights": f"{HOME}/net.pth"},
    }
    folder.runs.mkdir(exist_ok=True)
    (folder.runs / "0a1b2c3d.json").write_text(json.dumps(settings))
    return ub.load_results(root)


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as found:
        return {name: found.read(name) for name in found.namelist()}


def zipped(path: Path, files: dict[str, bytes], listed: bool = True) -> Path:
    """Write a zip; ``listed`` makes its listing true, as an attacker would."""
    if listed:
        listing = json.loads(files[LISTING])
        listing["files"] = {
            name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in files.items()
            if name != LISTING
        }
        files = {**files, LISTING: json.dumps(listing).encode()}
    with zipfile.ZipFile(path, "w") as out:
        for name, data in files.items():
            out.writestr(name, data)
    return path


def refused(path: Path, into: Path) -> str:
    with pytest.raises(ub.UadBenchError) as caught:
        ub.import_results(path, into)
    assert not (into / "cells").exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)
