"""Which metrics put a control that sees no image first: its rank in every metric of a run.

Reads the results of finished runs and prints a Markdown table per run. A rank counts every
method and post-processing of the run; equal values share the better rank.

    uad-bench run --methods thresholding,outlier --datasets all --phantoms 3 --no-mlflow
    python -m studies.controls_ranks results

Exits with 1 where a metric of the default table has such a control at rank 1.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from uad_bench.cells import CellRecord
from uad_bench.evaluation.protocol import Protocol
from uad_bench.evaluation.values import Metric
from uad_bench.plugins.registry import discover
from uad_bench.results import load_cells

BLIND = ("control-random", "control-centre")
"""The controls that see no image."""

Key = tuple[str, str]
"""A method and a post-processing."""


def ranks(records: Sequence[CellRecord], name: str) -> dict[Key, int]:
    """The rank of every method and post-processing of one dataset by one metric.

    A method of several seeds is taken with the first. Nothing comes back for a metric that says
    nothing of which method is better.
    """
    found: dict[Key, Metric] = {}
    for record in records:
        metric = record.metrics.get(name)
        if metric is not None and metric.value is not None:
            found.setdefault((record.spec.method, record.spec.postprocessing), metric)
    costs = {key: cost for key, one in found.items() if (cost := _cost(one)) is not None}
    return {key: 1 + sum(other < cost for other in costs.values()) for key, cost in costs.items()}


def _cost(metric: Metric) -> float | None:
    """A number that is lower where the metric is better."""
    if metric.value is None:
        return None
    if metric.target is not None:
        return abs(metric.value - metric.target)
    return {"higher": -metric.value, "lower": metric.value, None: None}[metric.better]


def by_dataset(records: Sequence[CellRecord]) -> dict[str, list[CellRecord]]:
    """The records of each dataset, in alphabetical order."""
    names = sorted({record.spec.dataset for record in records})
    return {name: [one for one in records if one.spec.dataset == name] for name in names}


def lines(protocol: Protocol, records: Sequence[CellRecord]) -> Iterator[str]:
    """The table of one protocol: the blind controls' best ranks by metric and dataset."""
    datasets = by_dataset(records)
    yield f"| `{protocol.name}` | {' | '.join(datasets)} |"
    yield f"|---|{'---|' * len(datasets)}"
    for metric in protocol.metrics:
        found = [ranks(some, metric.name) for some in datasets.values()]
        if any(found):
            default = " (default)" if metric.shown == "always" else ""
            yield f"| `{metric.name}`{default} | {' | '.join(map(_cell, found))} |"


def _cell(found: Mapping[Key, int]) -> str:
    own = [[rank for (method, _), rank in found.items() if method == one] for one in BLIND]
    if not all(own):
        return "–"
    return f"{', '.join(str(min(some)) for some in own)} of {len(found)}"


def first(protocol: Protocol, records: Sequence[CellRecord]) -> Iterator[str]:
    """Every default metric and dataset in which a blind control has rank 1."""
    for dataset, some in by_dataset(records).items():
        for name in (one.name for one in protocol.metrics if one.shown == "always"):
            for (method, post), rank in ranks(some, name).items():
                if method in BLIND and rank == 1:
                    yield f"{method} ({post}) ranks first in {name} of {dataset}, {protocol.name}"


def main() -> None:
    """Print the tables of every results folder, then what ranks first where it should not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, nargs="+", help="results folders of finished runs")
    wrong: list[str] = []
    for folder in parser.parse_args().results:
        records = [one for one in load_cells(folder) if one.state == "done"]
        missing = set(BLIND) - {record.spec.method for record in records}
        if missing:
            raise SystemExit(
                f"{folder} has no result of {', '.join(sorted(missing))}: run it whole"
            )
        print(f"Best rank of {' and '.join(BLIND)}, {folder}\n")
        registry = discover()
        for protocol in map(registry.protocol, registry.names("protocol")):
            own = [one for one in records if one.spec.protocol == protocol.name]
            if own:
                print("\n".join(lines(protocol, own)), end="\n\n")
                wrong += first(protocol, own)
    print("\n".join(wrong) or "No control that sees no image ranks first in a default metric.")
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
