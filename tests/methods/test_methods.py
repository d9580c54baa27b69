"""Every built-in method keeps its contract, follows its formula and sees a bright lesion."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import rankdata
from skimage.exposure import equalize_hist
from uad_bench.methods.ae import AE
from uad_bench.methods.cevae import CEVAE
from uad_bench.methods.cevae_combined import CEVAECombined
from uad_bench.methods.cevae_gradient import CEVAEGradient
from uad_bench.methods.control_black import ControlBlack
from uad_bench.methods.control_mean import ControlMean
from uad_bench.methods.control_no_prior import ControlNoPrior
from uad_bench.methods.dae import DAE
from uad_bench.methods.gmvae import GMVAE
from uad_bench.methods.gmvae_restoration import GMVAERestoration
from uad_bench.methods.spa import SPA
from uad_bench.methods.thresholding import Thresholding
from uad_bench.methods.vae import VAE
from uad_bench.methods.vae_restoration import VAERestoration

from uad_bench.cli import main
from uad_bench.errors import UadBenchError
from uad_bench.method import FitContext, Slices, TissuePrior, search_space
from uad_bench.models.batches import Batch
from uad_bench.models.latent.gaussians import Gaussian, divergence, divergence_from_standard
from uad_bench.phantom.datasets import simulate_subject
from uad_bench.plugins.conformance import check_method
from uad_bench.runner.detectors.params import validated
from uad_bench.training import PAPER_TRAINING, VALIDATION_SLICES, Turn
from uad_bench.volumes.recipe import RECIPES
from uad_bench.volumes.steps.normalise import normalise

SIZE, DEPTH = 32, 6
LATENT = (VAE, GMVAE, SPA, CEVAE)
DEEP = (*LATENT, ControlNoPrior, AE, DAE)
SHARING = (CEVAECombined, CEVAEGradient, GMVAERestoration, VAERestoration)
EVERY = (Thresholding, ControlBlack, ControlMean, *DEEP, *SHARING)
TINY = {"width": 4, "steps": 3, "batch_size": 4}


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def tissues() -> np.ndarray:
    """Labels ``[H, W]``: 0 CSF inside, 1 GM at the rim, 2 WM between, 3 background."""
    row, column = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    radius = np.hypot(row / 14, column / 12)
    return np.select([radius < 0.25, radius < 0.7, radius < 1], [0, 2, 1], 3)


def brains(count: int, seed: int = 0) -> Slices:
    """Healthy slices: dark ventricles, white matter, slightly brighter grey matter, noise."""
    rng = np.random.default_rng(seed)
    labels = np.stack([np.roll(tissues(), rng.integers(-1, 2, 2), (0, 1)) for _ in range(count)])
    image = np.array([0.15, 0.6, 0.5, 0.0])[labels] * rng.uniform(0.95, 1.05, (count, 1, 1))
    brain = (labels < 3)[:, None]
    image = np.where(brain, image[:, None] + rng.normal(0, 0.02, brain.shape), 0).clip(0, 1)
    return Slices(image.astype(np.float32), brain, np.arange(count) % DEPTH, (2.0, 6.0, 6.0))


def prior() -> TissuePrior:
    hard = (tissues() == np.arange(4)[:, None, None]).astype(np.float32)
    mean = np.repeat(hard[:, None], DEPTH, axis=1)
    return TissuePrior(mean, np.full_like(mean, 0.02), "test")


def fitted(cls, **params):
    method = cls(cls.Params(**TINY | params))
    method.fit(brains(12), brains(6, seed=1), FitContext(0, tissue_prior=prior()))
    return method


def training(cls, healthy=None, **params):
    """What is trained, before the first step; SPA's knows the tissue prior."""
    method = cls(cls.Params(**TINY | params))
    method.build()
    return method.trainable(FitContext(0, tissue_prior=prior() if healthy is None else healthy))


def batch(slices: Slices) -> Batch:
    return Batch.read(slices, np.arange(len(slices)), torch.device("cpu"))


def tensors(slices: Slices) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(slices.image), torch.from_numpy(slices.z)


@pytest.mark.parametrize("cls", EVERY, ids=lambda cls: cls.info.name)
def test_every_method_keeps_the_contract(cls):
    assert check_method(cls) == []


