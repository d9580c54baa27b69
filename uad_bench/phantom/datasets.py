"""Simulating datasets: one person at a time, from anatomy and disease to the scanner's image."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from uad_bench.errors import UadBenchError
from uad_bench.phantom.brain.anatomy import WORK_SHAPE, Anatomy, template_anatomy
from uad_bench.phantom.brain.fields import Array, by_planes, upsample
from uad_bench.phantom.brain.labelmap import find_label_maps, label_map_anatomy
from uad_bench.phantom.brain.subject import STEP, Brain, Mass, make_brain, subject_displacement
from uad_bench.phantom.contrast import healthy_signal
from uad_bench.phantom.disease.lesions import Layer, paint, rate
from uad_bench.phantom.disease.sclerosis import load_ml, sclerosis_layers
from uad_bench.phantom.disease.tumour import Tumour, plan_tumour, tumour_layers
from uad_bench.phantom.disease.vascular import vascular_layers
from uad_bench.phantom.scan import PhantomScan
from uad_bench.phantom.scanner import Acquisition, Scanner, brain_region, expose
from uad_bench.phantom.specs import DatasetSpec, dataset_spec, split_of

VERSION: Final = "5"
"""Changes whenever the same seed would give another file. Part of every cache key."""

_RATER_LEVELS: Final = (0.5, 0.56)
_INFARCT_SHARE: Final = 0.3


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is drawn before a subject has a brain."""

    age: float
    anatomy: Anatomy
    lesion_ml: float
    tumour: Tumour | None
    atrophy: float
    infarct: bool

    @property
    def variability(self) -> float:
        """Individual anatomies vary by themselves; the template needs all of it."""
        return 1.0 if self.anatomy.soft else 0.6

    @property
    def mass(self) -> Mass | None:
        return None if self.tumour is None else self.tumour.mass


@dataclass(frozen=True, slots=True)
class _Person:
    """One subject: what stays the same between visits."""

    number: int
    spec: DatasetSpec
    scanner: Scanner
    age: float
    brain: Brain
    lesion_ml: float
    infarct: bool
    tumour: Tumour | None
    healthy: Array
    disease: np.random.SeedSequence


def simulate_dataset(
    name: str, *, subjects: int, seed: int, anatomies: Path | None = None, healthy: int = 0
) -> Iterator[PhantomScan]:
    """Simulate the first ``subjects`` subjects of a dataset, one scan at a time.

    Args:
        name: a key of ``DATASETS``.
        subjects: how many people; a person may have several scans.
        seed: of the whole dataset; subject ``k`` depends on nothing but seed, dataset and ``k``.
        anatomies: a folder of FreeSurfer-style label maps instead of the template.
        healthy: how many people without the disease come after them, see `simulate_subject`.

    Raises:
        UadBenchError: an unknown dataset, or a folder without label maps.
    """
    dataset_spec(name)
    for subject in range(1, subjects + healthy + 1):
        yield from simulate_subject(
            name, subject, seed=seed, anatomies=anatomies, patients=subjects
        )


@threadpool_limits.wrap(limits=1)  # type: ignore[untyped-decorator]
def simulate_subject(
    name: str,
    subject: int,
    *,
    seed: int,
    anatomies: Path | None = None,
    patients: int | None = None,
) -> tuple[PhantomScan, ...]:
    """Simulate every scan of one subject (numbered from 1); safe to call in another process.

    Args:
        name: a key of ``DATASETS``.
        subject: which.
        seed: of the whole dataset.
        anatomies: a folder of FreeSurfer-style label maps instead of the template.
        patients: subjects beyond this number do not have the disease. They are of the ages and
            scanners of the dataset, and the first of them is the same after any number of patients.

    Raises:
        UadBenchError: an unknown dataset, a subject below 1, or a folder without label maps.
    """
    spec, number = dataset_spec(name), subject
    if subject < 1:
        raise UadBenchError(f"no subject {subject} in simulated dataset '{name}'; count from 1")
    if patients is not None and subject > patients:
        spec, number = spec.without_disease(), subject - patients
    draws, body, disease, look, *visits = _seeds(
        spec.name, number, seed, count=4 + spec.session_count(number)
    )
    plan = _plan(spec, draws, anatomies)
    brain = make_brain(
        plan.anatomy,
        np.random.default_rng(body),
        atrophy=plan.atrophy,
        variability=plan.variability,
        mass=plan.mass,
    )
    scanner = spec.scanners[(number - 1) % len(spec.scanners)]
    person = _Person(
        number=subject,
        spec=spec,
        scanner=scanner,
        age=plan.age,
        brain=brain,
        lesion_ml=plan.lesion_ml,
        infarct=plan.infarct,
        tumour=plan.tumour,
        healthy=healthy_signal(brain, scanner.contrast, np.random.default_rng(look), age=plan.age),
        disease=disease,
    )
    several = len(visits) > 1
    return tuple(
        _scan(person, visit, session=session if several else None)
        for session, visit in enumerate(visits, start=1)
    )


