"""Cells with the numbers of single subjects, for tests of what compares them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from made_cells import made_cell, made_use

import uad_bench as ub
from uad_bench.cells import CellRecord
from uad_bench.evaluation.protocols.paper import PAPER
from uad_bench.evaluation.protocols.strict import STRICT
from uad_bench.evaluation.values import Metric, ScanScores
from uad_bench.results import ResultsFolder, write_cell

PROTOCOLS = {"strict": STRICT, "paper": PAPER}


def cell(
    method: str,
    values: Sequence[float | None],
    *,
    dataset: str = "mslub",
    seed: int = 0,
    metric: str = "auprc",
    protocol: str = "strict",
    post: str = "none",
    manifest: str = "m",
    reason: str = "",
    params: Mapping[str, Any] | None = None,
    simulated: bool = False,
    on: str = "",
) -> CellRecord:
    better = PROTOCOLS[protocol].metric(metric).better
    known = [value for value in values if value is not None]
    whole = Metric(
        value=float(np.mean(known)) if known else None,
        better=better,
        subjects=len(known) if protocol == "strict" else 0,
    )
    return made_cell(
        method,
        dataset,
        protocol=protocol,
        post=post,
        seed=seed,
        on=on,
        supervised=bool(on),
        params=dict(params or {}),
        reason=reason,
        protocol_version=PROTOCOLS[protocol].version,
        data=made_use(dataset, len(values), manifest_hash=manifest, simulated=simulated),
        metrics={metric: whole, "patient_auroc": Metric(value=0.9, subjects=8)},
        scans=tuple(
            ScanScores(subject=f"p{at}", metrics={metric: value}) for at, value in enumerate(values)
        ),
    )


def results(tmp_path: Path, *cells: CellRecord) -> ub.Results:
    folder = ResultsFolder(tmp_path / "results")
    for one in cells:
        write_cell(folder, one)
    return ub.load_results(folder.root)


LOW = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.35, 0.25]
HIGH = [value + 0.1 + 0.01 * at for at, value in enumerate(LOW)]


def taught(values: Sequence[float], **more: Any) -> CellRecord:
    """A U-Net that learned from MSLUB, and was tested on the rest of it."""
    return cell("unet", values, on="mslub", manifest="part", **more)