def test_raw_thresholding_scores_the_image_inside_the_brain():
    scan = brains(4)
    scan.image[0, 0, 0, 0] = 0.9
    score = Thresholding().score(scan)
    assert np.array_equal(score[scan.brain], scan.image[scan.brain])
    assert (score[~scan.brain] == 0).all()


def test_histogram_equalisation_equals_scikit_image_over_the_brain_of_the_scan():
    scan = brains(4)
    score = Thresholding(Thresholding.Params(variant="histeq")).score(scan)
    expected = equalize_hist(scan.image.astype(np.float64), nbins=256, mask=scan.brain)
    inside = scan.brain
    np.testing.assert_allclose(score[inside], expected[inside], atol=5e-3)
    # an integer cast, as in the published code, would leave a scan in [0, 1] two grey levels
    assert len(np.unique(score)) > 100


def test_the_quantile_variant_is_the_rank_in_the_brain_of_the_scan():
    scan = brains(4)
    score = Thresholding(Thresholding.Params(variant="quantile")).score(scan)
    values = scan.image[scan.brain]
    expected = rankdata(values, method="max") / values.size
    np.testing.assert_allclose(score[scan.brain], expected, rtol=1e-6)


@pytest.mark.parametrize("variant", ["raw", "histeq", "quantile"])
def test_thresholding_survives_a_scan_without_brain(variant):
    scan = brains(2)
    empty = Slices(scan.image, np.zeros_like(scan.brain), scan.z, scan.spacing)
    assert (Thresholding(Thresholding.Params(variant=variant)).score(empty) == 0).all()


def test_the_black_control_scores_the_image():
    scan = brains(3)
    assert np.array_equal(ControlBlack().score(scan), scan.image)


def test_the_mean_control_averages_the_people_in_whose_brain_a_voxel_lies():
    train, scan = brains(13), brains(6, seed=2)
    method = ControlMean()
    method.fit(train, scan, FitContext(0))
    reconstruction = method.reconstruct(scan)
    for row, z in enumerate(scan.z):
        here = train.z == z
        brain = train.brain[here, 0]
        weight = np.maximum(brain.sum(axis=0), 1)
        mean = np.where(brain, train.image[here, 0], 0).sum(axis=0) / weight
        expected = np.where(scan.brain[row, 0], mean, 0)
        np.testing.assert_allclose(reconstruction[row, 0], expected, atol=1e-6)


def test_the_mean_control_takes_the_nearest_slice_where_training_has_none():
    train = brains(6)
    method = ControlMean()
    method.fit(train, train, FitContext(0))
    near, far = brains(1, seed=3), brains(1, seed=3)
    near.z[:], far.z[:] = DEPTH - 1, DEPTH + 40
    assert np.array_equal(method.reconstruct(near), method.reconstruct(far))


@pytest.mark.parametrize("cls", LATENT, ids=lambda cls: cls.info.name)
def test_deep_methods_are_tuned_in_beta_and_snr_from_the_papers_values(cls):
    space = search_space(cls.Params)
    assert set(space) == {"beta", "snr"}
    assert cls.info.first_trial == {"beta": 1e-3, "snr": 16.0}
    for name, value in cls.info.first_trial.items():
        assert space[name].low <= value <= space[name].high


@pytest.mark.parametrize(
    ("cls", "params"),
    [
        (VAE, {}),
        (VAE, {"latent": "fullres"}),
        (GMVAE, {}),
        (SPA, {}),
        (SPA, {"skips": False}),
        (SPA, {"latent": "softmax"}),
        (ControlNoPrior, {}),
        (DAE, {}),
        (VAE, {"loss": "native"}),
        (GMVAE, {"loss": "native"}),
        (DAE, {"loss": "native"}),
    ],
    ids=[
        *("vae", "vae-fullres", "gmvae", "spa", "spa-no-skips", "spa-softmax", "no-prior", "dae"),
        *("vae-native", "gmvae-native", "dae-native"),
    ],
)
def test_every_weight_gets_a_gradient(cls, params):
    trainable = training(cls, **params | ({} if cls in (DAE, ControlNoPrior) else {"beta": 1e-3}))
    network, drawn = trainable.network, torch.Generator().manual_seed(0)
    with torch.no_grad():  # variance heads that start at zero pass no gradient to their input
        for weight in network.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.01)
        if getattr(network, "log_precision", None) is not None:
            network.log_precision.bias.fill_(1.0)  # inside the range that it is clipped to
    trainable.loss(batch(brains(4)), Turn("network", 1, drawn)).value.backward()
    silent = [n for n, w in network.named_parameters() if w.grad is None or not w.grad.any()]
    assert silent == []


