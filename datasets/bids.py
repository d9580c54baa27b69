"""A user's own dataset in BIDS layout, and the reading of BIDS names for the in-house datasets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from uad_bench.dataset import Dataset, DatasetInfo, Reading, Scan, Split
from uad_bench.discovery.bids.index import index_dataset
from uad_bench.discovery.bids.pairing import pair
from uad_bench.discovery.people.participants import Participants, read_participants

if TYPE_CHECKING:
    from uad_bench.discovery.file_mapping import FileMapping


class Bids(Dataset):
    """Any BIDS dataset with FLAIR scans, raw or below ``derivatives/``.

    A FLAIR and its masks lie in one space and state no entity differently, but for ``desc`` and
    ``label``. A second FLAIR of a session, such as ``run-2``, is a second scan; where only some
    FLAIRs of a session have a lesion mask, the others are left. Of several versions of one scan,
    the one is taken that (1) has a lesion mask in its own space, (2) lies in a template space
    (``space-MNI152*``, ``space-SRI24``), (3) is stripped (``desc-brain``), (4) is raw, in order. Of
    one space, a derivative with another ``desc`` than ``preproc`` is last. Lesion masks come
    from one derivative, ``manual*`` before others by name; several there are several
    raters. A tissue map is read only beside its FLAIR; its labels mean what the nearest
    ``dseg.tsv`` says, or else 1 GM, 2 WM, 3 CSF, as BIDS numbers them. A scan for testing that has
    no lesion mask is incomplete; one whose mask is all zero is a healthy subject's.
    """

    info = DatasetInfo(
        name="bids",
        title="a dataset of one's own, in BIDS layout",
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
        licence="the dataset's own",
        obtain="point at the folder: --datasets bids:PATH",
        layout="""PATH/
  participants.tsv                     (split: train, validation or test; group: control or not)
  sub-01/[ses-01/]anat/sub-01_FLAIR.nii.gz
  derivatives/NAME/sub-01/[ses-01/]anat/
    sub-01_space-MNI152NLin2009aSym_desc-brain_FLAIR.nii.gz
    sub-01_[space-...]_label-lesion_mask.nii.gz
    sub-01_[space-...]_desc-brain_mask.nii.gz
    sub-01_[space-...]_dseg.nii.gz     1 GM, 2 WM, 3 CSF, or as dseg.tsv says""",
        folders=(),
        released=False,
    )
    asks_about_unclaimed = True
    lesions: ClassVar[bool | None] = None
    """Whether the dataset is one of patients or of healthy people; ``None`` where it says so."""

    def __init__(self, mapping: FileMapping | None = None) -> None:
        self._mapping = mapping

    def mapped(self, mapping: FileMapping) -> Self:
        """Return an adapter that takes the files of ``mapping`` for what it says they are."""
        return type(self)(mapping)

    def scans(self, root: Path) -> Iterator[Scan]:
        """Yield the scans, sorted by subject and session."""
        yield from self.read(root).scans

    def read(self, root: Path) -> Reading:
        """Read every name once: the scans, and which files were left and why."""
        index = index_dataset(root, self._mapping)
        paired = pair(index.files, root)
        subjects = sorted({scan.subject for scan in paired.scans})
        people = read_participants(root) if subjects else None
        splits = people.splits_of(subjects) if people is not None else None
        if splits is None:
            splits = self.default_splits(subjects)
        scans = (
            replace(scan, split=splits[scan.subject], healthy=self.healthy(scan.subject, people))
            for scan in paired.scans
        )
        return Reading(
            scans=tuple(self._with_mask(scan, root) for scan in scans),
            left=paired.left,
            images=index.images,
            waived=index.waived,
            mapped=sum(file.mapped for file in index.files),
            people=people,
        )

    def _with_mask(self, scan: Scan, root: Path) -> Scan:
        """The scan with the path of the lesion mask that it must have, where it has none."""
        if scan.lesion or scan.healthy or scan.split != "test" or not self.lesions:
            return scan
        session = (scan.session or "").partition("_")[0]
        folder = root / "derivatives" / "manual" / scan.subject
        folder = folder / session / "anat" if session.startswith("ses-") else folder / "anat"
        stem = scan.flair.name.partition("_FLAIR")[0].partition("_desc-")[0]
        return replace(scan, lesion=(folder / f"{stem}_label-lesion_mask.nii.gz",))

    def healthy(self, subject: str, people: Participants | None) -> bool | None:
        """Whether a subject is healthy, as ``participants.tsv`` or else the dataset's kind says."""
        if people is not None and subject in people.healthy:
            return people.healthy[subject]
        is_unclear = people is not None and subject in people.unclear
        return True if self.lesions is False and not is_unclear else None

    def default_splits(self, subjects: list[str]) -> dict[str, Split]:
        """The split of every subject where ``participants.tsv`` has no column of splits."""
        return dict.fromkeys(subjects, "test")
