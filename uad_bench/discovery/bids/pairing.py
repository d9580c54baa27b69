"""Which files of a BIDS dataset make one scan: its FLAIR, and the masks that agree with it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from uad_bench.dataset import LeftFile, Scan
from uad_bench.discovery.bids.label_tables import LabelTables
from uad_bench.discovery.bids.names import BidsFile
from uad_bench.errors import UadBenchError

_PEOPLE = re.compile(
    r"(?P<kind>.*(?:rater|expert|reader|annotator|observer|manual))[-_]?(?:\d{1,2}|[a-z])",
    re.IGNORECASE,
)
"""Names of derivatives that tell people apart who drew, by a number or a letter."""


@dataclass(frozen=True, slots=True)
class Paired:
    """The scans of a dataset and the files that belong to none.

    Attributes:
        scans: sorted by subject and session, all with the default split.
        left: files that were read by name and belong to no scan, and why.
    """

    scans: tuple[Scan, ...]
    left: tuple[LeftFile, ...]


@dataclass(slots=True)
class _Acquisition:
    """What one acquisition gave: its FLAIR in one or several versions, and its lesion masks."""

    identity: dict[str, str]
    versions: list[BidsFile]
    lesions: list[BidsFile] = field(default_factory=list)
    others: list[BidsFile] = field(default_factory=list)

    @property
    def session(self) -> str | None:
        return f"ses-{self.identity['ses']}" if "ses" in self.identity else None

    @property
    def flair(self) -> BidsFile:
        """The version that is taken."""
        return min(
            self.versions,
            key=lambda file: (
                not any(file.agrees(mask) for mask in self.lesions),
                file.template is None,
                file.is_altered,
                file.entities.get("desc") != "brain",
                not file.is_raw,
                str(file.path),
            ),
        )


def pair(files: Iterable[BidsFile], root: Path) -> Paired:
    """Choose every scan's FLAIR and the masks that belong to it.

    Args:
        files: FLAIR volumes, lesion masks, brain masks and tissue maps.
        root: the dataset's own folder.

    Raises:
        UadBenchError: a mask that could belong to several FLAIRs, lesion masks of one FLAIR that
            are no raters of one scan, or two tables for one tissue map.
    """
    tables = LabelTables(root)
    subjects: dict[str, list[BidsFile]] = defaultdict(list)
    for file in files:
        subjects[file.subject].append(file)
    scans: list[Scan] = []
    left: list[LeftFile] = []
    for subject in sorted(subjects):
        own = _subject(subject, subjects[subject], root)
        scans += sorted(own.scans, key=lambda scan: scan.session or "")
        left += own.left
    explained = (
        replace(scan, tissue_table=None if scan.tissues is None else tables.of(scan.tissues))
        for scan in scans
    )
    return Paired(tuple(explained), tuple(left))


def _subject(subject: str, files: Sequence[BidsFile], root: Path) -> Paired:
    """The scans of one subject."""
    acquisitions = _acquisitions([file for file in files if file.suffix == "FLAIR"])
    orphans: dict[str | None, list[BidsFile]] = defaultdict(list)
    for mask in (file for file in files if file.shows_lesion):
        owner = _owner(mask, acquisitions)
        (orphans[mask.session] if owner is None else owner.lesions).append(mask)
    taken = [each for group in _by_session(acquisitions) for each in _taken(group)]
    for file in files:
        if file.suffix != "FLAIR" and not file.shows_lesion:
            owner = _owner(file, acquisitions, only=taken)
            if owner is not None:
                owner.others.append(file)
    scans = [
        _scan(subject, _label(acquisition, group), acquisition)
        for group in _by_session(taken)
        for acquisition in group
    ]
    left = list(_left(files, acquisitions, taken, scans))
    for session, masks in orphans.items():
        if any(None in (session, each.session) or session == each.session for each in acquisitions):
            left += [LeftFile(mask.path, _unfit(mask), stops=True) for mask in masks]
        else:
            scans.append(_without_flair(subject, session, masks, root))
    return Paired(tuple(scans), tuple(left))


def _acquisitions(flairs: Sequence[BidsFile]) -> list[_Acquisition]:
    """Group the versions of one acquisition.

    Versions differ in ``space``, ``desc`` or ``res`` only, or leave out entities that the others
    state, where that can mean one acquisition only.
    """
    groups: dict[frozenset[tuple[str, str]], _Acquisition] = {}
    for file in flairs:
        identity = file.identity
        group = groups.setdefault(frozenset(identity.items()), _Acquisition(identity, []))
        group.versions.append(file)
    whole: list[_Acquisition] = []
    for group in sorted(groups.values(), key=lambda group: -len(group.identity)):
        hosts = _hosts(group, whole)
        if len(hosts) == 1:
            hosts[0].versions += group.versions
        else:
            whole.append(group)
    return sorted(whole, key=lambda group: str(group.versions[0].path))


def _hosts(group: _Acquisition, others: Iterable[_Acquisition]) -> list[_Acquisition]:
    """The acquisitions that these files may be further versions of."""
    return [
        other
        for other in others
        if group.identity.items() < other.identity.items()
        and not {_version(file) for file in group.versions}
        & {_version(file) for file in other.versions}
    ]


def _version(file: BidsFile) -> tuple[str, ...]:
    states = (file.entities.get(key, "") for key in ("desc", "label", "res", "den"))
    return file.source, file.space, *states


def _owner(
    mask: BidsFile, acquisitions: Sequence[_Acquisition], only: Sequence[_Acquisition] | None = None
) -> _Acquisition | None:
    """The acquisition that a mask or map belongs to; ``None`` where it agrees with none.

    One whose FLAIR states the same entities comes first. Otherwise every FLAIR is a candidate that
    states no entity differently, and there must be one candidate.

    Raises:
        UadBenchError: several candidates, one of them in ``only`` where that is given.
    """
    found = [each for each in acquisitions if any(v.agrees(mask) for v in each.versions)]
    exact = [each for each in found if any(v.identity == mask.identity for v in each.versions)]
    found = exact or found
    if len(found) > 1 and (only is None or any(each in only for each in found)):
        names = " or to ".join(each.versions[0].path.name for each in found)
        raise UadBenchError(
            f"{mask.path}: may belong to {names}; name it after one of them, or list it in "
            ".bidsignore"
        )
    return found[0] if len(found) == 1 else None


def _by_session(acquisitions: Iterable[_Acquisition]) -> list[list[_Acquisition]]:
    sessions: dict[str | None, list[_Acquisition]] = defaultdict(list)
    for each in acquisitions:
        sessions[each.session].append(each)
    return list(sessions.values())


def _taken(session: list[_Acquisition]) -> list[_Acquisition]:
    """The acquisitions of a session that become scans: those with a lesion mask, if any has one.

    Raises:
        UadBenchError: one that may be a version of another one that is taken too.
    """
    marked = [each for each in session if each.lesions] or session
    for each in marked:
        hosts = _hosts(each, marked)
        if hosts:
            names = " or of ".join(host.versions[0].path.name for host in hosts)
            raise UadBenchError(
                f"{each.versions[0].path}: may be a version of {names}; name it after one of them, "
                "or list it in .bidsignore"
            )
    return marked


def _label(acquisition: _Acquisition, session: Sequence[_Acquisition]) -> str | None:
    """The session's name, with the entities that tell its scans apart where it has several."""
    values = defaultdict(set)
    for each in session:
        for key in {key for other in session for key in other.identity}:
            values[key].add(each.identity.get(key))
    telling = [key for key in acquisition.identity if len(values[key]) > 1 and key != "ses"]
    parts = [f"{key}-{acquisition.identity[key]}" for key in telling]
    return "_".join([*filter(None, [acquisition.session]), *parts]) or None


