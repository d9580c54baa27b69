"""Rules of the protocol and the post-processing contract, tried on toy scans."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from uad_bench.evaluation.postprocessing import BrainSlices, PostProcessing
from uad_bench.evaluation.protocol import Protocol, validation_histogram
from uad_bench.evaluation.scored import ScoredScan
from uad_bench.evaluation.scores.histograms import quantise
from uad_bench.plugins.conformance.findings import Findings, Stop, Violation
from uad_bench.plugins.conformance.toy import toy_dataset

_BRIGHT = 0.8


def check_protocol(protocol: Protocol) -> list[Violation]:
    """Return every rule of the contract that the protocol breaks."""
    findings = Findings()
    names = [one.name for one in protocol.metrics]
    _check_text(findings, "caption", protocol.caption)
    findings.check(
        f"version {protocol.version}" in protocol.caption,
        "caption",
        f"caption must say 'version {protocol.version}', so that a table tells it",
    )
    _check_version(findings, protocol.version)
    findings.check(bool(names), "metrics", "it must report a metric")
    findings.check(len(set(names)) == len(names), "metrics", "metrics must differ in name")
    for one in protocol.metrics:
        for field in ("chance", "needs"):
            other = getattr(one, field)
            message = f"{field} of {one.name} must be one of its metrics, is {other!r}"
            findings.check(not other or other in names, "metrics", message)
    validation = validation_histogram(_scans("healthy", lesions=False))
    for histogram, what in ((validation, "measure"), (None, "measure without validation scans")):
        try:
            with findings.attempt("measure", what):
                first, again = (
                    protocol.evaluate(lambda: _scans("person", lesions=True), histogram)
                    for _ in range(2)
                )
                same = (first.metrics, first.scans) == (again.metrics, again.scans)
                findings.check(same, "measure", f"{what} must give the same numbers every time")
        except Stop:
            pass
    return findings.violations


def check_postprocessing(postprocessing: PostProcessing) -> list[Violation]:
    """Return every rule of the contract that the post-processing breaks."""
    findings = Findings()
    _check_version(findings, postprocessing.version)
    findings.check(
        bool(postprocessing.mark) == bool(postprocessing.caption),
        "caption",
        "a mark needs a caption that explains it, and a caption a mark",
    )
    if postprocessing.caption:
        _check_text(findings, "caption", postprocessing.caption)
    residual = np.random.default_rng(0).uniform(-1, 1, (3, 24, 20)).astype(np.float32)
    inside = np.pad(np.ones((3, 18, 14), np.bool_), ((0, 0), (3, 3), (3, 3)))
    brain = BrainSlices(inside, np.arange(3), (2.0, 3.0, 3.0))
    before = residual.copy()
    try:
        with findings.attempt("make", "make"):
            first = postprocessing.apply(residual, brain)
            findings.check(
                np.array_equal(residual, before), "make", "make must not change its input"
            )
            again = postprocessing.apply(before, brain)
            message = "make must return the same map every time"
            findings.check(np.array_equal(first, again), "make", message)
            postprocessing.apply(np.abs(before), brain)
    except Stop:
        pass
    return findings.violations


def _check_version(findings: Findings, version: object) -> None:
    is_count = isinstance(version, int) and not isinstance(version, bool) and version >= 1
    findings.check(is_count, "version", f"version must be a whole number from 1 on, is {version!r}")


def _check_text(findings: Findings, rule: str, text: object) -> None:
    is_line = isinstance(text, str) and text.strip() != "" and "\n" not in text
    findings.check(is_line, rule, f"{rule} must be one line of text, is {text!r}")


def _scans(subject: str, *, lesions: bool) -> Iterator[ScoredScan]:
    """Scored scans of toy people."""
    toy = toy_dataset()
    for number, scan in enumerate(toy.scans if lesions else toy.validation.scans()):
        image = scan.image[:, 0]
        yield ScoredScan(
            subject=f"{subject}{number}",
            session=None,
            scores=quantise(image),
            lesion=(image > _BRIGHT).astype(np.uint8),
            brain=scan.brain[:, 0],
            spacing=scan.spacing,
            z=scan.z,
        )