@pytest.mark.parametrize("cls", [*LATENT, ControlNoPrior], ids=lambda cls: cls.info.name)
def test_divergences_of_a_slice_do_not_depend_on_its_batch(cls):
    network = training(cls).network.eval()
    image, z = tensors(brains(5))
    together = network(image, z)[1]
    alone = torch.cat([network(image[i : i + 1], z[i : i + 1])[1] for i in range(5)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-3)


def test_the_vaes_divergence_is_summed_over_its_latent():
    network = fitted(VAE).network_
    latent = network.encode(tensors(brains(2))[0])
    expected = divergence_from_standard(latent.posterior).flatten(1).sum(dim=1)
    torch.testing.assert_close(network.divergence(latent, torch.zeros(2)), expected)
    assert latent.draw.shape == (2, 16, SIZE // 8, SIZE // 8)


def test_the_gmvae_has_spatial_latents_and_its_options_reach_the_divergence():
    values = []
    for params in ({}, {"legacy_pc": True}, {"c_lambda": 3.0}):
        network = training(GMVAE, **params).network
        torch.manual_seed(0)
        for weight in network.parameters():
            torch.nn.init.normal_(weight, std=0.2)
        latent = network.encode(tensors(brains(2))[0], torch.Generator().manual_seed(0))
        assert latent.w_draw.shape == (2, 1, SIZE // 8, SIZE // 8)
        assert latent.z_draw.shape == (2, 8, SIZE // 8, SIZE // 8)
        values.append(network.divergence(latent, torch.zeros(2))[0].item())
    assert len(set(values)) == 3


def test_spas_divergence_is_to_the_prior_at_the_slices_place_in_the_atlas():
    healthy = prior()
    healthy.mean[:, 3] = healthy.mean[::-1, 3]
    network = training(SPA, healthy).network
    image, _ = tensors(brains(2))
    latent = network.encode(image)
    z = torch.tensor([0, 3])
    p = Gaussian(torch.from_numpy(healthy.mean)[:, z].transpose(0, 1), torch.tensor(0.02).log())
    expected = divergence(latent.posterior, p)
    found = network.divergence(latent, z)
    torch.testing.assert_close(found, expected.sum(dim=(2, 3)).mean(dim=1), rtol=1e-4, atol=1e-2)
    means = training(SPA, healthy, kl_reduction="mean").network.divergence(latent, z)
    torch.testing.assert_close(means, found / SIZE**2)


def test_spas_variances_start_at_the_floor_and_its_prior_stays_above_it():
    network = training(SPA, var_floor=0.05).network
    posterior = network.encode(tensors(brains(2))[0]).posterior
    assert posterior.log_variance.exp().detach().numpy() == pytest.approx(0.05, rel=1e-5)
    assert network.prior.log_variance.exp().min().item() == pytest.approx(0.05)


def test_spa_shows_its_tissue_maps_and_reconstructs_from_nothing_else():
    method, scan = fitted(SPA), brains(3)
    maps = method.tissues(scan)
    assert maps.shape == (3, 4, SIZE, SIZE)
    assert maps.dtype == np.float32
    assert 0 <= maps.min() <= maps.max() <= 1
    with torch.inference_mode():
        decoded = method.network_.decoder(torch.from_numpy(maps)).numpy() * scan.brain
    np.testing.assert_allclose(decoded, method.reconstruct(scan), atol=1e-5)


@pytest.mark.parametrize("latent", ["sigmoid", "softmax"])
def test_spa_reports_how_far_its_maps_are_from_a_share_of_tissues(latent):
    method, healthy = SPA(SPA.Params(**TINY, latent=latent)), brains(50, seed=1)
    report = method.fit(brains(12), healthy, FitContext(0, tissue_prior=prior()))
    rows = np.linspace(0, 49, VALIDATION_SLICES).round().astype(int)
    seen = Slices(healthy.image[rows], healthy.brain[rows], healthy.z[rows], healthy.spacing)
    expected = np.abs(method.tissues(seen).sum(axis=1) - 1).mean()
    assert report.validation["sum_to_one"] == pytest.approx(expected, abs=1e-7)
    assert (expected < 1e-5) == (latent == "softmax")


def test_spa_without_a_prior_says_so_in_one_line():
    method = SPA(SPA.Params(**TINY))
    with pytest.raises(UadBenchError, match="tissue prior") as caught:
        method.fit(brains(8), brains(4), FitContext(0))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cls", DEEP, ids=lambda cls: cls.info.name)
def test_stored_and_loaded_it_scores_the_same_bits(cls):
    method, scan = fitted(cls), brains(4, seed=2)
    restored = cls(method.params)
    restored.load(method.state())
    assert restored.score(scan).tobytes() == method.score(scan).tobytes()


@pytest.mark.parametrize("cls", DEEP, ids=lambda cls: cls.info.name)
def test_a_scan_scores_the_same_bits_whole_and_slice_by_slice(cls):
    method, scan = fitted(cls), brains(5, seed=2)
    whole = method.score(scan)
    for row in (4, 0, 3, 1, 2):
        one = slice(row, row + 1)
        alone = Slices(scan.image[one], scan.brain[one], scan.z[one], scan.spacing)
        assert method.score(alone).tobytes() == whole[one].tobytes()


@pytest.fixture(scope="module")
def people() -> tuple[Slices, Slices, TissuePrior]:
    """Slices of a simulated person, of another one, and the prior that the first one makes."""
    made = []
    for subject in (1, 2):
        (scan,) = simulate_subject("hi", subject, seed=5)
        axes = (slice(13, 173, 2), slice(13, 205, 2), slice(26, 98, 2))
        volumes = (np.moveaxis(v[axes], 2, 0) for v in (scan.flair, scan.brain, scan.tissues))
        flair, brain, labels = (np.ascontiguousarray(volume) for volume in volumes)
        inside = brain > 0
        image = normalise(flair, inside, RECIPES["median"]).astype(np.float32)
        spacing = (3.0, 2.0, 2.0)
        z = np.arange(len(image))
        made.append((Slices(image[:, None], inside[:, None], z, spacing), labels))
    (train, labels), (test, _) = made
    mean = (labels == np.array([1, 2, 3, 0])[:, None, None, None]).astype(np.float32)
    return train, test, TissuePrior(mean, np.full_like(mean, 0.02), "one person")


@pytest.mark.slow
@pytest.mark.parametrize("cls", DEEP, ids=lambda cls: cls.info.name)
def test_a_lesion_painted_into_a_simulated_person_is_seen(cls, people):
    train, test, healthy = people
    method = cls(cls.Params(width=8, steps=400, learning_rate=4e-3))
    method.fit(train, train, FitContext(0, tissue_prior=healthy))
    lesion = np.zeros_like(test.brain)
    lesion[12:22, :, 44:50, 30:37] = True
    assert test.brain[lesion].all()
    image = np.where(lesion, np.float32(0.9), test.image)
    score = method.score(Slices(image, test.brain, test.z, test.spacing))
    outside = score[test.brain & ~lesion]
    assert np.median(score[lesion]) > np.quantile(outside, 0.9)
    assert score[lesion].mean() > 2 * outside.mean()


def scores_of_a_lesion(cls, **params) -> tuple[np.ndarray, np.ndarray]:
    """The scores inside a bright lesion that is painted in, and outside of it."""
    if cls in (*DEEP, *SHARING):
        params = {"width": 4, "steps": 100, "batch_size": 8, "learning_rate": 5e-3, **params}
    method, context = cls(cls.Params(**params)), FitContext(0, tissue_prior=prior())
    method.fit(brains(48), brains(8, seed=1), context)
    method.calibrate(brains(8, seed=1), context)
    scan = brains(6, seed=2)
    lesion = np.zeros_like(scan.brain)
    lesion[:, :, 20:24, 12:17] = True
    scan.image[lesion] = 0.95
    score = method.score(scan)
    return score[lesion], score[scan.brain & ~lesion]


BY_DIVERGENCE = (CEVAEGradient, VAERestoration, GMVAERestoration)
"""What they see is the divergence, which says little where training hardly counts it."""


@pytest.mark.parametrize(
    "cls",
    [cls for cls in EVERY if cls not in {ControlNoPrior, *BY_DIVERGENCE}],
    ids=lambda cls: cls.info.name,
)
def test_a_bright_lesion_painted_in_is_seen(cls):
    inside, healthy = scores_of_a_lesion(cls)
    assert np.median(inside) > np.quantile(healthy, 0.95)


@pytest.mark.parametrize("cls", BY_DIVERGENCE, ids=lambda cls: cls.info.name)
def test_with_a_divergence_that_counts_a_bright_lesion_is_seen(cls):
    # the gradient is smoothed over 8 pixels, and the lesion has 4 x 5
    few = {} if cls is CEVAEGradient else {"restoration_steps": 30}
    beta, above = (1e-1, 0.65) if cls is CEVAEGradient else (1e-2, 0.9)
    inside, healthy = scores_of_a_lesion(cls, beta=beta, **few)
    assert np.median(inside) > np.quantile(healthy, above)


@pytest.mark.parametrize("cls", LATENT, ids=lambda cls: cls.info.name)
def test_sampling_is_off_by_default_and_changes_the_score(cls):
    assert cls.Params().n_samples == 0
    method, scan = fitted(cls), brains(4, seed=2)
    drawn = cls(method.params.model_copy(update={"n_samples": 2}))
    drawn.load(method.state())
    score = drawn.score(scan)
    assert score.tobytes() == drawn.score(scan).tobytes() != method.score(scan).tobytes()
    assert 0 <= score.min() <= score.max() <= 1


def test_the_native_losses_are_those_of_the_methods():
    healthy = brains(3)
    image, z = tensors(healthy)
    brain = torch.from_numpy(healthy.brain)
    mean, spread = torch.full_like(image, 0.3), torch.full_like(image, -4.0)
    squares = (image - mean).square() * brain
    for cls, log_variance, expected in (
        (VAE, torch.zeros_like(mean), 0.5 * squares.sum(dim=(1, 2, 3))),
        (GMVAE, spread, (0.5 * squares * np.exp(4.0) - 2.0 * brain).sum(dim=(1, 2, 3))),
    ):
        network = training(cls, loss="native").network
        misfit = network.misfit(image, Gaussian(mean, log_variance), brain)
        torch.testing.assert_close(misfit, expected, rtol=1e-4, atol=1e-4)
        variance = network(image, z)[0].log_variance
        assert (variance.std() > 0).item() is (cls is GMVAE)
        assert variance.max() <= 0
    dae = training(DAE, loss="native", corruption="none")
    dae.network = lambda image: torch.full_like(image, 0.3)
    metrics = dae.validate(batch(healthy), torch.Generator())
    torch.testing.assert_close(
        metrics["misfit"], squares.sum(dim=(1, 2, 3)) / brain.sum(dim=(1, 2, 3))
    )
    assert dae.judge({"l1": 1.0, "misfit": 2.0}) == 2.0


def test_the_gmvaes_decoder_clips_its_standard_deviation_as_published():
    network = training(GMVAE, loss="native").network.eval()
    image, z = tensors(brains(2))
    for bias, deviation in ((-1e3, 1.0), (1e3, 1e-8), (4.0, np.exp(-2.0))):
        torch.nn.init.zeros_(network.log_precision.weight)
        torch.nn.init.constant_(network.log_precision.bias, bias)
        predicted = network(image, z)[0]
        found = (0.5 * predicted.log_variance).exp().detach().numpy()
        assert found == pytest.approx(deviation, rel=1e-4)
        assert torch.equal(predicted.mean, network.decode(network.encode(image)))


@pytest.mark.parametrize("cls", [VAE, GMVAE, DAE], ids=lambda cls: cls.info.name)
def test_a_detector_with_its_native_loss_trains_and_loads(cls):
    method, scan = fitted(cls, loss="native"), brains(4, seed=2)
    restored = cls(method.params)
    restored.load(method.state())
    assert restored.score(scan).tobytes() == method.score(scan).tobytes()


@pytest.mark.parametrize("cls", [SPA, ControlNoPrior], ids=lambda cls: cls.info.name)
def test_spas_own_loss_is_the_papers_and_another_is_refused_in_one_line(cls):
    with pytest.raises(UadBenchError, match=rf"{cls.info.name}\.loss.*'paper'") as caught:
        validated(cls, {"loss": "native"})
    assert "\n" not in str(caught.value)


def test_the_control_without_prior_is_spa_in_everything_else():
    assert ControlNoPrior.info.control
    assert not ControlNoPrior.info.needs
    assert not ControlNoPrior.objective
    mine, spas = (cls.Params().model_dump() for cls in (ControlNoPrior, SPA))
    assert mine.pop("beta") == 0 < spas.pop("beta")
    assert mine == spas
    control = ControlNoPrior(ControlNoPrior.Params(**TINY))
    report = control.fit(brains(12), brains(6, seed=1), FitContext(0))
    spa = fitted(SPA, beta=0.0)
    assert control.score(brains(3)).tobytes() == spa.score(brains(3)).tobytes()
    assert control.tissues(brains(3)).shape == (3, 4, SIZE, SIZE)
    assert report.validation["kl"] == 0


@pytest.mark.parametrize(
    "fault", ["beta=-1e-9", "snr=0", "snr=-4", "n_samples=-1", "warmup=1", "corruption=holes"]
)
@pytest.mark.parametrize("cls", LATENT, ids=lambda cls: cls.info.name)
def test_a_value_that_means_nothing_is_one_line_and_exit_code_2(cls, fault, capsys):
    name = cls.info.name
    arguments = ["run", "--methods", name, "--datasets", "mslub", "--dry-run"]
    assert main([*arguments, "--param", f"{name}.{fault}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: --param {name}.{fault.partition('=')[0]}: Input should be")


@pytest.mark.parametrize("beta", [1e-9, -1.0])
def test_the_control_without_prior_refuses_another_beta_in_one_line(beta):
    with pytest.raises(UadBenchError, match=r"control-no-prior\.beta") as caught:
        validated(ControlNoPrior, {"beta": beta})
    assert "\n" not in str(caught.value)


def test_the_dae_learns_from_noise_has_no_latent_and_is_not_tuned():
    assert not DAE.info.control
    assert DAE.Params().corruption == "noise"
    assert not search_space(DAE.Params)
    assert not {"beta", "snr"} & set(DAE.Params.model_fields)
    report = DAE(DAE.Params(**TINY)).fit(brains(8), brains(4, seed=1), FitContext(0))
    assert set(report.validation) == {"l1"}
    assert set(report.curves) == {"validation_loss", "validation_l1"}


def test_the_papers_preset_leaves_the_dae_its_noise():
    params = DAE.Params(**DAE.info.presets["paper"])
    assert params == DAE.Params(**PAPER_TRAINING | {"corruption": "noise"})
    assert params.width == 32


@pytest.mark.parametrize("cls", LATENT, ids=lambda cls: cls.info.name)
def test_the_papers_preset_is_the_recipe_of_the_paper(cls):
    params = cls.Params(**cls.info.presets["paper"])
    published = {
        "beta": 1e-3,
        "snr": 16.0,
        "reparameterisation": "snr",
        "norm_scope": "batch",
        "width": 32,
        "batch_size": 2,
        "learning_rate": 5e-4,
        "decay": 0.97,
        "decay_per": "epoch",
        "tv_weight": 1.0,
        "perceptual_weight": 0.1,
        "corruption": "rectangles",
        "clean_target": True,
    }
    assert {name: getattr(params, name) for name in published} == published
    # tuning starts from the preset: what it tunes is published alike
    assert {name: getattr(params, name) for name in cls.info.first_trial} == cls.info.first_trial


def test_the_papers_spa_starts_with_a_variance_of_one_half():
    values = SPA.info.presets["paper"] | {"width": 4}
    network = training(SPA, **values).network
    posterior = network.encode(tensors(brains(2))[0]).posterior
    assert posterior.log_variance.exp().detach().numpy() == pytest.approx(0.5, rel=1e-6)
    assert network.prior.log_variance.exp().min().item() == pytest.approx(0.02)


@pytest.mark.parametrize("cls", DEEP, ids=lambda cls: cls.info.name)
def test_the_papers_preset_trains_and_says_what_it_used(cls):
    method = cls(cls.Params(**cls.info.presets["paper"] | {"width": 4, "steps": 3}))
    report = method.fit(brains(12), brains(6, seed=1), FitContext(0, tissue_prior=prior()))
    assert any(note.startswith("perceptual loss: efficientnet-lite0") for note in report.notes)
    assert any(note.startswith("target cleaned of") for note in report.notes)
    assert np.isfinite(method.score(brains(2, seed=2))).all()
