"""The names of a BIDS dataset's files: what each says, and whether its folder says the same."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from uad_bench.dataset import Space
from uad_bench.errors import UadBenchError

VERSION_ENTITIES = frozenset({"desc", "label", "space", "res", "den"})
"""Entities that tell versions of one scan, or what a mask shows, and not one scan from another."""

_NUMBERED = frozenset({"run", "echo", "flip", "inv", "split", "chunk"})
"""Entities whose values are numbers: ``run-01`` is ``run-1``."""

_USUAL = frozenset({"brain", "preproc"})
"""Values of ``desc`` of a derivative's FLAIR that shows what the raw one shows."""

_OTHER_FOLDERS = frozenset({"dwi", "fmap", "func", "perf", "pet", "eeg", "meg"})
"""Folders of BIDS that hold images of other kinds, and what was drawn on them."""

_OWN_SPACE = frozenset({"flair", "orig", "native", "scanner"})
"""Values of ``space`` that mean the FLAIR's own, as no value does."""


@dataclass(frozen=True, slots=True)
class BidsFile:
    """One NIfTI file of a subject.

    Attributes:
        path: the file.
        source: the folder below ``derivatives`` that it comes from, empty for raw data.
        subject: the person, as ``sub-01``.
        suffix: the last word of the name, such as ``FLAIR``.
        entities: the value of every other entity that the name states, and the session that only
            a folder states.
        mapped: whether the user said what it is, and not its name.
    """

    path: Path
    source: str
    subject: str
    suffix: str
    entities: Mapping[str, str]
    mapped: bool = False

    @property
    def session(self) -> str | None:
        """The session, as ``ses-01``."""
        return f"ses-{self.entities['ses']}" if "ses" in self.entities else None

    @property
    def space(self) -> str:
        """The name of the template space, empty for the scanner's own."""
        space = self.entities.get("space", "")
        return "" if space.lower() in _OWN_SPACE else space

    @property
    def template(self) -> Space | None:
        """The template the contract knows it by."""
        name = self.space.lower()
        return "mni152" if name.startswith("mni152") else "sri24" if name == "sri24" else None

    @property
    def is_raw(self) -> bool:
        """Whether it is of no derivative, or the user said what it is."""
        return not self.source or self.mapped

    @property
    def is_altered(self) -> bool:
        """Whether a derivative's ``desc`` says another thing than stripped or prepared."""
        return not self.is_raw and self.entities.get("desc", "brain") not in _USUAL

    @property
    def identity(self) -> dict[str, str]:
        """The entities that tell one scan of a subject from another, such as ``run``."""
        return {key: v for key, v in self.entities.items() if key not in VERSION_ENTITIES}

    @property
    def is_of_another_image(self) -> bool:
        """Whether ``mod-T1w`` or a folder such as ``dwi`` says that it is of another image."""
        return (
            self.entities.get("mod", "FLAIR").lower() != "flair"
            or self.path.parent.name in _OTHER_FOLDERS
        )

    @property
    def shows_lesion(self) -> bool:
        """Whether this is a lesion mask, as its label or its description says."""
        names = {self.entities.get("label", ""), self.entities.get("desc", "")}
        return self.suffix in {"mask", "roi"} and bool(names & {"lesion", "lesions"})

    @property
    def shows_brain(self) -> bool:
        """Whether this is a brain mask, as its label says, or else its description."""
        name = self.entities.get("label", self.entities.get("desc"))
        return self.suffix in {"mask", "roi"} and name == "brain" and not self.shows_lesion

    def agrees(self, other: BidsFile) -> bool:
        """Whether both lie in one space and state no entity differently, but ``desc``, ``label``.

        An entity that only one of them states does not matter here.
        """
        shared = self.entities.keys() & other.entities.keys() - {"desc", "label", "space"}
        return self.space == other.space and all(
            self.entities[key] == other.entities[key] for key in shared
        )


def read_name(path: Path, root: Path) -> BidsFile | None:
    """Read a file's name and the folders it is in; ``None`` for a name that is not BIDS.

    Read are files below ``sub-*`` and below ``derivatives``, compressed or not. A name that says
    an entity twice, or says something without a key, is not BIDS.

    Args:
        path: the file.
        root: the dataset's own folder.

    Raises:
        UadBenchError: a name that states another subject or session than its folder.
    """
    from ancpbids.utils import parse_bids_name  # loading it takes a third of a second

    folders = path.relative_to(root).parts[:-1]
    source = source_of((*folders, path.name))
    parsed = parse_bids_name(path.name)
    if source is None or parsed is None or parsed["extension"] not in (".nii", ".nii.gz"):
        return None
    entities, suffix = dict(parsed["entities"]), parsed["suffix"]
    whole = "_".join((*(f"{key}-{v}" for key, v in entities.items()), suffix))
    is_whole = f"{whole}{parsed['extension']}" == path.name
    if not is_whole or "sub" not in entities or not all((suffix, *entities.values())):
        return None
    return _file(path, source, suffix, entities, folders)


