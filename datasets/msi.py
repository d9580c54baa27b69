"""Multiple sclerosis, Klinikum rechts der Isar, Munich, in-house (Bercea et al., 2022)."""

from uad_bench.cohort import CohortInfo, ScannerFacts

from .bids import Bids


class Msi(Bids):
    """In-house, in BIDS layout; from the same scanner as the healthy training cohort."""

    info = CohortInfo(
        name="msi",
        title="MS lesions, in-house, Klinikum rechts der Isar",
        disease="multiple sclerosis",
        citation="Bercea et al. (2022)",
        bibtex=r"""@inproceedings{bercea2022spa,
  title = {{SPA}: Shape-Prior Variational Autoencoders for Unsupervised Brain Pathology
    Segmentation},
  author = {Bercea, Cosmin I. and Wiestler, Benedikt and Rueckert, Daniel and Albarqouni, Shadi},
  booktitle = {Medical Imaging with Deep Learning},
  year = {2022}
}""",
        licence="not public",
        obtain="not released; put MS scans of your own there, or use the simulated ones",
        layout="""msi/
  [derivatives/NAME/]sub-01/anat/
    sub-01_space-MNI152NLin2009aSym_desc-brain_FLAIR.nii.gz
    sub-01_space-MNI152NLin2009aSym_label-lesion_mask.nii.gz""",
        folders=("msi",),
        expected_scans=48,
        facts=ScannerFacts(
            scanner="Philips Achieva",
            resolution_mm=(1.5, 0.9, 0.9),
            tr_te_ti_s=(10.0, 0.14, 2.75),
            age="32 ± 10",
            female_percent=61,
            splits=(0, 0, 48),
        ),
    )
    lesions = True
