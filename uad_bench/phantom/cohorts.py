"""The simulated cohorts: who is scanned, on what, and with which disease."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from uad_bench.cohort import Split
from uad_bench.errors import UadBenchError
from uad_bench.phantom.anatomy import Anatomy, template_anatomy
from uad_bench.phantom.contrast import Contrast, healthy_signal
from uad_bench.phantom.fields import Array
from uad_bench.phantom.labelmap import find_label_maps, label_map_anatomy
from uad_bench.phantom.lesions import Layer, paint, rate
from uad_bench.phantom.scan import PhantomScan
from uad_bench.phantom.scanner import Acquisition, Scanner, brain_region, expose
from uad_bench.phantom.sclerosis import load_ml, sclerosis_layers
from uad_bench.phantom.subject import Brain, make_brain
from uad_bench.phantom.tumour import Tumour, plan_tumour, tumour_layers
from uad_bench.phantom.vascular import vascular_layers

VERSION: Final = "1"
"""Changes whenever the same seed would give another image. Part of every cache key."""

Disease = Literal["healthy", "sclerosis", "vascular", "tumour"]

_PHILIPS: Final = Scanner((1.5, 0.9, 0.9), 1.5, contrast=Contrast(0.07, 1.19))
_VERIO: Final = Scanner((1.5, 0.9, 0.9), 1.5, contrast=Contrast(0.05, 1.23), noise=(0.02, 0.04))


@dataclass(frozen=True, slots=True)
class CohortSpec:
    """One simulated cohort.

    Attributes:
        name: as on the command line.
        disease: what its patients have.
        age: mean and standard deviation in years (the paper's Table 1 where it says).
        scanners: one per site, taken in turn.
        splits: how many subjects the published cohort has for train, validation and test.
        load_ml: median, least and largest lesion load, where it is drawn.
        sessions: time points of subjects 1, 2, ...; the last number repeats.
        raters: how many masks a scan has.
    """

    name: str
    disease: Disease
    age: tuple[float, float]
    scanners: tuple[Scanner, ...]
    splits: tuple[int, int, int]
    load_ml: tuple[float, float, float] = (0.0, 0.0, 0.0)
    sessions: tuple[int, ...] = (1,)
    raters: int = 1

    def session_count(self, subject: int) -> int:
        """How many time points a subject has."""
        return self.sessions[min(subject, len(self.sessions)) - 1]


COHORTS: Final[dict[str, CohortSpec]] = {
    spec.name: spec
    for spec in (
        CohortSpec("hi", "healthy", (69, 4), (_PHILIPS,), (125, 15, 23)),
        CohortSpec(
            "mslub",
            "sclerosis",
            (39, 10),
            (Scanner((0.8, 0.47, 0.47), 1.0, contrast=Contrast(0.05, 1.20), noise=(0.03, 0.06)),),
            (0, 0, 30),
            load_ml=(10, 0.3, 50),
        ),
        CohortSpec(
            "msisbi",
            "sclerosis",
            (44, 10),
            (Scanner((2.2, 0.82, 0.82), 2.2, contrast=Contrast(0.06, 1.17)),),
            (0, 0, 5),
            load_ml=(9, 1, 45),
            sessions=(4, 4, 5, 4),
            raters=2,
        ),
        CohortSpec("msi", "sclerosis", (32, 10), (_PHILIPS,), (0, 0, 48), load_ml=(7, 0.3, 50)),
        CohortSpec(
            "wmh",
            "vascular",
            (70, 9),
            (
                Scanner((3.0, 0.95, 0.96), 3.0, "Utrecht", Contrast(0.07, 1.16)),
                Scanner((3.0, 1.0, 1.0), 3.0, "Singapore", Contrast(0.05, 1.24), (0.02, 0.04)),
                Scanner((1.2, 1.0, 1.0), 1.2, "Amsterdam", Contrast(0.10, 1.13), (0.035, 0.06)),
            ),
            (0, 0, 60),
            load_ml=(12, 1, 60),
        ),
        CohortSpec("gbi", "tumour", (61, 20), (_VERIO,), (0, 0, 94)),
        CohortSpec(
            "brats",
            "tumour",
            (60, 9),
            (
                Scanner((5.0, 0.9, 0.9), 1.0, contrast=Contrast(0.10, 1.10)),
                Scanner((3.0, 1.0, 1.0), 1.0, contrast=Contrast(0.08, 1.15)),
                Scanner((1.0, 1.0, 1.0), 1.0, contrast=Contrast(0.06, 1.20), noise=(0.03, 0.06)),
            ),
            (0, 0, 285),
        ),
    )
}
"""Every simulated cohort by name. Ages that Table 1 does not give are those of its disease."""


def split_of(subject: int, splits: tuple[int, int, int]) -> Split:
    """The split of a subject, the same whatever the number of subjects.

    The first three subjects open the splits that the cohort has; after them each subject goes
    where the shares of ``splits`` are furthest from met, so that every beginning of the cohort
    is divided as the whole.
    """
    names: tuple[Split, Split, Split] = ("train", "validation", "test")
    total = sum(splits)
    have = [0, 0, 0]
    chosen = 0
    for number in range(1, subject + 1):
        unopened = [i for i in range(3) if splits[i] and not have[i]]
        missing = [number * splits[i] / total - have[i] for i in range(3)]
        chosen = unopened[0] if unopened else int(np.argmax(missing))
        have[chosen] += 1
    return names[chosen]


def cohort_spec(name: str) -> CohortSpec:
    """Look up a simulated cohort.

    Raises:
        UadBenchError: there is none of this name.
    """
    if name not in COHORTS:
        known = ", ".join(COHORTS)
        raise UadBenchError(f"no simulated cohort '{name}'; choose from {known}")
    return COHORTS[name]


def simulate_cohort(
    name: str, *, subjects: int, seed: int, anatomies: Path | None = None
) -> Iterator[PhantomScan]:
    """Simulate the first ``subjects`` subjects of a cohort, one scan at a time.

    Args:
        name: a key of ``COHORTS``.
        subjects: how many people; a person may have several scans.
        seed: of the whole cohort; subject ``k`` depends on nothing but seed, cohort and ``k``.
        anatomies: a folder of FreeSurfer-style label maps instead of the template.

    Raises:
        UadBenchError: an unknown cohort, or a folder without label maps.
    """
    cohort_spec(name)
    for subject in range(1, subjects + 1):
        yield from simulate_subject(name, subject, seed=seed, anatomies=anatomies)


def simulate_subject(
    name: str, subject: int, *, seed: int, anatomies: Path | None = None
) -> tuple[PhantomScan, ...]:
    """Simulate every scan of one subject (numbered from 1); safe to call in another process.

    Raises:
        UadBenchError: an unknown cohort, a subject below 1, or a folder without label maps.
    """
    spec = cohort_spec(name)
    if subject < 1:
        raise UadBenchError(f"no subject {subject} in simulated cohort '{name}'; count from 1")
    root = np.random.SeedSequence([seed, zlib.crc32(name.encode()), subject])
    person, body, disease, *visits = root.spawn(3 + spec.session_count(subject))
    rng = np.random.default_rng(person)
    age = float(np.clip(rng.normal(*spec.age), 18, 92))
    anatomy = _choose_anatomy(rng, anatomies)
    load = _load(rng, spec)
    tumour = plan_tumour(anatomy, rng) if spec.disease == "tumour" else None
    atrophy = float(np.clip((age - 30) / 40, -0.2, 1.4) + 0.2 * rng.standard_normal())
    if spec.disease == "sclerosis":
        atrophy += 0.35 * min(load / 20, 1.5)
    infarct = bool(rng.random() < 0.3)
    brain = make_brain(
        anatomy,
        np.random.default_rng(body),
        atrophy=atrophy,
        variability=1.0 if anatomy.soft else 0.6,
        mass=tumour.mass if tumour else None,
    )
    scans = []
    for number, visit in enumerate(visits):
        layers = _lesions(spec, brain, disease, load, tumour, number, infarct=infarct)
        scanner = spec.scanners[(subject - 1) % len(spec.scanners)]
        several = spec.session_count(subject) > 1
        scans.append(
            _scan(
                spec,
                brain,
                layers,
                scanner,
                visit,
                subject=subject,
                session=number + 1 if several else None,
                age=age,
                look=body,
            )
        )
    return tuple(scans)


def _load(rng: np.random.Generator, spec: CohortSpec) -> float:
    median, least, most = spec.load_ml
    return load_ml(rng, median=median, low=least, high=most) if median else 0.0


def _choose_anatomy(rng: np.random.Generator, anatomies: Path | None) -> Anatomy:
    if anatomies is None:
        return template_anatomy()
    files = find_label_maps(anatomies)
    return label_map_anatomy(files[int(rng.integers(len(files)))])


def _lesions(
    spec: CohortSpec,
    brain: Brain,
    disease: np.random.SeedSequence,
    load: float,
    tumour: Tumour | None,
    session: int,
    *,
    infarct: bool,
) -> tuple[Layer, ...]:
    if spec.disease == "sclerosis":
        return sclerosis_layers(brain, disease, volume_ml=load, session=session)
    if spec.disease == "vascular":
        return vascular_layers(brain, disease, volume_ml=load, infarct=infarct)
    if tumour is not None:
        return tumour_layers(brain, tumour, disease)
    return ()


def _scan(
    spec: CohortSpec,
    brain: Brain,
    layers: tuple[Layer, ...],
    scanner: Scanner,
    visit: np.random.SeedSequence,
    *,
    subject: int,
    session: int | None,
    age: float,
    look: np.random.SeedSequence,
) -> PhantomScan:
    acquisition = Acquisition(scanner)
    rng = np.random.default_rng(visit)
    # The person's own tissue contrast does not change between visits; the scanner's errors do.
    person = np.random.default_rng(look.generate_state(4))
    signal = paint(healthy_signal(brain, scanner.contrast, person, age=age), layers)
    region = brain_region(brain, rng)
    inside = acquisition.project(region) > 0.5
    # A lesion is never cut away by the brain extraction's slack, only by the brain's own edge.
    flair = expose(acquisition.project(signal), inside, scanner, rng)
    covers = tuple((acquisition.project(layer.cover), layer.label) for layer in layers)
    masks = [rate(covers, inside, rng, level=level) for level in (0.5, 0.56)[: spec.raters]]
    return PhantomScan(
        subject=subject,
        flair=flair,
        lesion=masks[0],
        brain=inside.astype(np.uint8),
        tissues=_tissue_labels(brain, acquisition, inside),
        affine=acquisition.affine,
        split=split_of(subject, spec.splits),
        session=session,
        second_lesion=masks[1] if spec.raters > 1 else None,
        site=scanner.site,
    )


def _tissue_labels(
    brain: Brain, acquisition: Acquisition, inside: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """1 CSF, 2 GM, 3 WM on the output grid; whatever else is inside the brain is CSF."""
    parts: list[Array] = [acquisition.project(part) for part in (brain.csf, brain.gm, brain.wm)]
    labels = np.argmax(np.stack(parts), axis=0).astype(np.uint8) + 1
    return np.asarray(labels * inside, dtype=np.uint8)