def read_mapped(path: Path, root: Path, suffix: str, stated: Mapping[str, str]) -> BidsFile:
    """Read what the name of a file says of which the user said what it is.

    Args:
        path: the file.
        root: the dataset's own folder.
        suffix: ``FLAIR`` or ``mask``, for a lesion mask.
        stated: what the user's pattern says of it: subject and session, with prefix or without.

    Raises:
        UadBenchError: nothing says whose file it is, or two things say it differently.
    """
    folders = path.relative_to(root).parts[:-1]
    stem, dot, ending = path.name.partition(".nii")
    if not dot or ending not in ("", ".gz"):
        raise UadBenchError(f"{path}: fits --lesion-pattern, but only .nii and .nii.gz are read")
    entities, rest = leading_entities(stem)
    if suffix == "mask":
        _refuse_other_image(path, entities, rest)
    for name, text in stated.items():
        key = name[:3]
        value = text.removeprefix(f"{key}-")
        if entities.setdefault(key, value) != value:
            raise UadBenchError(
                f"{path}: fits --lesion-pattern as {key}-{value}, its name says "
                f"{key}-{entities[key]}"
            )
    subject = folder_entities(folders).get("sub")
    if not entities.get("sub", subject):
        raise UadBenchError(
            f"{path}: fits --lesion-pattern, but neither name nor folder says whose it is; say it "
            "in the pattern, as masks/{subject_id}.nii.gz"
        )
    entities.setdefault("sub", subject or "")
    if suffix == "mask":
        shown = (entities.get("label"), entities.get("desc"), rest)
        entities["desc"] = "-".join(part for part in shown if part)
        entities["label"] = "lesion"
    source = source_of((*folders, path.name))
    if source is None:
        source = folders[0] if folders else ""
    return replace(_file(path, source, suffix, entities, folders), mapped=True)


def _refuse_other_image(path: Path, entities: Mapping[str, str], rest: str) -> None:
    """Refuse a FLAIR or a brain mask that a pattern of lesion masks fits.

    Raises:
        UadBenchError: naming the file and what its name says.
    """
    shown = [f"{key}-brain" for key in ("label", "desc") if entities.get(key) == "brain"]
    if rest.lower() == "flair":
        shown.append(rest)
    if shown and "lesion" not in (entities.get("label"), entities.get("desc")):
        raise UadBenchError(
            f"{path}: fits --lesion-pattern, but its name says {shown[0]}, which is no lesion "
            "mask; make the pattern narrower"
        )


def leading_entities(stem: str) -> tuple[dict[str, str], str]:
    """The entities that a name begins with, and the rest of it.

    Args:
        stem: a file's name without its ending.
    """
    parts = stem.split("_")
    entities = {}
    while parts and (match := re.fullmatch(r"([a-z]+)-(.+)", parts[0])):
        entities[match[1]] = match[2]
        parts.pop(0)
    return entities, "_".join(parts)


def _file(
    path: Path, source: str, suffix: str, entities: dict[str, str], folders: tuple[str, ...]
) -> BidsFile:
    """The file, if its name and its folders say the same."""
    subject = f"sub-{entities.pop('sub')}"
    for key, folder in folder_entities(folders).items():
        stated = subject.removeprefix("sub-") if key == "sub" else entities.setdefault(key, folder)
        if stated != folder:
            raise UadBenchError(
                f"{path}: the name says {key}-{stated}, its folder {key}-{folder}; rename the file "
                "or move it"
            )
    return BidsFile(path, source, subject, suffix, normalised(entities))


def source_of(parts: tuple[str, ...]) -> str | None:
    """The derivative that a path below the dataset belongs to, empty for raw data.

    Args:
        parts: the folders and the file's name.

    Returns:
        ``None`` for a path that is neither below ``sub-*`` nor below ``derivatives``.
    """
    if parts[0].startswith("sub-"):
        return ""
    if parts[0] != "derivatives":
        return None
    before = next((n for n, part in enumerate(parts) if part.startswith("sub-")), len(parts) - 1)
    return "/".join(parts[1:before]) or "derivatives"


def folder_entities(folders: tuple[str, ...]) -> dict[str, str]:
    """Subject and session as the folders of a path state them, the innermost where several do."""
    stated = {}
    for folder in folders:
        for key in ("sub", "ses"):
            if folder.lower().startswith(f"{key}-"):
                stated[key] = folder[len(key) + 1 :]
    return stated


def normalised(entities: Mapping[str, str]) -> Mapping[str, str]:
    """The same entities, numbers without leading zeros."""
    return MappingProxyType(
        {
            key: str(int(value)) if key in _NUMBERED and value.isdecimal() else value
            for key, value in entities.items()
        }
    )
