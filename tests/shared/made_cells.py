"""Cells as a run leaves them, for tests of what is made from results."""

from __future__ import annotations

from typing import Any

from uad_bench.cells import CellRecord, CellSpec, DatasetUse, Environment

ENVIRONMENT = Environment(
    versions={}, git_commit=None, device="cpu", started="", wall_s=0, peak_memory_mb=0
)

_TITLES = {"spa": "SPA", "vae": "VAE", "gmvae": "GMVAE", "thresholding": "Thresh.", "unet": "U-Net"}


def made_use(dataset: str, people: int = 6, **changes: Any) -> DatasetUse:
    """A real dataset of so many people with a scan each, unless it is said otherwise."""
    values: dict[str, Any] = {
        "dataset": dataset,
        "simulated": False,
        "manifest_hash": f"{dataset}-1",
        "recipe": "median",
        "subjects": people,
        "scans": people,
        "slices": 9,
    }
    return DatasetUse(**(values | changes))


def made_cell(
    method: str,
    dataset: str = "mslub",
    *,
    protocol: str = "strict",
    post: str = "none",
    seed: int = 0,
    on: str = "",
    params: dict[str, Any] | None = None,
    reason: str = "",
    **changes: Any,
) -> CellRecord:
    """A finished cell; a reason makes it a failed one, without data and numbers."""
    spec = CellSpec(
        method=method,
        supervised_on=on,
        params=params or {},
        seed=seed,
        dataset=dataset,
        protocol=protocol,
        postprocessing=post,
    )
    values: dict[str, Any] = {
        "spec": spec,
        "method_title": _TITLES.get(method, method),
        "environment": ENVIRONMENT,
    } | changes
    if reason:
        lost = {"training": None, "data": None, "metrics": {}, "scans": ()}
        return CellRecord(**(values | lost), state="failed", reason=reason)
    return CellRecord(**values, state="done")
