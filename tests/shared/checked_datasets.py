"""Datasets to be spoilt, and what validating them finds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
from made_datasets import adapter

from uad_bench.volumes.checks.findings import Finding
from uad_bench.volumes.checks.validate import validate_dataset


def check(root: Path, name: str = "mslub") -> tuple[Finding, ...]:
    return validate_dataset(adapter(name), root)


def serious(root: Path, name: str = "mslub") -> list[tuple[str, str, str, str]]:
    """Errors and warnings as plain tuples."""
    return [
        (found.severity, found.scan, found.where, found.message)
        for found in check(root, name)
        if found.severity != "note"
    ]


def the_one(root: Path, name: str = "mslub") -> tuple[str, str, str, str]:
    (only,) = serious(root, name)
    return only


def notes(root: Path, name: str = "mslub") -> list[str]:
    return [f.message for f in check(root, name) if f.severity == "note"]


def edit(
    path: Path,
    change: Callable[[np.ndarray], np.ndarray] = lambda data: data,
    affine: np.ndarray | None = None,
) -> None:
    image = nib.load(path)
    data = change(np.array(image.dataobj))
    moved = nib.Nifti1Image(data, image.affine if affine is None else affine)
    moved.set_sform(moved.affine, 4)
    nib.save(moved, path)
