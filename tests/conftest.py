"""A miniature lab: tiny template-shaped brains in the datasets' true layouts, made in a second."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

import uad_bench
from uad_bench.dataset import Split
from uad_bench.phantom.layouts import write_layout
from uad_bench.phantom.scan import PhantomScan

SPACING = 4.0

# The studies are in the checkout only; last, so that the tests see the installed package.
sys.path.append(str(Path(__file__).resolve().parents[1]))

# A first example pays for imports and compilation, and a busy machine for everything.
settings.register_profile("no clock", deadline=None)
settings.load_profile("no clock")

# A shell's background jobs ignore Ctrl-C, and so would every program that a test interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)


def shared_data() -> Path:
    """The folder with real patients: ``UAD_BENCH_SHARED``, else beside the checkout."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("UAD_BENCH_SHARED", default))


@pytest.fixture(scope="session")
def real_patients() -> Path:
    """The data root of the real patients; skips where they are absent."""
    folder = shared_data()
    if not folder.is_dir():
        pytest.skip(f"no real patients in {folder}: set UAD_BENCH_SHARED")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _nothing_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or writes the user's cache, plugins, data or MLflow server."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("UAD_BENCH_DATA", "UAD_BENCH_PLUGINS", "MLFLOW_TRACKING_URI"):
            patch.delenv(name, raising=False)
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        # which test compiles a kernel first is chance
        patch.setattr("uad_bench.kernels._announce", lambda: None)
        yield


@cache
def tiny_template() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The template's brain and its white matter on a 4 mm grid, and the affine of the grid."""
    from nilearn.datasets import load_mni152_brain_mask, load_mni152_wm_mask

    mask = load_mni152_brain_mask(resolution=int(SPACING))
    white = load_mni152_wm_mask(resolution=int(SPACING))
    brain = np.asarray(mask.dataobj).astype(np.uint8)
    affine = np.asarray(mask.affine, dtype=np.float64)
    return brain, np.asarray(white.dataobj).astype(bool), affine


def tiny_brain(subject: int, split: Split, *, lesion: bool) -> PhantomScan:
    """A 4 mm brain in the shape of the template: white matter inside, grey outside, one ball."""
    brain, white, affine = tiny_template()
    rng = np.random.default_rng(subject)
    tissues = np.where(white, 3, 2 * brain).astype(np.uint8)
    flair = np.select([white, brain > 0], [100.0, 120.0], 0.0)
    flair = flair + rng.normal(0, 4, brain.shape) * (brain > 0)
    ball = np.zeros_like(brain)
    if lesion:
        centre = np.argwhere(white)[rng.integers(white.sum() // 4, 3 * white.sum() // 4)]
        grid = np.indices(brain.shape).reshape(3, -1).T
        near = np.linalg.norm(grid - centre, axis=1) <= 2.5
        ball = (near.reshape(brain.shape) & (brain > 0)).astype(np.uint8)
        flair = flair + 60.0 * ball
    return PhantomScan(
        subject=subject,
        flair=flair.astype(np.float32),
        lesion=ball,
        brain=brain.copy(),
        tissues=tissues,
        affine=affine.copy(),
        split=split,
        site="Utrecht",
    )


@pytest.fixture(scope="session")
def brains() -> tuple[PhantomScan, ...]:
    """Three tiny patients, numbered from 1."""
    return tuple(tiny_brain(number, "test", lesion=True) for number in (1, 2, 3))


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that the first worker to want it makes, and all workers read."""
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder, partial = root / name, root / f"{name}.partial"
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            make(partial)
            partial.rename(folder)
    return folder


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with a healthy BIDS dataset (4 + 2) and two patient datasets of 3 and 2.

    All workers share it: a test that changes a file copies it first.
    """

    def make(root: Path) -> None:
        healthy = [tiny_brain(k, "train", lesion=False) for k in range(1, 5)]
        healthy += [tiny_brain(k, "validation", lesion=False) for k in range(5, 7)]
        write_layout("hi", root / "HI", healthy)
        for name, numbers in (("mslub", (11, 12, 13)), ("wmh", (21, 22))):
            patients = [tiny_brain(k, "test", lesion=True) for k in numbers]
            write_layout(name, root / name.upper(), patients)

    return made_once(tmp_path_factory, "lab", make)


@pytest.fixture(scope="session")
def prepared(lab: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the datasets of the lab, whole and with ``--limit 1``, that all workers share.

    A test that looks at a cache, or at the progress of preparing, takes one of its own.
    """

    def make(cache: Path) -> None:
        for name in ("hi", "mslub", "wmh"):
            for limit in (None, 1):
                uad_bench.prepare(
                    name, data_root=lab, cache=cache, limit=limit, jobs=1, progress=False
                )

    return made_once(tmp_path_factory, "prepared", make)
