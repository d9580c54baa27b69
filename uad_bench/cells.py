"""The record of one cell: what was asked, what came out, and from what. JSON is the truth."""

from __future__ import annotations

import hashlib
import json
import marshal
from functools import lru_cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from uad_bench.evaluation.values import Metric, ScanScores
from uad_bench.study_record import Objective

State = Literal["planned", "running", "done", "failed"]
Group = Literal["detector", "supervised", "control"]
"""What a method is to a comparison. Only detectors, which saw no lesion mask, compete."""
EvaluationSpace = Literal["template", "native"]
"""The voxels that scores and masks are compared on: the template grid's, or each scan's own."""


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=str)


class _Record(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", ser_json_inf_nan="null", defer_build=True
    )


class CellSpec(_Record):
    """What identifies a cell: method, parameters, seed, dataset and how it is evaluated.

    ``supervised_on`` names the dataset whose lesion masks the method learned from; it is empty for
    methods that learn from healthy people.
    """

    method: str
    supervised_on: str = ""
    params: dict[str, Any] = Field(default_factory=dict)
    seed: int
    dataset: str
    protocol: str
    postprocessing: str
    space: EvaluationSpace = "template"

    @property
    def tested_in_part(self) -> bool:
        """Whether the method learned from the same dataset, so that it is tested on the rest."""
        return self.supervised_on == self.dataset

    @property
    def params_hash(self) -> str:
        """Eight hexadecimal digits that stand for the parameters."""
        try:
            return _hash_of_packed(marshal.dumps(self.params, 2))
        except ValueError:  # not of plain values alone
            return short_hash(self.params)

    @property
    def name(self) -> str:
        """The cell's file name without ending, unique within a results folder."""
        return (
            f"{self.method}{self.supervised_on and f'-on-{self.supervised_on}'}"
            f"-{self.params_hash}-s{self.seed}"
            f"-{self.dataset}-{self.protocol}-{self.postprocessing}"
            f"{'-native' if self.space == 'native' else ''}"
        )


class Exclusion(_Record):
    """A scan that was left out, and why. Shown in the table's footnote."""

    scan: str
    reason: str


class DatasetUse(_Record):
    """Which data a cell stands on.

    Attributes:
        dataset: name of the dataset.
        title: what tables call it, where its data are a user's own; empty otherwise.
        simulated: whether its scans are phantoms.
        manifest_hash: hash of the prepared store's manifest (recipe, files, versions).
        recipe: name of the preparation recipe.
        subjects: subjects used.
        scans: scans used.
        slices: slices used.
        displaced: scans with a mask that was laid voxel on voxel although its header places it
            elsewhere (``--mask-shift``).
        displaced_mm: how far away the farthest of them is placed, in mm.
        excluded: scans left out, with reasons.
    """

    dataset: str
    title: str = ""
    simulated: bool
    manifest_hash: str
    recipe: str
    subjects: int
    scans: int
    slices: int
    displaced: int = 0
    displaced_mm: float = 0.0
    excluded: tuple[Exclusion, ...] = ()


class ScanTraits(_Record):
    """What results of a scan can be grouped by. It holds no exact age.

    Attributes:
        subject: the person.
        session: the time point, where there are several.
        site: centre, where it is stated.
        scanner: scanner, where it is stated.
        age: band of age, where it is stated.
        sex: where it is stated.
        lesion_ml: volume of its lesions in ml, at the person's own size.
        lesions: how many lesions it has.
    """

    subject: str
    session: str | None = None
    site: str | None = None
    scanner: str | None = None
    age: str | None = None
    sex: str | None = None
    lesion_ml: float
    lesions: int


class FitRecord(_Record):
    """How the detector came to be.

    Attributes:
        detector: key of the stored detector.
        steps: optimiser steps.
        slices_seen: training slices drawn.
        validation: metrics on healthy validation slices.
        wall_s: training time in seconds.
        tuned: the parameters that tuning chose, empty without tuning.
        trials: tuning trials that ran.
        objective: what they were compared by, empty without tuning.
        choice: why the tuned parameters were chosen.
        studies: names of the studies behind them: of an ensemble, those of its members.
        curves: per training metric, pairs of step and value.
        simulated_prior: whether its tissue prior is an atlas of phantoms.
        fallback_prior: whether its tissue prior is the template's, for want of subjects with maps.
        notes: facts worth keeping.
    """

    detector: str
    steps: int = 0
    slices_seen: int = 0
    validation: dict[str, float] = Field(default_factory=dict)
    wall_s: float = 0.0
    tuned: dict[str, float] = Field(default_factory=dict)
    trials: int = 0
    objective: Objective | Literal[""] = ""
    choice: str = ""
    studies: tuple[str, ...] = ()
    curves: dict[str, tuple[tuple[int, float], ...]] = Field(default_factory=dict)
    simulated_prior: bool = False
    fallback_prior: bool = False
    notes: tuple[str, ...] = ()


