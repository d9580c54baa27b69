"""What the in-house datasets of Bercea et al. (2022) share; they differ in disease and scanner."""

from typing import Final

CITATION: Final = "Bercea et al. (2022)"

BIBTEX: Final = r"""@inproceedings{bercea2022spa,
  title = {{SPA}: Shape-Prior Variational Autoencoders for Unsupervised Brain Pathology
    Segmentation},
  author = {Bercea, Cosmin I. and Wiestler, Benedikt and Rueckert, Daniel and Albarqouni, Shadi},
  booktitle = {Medical Imaging with Deep Learning},
  year = {2022}
}"""

LICENCE: Final = "not public"

PATIENT_LAYOUT: Final = """  [derivatives/NAME/]sub-01/anat/
    sub-01_space-MNI152NLin2009aSym_desc-brain_FLAIR.nii.gz
    sub-01_space-MNI152NLin2009aSym_label-lesion_mask.nii.gz"""
