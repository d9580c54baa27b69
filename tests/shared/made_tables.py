"""Tables of cells that a run could leave, for tests of what tables say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from made_cells import made_cell, made_use

from uad_bench.cells import (
    CellRecord,
    DatasetUse,
    Exclusion,
)
from uad_bench.evaluation.postprocessings.none import NONE
from uad_bench.evaluation.postprocessings.star import STAR
from uad_bench.evaluation.protocols.paper import PAPER
from uad_bench.evaluation.protocols.strict import STRICT
from uad_bench.evaluation.values import Metric, ScanScores
from uad_bench.report.bercea2022 import BERCEA_2022
from uad_bench.report.publication import load_published
from uad_bench.report.tables import build
from uad_bench.report.tables.model import Cell, Panel, Table

PROTOCOLS = {"strict": STRICT, "paper": PAPER}
PUBLISHED = load_published(BERCEA_2022)


def build_table(records: Sequence[CellRecord], protocol: str = "strict", **options: Any) -> Table:
    """The table of a protocol, with the plain maps and the paper's post-processing."""
    return build.build_table(records, PROTOCOLS[protocol], [NONE, STAR], **options)


def use(dataset: str, **changes: Any) -> DatasetUse:
    """A simulated dataset."""
    return made_use(dataset, **{"simulated": True, "slices": 400, **changes})


def record(
    method: str,
    auprc: float | None = 0.5,
    *,
    dataset: str = "mslub",
    post: str = "none",
    seed: int = 0,
    protocol: str = "strict",
    params: dict[str, Any] | None = None,
    reason: str = "",
    data: DatasetUse | None = None,
    training: DatasetUse | None = None,
    metrics: dict[str, Metric] | None = None,
    scans: Sequence[float] = (),
    title: str = "",
) -> CellRecord:
    """One cell; a reason makes it a failed one."""
    titles = {"spa": "SPA", "vae": "VAE", "gmvae": "GMVAE", "thresholding": "Thresh."}
    interval = {} if auprc is None else {"low": auprc - 0.05, "high": auprc + 0.05}
    values = {"auprc": Metric(value=auprc, subjects=6, **interval)}
    values |= {
        name: Metric(value=auprc and round(auprc * 0.8, 4), subjects=6)
        for name in ("dice", "max_dice")
    }
    values["hd95"] = Metric(
        value=auprc and round(60 * (1 - auprc), 3), unit="mm", better="lower", subjects=6
    )
    return made_cell(
        method,
        dataset,
        protocol=protocol,
        post=post,
        seed=seed,
        params=params,
        reason=reason,
        protocol_version=PROTOCOLS[protocol].version,
        method_title=title or titles.get(method, method),
        control=method.startswith("control"),
        supervised=method == "unet",
        training=training or use("hi", subjects=20),
        data=data or use(dataset),
        metrics=values | (metrics or {}),
        scans=tuple(
            ScanScores(subject=f"p{index}", metrics={"auprc": value})
            for index, value in enumerate(scans)
        ),
    )


def study() -> tuple[CellRecord, ...]:
    """A run with everything a table must show: seeds, stars, a control, a failure, a bad scan."""
    bad = (Exclusion(scan="patient_19", reason="FLAIR holds NaN & 100 % noise"),)
    cells = []
    for dataset, simulated, base in (("brats", False, 0.5), ("mslub", True, 0.2)):
        data = use(dataset, simulated=simulated, excluded=bad if dataset == "mslub" else ())
        for post, gain in (("none", 0.0), ("star", 0.1)):
            for method, extra in (("vae", 0.0), ("spa", 0.11)):
                cells += [
                    record(
                        method,
                        base + gain + extra + 0.02 * seed,
                        dataset=dataset,
                        post=post,
                        seed=seed,
                        data=data,
                        scans=[base + gain + extra + 0.01 * k + 0.02 * seed for k in range(6)],
                    )
                    for seed in (0, 1)
                ]
            cells.append(
                record(
                    "control-black",
                    base,
                    dataset=dataset,
                    post=post,
                    data=data,
                    title="Black",
                    scans=[base + 0.015 * k for k in range(6)],
                    metrics={
                        "hd95": Metric(value=70.0, unit="mm", better="lower", penalised=2),
                        "prevalence": Metric(value=base / 20, better=None),
                    },
                )
            )
    cells.append(
        record("mine", dataset="mslub", title="Mine_1 & co", reason="loss is NaN at step 7 – 中")
    )
    return tuple(
        sorted(cells, key=lambda one: one.spec.name)
    )  # as a folder without a plan has them


def shown(panel: Panel) -> dict[tuple[str, str], Cell]:
    """The cells of a panel by the titles of their row and column."""
    return {
        (row.title, one.title): cell
        for row, line in zip(panel.rows, panel.cells, strict=True)
        for one, cell in zip(panel.columns, line, strict=True)
    }


def notes(table: Table) -> dict[str, str]:
    """The notes of a table by their marks."""
    return {note.mark: note.text for note in table.notes}


def note_of(table: Table, marks: Sequence[int]) -> str:
    """What these marks say."""
    return " ".join(notes(table)[str(mark)] for mark in marks)