def _scan(subject: str, session: str | None, acquisition: _Acquisition) -> Scan:
    flair = acquisition.flair
    same = [file for file in acquisition.others if flair.agrees(file)]
    brain = sorted(
        (file for file in same if file.suffix != "dseg"),
        key=lambda file: (
            file.identity != flair.identity,
            file.source != flair.source,
            str(file.path),
        ),
    )
    tissues = [file for file in same if file.suffix == "dseg" and file.source == flair.source]
    return Scan(
        subject=subject,
        session=session,
        flair=flair.path,
        lesion=tuple(file.path for file in _raters(flair, acquisition.lesions)),
        brain_mask=brain[0].path if brain else None,
        tissues=tissues[0].path if tissues else None,
        space=flair.template,
    )


def _raters(flair: BidsFile, lesions: Sequence[BidsFile]) -> list[BidsFile]:
    """The lesion masks of one derivative: ``manual*`` in any letter case, else the first by name.

    Derivatives that number people, such as ``rater1`` and ``rater2``, count as one. Masks that the
    user named by a pattern come before all others.

    Raises:
        UadBenchError: two of them that differ in more than ``desc`` and ``label``.
    """
    masks = [mask for mask in lesions if flair.agrees(mask)]
    if not masks:
        return []
    best = min(_preference(mask) for mask in masks)
    first, *others = raters = [mask for mask in masks if _preference(mask) == best]
    for other in others:
        if _told_apart(first) != _told_apart(other):
            raise UadBenchError(
                f"{first.path} and {other.path.name} differ in more than desc and label, so they "
                f"are no raters of {flair.path.name}; rename one or list it in .bidsignore"
            )
    return raters


