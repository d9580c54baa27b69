"""Multiple sclerosis over time, training part of the ISBI 2015 challenge (Carass et al., 2017)."""

import re
from collections.abc import Iterator
from pathlib import Path

from uad_bench.dataset import Dataset, DatasetInfo, Scan, find_nifti, walk_folders

_PERSON = re.compile(r"training\d{2}")
_FILE = re.compile(r"training\d{2}_(?P<time>\d{2})_(?:flair_pp|mask[12])\.nii(?:\.gz)?")


class Msisbi(Dataset):
    """5 people at 4 or 5 time points each, every scan marked by two raters."""

    info = DatasetInfo(
        name="msisbi",
        title="MS lesions, ISBI 2015 longitudinal challenge, training part",
        disease="multiple sclerosis",
        citation="Carass et al. (2017)",
        bibtex=r"""@article{carass2017longitudinal,
  title = {Longitudinal multiple sclerosis lesion segmentation data resource},
  author = {Carass, Aaron and Roy, Snehashis and Jog, Amod and Cuzzocreo, Jennifer L. and Magrath,
    Elizabeth and Gherman, Adrian and Button, Julia and Nguyen, James and Bazin, Pierre-Louis and
    Calabresi, Peter A. and Crainiceanu, Ciprian M. and Ellingsen, Lotta M. and Reich, Daniel S.
    and Prince, Jerry L. and Pham, Dzung L.},
  journal = {Data in Brief},
  volume = {12}, pages = {346--350}, year = {2017},
  doi = {10.1016/j.dib.2017.04.004}
}""",
        licence="research use, under the terms accepted at registration",
        obtain=(
            "register at https://smart-stats-tools.org/lesion-challenge-2015 and download the "
            "training part"
        ),
        layout="""msisbi/
  training/                            (this level may be absent)
    training01/
      preprocessed/training01_01_flair_pp.nii
      masks/training01_01_mask1.nii    first rater
      masks/training01_01_mask2.nii    second rater""",
        folders=("msisbi", "isbi2015", "ISBI_2015"),
        expected_scans=21,
        notes=(
            "Table 1 counts 21 scans; they are of 5 people, and a person is the statistical unit",
            "voxels that one rater marked and the other did not are ignored",
        ),
    )

    def scans(self, root: Path) -> Iterator[Scan]:
        """Yield every time point of every person, sorted."""
        for person in walk_folders(root, _PERSON):
            images, masks = person / "preprocessed", person / "masks"
            names = (path.name for folder in (images, masks) for path in folder.glob("training*"))
            times = {match["time"] for name in names if (match := _FILE.fullmatch(name))}
            for time in sorted(times):
                stem = f"{person.name}_{time}"
                flair = f"{stem}_flair_pp"
                raters = (f"{stem}_mask1", f"{stem}_mask2")
                yield Scan(
                    subject=person.name,
                    session=time,
                    flair=find_nifti(images, flair) or images / f"{flair}.nii",
                    lesion=tuple(find_nifti(masks, m) or masks / f"{m}.nii" for m in raters),
                    lesion_labels=frozenset({1}),
                    space="mni152",
                )
