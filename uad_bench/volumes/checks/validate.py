"""Checks of a whole dataset before an hour is spent on it: every finding at once."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from uad_bench.dataset import Dataset, Reading, Scan
from uad_bench.discovery.contradictions import contradictions, refuse_empty
from uad_bench.discovery.locate import grouped, read_folder, unclaimed_files
from uad_bench.discovery.mask_notes import origins, raters
from uad_bench.discovery.people.participants import first_of
from uad_bench.volumes.checks.findings import SEVERITIES, Finding
from uad_bench.volumes.checks.numbering import misnumbered
from uad_bench.volumes.checks.scan_checks import ScanReport, check_scan

_THREADS = 8
"""At most so many scans at once: each takes some hundred MB."""

_ENOUGH = 5
"""Of how many scans a dataset must consist for one of them to be unusual."""

_SPACING_RATIO = 1.5
_SKEWNESS_OFF = 0.3
"""How far a scan's skewness is from the dataset's median at least, and six deviations, to be odd.
Stripped FLAIR here: -0.58 to 0.03."""


def validate_dataset(
    dataset: Dataset,
    root: Path,
    on_scan: Callable[[str], None] | None = None,
    mask_shift: float = 0.0,
) -> tuple[Finding, ...]:
    """Check everything that can be checked of a dataset without preparing it.

    Every file is read once, several scans at a time; nothing is written. What needs the template,
    such as the contrast of a scan with its skull, is left to the quality control of preparation.

    Args:
        dataset: the adapter.
        root: the dataset's own folder.
        on_scan: called with a scan's name when it is done, in order.
        mask_shift: up to how many mm away a mask's header may place the FLAIR's voxels.

    Returns:
        The findings, errors first, then in the order of the scans.

    Raises:
        UadBenchError: the adapter finds no scan, or cannot read the folder.
    """
    reading = read_folder(dataset, root)
    scans = reading.scans
    name = dataset.info.name
    refuse_empty(dataset.info, root, scans)
    reports = []
    with ThreadPoolExecutor(min(os.cpu_count() or 1, _THREADS)) as pool:
        for report in pool.map(lambda scan: check_scan(scan, root, mask_shift), scans):
            reports.append(report)
            if on_scan is not None:
                on_scan(report.scan.name)
    found = [finding for report in reports for finding in report.findings]
    found += [
        *_seen_lesions(reports),
        *(
            Finding("warning", name, "lesion", line)
            for line in misnumbered((report.scan, report.labels) for report in reports)
        ),
        *_people(name, reading),
        *_unclaimed(dataset, reading, root),
        *_names(scans),
        *_duplicates(reports),
        *_outliers(name, reports),
    ]
    expected = dataset.info.expected_scans or 0
    if len(scans) < expected:
        message = f"{len(scans)} of the published dataset's {expected} scans are here"
        found.append(Finding("note", name, "dataset", message))
    order = {scan.name: place for place, scan in enumerate(scans)}
    found.sort(key=lambda f: (SEVERITIES.index(f.severity), order.get(f.scan, len(order))))
    return tuple(found)


def _people(name: str, reading: Reading) -> Iterator[Finding]:
    """What is odd about the dataset's own list of people, and which columns were believed."""
    people = reading.people
    if people is None:
        return
    file = people.path.name
    for line in people.mismatches(scan.subject for scan in reading.scans):
        yield Finding("warning", name, file, line)
    for line in people.notes:
        yield Finding("note", name, file, line)
    if people.columns:
        count = sum(people.healthy.values())
        columns = " and ".join(people.columns)
        yield Finding("note", name, file, f"{count} healthy people, by the column {columns}")


def _unclaimed(dataset: Dataset, reading: Reading, root: Path) -> Iterator[Finding]:
    """Volumes that no scan uses, an error where a run stops at them, and the choice of masks."""
    name = dataset.info.name
    odd = unclaimed_files(dataset, reading, root)
    for stops in (True, False):
        for reason, paths in grouped(file for file in odd if file.stops is stops).items():
            names = first_of(path.relative_to(root).as_posix() for path in paths)
            what = "1 file is not read" if len(paths) == 1 else f"{len(paths)} files are not read"
            message = f"{what}: {names}: {reason}"
            if stops:
                message += "; rename them, map them (--lesion-pattern) or list them in .bidsignore"
            yield Finding("error" if stops else "note", name, "unclaimed", message)
    if dataset.asks_about_unclaimed:
        for note in origins(reading.scans, root):
            yield Finding("warning", name, "lesion", note)
        yield from (Finding("note", name, "lesion", note) for note in raters(reading.scans))
    explained = [file for file in reading.left if not file.stops]
    for reason, paths in grouped(explained).items():
        names = first_of(path.relative_to(root).as_posix() for path in paths)
        yield Finding("note", name, "left out", f"{len(paths)} files: {names}: {reason}")