def _preference(mask: BidsFile) -> tuple[bool, bool, str]:
    people = _PEOPLE.fullmatch(mask.source)
    source = people["kind"].lower() if people else mask.source
    return not mask.mapped, not source.lower().startswith("manual"), source


def _told_apart(mask: BidsFile) -> tuple[str, dict[str, str]]:
    """What raters of one scan must have in common."""
    entities = {key: v for key, v in mask.entities.items() if key not in ("desc", "label")}
    return mask.suffix, entities


def _without_flair(
    subject: str, session: str | None, masks: Sequence[BidsFile], root: Path
) -> Scan:
    """A scan whose lesion masks are there and whose FLAIR is not."""
    stem = subject if session is None else f"{subject}_{session}"
    flair = root / subject / (session or "") / "anat" / f"{stem}_FLAIR.nii.gz"
    return Scan(subject, flair, session, tuple(mask.path for mask in masks))


def _left(
    files: Iterable[BidsFile],
    acquisitions: Sequence[_Acquisition],
    taken: Sequence[_Acquisition],
    scans: Sequence[Scan],
) -> Iterator[LeftFile]:
    """The files of a subject that are known and not used, with the reason."""
    used = {path for scan in scans for path in (scan.flair, *scan.lesion)}
    used |= {path for scan in scans for path in (scan.brain_mask, scan.tissues) if path is not None}
    owners = {id(file): each for each in acquisitions for file in (*each.versions, *each.lesions)}
    for file in files:
        owner = owners.get(id(file))
        if file.path in used:
            continue
        if owner is not None and owner not in taken:
            reason = "a further FLAIR without a lesion mask; another one has one"
            yield LeftFile(file.path, reason, told=file.suffix == "FLAIR")
        elif file.suffix == "FLAIR":
            yield _further(file, None if owner is None else owner.flair)
        elif owner is not None:
            is_rival = owner.flair.agrees(file)
            reason = "a lesion mask of another derivative; one derivative's are taken"
            version = "a lesion mask of another version of its FLAIR"
            yield LeftFile(file.path, reason if is_rival else version, told=is_rival)
        elif not file.shows_lesion:
            what = "tissue map" if file.suffix == "dseg" else "brain mask"
            yield LeftFile(file.path, f"a {what} of another version, derivative or image")


def _further(file: BidsFile, taken: BidsFile | None) -> LeftFile:
    """A version of a FLAIR that is not taken; told where it is raw and the other may be wrong.

    The usual version of a derivative lies in a template space; one in the scanner's own space, or
    one whose ``desc`` says that it was altered, may be another image.
    """
    doubtful = taken is not None and (taken.space == file.space or taken.is_altered)
    if taken is None or not doubtful or not file.is_raw or taken.is_raw:
        return LeftFile(file.path, "a further version of a FLAIR")
    desc = f", desc-{taken.entities['desc']}" if "desc" in taken.entities else ""
    reason = f"the raw FLAIR; a version of derivatives/{taken.source}{desc} is taken"
    return LeftFile(file.path, reason, told=True)


def _unfit(mask: BidsFile) -> str:
    """Why a lesion mask belongs to no FLAIR."""
    stated = ", ".join(f"{k}-{v}" for k, v in mask.entities.items() if k not in ("desc", "label"))
    return f"a lesion mask that fits no FLAIR ({stated or 'it states no entity'})"
