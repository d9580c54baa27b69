"""PatchCore: how far each patch of a slice is from the nearest healthy one (Roth et al. 2022)."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from uad_bench.method import FitContext, FitReport, MethodInfo, Slices
from uad_bench.models.batches import Batch
from uad_bench.models.features.coreset import coreset, distance_to_nearest, fitting
from uad_bench.training.feature_method import FeatureMethod, FeatureParams


class PatchCore(FeatureMethod):
    """A memory of features of healthy brains, thinned so that every one has a near one in it.

    Preset ``paper`` takes the paper's network, whose file you give; the layers, the share of the
    patches that is kept and the smoothing are ours.

    Places outside the brain are never in the memory: a search for far patches would take the
    skull's edges first.
    """

    class Params(FeatureParams):
        """Hyper-parameters of the memory."""

        memory: int = Field(default=1000, ge=1)
        """Patches that are kept."""
        candidates: int = Field(default=50_000, ge=1)
        """Patches to choose from; where there are more, as many are drawn, and fewer where half of
        the free memory does not hold them."""

    info = MethodInfo(
        name="patchcore",
        title="PatchCore",
        citation="Roth et al. 2022",
        presets={"paper": {"backbone": "wide-resnet50-2"}},
    )
    params: Params
    kept_: int

    def build(self) -> None:
        """Set the empty memory."""
        super().build()
        self.memory_ = _Memory(self.kept_, sum(self.channels))

    def learn(self, train: Slices, validation: Slices, context: FitContext) -> FitReport:
        """Fill the memory."""
        source = torch.Generator(context.device).manual_seed(context.seed)
        total = self.places(train)
        drawn = torch.randperm(total, generator=source, device=source.device)
        wanted, channels = min(self.params.candidates, total), sum(self.channels)
        held = fitting(channels, context.device)
        count = wanted if held is None else min(wanted, held)
        some = self._patches_of(train, drawn[:count].sort().values)
        rows = coreset(some, self.params.memory, source)
        self.kept_ = len(rows)
        self.memory_ = _Memory(self.kept_, channels).to(context.device)
        self.memory_.patches.copy_(some[rows])
        notes = [f"{self.kept_} of {len(some)} of {total} patches kept"]
        if count < wanted:
            notes.append(f"half of the free memory holds {count} of {wanted} to choose from")
        return FitReport(slices_seen=len(train), notes=tuple(notes))

    def _patches_of(self, slices: Slices, drawn: Tensor) -> Tensor:
        """Some of the patches; no more of them are ever held than a batch has beside these."""
        kept, start = [], 0
        for patches, _, _ in self.patches(slices):
            here = drawn[(drawn >= start) & (drawn < start + len(patches))]
            kept.append(patches[here - start])
            start += len(patches)
        return torch.cat(kept)

    def distance(self, batch: Batch) -> Tensor:
        """Return the distance to the nearest patch of the memory, ``[B, h, w]``."""
        features = self.features(batch)
        found = [distance_to_nearest(one.flatten(1).T, self.memory_.patches) for one in features]
        return torch.stack(found).view(len(found), *features.shape[2:])


class _Memory(nn.Module):
    def __init__(self, count: int, channels: int) -> None:
        super().__init__()
        self.patches = nn.Parameter(torch.zeros(count, channels), requires_grad=False)
