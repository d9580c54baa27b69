"""Multiple sclerosis, University Hospital Ljubljana (Lesjak et al., 2018)."""

import re
from collections.abc import Iterator
from pathlib import Path

from uad_bench.dataset import (
    Dataset,
    DatasetInfo,
    Download,
    RemoteFile,
    Scan,
    find_nifti,
    walk_folders,
)

_PATIENT = re.compile(r"patient\d{2}")
_BY_PREFERENCE = ("mni", None, "coregistered_resampled", "coregistered", "raw")
_TO_MNI = "N4_noneck_reduced_winsor_regtoFLAIR"

_REPOSITORY = "https://raw.githubusercontent.com/muschellij2/open_ms_data"
# The variant MNI came with this commit, whose content can never change; the branch stands in for
# a file that it lacks. The repository states no SHA-256 and no sizes.
_DOWNLOAD = Download(
    sources=(
        f"{_REPOSITORY}/ab6737647be9665e5448d18be2d715e0a89f7170/",
        f"{_REPOSITORY}/master/",
    ),
    files=tuple(
        RemoteFile(f"cross_sectional/MNI/patient{number:02d}/{name}.nii.gz")
        for number in range(1, 31)
        for name in (f"FLAIR_{_TO_MNI}_brain_N4_regtoMNI", f"GOLD_STANDARD_{_TO_MNI}_regtoMNI")
    ),
    megabytes=150,
)


class Mslub(Dataset):
    """30 patients, in the laboratory's own layout or in any of open_ms_data's four variants.

    Where several variants lie side by side, one is taken for all patients: ``MNI``, then one
    without a variant's name, ``coregistered_resampled``, ``coregistered``, ``raw``.
    open_ms_data's longitudinal part is another dataset and is left out.
    """

    info = DatasetInfo(
        name="mslub",
        title="MS lesions, University Hospital Ljubljana (3D-MR-MS)",
        disease="multiple sclerosis",
        citation="Lesjak et al. (2018)",
        bibtex=r"""@article{lesjak2018novel,
  title = {A Novel Public {MR} Image Dataset of Multiple Sclerosis Patients With Lesion
    Segmentations Based on Multi-rater Consensus},
  author = {Lesjak, {\v{Z}}iga and Galimzianova, Alfiia and Koren, Ale{\v{s}} and Lukin, Matej and
    Pernu{\v{s}}, Franjo and Likar, Bo{\v{s}}tjan and {\v{S}}piclin, {\v{Z}}iga},
  journal = {Neuroinformatics},
  volume = {16}, number = {1}, pages = {51--63}, year = {2018},
  doi = {10.1007/s12021-017-9348-7}
}""",
        licence="CC BY",
        obtain=(
            "uad-bench get --datasets mslub, or download "
            "https://lit.fe.uni-lj.si/en/research/resources/3D-MR-MS/ or clone "
            "https://github.com/muschellij2/open_ms_data"
        ),
        layout="""mslub/
  patient01/                           (open_ms_data: [cross_sectional/][coregistered/]patient01)
    patient01_FLAIR.nii.gz             or FLAIR.nii.gz
    patient01_consensus_gt.nii.gz      or consensus_gt.nii.gz
    patient01_brainmask.nii.gz         or brainmask.nii.gz""",
        folders=("mslub", "3D-MR-MS", "open_ms_data"),
        expected_scans=30,
        notes=("the dataset's own paper names the scanner Siemens Magnetom Trio",),
        download=_DOWNLOAD,
    )

    def scans(self, root: Path) -> Iterator[Scan]:
        """Yield the patients of the preferred variant, sorted by number."""
        folders = [
            folder
            for folder in walk_folders(root, _PATIENT)
            if not any(part.startswith("longit") for part in folder.relative_to(root).parts)
        ]
        variants = sorted({folder.parent for folder in folders}, key=_preference)
        for folder in folders:
            if folder.parent != variants[0]:
                continue
            name = folder.name
            flair = find_nifti(
                folder, f"{name}_FLAIR", "FLAIR", f"FLAIR_{_TO_MNI}_brain_N4_regtoMNI"
            )
            lesion = find_nifti(
                folder,
                f"{name}_consensus_gt",
                "consensus_gt",
                f"GOLD_STANDARD_{_TO_MNI}_regtoMNI",
            )
            yield Scan(
                subject=name,
                flair=flair or folder / "FLAIR.nii.gz",
                lesion=(lesion or folder / "consensus_gt.nii.gz",),
                brain_mask=find_nifti(folder, f"{name}_brainmask", "brainmask"),
                lesion_labels=frozenset({1}),
                space="mni152" if folder.parent.name.lower() == "mni" else None,
            )


def _preference(variant: Path) -> tuple[int, str]:
    """Where a folder of patients stands among open_ms_data's variants."""
    name = variant.name.lower()
    known = name if name in _BY_PREFERENCE else None
    return _BY_PREFERENCE.index(known), str(variant)
