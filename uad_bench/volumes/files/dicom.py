"""A folder of DICOM files becomes a BIDS dataset: ``dcm2niix`` converts, the FLAIR are chosen."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

from uad_bench.errors import UadBenchError
from uad_bench.system.disk import full_disk, storage_error
from uad_bench.system.extras import install_command

MIN_TI_S, MIN_TE_S = 1.4, 0.06
"""A FLAIR nulls CSF (inversion after 1.4 s or more) and is T2-weighted (echo after 60 ms or more).

T1 FLAIR, MPRAGE and MP2RAGE have short echoes, STIR a short inversion. Clinical FLAIR at 1.5 to
3 T have inversion times of 1.6 to 2.9 s and echo times of 80 to 400 ms.
"""

_NAME = re.compile(r"flair|dark.?fl|da-fl", re.IGNORECASE)
_DOUBLE = re.compile(r"(?<![a-z])dir(?![a-z])|double.?inv", re.IGNORECASE)
_OTHER = re.compile(r"t1|stir|locali[sz]er|scout|survey", re.IGNORECASE)
_EVENED = re.compile(r"_Eq_\d+\.nii\.gz$")
_NOT_ACQUIRED = {"DERIVED", "LOCALIZER", "PHASE"}
_SEPARATOR = "~"
_PARTS = _SEPARATOR.join(("%i", "%k", "%t", "%s"))  # patient, study, time, series number
_DESCRIPTION = slice(148, 228)
_LEAST_FREE = 100_000_000
_PROBED = 200
"""How many files are looked into before a folder counts as none of DICOM."""

# Physics only: what dcm2niix keeps beside it names hospitals, machines and times of day.
_KEPT = (
    "Modality",
    "MagneticFieldStrength",
    "Manufacturer",
    "ManufacturersModelName",
    "SeriesDescription",
    "ProtocolName",
    "ScanningSequence",
    "SequenceVariant",
    "ScanOptions",
    "MRAcquisitionType",
    "ImageType",
    "EchoTime",
    "RepetitionTime",
    "InversionTime",
    "FlipAngle",
    "EchoTrainLength",
    "SliceThickness",
    "SpacingBetweenSlices",
    "ConversionSoftware",
    "ConversionSoftwareVersion",
)


@dataclass(frozen=True, slots=True)
class _Series:
    """One converted series: its files, whether it has all slices, and whose it is."""

    path: Path
    sidecar: dict[str, Any]
    is_even: bool
    patient: str
    study: str
    time: str
    number: str

    @property
    def names(self) -> str:
        """What the scanner's user called it."""
        keys = ("SeriesDescription", "ProtocolName", "SequenceName")
        return " ".join(str(self.sidecar.get(key, "")) for key in keys)

    @property
    def label(self) -> str:
        """Number, name and times, for a message."""
        name = str(self.sidecar.get("SeriesDescription") or self.sidecar.get("ProtocolName") or "?")
        times = [f"{key[0]}{key[1]} {value:g} s" for key, value in self._times() if value]
        gap = [] if self.is_even else ["slices are missing"]
        return f"{self.number} {name!r} ({', '.join([*times, *gap]) or 'no times'})"

    @property
    def is_acquired(self) -> bool:
        """Whether a scanner measured it as it is, that is, not computed from other series."""
        return not _NOT_ACQUIRED & {str(kind).upper() for kind in self._kinds()}

    @property
    def is_flair(self) -> bool:
        """By inversion and echo time where both are stated; else by name."""
        if not self.is_acquired or _DOUBLE.search(self.names):
            return False
        (_, echo), (_, inversion) = self._times()
        if echo and inversion:
            return echo >= MIN_TE_S and inversion >= MIN_TI_S
        is_named = bool(_NAME.search(self.names)) and not _OTHER.search(self.names)
        return is_named and (not echo or echo >= MIN_TE_S)

    @property
    def rank(self) -> tuple[bool, bool, bool]:
        """What is preferred among a study's FLAIR: 3D, evened out, corrected for distortion."""
        kinds = self._kinds()
        return (
            self.sidecar.get("MRAcquisitionType") == "3D",
            "NORM" in kinds,
            any(kind.startswith("DIS") for kind in kinds),
        )

    def _kinds(self) -> list[str]:
        return [str(kind) for kind in self.sidecar.get("ImageType", [])]

    def _times(self) -> tuple[tuple[str, float], tuple[str, float]]:
        echo, inversion = (self.sidecar.get(key, 0) for key in ("EchoTime", "InversionTime"))
        return ("TE", float(echo)), ("TI", float(inversion))