def template_displacement(name: str, subject: int, *, seed: int) -> Array:
    """Where each place of a simulated subject's brain lies in the MNI152 template.

    The displacement that `simulate_subject` warped the template by, made again from the same
    draws: the tissue at ``x`` is the template's at ``x + displacement(x)``.

    Returns:
        float32 ``[3, X, Y, Z]`` in mm on the working grid (`anatomy.work_affine`).
    """
    draws, body = _seeds(name, subject, seed, count=2)
    plan = _plan(dataset_spec(name), draws, None)
    coarse = subject_displacement(
        plan.anatomy,
        np.random.default_rng(body),
        atrophy=plan.atrophy,
        variability=plan.variability,
        mass=plan.mass,
    )
    return np.stack([upsample(part, WORK_SHAPE, STEP) for part in coarse])


def _seeds(name: str, subject: int, seed: int, *, count: int) -> list[np.random.SeedSequence]:
    """The first ``count`` seeds of a subject: its plan, body, disease, look and visits."""
    return np.random.SeedSequence([seed, zlib.crc32(name.encode()), subject]).spawn(count)


def _plan(spec: DatasetSpec, draws: np.random.SeedSequence, anatomies: Path | None) -> _Plan:
    rng = np.random.default_rng(draws)
    age = float(np.clip(rng.normal(*spec.age), 18, 92))
    anatomy = _choose_anatomy(rng, anatomies)
    lesion_ml = load_ml(rng, spec.load_ml)
    tumour = plan_tumour(anatomy, rng) if spec.disease == "tumour" else None
    atrophy = float(np.clip((age - 30) / 40, -0.2, 1.4) + 0.2 * rng.standard_normal())
    if spec.disease == "sclerosis":
        atrophy += 0.35 * min(lesion_ml / 20, 1.5)
    infarct = bool(rng.random() < _INFARCT_SHARE)
    return _Plan(age, anatomy, lesion_ml, tumour, atrophy, infarct)


def _choose_anatomy(rng: np.random.Generator, anatomies: Path | None) -> Anatomy:
    if anatomies is None:
        return template_anatomy()
    files = find_label_maps(anatomies)
    return label_map_anatomy(files[int(rng.integers(len(files)))])


def _lesions(person: _Person, session: int) -> tuple[Layer, ...]:
    brain, disease = person.brain, person.disease
    if person.tumour is not None:
        return tumour_layers(brain, person.tumour, disease)
    if person.spec.disease == "sclerosis":
        return sclerosis_layers(brain, disease, volume_ml=person.lesion_ml, session=session)
    if person.spec.disease == "vascular":
        return vascular_layers(brain, disease, volume_ml=person.lesion_ml, infarct=person.infarct)
    return ()


def _scan(person: _Person, visit: np.random.SeedSequence, *, session: int | None) -> PhantomScan:
    """Scan a person at one visit; the scanner's errors are the visit's own."""
    brain, scanner = person.brain, person.scanner
    acquisition = Acquisition(scanner)
    rng = np.random.default_rng(visit)
    layers = _lesions(person, session=(session or 1) - 1)
    signal = paint(person.healthy, layers)
    inside = acquisition.slices(brain_region(brain, rng)) > 0.5
    flair = expose(acquisition.slices(signal), inside, scanner, rng)
    covers = tuple((acquisition.slices(layer.cover), layer.label) for layer in layers)
    masks = [
        acquisition.place(rate(covers, inside, rng, level=level))
        for level in _RATER_LEVELS[: person.spec.raters]
    ]
    return PhantomScan(
        subject=person.number,
        flair=acquisition.place(flair),
        lesion=masks[0],
        brain=acquisition.place(inside.astype(np.uint8)),
        tissues=acquisition.place(_tissue_labels(brain, acquisition, inside)),
        affine=acquisition.affine,
        split=split_of(person.number, person.spec.splits),
        session=session,
        second_lesion=masks[1] if len(masks) > 1 else None,
        site=scanner.site,
        healthy=person.spec.disease == "healthy",
    )


def _tissue_labels(
    brain: Brain, acquisition: Acquisition, inside: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """1 CSF, 2 GM, 3 WM in slices; whatever else is inside the brain is CSF."""

    def labels(some: slice) -> NDArray[np.uint8]:
        gm, wm = acquisition.slices(brain.gm[some]), acquisition.slices(brain.wm[some])
        csf = 1 - gm - wm
        is_gm, is_wm = (gm > csf) & (gm >= wm), (wm > csf) & (wm > gm)  # never both
        found = 1 + is_gm.view(np.uint8) + 2 * is_wm.view(np.uint8)
        return np.asarray(found * inside[some], dtype=np.uint8)

    return by_planes(inside.shape, labels, np.uint8)
