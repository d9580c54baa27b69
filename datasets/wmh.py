"""White matter hyperintensities, MICCAI 2017 challenge, training part (Kuijf et al., 2019)."""

import re
from collections.abc import Iterator
from pathlib import Path

from uad_bench.dataset import Dataset, DatasetInfo, Scan, find_nifti, walk_folders

_CASE = re.compile(r"\d{1,3}")
_TRAINING, _TEST = (re.compile(word, re.IGNORECASE) for word in ("training", "test"))
_SITES = {
    "utrecht": "Utrecht",
    "singapore": "Singapore",
    "ge3t": "Amsterdam-GE3T",
    "ge1t5": "Amsterdam-GE1T5",
    "philips_vu": "Amsterdam-Philips",
}


class Wmh(Dataset):
    """60 people from three scanners; label 2, other pathology, is neither lesion nor healthy.

    Both releases are read: the challenge's (``Utrecht/0``, ``GE3T/100``) and the final one
    (``training/Amsterdam/GE3T/100``), of which the paper's part, ``training``, is taken where it
    lies beside ``test``. A case below ``test`` is never read.
    """

    info = DatasetInfo(
        name="wmh",
        title="White Matter Hyperintensity Segmentation challenge, training part",
        disease="vascular lesions",
        citation="Kuijf et al. (2019)",
        bibtex=r"""@article{kuijf2019standardized,
  title = {Standardized Assessment of Automatic Segmentation of White Matter Hyperintensities and
    Results of the {WMH} Segmentation Challenge},
  author = {Kuijf, Hugo J. and Biesbroek, J. Matthijs and De Bresser, Jeroen and Heinen, Rutger and
    Andermatt, Simon and Bento, Mariana and Berseth, Matt and Belyaev, Mikhail and Cardoso, M. Jorge
    and Casamitjana, Adri{\`a} and others},
  journal = {IEEE Transactions on Medical Imaging},
  volume = {38}, number = {11}, pages = {2556--2568}, year = {2019},
  doi = {10.1109/TMI.2019.2905770}
}""",
        licence="CC BY-NC 4.0",
        obtain="download https://doi.org/10.34894/AECRSD",
        layout="""wmh/
  training/                            (this level may be absent)
    Utrecht/0/                         and Singapore/50, Amsterdam/GE3T/100 (or GE3T/100)
      pre/FLAIR.nii.gz
      wmh.nii.gz                       1 hyperintensity, 2 other pathology (ignored)""",
        folders=("wmh", "wmh2017", "WMH_Segmentation_Challenge"),
        expected_scans=60,
    )

    def scans(self, root: Path) -> Iterator[Scan]:
        """Yield the cases of every known site, sorted by site and number."""
        training = next(iter(walk_folders(root, _TRAINING, depth=2)), root)
        found = [
            (site, int(folder.name), folder)
            for folder in walk_folders(training, _CASE)
            if not any(_TEST.fullmatch(part) for part in folder.relative_to(training).parts)
            if (site := _SITES.get(re.split(r"[ .]", folder.parent.name.lower())[0]))
        ]
        for site, number, folder in sorted(found):
            images = folder / "pre"
            yield Scan(
                subject=f"{site}-{number}",
                flair=find_nifti(images, "FLAIR") or images / "FLAIR.nii.gz",
                lesion=(find_nifti(folder, "wmh") or folder / "wmh.nii.gz",),
                lesion_labels=frozenset({1}),
                ignore_labels=frozenset({2}),
                site=site,
            )
