"""The building blocks compute what their formulae say, whatever the network learns."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import Tensor, nn
from torch.distributions import Categorical, Normal, kl_divergence

from uad_bench.errors import UadBenchError
from uad_bench.method import TissuePrior
from uad_bench.models.batches import shuffled, spread
from uad_bench.models.blocks import (
    Contracting,
    DoubleConvolution,
    Expanding,
    Trunk,
    UNet,
    image_head,
)
from uad_bench.models.latent.gaussians import Gaussian, GaussianHead, ProbabilityHead
from uad_bench.models.latent.mixture import (
    Components,
    MixturePrior,
    component_divergence,
    conditional_divergence,
    log_responsibilities,
)
from uad_bench.models.latent.shape_prior import ShapePrior

WIDTH = 4


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_way_down_halves_the_side_and_doubles_the_filters():
    features = Contracting(1, WIDTH)(torch.zeros(2, 1, 32, 48))
    assert [tuple(f.shape[1:]) for f in features] == [
        (WIDTH, 32, 48),
        (2 * WIDTH, 16, 24),
        (4 * WIDTH, 8, 12),
        (4 * WIDTH, 4, 6),
    ]


def test_in_evaluation_a_block_gives_the_same_features_and_gradients_in_one_pass_less():
    torch.manual_seed(0)
    block = DoubleConvolution(2, 4).double()
    image = torch.randn(3, 2, 16, 16, dtype=torch.float64, requires_grad=True)
    for _ in range(5):
        block(image)  # running statistics that are not 0 and 1
    for scaled in (block[1], block[4]):
        nn.init.normal_(scaled.weight)
        nn.init.normal_(scaled.bias)
    block.eval()
    expected, found = nn.Sequential.forward(block, image), block(image)
    torch.testing.assert_close(found, expected)
    assert not torch.equal(found, expected)  # the short way was taken
    behind = [image, *block.parameters()]
    slopes = torch.autograd.grad(expected.sin().sum(), behind)
    torch.testing.assert_close(torch.autograd.grad(found.sin().sum(), behind), slopes)
    with torch.inference_mode():
        assert torch.equal(block(image), found)


@pytest.mark.parametrize("skips", [True, False])
def test_a_u_net_keeps_the_size_and_every_weight_gets_a_gradient(skips):
    network = UNet(3, WIDTH, skips=skips)
    result = network(torch.rand(2, 3, 32, 48))
    assert result.shape == (2, WIDTH, 32, 48)
    result.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_without_skips_only_the_bottleneck_reaches_the_output():
    trunk, up = Trunk(1, WIDTH).eval(), Expanding(WIDTH, skips=False).eval()
    image = torch.rand(1, 1, 32, 32)
    whole = UNet(1, WIDTH, skips=False).eval()
    whole.down.load_state_dict(trunk.state_dict())
    whole.up.load_state_dict(up.state_dict())
    torch.testing.assert_close(up(trunk(image)), whole(image))


def test_filters_at_the_papers_width_are_32_64_128():
    shapes = [
        m.out_channels
        for m in UNet(1, 32, skips=True).down.modules()
        if hasattr(m, "bias") and isinstance(m, torch.nn.Conv2d)
    ]
    assert shapes == [32, 32, 64, 64, 128, 128, 128, 128]


def test_an_image_head_ends_in_the_unit_interval():
    image = image_head(WIDTH)(100 * torch.randn(1, WIDTH, 8, 8))
    assert image.shape == (1, 1, 8, 8)
    assert image.min() >= 0
    assert image.max() <= 1


def test_a_gaussian_head_starts_with_unit_variance():
    posterior = GaussianHead(WIDTH, 3)(torch.randn(2, WIDTH, 4, 4))
    assert posterior.mean.shape == posterior.log_variance.shape == (2, 3, 4, 4)
    assert posterior.log_variance.abs().max() == 0


@pytest.mark.parametrize("start", [1e-3, 1e-2, 0.3])
def test_a_probability_head_is_bounded_and_starts_at_the_given_variance(start):
    head = ProbabilityHead(WIDTH, 4, start)
    posterior = head(50 * torch.randn(2, WIDTH, 4, 4))
    assert 0 <= posterior.mean.min() <= posterior.mean.max() <= 1
    assert posterior.log_variance.exp().detach().numpy() == pytest.approx(start, rel=1e-5)
    torch.nn.init.normal_(head.log_variance.weight, std=10.0)
    assert head(torch.randn(2, WIDTH, 4, 4)).log_variance.max() <= 0


def test_a_probability_heads_means_may_sum_to_one():
    features = 5 * torch.randn(2, WIDTH, 4, 4)
    free, simplex = ProbabilityHead(WIDTH, 4, 0.3), ProbabilityHead(WIDTH, 4, 0.3, "softmax")
    simplex.load_state_dict(free.state_dict())
    total = simplex(features).mean.sum(dim=1)
    torch.testing.assert_close(total, torch.ones_like(total))
    assert (free(features).mean.sum(dim=1) - 1).abs().max() > 0.1
    assert torch.equal(free(features).log_variance, simplex(features).log_variance)


@pytest.mark.parametrize(("count", "most", "rows"), [(3, 5, [0, 1, 2]), (9, 3, [0, 4, 8])])
def test_rows_are_spread_evenly_over_all_slices(count, most, rows):
    assert spread(count, most).tolist() == rows


def mixture(dim_c: int = 3, dim_z: int = 2) -> tuple[Tensor, Components]:
    z = random(2, dim_z, 3, 3)
    return z, Components(
        random(2, dim_c, dim_z, 3, 3, seed=1), random(2, dim_c, dim_z, 3, 3, seed=2)
    )


def test_responsibilities_are_the_posterior_of_a_mixture_of_normals():
    z, components = mixture()
    density = norm.pdf(
        z[:, None].numpy(),
        loc=components.mean.numpy(),
        scale=np.exp(-0.5 * components.log_precision.numpy()),
    ).prod(axis=2)
    expected = density / density.sum(axis=1, keepdims=True)
    found = log_responsibilities(z, components).exp().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_the_legacy_responsibilities_are_the_published_formula_and_differ():
    z, components = mixture()
    precision = components.log_precision.exp()
    logits = -0.5 * (z[:, None] - components.mean) ** 2 * precision - components.log_precision
    expected = torch.softmax(logits.sum(dim=2), dim=1)
    found = log_responsibilities(z, components, legacy=True).exp()
    torch.testing.assert_close(found, expected)
    assert (found - log_responsibilities(z, components).exp()).abs().max() > 0.1


def test_the_conditional_divergence_is_the_weighted_sum_over_components():
    z, components = mixture()
    q = Gaussian(random(2, 2, 3, 3, seed=3), random(2, 2, 3, 3, seed=4))
    log_weights = log_responsibilities(z, components)
    expected = torch.zeros(2, dtype=torch.float64)
    for c in range(3):
        p = Normal(components.mean[:, c], torch.exp(-0.5 * components.log_precision[:, c]))
        kl = kl_divergence(Normal(q.mean, torch.exp(0.5 * q.log_variance)), p).sum(dim=1)
        expected += (log_weights[:, c].exp() * kl).sum(dim=(1, 2))
    torch.testing.assert_close(conditional_divergence(q, components, log_weights), expected)


def test_the_component_divergence_equals_torch_and_honours_the_free_nats():
    z, components = mixture()
    log_weights = log_responsibilities(z, components)
    posterior = Categorical(logits=log_weights.movedim(1, -1))
    per_pixel = kl_divergence(posterior, Categorical(torch.full((3,), 1 / 3, dtype=torch.float64)))
    torch.testing.assert_close(component_divergence(log_weights, 0.0), per_pixel.sum(dim=(1, 2)))
    free = component_divergence(log_weights, 0.5)
    torch.testing.assert_close(free, per_pixel.clamp(min=0.5).sum(dim=(1, 2)))
    assert component_divergence(log_weights, 10.0)[0] == pytest.approx(9 * 10.0)


def test_a_component_that_is_ruled_out_leaves_the_gradients_finite():
    z, components = mixture()
    far = Components((components.mean * 1e3).requires_grad_(), components.log_precision)
    component_divergence(log_responsibilities(z, far), 0.0).sum().backward()
    assert torch.isfinite(far.mean.grad).all()


def test_the_mixture_prior_separates_components_from_channels():
    prior = MixturePrior(dim_w=1, dim_z=2, dim_c=3)
    components = prior(torch.zeros(4, 1, 5, 6))
    assert components.mean.shape == components.log_precision.shape == (4, 3, 2, 5, 6)
    flat = prior.mean(prior.hidden(torch.zeros(4, 1, 5, 6)).relu())
    torch.testing.assert_close(components.mean[:, 2, 1], flat[:, 2 * 2 + 1])


def tissue_prior(depth: int = 5) -> TissuePrior:
    rng = np.random.default_rng(0)
    mean = rng.dirichlet(np.ones(4), size=(depth, 6, 6)).transpose(3, 0, 1, 2).astype(np.float32)
    return TissuePrior(mean, mean * (1 - mean) * rng.integers(0, 2, mean.shape), "test")


def test_the_shape_prior_is_looked_up_by_atlas_slice_and_floored():
    prior = tissue_prior()
    found = ShapePrior(prior, floor=1e-2)(torch.tensor([4, 0, 4]))
    for row, z in enumerate((4, 0, 4)):
        np.testing.assert_array_equal(found.mean[row].numpy(), prior.mean[:, z])
        expected = np.log(np.maximum(prior.variance[:, z], 1e-2))
        np.testing.assert_allclose(found.log_variance[row].numpy(), expected, rtol=1e-6)
    assert found.log_variance.min() == pytest.approx(math.log(1e-2))
    assert prior.variance.min() == 0


def test_the_shape_prior_is_no_part_of_a_stored_detector():
    assert not ShapePrior(tissue_prior(), floor=1e-2).state_dict()


def test_a_prior_with_other_tissues_is_refused_in_one_line():
    prior = tissue_prior()
    with pytest.raises(UadBenchError, match=r"\[4, Z, H, W\]") as caught:
        ShapePrior(TissuePrior(prior.mean[:3], prior.variance[:3], "test"), floor=1e-2)
    assert "\n" not in str(caught.value)


def test_a_pass_over_the_slices_draws_each_once_and_passes_differ():
    stream = shuffled(10, 4, np.random.default_rng(0))
    rows = np.concatenate([next(stream) for _ in range(10)])
    assert np.array_equal(np.bincount(rows), np.full(10, 4))
    again = shuffled(10, 5, np.random.default_rng(0))
    first, second = ([next(again).tolist(), next(again).tolist()] for _ in range(2))
    assert sorted(first[0] + first[1]) == list(range(10))
    assert first != second