def is_dicom_folder(path: Path) -> bool:
    """Whether ``path`` is a folder with DICOM files and without any NIfTI file, at any depth."""
    if not path.is_dir():
        return False
    files = [file for file in sorted(path.rglob("*")) if file.is_file()]
    if any(file.name.endswith((".nii", ".nii.gz")) for file in files):
        return False
    return any(_is_dicom(file) for file in islice(files, _PROBED))


def convert_dicom(
    folder: Path, target: Path, *, on_problem: Callable[[str], None] | None = None
) -> Path:
    """Convert a folder of DICOM files into a BIDS folder with one FLAIR per study.

    A subject is called after its PatientID, less the characters that BIDS does not allow, which
    are all but letters and digits: the same patient has the same name in every conversion. Names,
    birth dates, dates, institutions and machines are not carried over; the PatientID is, so that
    one which identifies a person must be replaced before. Of a patient's several studies each is
    a session, numbered by time. ``target`` appears when it is whole.

    Args:
        folder: searched to nine levels for DICOM files of any number of patients.
        target: the BIDS folder to make; it must not exist.
        on_problem: told of every study left out and why, and of files that could not be read;
            without it, the first such problem ends the conversion.

    Returns:
        ``target``.

    Raises:
        UadBenchError: ``dcm2niix`` is not installed or finds nothing; a study has no FLAIR, or
            several that cannot be told apart; two patients would have one name; ``target``
            exists; the disk is full.
    """
    if target.exists():
        raise UadBenchError(f"{target} exists: give a new folder for the converted DICOM")
    program = _program()
    partial = target.with_name(f".{target.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        converted, bids = partial / "series", partial / "bids"
        converted.mkdir(parents=True)
        bids.mkdir()
        problems = _convert(program, folder, converted)
        problems += _write(_read(converted), bids)
        if problems and on_problem is None:
            more = f" (and {len(problems) - 1} more such problems)" if problems[1:] else ""
            raise UadBenchError(f"{folder}: {problems[0]}{more}")
        if not any(bids.glob("sub-*")):
            raise UadBenchError(f"{folder}: no study can be used; the first: {problems[0]}")
        for problem in problems:
            if on_problem is not None:
                on_problem(f"{folder}: {problem}")
        bids.rename(target)
    except OSError as error:
        raise storage_error(error, target) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _is_dicom(path: Path) -> bool:
    """Whether a file starts as DICOM does: by its magic, or without one by its first element."""
    try:
        with path.open("rb") as stream:
            start = stream.read(132)
    except OSError:
        return False
    if start[128:] == b"DICM":
        return True
    # Old files have no preamble: they begin with a low element of group 2 or 8, little-endian,
    # whose type is two capital letters, or, where types are implicit, whose length is small.
    is_first = start[:2] in (b"\x02\x00", b"\x08\x00") and start[3:4] == b"\x00"
    return is_first and (
        re.fullmatch(rb"[A-Z]{2}", start[4:6]) is not None
        or 0 < int.from_bytes(start[4:8], "little") <= 64
    )


def _program() -> str:
    """The ``dcm2niix`` of the package of that name, else the system's."""
    try:
        return str(import_module("dcm2niix").bin)
    except ImportError:
        found = shutil.which("dcm2niix")
    if found is None:
        raise UadBenchError(
            f"DICOM needs dcm2niix, which is not installed: {install_command('prepare')}"
        )
    return found


def _convert(program: str, folder: Path, target: Path) -> list[str]:
    """Run ``dcm2niix`` over everything below ``folder``; return what it could not read."""
    options = f"-b y -ba y -z i -g i -d 9 -f {_PARTS}".split()
    result = subprocess.run(
        [program, *options, "-o", str(target), str(folder)],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if result.returncode == 0 and any(target.iterdir()):
        return []
    free = shutil.disk_usage(target).free
    if free < _LEAST_FREE:  # a full disk is a failure like any other to dcm2niix
        raise full_disk(target.parent.parent)
    lines = (line.strip() for line in (result.stdout + result.stderr).splitlines())
    said = [line for line in lines if line and not line.startswith("Convert")]
    why = next((line for line in said if str(folder) in line), (said or ["nothing"])[-1])
    if not any(target.iterdir()):
        raise UadBenchError(f"{folder}: dcm2niix converts nothing; it says: {why}")
    return [f"dcm2niix could not convert everything; it says: {why}"]


def _read(converted: Path) -> list[_Series]:
    """Every series that was converted, as far as it was."""
    series = []
    images = {path.name for path in converted.glob("*.nii.gz")}
    evened = {_EVENED.sub("", name) for name in images if _EVENED.search(name)}
    for name in sorted(name for name in images if not _EVENED.search(name)):
        stem = name.removesuffix(".nii.gz")
        patient, study, time, number = stem.rsplit(_SEPARATOR, 3)
        sidecar = converted / f"{stem}.json"
        # Where slices are missing, dcm2niix closes the gap, which shifts all that lie behind it,
        # and says so only by a second image, evened out, or by leaving the sidecar out.
        is_even = sidecar.exists() and stem not in evened
        content = json.loads(sidecar.read_text("utf-8", "replace")) if sidecar.exists() else {}
        path = converted / name
        series.append(_Series(path, content, is_even, patient, study, time, number))
    return series


def _write(series: Sequence[_Series], bids: Path) -> Iterator[str]:
    """Bring every study's FLAIR to its BIDS place; yield why a study is left out."""
    patients: dict[str, dict[str, list[_Series]]] = defaultdict(lambda: defaultdict(list))
    for one in series:
        patients[one.patient][one.study].append(one)
    labels: dict[str, str] = {}
    for patient, studies in patients.items():
        label = re.sub(r"[^A-Za-z0-9]", "", patient) or "anonymous"
        if label == "anonymous" and len(studies) > 1:
            yield f"{len(studies)} studies have no PatientID; give each patient one"
            continue
        if label in labels:
            yield f"patients {labels[label]!r} and {patient!r} would both be sub-{label}"
            continue
        labels[label] = patient
        by_time = sorted(studies.values(), key=lambda group: min(one.time for one in group))
        for session, group in enumerate(by_time, start=1):
            name = f"sub-{label}" + (f"_ses-{session:02d}" if len(by_time) > 1 else "")
            flair = _choose(group)
            if isinstance(flair, str):
                yield f"{name}: {flair}"
                continue
            anat = bids.joinpath(*name.split("_"), "anat")
            anat.mkdir(parents=True)
            _copy_image(flair.path, anat / f"{name}_FLAIR.nii.gz")
            kept = {key: flair.sidecar[key] for key in _KEPT if key in flair.sidecar}
            _write_json(anat / f"{name}_FLAIR.json", kept)
    generated = [{"Name": "uad-bench"}, {"Name": "dcm2niix"}]
    description = {"Name": "converted DICOM", "BIDSVersion": "1.8.0", "GeneratedBy": generated}
    _write_json(bids / "dataset_description.json", description)


def _choose(study: Sequence[_Series]) -> _Series | str:
    """The study's FLAIR, or why there is none, with the series that were found."""
    found = [one for one in study if one.is_flair and one.is_even]
    if not found:
        listed = "; ".join(one.label for one in study)
        return f"no whole FLAIR among the series {listed}"
    best = max(one.rank for one in found)
    first, *others = (one for one in found if one.rank == best)
    if others:
        listed = "; ".join(one.label for one in (first, *others))
        return f"several FLAIR that cannot be told apart, leave one: {listed}"
    return first


def _copy_image(source: Path, target: Path) -> None:
    """Copy a NIfTI-1 file without its description, which holds the time of the scan."""
    content = bytearray(gzip.decompress(source.read_bytes()))
    content[_DESCRIPTION] = bytes(_DESCRIPTION.stop - _DESCRIPTION.start)
    target.write_bytes(gzip.compress(content, 6, mtime=0))


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
