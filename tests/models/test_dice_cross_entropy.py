"""The loss of masks is MONAI's Dice and torch's cross-entropy, over the voxels that count."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.losses import DiceLoss
from torch.nn.functional import binary_cross_entropy_with_logits

from uad_bench.models.losses.pixelwise import dice_cross_entropy


@given(seed=st.integers(0, 2**16), weight=st.floats(0, 2))
def test_the_loss_is_monais_dice_and_torchs_cross_entropy(seed, weight):
    rng = np.random.default_rng(seed)
    logits = torch.tensor(rng.normal(0, 4, (3, 1, 5, 6)))
    lesion = torch.tensor(rng.integers(0, 2, logits.shape), dtype=torch.uint8)
    lesion[0] = 0
    everywhere = torch.ones_like(lesion, dtype=torch.bool)
    found = dice_cross_entropy(logits, lesion, everywhere, weight)
    truth = lesion.double()
    dice = DiceLoss(sigmoid=True, smooth_nr=1, smooth_dr=1, reduction="none")(logits, truth)
    entropy = binary_cross_entropy_with_logits(logits, truth, reduction="none").mean((1, 2, 3))
    torch.testing.assert_close(found, dice.flatten() + weight * entropy)


def test_voxels_that_do_not_count_change_neither_the_loss_nor_its_gradient():
    logits = torch.randn(2, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    lesion = torch.zeros(2, 1, 6, 6, dtype=torch.uint8)
    lesion[:, :, 2:4, 2:4] = 1
    counted = torch.ones_like(lesion, dtype=torch.bool)
    counted[:, :, 0] = False
    results = []
    for value in (0, 1):
        given = logits.clone()
        given[:, :, 0] = 50.0 * value
        given.requires_grad_()
        masks = lesion.clone()
        masks[:, :, 0] = value
        loss = dice_cross_entropy(given, masks, counted, 0.8)
        loss.sum().backward()
        assert not given.grad[:, :, 0].any()
        results.append(loss.detach())
    assert torch.equal(*results)
