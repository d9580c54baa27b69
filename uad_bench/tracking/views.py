"""What MLflow shows at first: a view per kind of run, with the columns that compare."""

from __future__ import annotations

import json
from collections.abc import Sequence

FIRST = "cells"
"""The view that is opened."""

# MLflow's pages open a view as `?viewStateShareKey=NAME`, from a tag of the experiment.
_TAG = "mlflow.sharedViewState."

_NOTE = (
    "A run per command of `uad-bench`, and below it one per detector, tuning trial and cell. "
    "Search for `tags.kind = 'command'`, `'detector'`, `'trial'` or `'cell'`."
)


def experiment_tags() -> dict[str, str]:
    """Tags of a new experiment: its pages, its description and its views."""
    return {
        # The kind decides which pages MLflow shows; without it the user is asked.
        "mlflow.experimentKind": "custom_model_development",
        "mlflow.note.content": _NOTE,
        _TAG + FIRST: _view(
            "cell",
            "auprc",
            ("auprc", "dice", "lesion_f1"),
            ("method", "seed", "dataset", "postprocessing"),
        ),
        _TAG + "detectors": _view(
            "detector",
            "cost/training_s",
            ("cost/training_s", "cost/training_steps", "validation/l1", "validation/kl"),
            ("method", "seed", "training.dataset", "tuned"),
        ),
    }


def _view(kind: str, by: str, metrics: Sequence[str], params: Sequence[str]) -> str:
    """The runs of a kind, the highest first, with some columns."""
    columns = [f"metrics.`{name}`" for name in metrics] + [f"params.`{name}`" for name in params]
    columns.append("tags.`simulated`")
    return json.dumps(
        {
            "searchFilter": f"tags.kind = '{kind}'",
            "orderByKey": f"metrics.`{by}`",
            "orderByAsc": False,
            "selectedColumns": columns,
        }
    )
