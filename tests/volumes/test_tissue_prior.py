"""The tissue prior is that of the training subjects, or of the template."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from made_store import RECIPE, Toy, prepare

from uad_bench.dataset import Scan
from uad_bench.volumes.steps.space import template_grid, template_tissues
from uad_bench.volumes.store.prepared import PreparedDataset
from uad_bench.volumes.store.tissue_prior import tissue_prior


def test_tissue_is_there_only_where_every_scan_has_it(
    raw: tuple[Path, list[Scan]], store: PreparedDataset, tmp_path: Path
) -> None:
    root, scans = raw
    tissue = store.tissue("train")
    assert tissue is not None
    assert tissue.shape == (len(store.split("train")), 3, 128, 128)
    assert tissue.astype(int).sum(axis=1).max() <= 255
    mixed = prepare(
        Toy([replace(scans[1], tissues=None), scans[2], scans[3]]),
        root,
        RECIPE,
        tmp_path,
        simulated=True,
    )
    assert mixed.tissue("train") is None
    assert mixed.tissue("validation") is not None
    assert mixed.tissue("test") is None


def test_prior_is_mean_and_variance_over_training_subjects(store: PreparedDataset) -> None:
    """By hand: every training subject is one map, background where it has no slice."""
    maps = []
    for scan in store.scans_of("train"):
        full = np.zeros((4, *template_grid(RECIPE).shape))
        full[3] = 1.0
        tissue = np.moveaxis(store.tissue_of(scan), 1, 0) / 255.0
        full[:3, store.slices(scan).z] = tissue
        full[3, store.slices(scan).z] = 1.0 - tissue.sum(axis=0)
        maps.append(full)
    prior = tissue_prior(store)
    np.testing.assert_allclose(prior.mean, np.mean(maps, axis=0), atol=1e-6)
    np.testing.assert_allclose(prior.variance, np.var(maps, axis=0), atol=1e-6)
    np.testing.assert_allclose(prior.mean.sum(axis=0), 1.0, atol=1e-5)
    assert prior.mean.dtype == prior.variance.dtype == np.float32
    assert prior.source == "tissue maps of 3 simulated training subjects of toy"


def test_a_subject_with_two_sessions_counts_once(
    raw: tuple[Path, list[Scan]], tmp_path: Path
) -> None:
    root, scans = raw
    one, two = scans[1], scans[2]
    twice = [replace(one, session="1"), replace(one, session="2"), two]
    once = tissue_prior(prepare(Toy([one, two]), root, RECIPE, tmp_path, simulated=True))
    both = tissue_prior(prepare(Toy(twice), root, RECIPE, tmp_path, simulated=True))
    np.testing.assert_allclose(both.mean, once.mean, atol=1e-6)
    np.testing.assert_allclose(both.variance, once.variance, atol=1e-6)


def test_without_training_tissues_the_template_serves(
    raw: tuple[Path, list[Scan]], tmp_path: Path
) -> None:
    root, scans = raw
    patients = [scan for scan in scans if scan.split == "test"]
    prior = tissue_prior(prepare(Toy(patients), root, RECIPE, tmp_path, simulated=True))
    assert prior.source == "MNI152 template maps (fallback)"
    np.testing.assert_allclose(prior.mean[:3], template_tissues(RECIPE), atol=1e-6)
    np.testing.assert_allclose(prior.mean.sum(axis=0), 1.0, atol=1e-5)
    np.testing.assert_allclose(prior.variance, prior.mean * (1 - prior.mean), atol=1e-6)
