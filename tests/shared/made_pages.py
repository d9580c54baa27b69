"""Methods, scans and pages for the tests of reports."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from uad_bench.evaluation.scored import ScoredScan
from uad_bench.evaluation.scores.histograms import quantise
from uad_bench.evaluation.scores.tally import LEVELS
from uad_bench.report.page import packing
from uad_bench.report.page.packing import (
    RATES,
    ShownMap,
    ShownMethod,
    ShownScan,
    packed_method,
    packed_scan,
)
from uad_bench.report.page.room import PackedScan
from uad_bench.volumes.grid import Grid

DEEP = '''
"""A method with a reconstruction (Nobody 2026)."""
import numpy as np
from scipy.ndimage import distance_transform_edt
from uad_bench.method import FitReport, MethodInfo, ReconstructionMethod


class Deep(ReconstructionMethod):
    """Takes away what is bright and far from the brain's edge."""

    info = MethodInfo("deep", "Deep")

    def fit(self, train, validation, context):
        return FitReport()

    def reconstruct(self, slices):
        depth = [distance_transform_edt(one[0]) / 60 for one in slices.brain]
        return (slices.image * (1 - np.clip(depth, 0, 1)[:, None])).astype(np.float32)
'''


FAILS = '''
"""A method that cannot score (Nobody 2026)."""
from uad_bench.method import FitReport, Method, MethodInfo


class Fails(Method):
    """Says so."""

    info = MethodInfo("fails", "Fails")

    def fit(self, train, validation, context):
        return FitReport()

    def score(self, slices):
        raise ValueError("no <b>score</b>")
'''


NASTY = '</script><img src=x onerror="window.pwned=1">\'{{ 7*7 }}'


def page_of(ran: SimpleNamespace, file: Path, **options: Any) -> str:
    given = {"cache": ran.cache, "progress": False, **options}
    return ran.results.report(file, **given).read_text(encoding="utf-8")


def json_of(page: str, name: str) -> Any:
    (text,) = re.findall(f'<script type="application/json" id="{name}">(.*?)</script>', page, re.S)
    return json.loads(text)


class Seen(HTMLParser):
    """Counts elements, sees that all are closed, and keeps the text that a reader sees."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.counts: Counter[str] = Counter()
        self.text = ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.counts[tag] += 1
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in {"meta", "img", "br", "input"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.text += data


@dataclass(frozen=True)
class MadeScan:
    """A scan, and what methods made of it."""

    scan: ShownScan
    methods: tuple[ShownMethod, ...]

    @property
    def map(self) -> ShownMap:
        """The map of the first method."""
        return self.methods[0].maps["none"]

    def packed(self) -> PackedScan:
        return PackedScan(packed_scan(self.scan), tuple(map(packed_method, self.methods)))


def scan_of(dataset: str, image: np.ndarray, scored: ScoredScan) -> ShownScan:
    """A simulated scan with this truth."""
    grid = Grid(np.diag([*scored.spacing, 1.0]), image.shape)
    truth = scored.brain, scored.lesion, scored.spacing
    return ShownScan(dataset, scored.name, True, image, *truth, grid)


def made_scan(subject: str, **ranks: int) -> MadeScan:
    """A scan of noise with one lesion, and methods of these ranks."""
    rng = np.random.default_rng(0)
    image = rng.random((24, 32, 32), np.float32)
    lesion = np.zeros(image.shape, np.uint8)
    lesion[13, 4:9, 4:9] = 1
    scored = ScoredScan(
        subject=subject,
        session=None,
        scores=quantise(image),
        lesion=lesion,
        brain=np.ones(image.shape, np.bool_),
        spacing=(2.0, 1.0, 1.0),
        z=np.arange(24),
    )
    maps = {"none": ShownMap(scored, tuple(range(1, len(RATES) + 1)))}
    methods = [ShownMethod(title, maps, None, rank) for title, rank in (ranks or {"A": 0}).items()]
    return MadeScan(scan_of("Noise", image, scored), tuple(methods))


def size_of(slices: tuple[tuple[str, ...], ...]) -> int:
    return sum(len(part) for parts in slices for part in parts)


def counts_no_lesions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the time that counting takes where only sizes matter."""
    none = SimpleNamespace(lesions=0, matched=0, false_findings=0)
    monkeypatch.setattr(packing, "match_lesions", lambda *_: none)


LONG = "a-name-without-a-space-" * 4


def odd_scan(name: str, found: int, missed: int, wrong: int) -> MadeScan:
    """A scan with so many voxels found, missed and wrong at every threshold but the last."""
    shape = (3, 16, 16)
    scores, lesion = np.zeros(768, np.uint16), np.zeros(768, np.uint8)
    lesion[: found + missed] = 1
    scores[:found] = scores[found + missed : found + missed + wrong] = 60_000
    scored = ScoredScan(
        subject=name,
        session=None,
        scores=scores.reshape(shape),
        lesion=lesion.reshape(shape),
        brain=np.ones(shape, np.bool_),
        spacing=(1.0, 1.0, 1.0),
        z=np.arange(3),
    )
    maps = {"none": ShownMap(scored, (*(50_000,) * (len(RATES) - 1), LEVELS))}
    image = np.full(shape, 0.5, np.float32)
    methods = (ShownMethod("A", maps), ShownMethod(LONG, maps, None, 1))
    return MadeScan(scan_of("Odd", image, scored), methods)
