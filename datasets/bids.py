"""A user's own cohort in BIDS layout, and the reading of BIDS names for the in-house cohorts."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from uad_bench.cohort import Cohort, CohortInfo, Scan, Space, Split
from uad_bench.participants import Participants, read_participants

_NIFTI = re.compile(r"(?P<entities>sub-.+)_(?P<suffix>FLAIR|mask|roi|dseg)\.nii(?:\.gz)?")


@dataclass(frozen=True, slots=True)
class _File:
    """One NIfTI file of a session; ``source`` is its derivative's name, empty for raw data."""

    path: Path
    source: str
    suffix: str
    entities: dict[str, str]

    @property
    def space(self) -> str:
        """The name of the template space, empty for the scanner's own."""
        return self.entities.get("space", "")

    @property
    def template(self) -> Space | None:
        """The template the contract knows it by."""
        name = self.space.lower()
        return "mni152" if name.startswith("mni152") else "sri24" if name == "sri24" else None

    def shows(self, what: str) -> bool:
        """Whether this is a mask of ``what``, as its label or its description says."""
        names = {self.entities.get("label", ""), self.entities.get("desc", "")}
        return self.suffix in {"mask", "roi"} and bool(names & {what, f"{what}s"})


class Bids(Cohort):
    """Any BIDS dataset with FLAIR scans, raw or below ``derivatives/``.

    Of several FLAIR volumes of a session, the one is taken that (1) has a lesion mask in its own
    space, (2) lies in a template space (``space-MNI152*``, ``space-SRI24``), (3) is stripped
    (``desc-brain``), in this order. Masks must lie in the same space as the FLAIR. Lesion masks
    come from one derivative, ``manual*`` before others by name; several there are several raters.
    A tissue map (1 CSF, 2 GM, 3 WM) is read only beside its FLAIR, for other tools number tissues
    differently. A scan for testing that has no lesion mask is incomplete; one whose mask is all
    zero is a healthy subject's.
    """

    info = CohortInfo(
        name="bids",
        title="a cohort of one's own, in BIDS layout",
        disease="any",
        citation="Gorgolewski et al. (2016), for the layout",
        bibtex=r"""@article{gorgolewski2016bids,
  title = {The brain imaging data structure, a format for organizing and describing outputs of
    neuroimaging experiments},
  author = {Gorgolewski, Krzysztof J. and Auer, Tibor and Calhoun, Vince D. and others},
  journal = {Scientific Data},
  volume = {3}, pages = {160044}, year = {2016},
  doi = {10.1038/sdata.2016.44}
}""",
        licence="the cohort's own",
        obtain="point at the folder: --datasets bids:PATH",
        layout="""PATH/
  participants.tsv                     (split: train, validation or test; group: control or not)
  sub-01/[ses-01/]anat/sub-01_FLAIR.nii.gz
  derivatives/NAME/sub-01/[ses-01/]anat/
    sub-01_space-MNI152NLin2009aSym_desc-brain_FLAIR.nii.gz
    sub-01_[space-...]_label-lesion_mask.nii.gz
    sub-01_[space-...]_desc-brain_mask.nii.gz
    sub-01_[space-...]_dseg.nii.gz     1 CSF, 2 GM, 3 WM""",
        folders=(),
    )
    lesions: ClassVar[bool | None] = None
    """Whether test scans must have a lesion mask; ``None`` where the files decide."""

    def scans(self, root: Path) -> Iterator[Scan]:
        """Yield the sessions, sorted by subject and session."""
        sessions = {
            key: files
            for key, files in _sessions(root).items()
            if any(file.suffix == "FLAIR" for file in files)
            or any(file.shows("lesion") for file in files)
        }
        subjects = sorted({subject for subject, _ in sessions})
        people = self.participants(root) if subjects else None
        splits = people.splits_of(subjects) if people is not None else None
        if splits is None:
            splits = self.default_splits(subjects)
        required = self.lesions
        if required is None:
            required = any(file.shows("lesion") for files in sessions.values() for file in files)
        for key in sorted(sessions, key=lambda key: (key[0], key[1] or "")):
            split = splits[key[0]]
            healthy = self.healthy(key[0], people)
            needed = required and split == "test" and not healthy
            yield replace(_scan(root, key, sessions[key], split, needed), healthy=healthy)

    def participants(self, root: Path) -> Participants | None:
        """Read ``participants.tsv``."""
        return read_participants(root)

    def healthy(self, subject: str, people: Participants | None) -> bool | None:
        """Whether a subject is healthy, as ``participants.tsv`` or else the cohort's kind says."""
        said = None if people is None else people.healthy.get(subject)
        return True if said is None and self.lesions is False else said

    def default_splits(self, subjects: list[str]) -> dict[str, Split]:
        """The split of every subject where ``participants.tsv`` has no column of splits."""
        return dict.fromkeys(subjects, "test")


