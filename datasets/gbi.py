"""Glioblastoma, Klinikum rechts der Isar, Munich, in-house (Bercea et al., 2022)."""

from uad_bench.dataset import DatasetInfo

from ._klinikum import BIBTEX, CITATION, LICENCE, PATIENT_LAYOUT
from .bids import Bids


class Gbi(Bids):
    """In-house, in BIDS layout; whole tumour is every label above 0."""

    info = DatasetInfo(
        name="gbi",
        title="glioblastoma, in-house, Klinikum rechts der Isar",
        disease="glioblastoma",
        citation=CITATION,
        bibtex=BIBTEX,
        licence=LICENCE,
        obtain="not released; put glioblastoma scans of your own there, or use the simulated ones",
        layout="gbi/\n" + PATIENT_LAYOUT,
        folders=("gbi",),
        released=False,
        expected_scans=94,
    )
    lesions = True
