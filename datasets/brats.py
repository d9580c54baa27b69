"""Glioma of the BraTS challenges, as released in 2018, 2020, 2021 and 2023 (Menze et al., 2015)."""

import re
from collections.abc import Iterator
from pathlib import Path

from uad_bench.dataset import Dataset, DatasetInfo, Scan, find_nifti, walk_folders
from uad_bench.errors import UadBenchError

_CASE = re.compile(
    r"(?P<release>Brats(?:17|18|19)|BraTS20_Training|BraTS2021|BraTS-GLI)[_-](?P<case>\w+)"
    r"(?:-(?P<session>\d{3}))?",
    re.IGNORECASE,
)

_TREATED = 100
"""The first time point after treatment, in the names of BraTS 2024."""

_UNTREATED = (
    "4 is enhancing tumour up to BraTS 2021 and a resection cavity in 2024, where time points "
    "count from 100: take names and masks from one release"
)


class Brats(Dataset):
    """BraTS training cases; the challenge's own validation cases carry no masks and are left out.

    The 2023 naming separates subject and time point (``BraTS-GLI-00005-001``). Enhancing tumour is
    label 4 up to 2021 and label 3 since. Treated patients, whose time points count from 100 (2024),
    have resection cavities with label 4, which are ignored; in an untreated case 4 is refused. In
    2020, the mask of case 355 was released under a stray name.
    """

    info = DatasetInfo(
        name="brats",
        title="Brain Tumour Segmentation challenge, training part",
        disease="glioma",
        citation="Menze et al. (2015); Bakas et al. (2017)",
        bibtex=r"""@article{menze2015multimodal,
  title = {The Multimodal Brain Tumor Image Segmentation Benchmark ({BRATS})},
  author = {Menze, Bjoern H. and Jakab, Andras and Bauer, Stefan and Kalpathy-Cramer, Jayashree
    and Farahani, Keyvan and Kirby, Justin and others},
  journal = {IEEE Transactions on Medical Imaging},
  volume = {34}, number = {10}, pages = {1993--2024}, year = {2015},
  doi = {10.1109/TMI.2014.2377694}
}
@article{bakas2017advancing,
  title = {Advancing The Cancer Genome Atlas glioma {MRI} collections with expert segmentation
    labels and radiomic features},
  author = {Bakas, Spyridon and Akbari, Hamed and Sotiras, Aristeidis and Bilello, Michel and
    Rozycki, Martin and Kirby, Justin S. and Freymann, John B. and Farahani, Keyvan and
    Davatzikos, Christos},
  journal = {Scientific Data},
  volume = {4}, pages = {170117}, year = {2017},
  doi = {10.1038/sdata.2017.117}
}""",
        licence="research use, under the terms accepted at registration",
        obtain="register at https://www.synapse.org/brats and download one training release",
        layout="""brats/
  HGG/ and LGG/                        (2018; other releases have no such level)
    Brats18_2013_2_1/
      Brats18_2013_2_1_flair.nii.gz
      Brats18_2013_2_1_seg.nii.gz      tumour: every label above 0
  or BraTS20_Training_001/BraTS20_Training_001_{flair,seg}.nii
  or BraTS2021_00000/BraTS2021_00000_{flair,seg}.nii.gz
  or BraTS-GLI-00000-000/BraTS-GLI-00000-000-{t2f,seg}.nii.gz""",
        folders=(
            "brats",
            "brats2018",
            "MICCAI_BraTS_2018_Data_Training",
            "brats2020",
            "MICCAI_BraTS2020_TrainingData",
            "brats2021",
            "BraTS2021_Training_Data",
            "brats2023",
            "ASNR-MICCAI-BraTS2023-GLI-Challenge-TrainingData",
        ),
        expected_scans=285,
        notes=(
            "285 is the 2018 training release, the paper's; 2020 has 369 cases, 2021 and 2023 "
            "have 1251",
        ),
    )

    def scans(self, root: Path) -> Iterator[Scan]:
        """Yield the cases, sorted; refuse a folder that mixes releases, which share patients."""
        cases = [
            (match, folder)
            for folder in walk_folders(root, _CASE)
            if (match := _CASE.fullmatch(folder.name))
            and not any("validation" in part.lower() for part in folder.relative_to(root).parts)
        ]
        spellings = {match["release"].lower(): match["release"] for match, _ in cases}
        releases = sorted(spellings.values())
        if len(releases) > 1:
            raise UadBenchError(
                f"{root} mixes the BraTS releases {', '.join(releases)}, which share patients: "
                "keep one release in the folder"
            )
        for match, folder in sorted(cases, key=lambda case: case[1].name):
            dashed = "-" in match["release"]
            treated = dashed and int(match["session"] or 0) >= _TREATED
            flair, mask = (
                (f"{folder.name}-t2f", f"{folder.name}-seg")
                if dashed
                else (f"{folder.name}_flair", f"{folder.name}_seg")
            )
            yield Scan(
                subject=folder.name.removesuffix(f"-{match['session']}"),
                session=match["session"],
                flair=find_nifti(folder, flair) or folder / f"{flair}.nii.gz",
                lesion=(
                    find_nifti(folder, mask, "W39_1998.09.19_Segm") or folder / f"{mask}.nii.gz",
                ),
                lesion_labels=frozenset({1, 2, 3}) | (frozenset() if dashed else {4}),
                ignore_labels=frozenset({4}) if treated else frozenset(),
                label_advice=_UNTREATED if dashed and not treated else "check the mask",
                space="sri24",
            )
