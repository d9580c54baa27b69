"""What scans will take on a page, before any method scored them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uad_bench.evaluation.scores.tally import LEVELS
from uad_bench.method import FloatArray
from uad_bench.report.page.browser import RATES
from uad_bench.report.page.packing import (
    CODES,
    Bytes,
    Part,
    box_of,
    grey_of,
    kinds_of,
    most_lesion,
    text_size,
    with_frame,
)
from uad_bench.report.page.room import PartSize, ScanSize

_REST = 256
"""Bytes of what is known of a scan besides its names, at most."""

_WORSE = 1.5
"""How many times as much as the scan a map takes, at most as a rule."""


@dataclass(frozen=True, slots=True)
class ExpectedMethod:
    """What one detector or control is going to make of scans.

    Attributes:
        title: what the page calls it.
        maps: its post-processings.
        reconstructs: whether there are reconstructions.
        rank: as of :class:`ShownMethod`.
    """

    title: str
    maps: tuple[str, ...]
    reconstructs: bool
    rank: int = 0

    def largest_text(self, voxels: int) -> int:
        """Return the most bytes of the facts of a scan: every number as long as it can be.

        Args:
            voxels: of the scan.
        """
        levels, counts = [LEVELS] * len(RATES), [voxels] * len(RATES)
        one = {
            "layer": len(self.maps),
            "cuts": [LEVELS] * CODES,
            "top": LEVELS,
            "at": levels,
            "thresholds": levels,
            **dict.fromkeys(("true", "false", "matched", "false_findings"), counts),
            **dict.fromkeys(("lesion", "lesions"), voxels),
        }
        maps = dict.fromkeys(self.maps, one)
        return text_size({"title": self.title, "reconstruction": None, "maps": maps})


def largest_size(
    names: tuple[str, str],
    image: FloatArray,
    brain: NDArray[np.bool_],
    lesion: Bytes,
    methods: Iterable[ExpectedMethod],
) -> ScanSize:
    """Return about the most that a scan takes on the page, before any method scored it.

    The scan is packed as it will be. Maps and reconstructions take no more than noise in their
    place, and are expected to take at most 1.5 times as much as the scan: else scans and methods
    would be left out for which there is room.

    Args:
        names: of its dataset and its own.
        image: float32 ``[N, H, W]`` in [0, 1].
        brain: bool ``[N, H, W]``.
        lesion: ``[N, H, W]``.
        methods: what is going to be made of it.
    """
    box = box_of(brain | (lesion > 0))
    own = [layer[:, *box] for layer in (grey_of(image), kinds_of(brain, lesion))]
    noise = np.random.default_rng(0).integers(1, 256, own[0].shape, np.uint8)
    image_size, map_size, rebuilt_size = (
        Part.of({}, [layer]).size.slices for layer in (own[0], noise * brain[:, *box], noise)
    )
    of_map, of_image = (_expected(size, image_size) for size in (map_size, rebuilt_size))
    parts = {}
    for one in methods:
        both = zip(of_map, of_image, strict=True)
        slices = tuple(len(one.maps) * a + one.reconstructs * b for a, b in both)
        parts[one.title] = PartSize(one.largest_text(brain.size), slices)
    scan = Part.of({"names": names, "rest": " " * _REST}, own).size
    return ScanSize(most_lesion(lesion), with_frame(scan), parts)


def _expected(noise: Sequence[int], image: Sequence[int]) -> list[int]:
    """Bytes of each slice, from those of noise in its place, and from those of the scan."""
    return [min(a, round(_WORSE * b)) for a, b in zip(noise, image, strict=True)]
