"""Glioblastoma, Klinikum rechts der Isar, Munich, in-house (Bercea et al., 2022)."""

from uad_bench.cohort import CohortInfo, ScannerFacts

from .bids import Bids


class Gbi(Bids):
    """In-house, in BIDS layout; whole tumour is every label above 0."""

    info = CohortInfo(
        name="gbi",
        title="glioblastoma, in-house, Klinikum rechts der Isar",
        disease="glioblastoma",
        citation="Bercea et al. (2022)",
        bibtex=r"""@inproceedings{bercea2022spa,
  title = {{SPA}: Shape-Prior Variational Autoencoders for Unsupervised Brain Pathology
    Segmentation},
  author = {Bercea, Cosmin I. and Wiestler, Benedikt and Rueckert, Daniel and Albarqouni, Shadi},
  booktitle = {Medical Imaging with Deep Learning},
  year = {2022}
}""",
        licence="not public",
        obtain="not released; put glioblastoma scans of your own there, or use the simulated ones",
        layout="""gbi/
  [derivatives/NAME/]sub-01/anat/
    sub-01_space-MNI152NLin2009aSym_desc-brain_FLAIR.nii.gz
    sub-01_space-MNI152NLin2009aSym_label-lesion_mask.nii.gz""",
        folders=("gbi",),
        expected_scans=94,
        facts=ScannerFacts(
            scanner="Siemens Verio",
            resolution_mm=(1.5, 0.9, 0.9),
            tr_te_ti_s=(5.0, 0.395, 1.8),
            age="61 ± 20",
            female_percent=50,
            splits=(0, 0, 94),
        ),
    )
    lesions = True
