"""What is on a page as bytes: the layers of each slice, packed, and how much that takes."""

from __future__ import annotations

import zlib
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uad_bench.evaluation.scores.histograms import IGNORED, LESION
from uad_bench.method import FloatArray
from uad_bench.report.page.room import PartSize

CODES = 255
"""Levels of a byte above 0."""

_MARGIN = 2

_QUOTES = 4
"""Bytes around a packed slice of a part."""

_SLICE_TEXT = 16
"""Bytes around a packed slice of a scan with all its parts: its number and brackets."""

_SCAN_TEXT = 256
"""Bytes around a scan: the element with its slices, and brackets."""

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Part:
    """What is known of a scan, or of what a method made of it, with every slice packed."""

    facts: Mapping[str, Any]
    slices: tuple[str, ...]

    @classmethod
    def of(cls, facts: Mapping[str, Any], layers: Sequence[Bytes]) -> Part:
        """Pack all layers of each slice together."""
        stacked = np.stack(layers, axis=1)
        packed = (b64encode(zlib.compress(one.tobytes())).decode() for one in stacked)
        return cls(facts, tuple(packed))

    @property
    def size(self) -> PartSize:
        """Bytes that it takes on the page."""
        return PartSize(text_size(self.facts), tuple(len(one) + _QUOTES for one in self.slices))


def with_frame(scan: PartSize) -> PartSize:
    """The size of a scan with what is around it and around its slices."""
    return PartSize(scan.text + _SCAN_TEXT, tuple(one + _SLICE_TEXT for one in scan.slices))


def text_size(facts: Mapping[str, Any]) -> int:
    """Bytes of facts on the page, where JSON has no other letters than those of ASCII."""
    from jinja2.utils import htmlsafe_json_dumps

    return len(htmlsafe_json_dumps(facts))


def most_lesion(lesion: Bytes) -> int:
    """The slice with most lesion."""
    return int((lesion == LESION).sum(axis=(1, 2)).argmax())


def box_of(shown: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Rows and columns that show anything in any slice, with a margin."""
    rows, columns = (np.flatnonzero(shown.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    return tuple(  # type: ignore[return-value]
        slice(max(int(one[0]) - _MARGIN, 0), int(one[-1]) + 1 + _MARGIN) for one in (rows, columns)
    )


def grey_of(image: FloatArray) -> Bytes:
    """An image in [0, 1] as bytes."""
    grey: Bytes = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return grey


def kinds_of(brain: NDArray[np.bool_], lesion: Bytes) -> Bytes:
    """A bit for brain, one for lesion, and one for what is ignored."""
    kinds: Bytes = (brain + 2 * (lesion == LESION) + 4 * (lesion == IGNORED)).astype(np.uint8)
    return kinds
