"""The preparation recipe: every choice between a NIfTI file and a slice, and its hash."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from uad_bench.cells import short_hash

SIZE = 128
"""Height and width of a slice in pixels."""


class Recipe(BaseModel):
    """How a scan becomes slices. Two stores of different recipes are never mixed.

    Attributes:
        name: what tables call it.
        template: the space of the slices.
        pixel_mm: in-plane pixel size in mm; 128 pixels must cover the brain.
        slice_mm: distance between axial slices in mm.
        normalisation: ``median`` maps the in-brain median to ``anchor`` and the 1st percentile
            to 0 and clips at 1; ``percentile`` maps the percentiles ``low`` and ``high`` of the
            brain to 0 and 1 and clips.
        anchor: where ``median`` puts the in-brain median.
        low: lower percentile.
        high: upper percentile of ``percentile``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "median"
    template: Literal["mni152"] = "mni152"
    pixel_mm: float = Field(default=1.5, ge=1.45, le=4.0)
    slice_mm: float = Field(default=2.0, ge=0.5, le=10.0)
    normalisation: Literal["median", "percentile"] = "median"
    anchor: float = Field(default=0.55, gt=0.0, lt=1.0)
    low: float = Field(default=1.0, ge=0.0, lt=50.0)
    high: float = Field(default=99.0, gt=50.0, le=100.0)

    @property
    def hash(self) -> str:
        """Eight hexadecimal digits over every field but the name."""
        return short_hash(self.model_dump(exclude={"name"}))


RECIPES = {
    "median": Recipe(),
    "paper": Recipe(name="paper", pixel_mm=1.875, slice_mm=1.0, normalisation="percentile"),
}
"""The built-in recipes by name: the median-anchored default and the paper's percentiles."""
