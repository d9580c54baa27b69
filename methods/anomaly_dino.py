"""AnomalyDINO: how unlike each token of a slice is to every healthy one (Damm et al. 2025)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from uad_bench.method import MethodInfo, Slices
from uad_bench.models.batches import Batch

from .patchcore import PatchCore


class AnomalyDINO(PatchCore):
    """A memory of the last tokens of a vision transformer; 1 - cosine to the nearest.

    Preset ``paper`` takes the paper's network, which is the default too; the size of the pictures
    and the smoothing are ours.

    The brain mask takes the place of the paper's foreground, which is a guess by principal
    components. Slices are never rotated: an anatomy has an upright.
    """

    class Params(PatchCore.Params):
        """Hyper-parameters of the memory."""

        backbone: Literal["dinov2-vits14", "dinov3-vits16"] = "dinov2-vits14"
        """The pretrained network; it needs ``weights``."""

    info = MethodInfo(
        name="anomaly-dino",
        title="AnomalyDINO",
        citation="Damm et al. 2025",
        presets={"paper": {"backbone": "dinov2-vits14"}},
    )
    params: Params

    def measure(self, train: Slices) -> None:
        """Measure nothing: a cosine is of tokens as they are."""

    def features(self, batch: Batch) -> Tensor:
        """Return tokens of length 1, ``[B, C, H / 4, W / 4]``."""
        return nn.functional.normalize(super().features(batch), dim=1)

    def distance(self, batch: Batch) -> Tensor:
        """Return 1 - cosine to the nearest token of the memory, ``[B, h, w]``.

        Between vectors of length 1, that is half of the squared distance.
        """
        return super().distance(batch).square() / 2
