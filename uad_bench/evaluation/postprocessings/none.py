"""The absolute residual, as it is."""

from __future__ import annotations

import numpy as np

from uad_bench.evaluation.postprocessing import PostProcessing

NONE = PostProcessing(
    name="none", version=1, mark="", caption="", make=lambda residual, _: np.abs(residual)
)