def _sessions(root: Path) -> dict[tuple[str, str | None], list[_File]]:
    """Every NIfTI file with a known suffix, by subject and session."""
    sources = [("", root)]
    derivatives = root / "derivatives"
    if derivatives.is_dir():
        sources += [(d.name, d) for d in sorted(derivatives.iterdir()) if d.is_dir()]
    sessions: dict[tuple[str, str | None], list[_File]] = {}
    for source, folder in sources:
        for path in sorted(folder.glob("sub-*/**/*.nii*")):
            match = _NIFTI.fullmatch(path.name)
            if match is None:
                continue
            entities = dict(
                part.split("-", 1) for part in match["entities"].split("_") if "-" in part
            )
            session = f"ses-{entities['ses']}" if "ses" in entities else None
            file = _File(path, source, match["suffix"], entities)
            sessions.setdefault((f"sub-{entities['sub']}", session), []).append(file)
    return sessions


def _scan(
    root: Path,
    key: tuple[str, str | None],
    files: list[_File],
    split: Split,
    lesion_expected: bool,
) -> Scan:
    """Choose a session's FLAIR and what belongs to it."""
    subject, session = key
    marked = {file.space for file in files if file.shows("lesion")}
    flairs = sorted(
        (file for file in files if file.suffix == "FLAIR"),
        key=lambda file: (
            file.space not in marked,
            file.template is None,
            file.entities.get("desc") != "brain",
            str(file.path),
        ),
    )
    stem = subject if session is None else f"{subject}_{session}"
    folder = root / subject / (session or "") / "anat"
    if not flairs:
        masks = tuple(file.path for file in files if file.shows("lesion"))
        return Scan(subject, folder / f"{stem}_FLAIR.nii.gz", session, masks, split=split)
    flair = flairs[0]
    same = [file for file in files if file.space == flair.space]
    lesion = tuple(file.path for file in _raters(same))
    if not lesion and lesion_expected:
        space = f"_space-{flair.space}" if flair.space else ""
        manual = root / "derivatives" / "manual" / folder.relative_to(root)
        lesion = (manual / f"{stem}{space}_label-lesion_mask.nii.gz",)
    brain = sorted(
        (file for file in same if file.shows("brain")),
        key=lambda file: (file.source != flair.source, str(file.path)),
    )
    tissues = [
        file
        for file in same
        if file.suffix == "dseg" and "desc" not in file.entities and file.source == flair.source
    ]
    return Scan(
        subject=subject,
        session=session,
        flair=flair.path,
        lesion=lesion,
        brain_mask=brain[0].path if brain else None,
        tissues=tissues[0].path if tissues else None,
        split=split,
        space=flair.template,
    )


def _raters(files: list[_File]) -> list[_File]:
    """The lesion masks of one derivative: ``manual*`` if there is one, else the first by name."""
    masks = [file for file in files if file.shows("lesion")]
    if not masks:
        return []
    source = min((not file.source.startswith("manual"), file.source) for file in masks)[1]
    return [file for file in masks if file.source == source]
