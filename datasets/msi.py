"""Multiple sclerosis, Klinikum rechts der Isar, Munich, in-house (Bercea et al., 2022)."""

from uad_bench.dataset import DatasetInfo

from ._klinikum import BIBTEX, CITATION, LICENCE, PATIENT_LAYOUT
from .bids import Bids


class Msi(Bids):
    """In-house, in BIDS layout; from the same scanner as the healthy training dataset."""

    info = DatasetInfo(
        name="msi",
        title="MS lesions, in-house, Klinikum rechts der Isar",
        disease="multiple sclerosis",
        citation=CITATION,
        bibtex=BIBTEX,
        licence=LICENCE,
        obtain="not released; put MS scans of your own there, or use the simulated ones",
        layout="msi/\n" + PATIENT_LAYOUT,
        folders=("msi",),
        released=False,
        expected_scans=48,
    )
    lesions = True