def _seen_lesions(reports: Sequence[ScanReport]) -> Iterator[Finding]:
    """Lesions and patients in the splits that a detector learns from."""
    for report in reports:
        scan = report.scan
        if scan.split == "test":
            continue
        if report.lesions:
            message = f"a lesion in a {scan.split} scan; only healthy people belong there"
            yield Finding("error", scan.name, "lesion", message)
        if scan.healthy is False:
            message = f"called a patient, but in {scan.split}; only healthy people belong there"
            yield Finding("error", scan.name, "split", message)


def _names(scans: Sequence[Scan]) -> Iterator[Finding]:
    """Names that are taken twice, persons in two splits, and subjects that look like one."""
    for found in contradictions(scans):
        yield Finding("error", found.scan, found.what, found.message)
    sessions, alike = defaultdict(set), defaultdict(set)
    for scan in scans:
        sessions[scan.subject].add(scan.session)
        alike[_plain(scan.subject)].add(scan.subject)
    first = {scan.subject: scan.name for scan in reversed(scans)}
    for subject, times in sessions.items():
        if None in times and len(times) > 1:
            message = f"{subject} has a scan without a session beside scans with one"
            yield Finding("warning", first[subject], "session", message)
    for subjects in alike.values():
        if len(subjects) > 1:
            one, *others = sorted(subjects)
            message = f"{one} and {', '.join(others)}: the same person?"
            yield Finding("warning", first[one], "subject", message)


def _plain(subject: str) -> tuple[str, ...]:
    """A subject's words and numbers, without letter case, separators and leading zeros."""
    parts = re.findall(r"[a-z]+|\d+", subject.lower())
    return tuple(part.lstrip("0") for part in parts)


def _duplicates(reports: Sequence[ScanReport]) -> Iterator[Finding]:
    """The same image under two names, and the same lesion mask for two scans."""
    images: dict[str, ScanReport] = {}
    lesions: dict[str, ScanReport] = {}
    for report in reports:
        scan = report.scan
        first = report if report.voxels is None else images.setdefault(report.voxels, report)
        if first is not report:
            other = first.scan
            what = "file" if first.contents == report.contents else "voxels, stored otherwise,"
            split = "" if other.split == scan.split else f", which is in {other.split}"
            message = f"the same {what} as {other.name}{split}; keep one of them"
            yield Finding("error", scan.name, "FLAIR", message)
            continue
        for lesion in report.lesions:
            other = lesions.setdefault(lesion, report).scan
            if other is not scan:
                message = f"the same lesion mask as {other.name}, for another image"
                yield Finding("warning", scan.name, "lesion", message)


def _outliers(dataset: str, reports: Sequence[ScanReport]) -> Iterator[Finding]:
    """Scans unlike the rest of their dataset: with or without skull, spacing, histogram."""
    heads = [report.scan.name for report in reports if report.has_skull]
    stripped = [report.scan.name for report in reports if report.has_skull is False]
    if heads and stripped:
        fewer = min(stripped, heads, key=len)
        which = ", ".join([*fewer[:3], *(["and others"] if len(fewer) > 3 else [])])
        message = (
            f"{len(heads)} scans have their skull, {len(stripped)} are stripped (among the "
            f"{'former' if fewer is heads else 'latter'}: {which})"
        )
        yield Finding("note", dataset, "FLAIR", message)
    for group in (
        [report for report in reports if report.has_skull is is_head] for is_head in (True, False)
    ):
        if len(group) >= _ENOUGH:
            yield from _odd_spacing(group)
            yield from _odd_histograms(group)


def _odd_spacing(reports: Sequence[ScanReport]) -> Iterator[Finding]:
    sizes = np.array([report.spacing for report in reports])
    usual = np.median(sizes, axis=0)
    ratios = np.maximum(sizes / usual, usual / sizes).max(axis=1)
    if np.mean(ratios > _SPACING_RATIO) > 1 / 3:
        return  # a dataset of many protocols has no usual one
    for report, ratio in zip(reports, ratios, strict=True):
        if ratio > _SPACING_RATIO:
            message = f"voxels of {_shown(report.spacing or ())}, the dataset's of {_shown(usual)}"
            yield Finding("warning", report.scan.name, "FLAIR", message)


def _odd_histograms(reports: Sequence[ScanReport]) -> Iterator[Finding]:
    known = [report for report in reports if report.skewness is not None]
    values = np.array([report.skewness for report in known], dtype=np.float64)
    off = values - np.median(values)
    limit = max(_SKEWNESS_OFF, 6 * 1.4826 * float(np.median(np.abs(off))))
    for report, difference in zip(known, off, strict=True):
        if abs(difference) > limit:
            tail = "brighter" if difference > 0 else "darker"
            message = f"its histogram has a {tail} tail than the dataset's; another sequence?"
            yield Finding("warning", report.scan.name, "FLAIR", message)


def _shown(sizes: Iterable[float]) -> str:
    return " x ".join(f"{size:.3g}" for size in sizes) + " mm"