class MapsUse(_Record):
    """Which anomaly maps a cell stands on, where they were made elsewhere.

    Attributes:
        digest: hash of the maps' files.
        healthy: the healthy validation scans with maps, from which thresholds come; ``None``
            without any.
    """

    digest: str
    healthy: DatasetUse | None = None


class Environment(_Record):
    """Where a cell was computed."""

    versions: dict[str, str]
    git_commit: str | None
    device: str
    started: str
    wall_s: float
    peak_memory_mb: float


class CellRecord(_Record):
    """Everything about one cell, finished or failed; one JSON file.

    Attributes:
        schema_version: version of this layout.
        spec: what was asked.
        protocol_version: version of the protocol that its numbers follow; cells from before this
            was written down are of version 1.
        postprocessing_version: version of the post-processing behind its numbers.
        state: ``done`` or ``failed``.
        reason: why it failed, in one line.
        method_title: column heading.
        control: whether the method is a control.
        supervised: whether the method saw lesion masks in training.
        training: the training dataset, ``None`` for a failed cell that never got so far.
        data: the evaluated dataset.
        fit: how the detector came to be.
        code: hash of the method's code and of the building blocks it is made of.
        run: name of the file in ``runs/`` with the settings of its run; empty where maps were made
            elsewhere.
        maps: the maps, where they were made elsewhere and no detector was trained here.
        thresholds: scores in [0, 1] by name, such as ``fpr1``.
        metrics: the numbers, by name.
        missing: why a metric could not be had from what was given, by name.
        scans: per-scan numbers.
        traits: what the scans can be grouped by.
        histograms: file of the score histograms, relative to the results folder.
        notes: what a reader of the numbers must know, one sentence each.
        environment: versions, commit, device, times.
    """

    model_config = ConfigDict(allow_inf_nan=False)  # no run writes them; nothing is ranked by them

    schema_version: Literal[1] = 1
    spec: CellSpec
    protocol_version: int = 1
    postprocessing_version: int = 1
    state: Literal["done", "failed"]
    reason: str = ""
    method_title: str
    control: bool = False
    supervised: bool = False
    training: DatasetUse | None = None
    data: DatasetUse | None = None
    fit: FitRecord | None = None
    code: str = ""
    run: str = ""
    maps: MapsUse | None = None
    thresholds: dict[str, float] = Field(default_factory=dict)
    metrics: dict[str, Metric] = Field(default_factory=dict)
    missing: dict[str, str] = Field(default_factory=dict)
    scans: tuple[ScanScores, ...] = ()
    traits: tuple[ScanTraits, ...] = ()
    histograms: str | None = None
    notes: tuple[str, ...] = ()
    environment: Environment

    @property
    def group(self) -> Group:
        """What the method is to a comparison."""
        if self.control:
            return "control"
        return "supervised" if self.supervised else "detector"

    @property
    def simulated(self) -> bool:
        """Whether any data behind this cell is simulated."""
        uses = (self.training, self.data, None if self.maps is None else self.maps.healthy)
        prior = self.fit is not None and self.fit.simulated_prior
        return prior or any(use.simulated for use in uses if use is not None)


def short_hash(value: Any) -> str:
    """Eight hexadecimal digits of the SHA-256 of ``value`` as canonical JSON."""
    return hashlib.sha256(_CANONICAL.encode(value).encode()).hexdigest()[:8]


@lru_cache(maxsize=1024)
def _hash_of_packed(packed: bytes) -> str:
    """:func:`short_hash` of a packed value: thousands of cells share a few sets of parameters."""
    return short_hash(marshal.loads(packed))


def shortened(name: str, most: int) -> str:
    """Return ``name`` in at most ``most`` bytes: what is longer is cut, and its hash added.

    A part of a file name that a person or a folder gave goes through here, because a file system
    takes at most 255 bytes for the whole.
    """
    data = name.encode(errors="replace")
    if len(data) <= most:
        return name
    return f"{data[: most - 9].decode(errors='ignore')}-{short_hash(name)}"
