"""Healthy people, Klinikum rechts der Isar, Munich: the training dataset (Bercea et al., 2022)."""

from uad_bench.dataset import DatasetInfo, Split
from uad_bench.discovery.people.splits import default_splits

from ._klinikum import BIBTEX, CITATION, LICENCE
from .bids import Bids


class Hi(Bids):
    """In-house and healthy, in BIDS layout; any healthy dataset can stand in its place.

    Without a column ``split`` in ``participants.tsv``, subjects are ordered by the SHA-256 of
    their names and divided in the paper's proportions, 125 to 15 to 23.
    """

    info = DatasetInfo(
        name="hi",
        title="healthy, in-house, Klinikum rechts der Isar",
        disease="healthy",
        citation=CITATION,
        bibtex=BIBTEX,
        licence=LICENCE,
        obtain="not released; put healthy scans of your own there, or use the simulated ones",
        layout="""hi/
  participants.tsv                     (a column split: train, validation or test)
  [derivatives/NAME/]sub-01/anat/
    sub-01_space-MNI152NLin2009aSym_desc-brain_FLAIR.nii.gz
    sub-01_space-MNI152NLin2009aSym_dseg.nii.gz
                                       (1 GM, 2 WM, 3 CSF, or as dseg.tsv says)""",
        folders=("hi",),
        released=False,
        expected_scans=163,
        notes=("the paper's prior averages 136 of these people, more than its 125 for training",),
    )
    lesions = False

    def default_splits(self, subjects: list[str]) -> dict[str, Split]:
        """Train, validation and test in the paper's proportions, none of them empty from three."""
        return default_splits(subjects)
