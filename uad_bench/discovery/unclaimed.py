"""Volumes of a dataset that no scan uses: which of them may be a FLAIR or a lesion mask, and why.

A file that nobody claims is named, so that a patient whose mask has another name is not taken for
somebody without one. Judged are names only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath

from uad_bench.dataset import LeftFile, Scan
from uad_bench.discovery.bids.names import leading_entities
from uad_bench.discovery.walk import IMAGE_ENDINGS


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_OTHER_SUFFIXES = _set(
    """t1w t2w t2star t2starw pdw pd pdt2 inplanet1 inplanet2 angio unit1 mp2rage megre mese mpm
    mts vfa irt1 t1map t2map t2starmap r1map r2map r2starmap pdmap mtrmap mtsat mtvmap chimap s0map
    m0map swi swimag defacemask ct pet cbv cbf mtr bold boldref boldmap cbvw sbref phase statmap dwi
    dwiref adc trace fa md tensor colfa epi magnitude magnitude1 magnitude2 phasediff phase1 phase2
    fieldmap tb1map tb1epi tb1afi rb1map asl m0scan asllabeling perf att xfm warp thickness curv
    sulc bts"""
)
"""Last words of names that BIDS and its derivatives give to what is neither FLAIR nor mask."""

_OTHER_FOLDERS = frozenset(
    {"func", "dwi", "fmap", "perf", "pet", "eeg", "meg", "ieeg", "beh", "micr", "nirs", "motion"}
)
_OTHER_WORDS = _set(
    """t1 t2 pd t1w t2w t1c t1ce t1gd t1n t1wks t1km t2star mprage reg adc dwi bold swi pdw ct cbf
    cbv 3dt1 warp xfm template atlas"""
)
"""Words of the names of other images and their transforms, outside BIDS."""

_KNOWN_LABELS = _set(
    """brain brains head skull scalp gm wm csf bg bone air softtissue scgm ribbon ventricles cortex
    cerebellum aseg aparcaseg aparc carpet nawm wmparc eyes face fov hires"""
)
"""Values of ``label`` and ``desc`` that name anatomy and no lesion."""

_SIDE_FOLDERS = frozenset({"sourcedata", "code", "stimuli"})
_LESION_PARTS = ("lesion", "msk", "wmh", "tumor", "tumour", "infarct", "stroke")
_MASK_PARTS = ("lesion", "mask", "tumor", "tumour", "infarct", "stroke", "consensus", "manual")
_MASK_WORDS = frozenset(
    {"msk", "wmh", "roi", "seg", "gt", "label", "labels", "les", "segmentation"}
)


def unclaimed(
    images: Iterable[Path], root: Path, scans: Iterable[Scan], left: Iterable[LeftFile]
) -> Iterator[LeftFile]:
    """Yield the volumes that no scan uses and nobody else explains, with what they seem to be.

    Other sequences that BIDS knows, and files of functional, diffusion and such folders, are not
    yielded. A file that is reached by two names through links is claimed by either.

    Args:
        images: every volume below the dataset's folder.
        root: that folder.
        scans: the scans that the adapter found.
        left: files that the adapter explains itself.
    """
    known = {path for scan in scans for path in scan_paths(scan)} | {each.path for each in left}
    images = tuple(images)
    names = {path.relative_to(root).as_posix() for path in images}
    odd = [
        found
        for path in images
        if path not in known and (found := _judged(path, root, names)) is not None
    ]
    # os.path.realpath, unlike Path.resolve, takes a link to itself as it is
    real = {os.path.realpath(path) for path in known} if odd else set()
    yield from (found for found in odd if os.path.realpath(found.path) not in real)


def scan_paths(scan: Scan) -> tuple[Path, ...]:
    """Every file that a scan names."""
    given = (scan.brain_mask, scan.tissues, scan.tissue_table)
    return (scan.flair, *scan.lesion, *(path for path in given if path is not None))


def lesion_mask_of(below: PurePath) -> str | None:
    """Tell whose lesion mask a file is by its name, as ``sub-01``; ``None`` for any other file.

    Args:
        below: its path below the dataset's folder.
    """
    stem, _ = _parts(below.name)
    entities, suffix = leading_entities(stem)
    is_mask = suffix.lower() in ("mask", "roi", "dseg")
    stated = [entities.get(key, "") for key in ("label", "desc")] if is_mask else [suffix]
    if not any(part in text.lower() for part in _LESION_PARTS for text in stated):
        return None
    if "sub" in entities:
        return f"sub-{entities['sub']}"
    return next((part for part in below.parts[:-1] if part.startswith("sub-")), None)


def _judged(path: Path, root: Path, names: set[str]) -> LeftFile | None:
    """What a file seems to be; ``None`` for what is known to be neither a FLAIR nor a mask."""
    below = path.relative_to(root)
    stem, ending = _parts(path.name)
    entities, suffix = leading_entities(stem)
    if ending == ".hdr" and any(f"{below.as_posix()[:-4]}{e}" in names for e in (".img", ".IMG")):
        return None  # one half of a pair that the other half stands for
    if _is_other(below, entities, suffix) or _is_anatomy(below, entities, suffix, names):
        return None
    reason = _reason(entities, suffix)
    if below.parts[0] in _SIDE_FOLDERS or below.parts[0].startswith("tpl-"):
        return LeftFile(path, f"in {below.parts[0]}, which is not read")
    if ending.lower() not in (".nii", ".nii.gz"):
        reason = f"{reason}; a format that is not read ({ending}): convert it to .nii.gz"
    elif ending != ending.lower():
        reason = f"{reason}; its ending {ending} is not in lower case"
    elif not _is_in_place(below):
        reason = f"{reason}; outside of the folders sub-* and derivatives"
    return LeftFile(path, reason, stops=True)


def _is_other(below: PurePath, entities: dict[str, str], suffix: str) -> bool:
    """Whether this is another sequence, or a file that comes with one."""
    if _shows_flair(entities, suffix):
        return suffix.lower() == "xfm" or entities.get("part", "mag") != "mag"
    if suffix.lower() in _OTHER_SUFFIXES:
        return True
    if below.parent.name in _OTHER_FOLDERS:
        return not any(part in below.stem.lower() for part in _LESION_PARTS)
    if below.suffix.lower() in (".mgz", ".mgh") and below.parent.name in ("mri", "label", "surf"):
        return not any(part in below.stem.lower() for part in _LESION_PARTS)
    words = _words(suffix)
    return bool(words & _OTHER_WORDS) and not _seems_mask(suffix)


def _is_anatomy(below: PurePath, entities: dict[str, str], suffix: str, names: set[str]) -> bool:
    """Whether this is a mask or a segmentation of the brain and its tissues."""
    label = entities.get("label", entities.get("desc", "")).lower()
    if suffix == "brainmask":
        return True
    if suffix not in ("mask", "roi", "dseg", "probseg"):
        return False
    if suffix == "dseg" and not label:  # a tissue map comes with its probability maps
        stem = below.as_posix().rpartition("_dseg")[0]
        return any(f"{stem}_label-GM_probseg{ending}" in names for ending in (".nii.gz", ".nii"))
    return label in _KNOWN_LABELS


def _reason(entities: dict[str, str], suffix: str) -> str:
    """What a file may be, by its name."""
    label = next((f"{key}-{entities[key]}" for key in ("label", "desc") if key in entities), "")
    if suffix in ("dseg", "probseg"):
        what = "segmentation" if suffix == "dseg" else "probability map"
        return f"a {what} (_{suffix}), perhaps of lesions"
    if suffix in ("mask", "roi"):
        image = entities.get("mod", "FLAIR")
        of_another = f"a mask of another image (mod-{image})"
        own = f"a mask ({label or 'no label'}); label-lesion is read"
        return own if image.lower() == "flair" else of_another
    if _seems_mask(suffix):
        return f"a lesion mask? BIDS names it _label-lesion_mask, not _{suffix}"
    if suffix == "FLAIR":
        return "a FLAIR? its name or its folder is not BIDS"
    if _shows_flair(entities, suffix):
        return f"a FLAIR? BIDS names it _FLAIR, not _{suffix}"
    return f"a name that is not read (_{suffix})" if suffix else "a name that is not BIDS"


def _shows_flair(entities: dict[str, str], suffix: str) -> bool:
    stated = [value for key, value in entities.items() if key not in ("space", "from", "to")]
    return any("flair" in text.lower() for text in (suffix, *stated))


def _seems_mask(suffix: str) -> bool:
    return bool(_words(suffix) & _MASK_WORDS) or any(p in suffix.lower() for p in _MASK_PARTS)


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", text.lower()))


def _parts(name: str) -> tuple[str, str]:
    """A name without its ending, and the ending."""
    ending = max((e for e in IMAGE_ENDINGS if name.lower().endswith(e)), key=len, default="")
    return name[: len(name) - len(ending)], name[len(name) - len(ending) :]


def _is_in_place(below: PurePath) -> bool:
    return below.parts[0].startswith("sub-") or below.parts[0] == "derivatives"
