"""The MNI152 template that the nilearn wheel carries: ICBM 2009a, symmetric, 1 mm, no skull.

Its files are read here, because importing ``nilearn.datasets`` takes over a second.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from uad_bench.errors import UadBenchError
from uad_bench.volumes.grid import Affine, FloatArray

_BRAIN = 0.2
"""Share of the brightest voxel of the T1 above which nilearn's brain mask is."""


def read_mni152(part: Literal["t1", "gm", "wm"]) -> tuple[FloatArray, Affine]:
    """Return a map of the template, its largest value 1, as ``nilearn.datasets`` loads it.

    Args:
        part: the T1, or the probability of grey or white matter.

    Returns:
        float32 ``[X, Y, Z]``, and voxel to MNI152 world coordinates in mm.

    Raises:
        UadBenchError: nilearn is not installed, or has no such file.
    """
    found = find_spec("nilearn")
    folder = Path(found.origin).parent if found is not None and found.origin else Path("nilearn")
    name = f"mni_icbm152_{part}_tal_nlin_sym_09a_converted.nii.gz"
    try:
        image = nib.load(folder / "datasets" / "data" / name)
    except FileNotFoundError:
        raise UadBenchError(f"nilearn has no {name}: install another version of it") from None
    data = np.asarray(image.dataobj).astype(np.float32)
    data /= data.max()
    return data, np.asarray(image.affine, dtype=np.float64)


def brain_of(t1: FloatArray) -> NDArray[np.bool_]:
    """Return nilearn's brain mask of the template."""
    return np.asarray(t1 > _BRAIN, dtype=np.bool_)
