"""What the study compares: every arm is a method with parameters and training data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

TrainingData = Literal["healthy", "healthy and lesion-free"]


@dataclass(frozen=True, slots=True)
class Size:
    """How large the study is.

    Attributes:
        width: filters of the first block.
        slices: training slices that each detector sees, repeats counted.
        batch_size: slices per step.
        learning_rate: at the start; ``None`` for the method's own.
    """

    width: int
    slices: int
    batch_size: int
    learning_rate: float | None


SIZES: Mapping[str, Size] = {
    "smoke": Size(width=4, slices=32, batch_size=4, learning_rate=None),
    "small": Size(width=16, slices=3200, batch_size=8, learning_rate=None),
    "wide": Size(width=32, slices=1200, batch_size=4, learning_rate=None),
    "full": Size(width=32, slices=400_000, batch_size=8, learning_rate=1e-3),
}


PLAIN: Mapping[str, Mapping[str, Any]] = {
    "spa": {"perceptual_weight": 0.0, "latent": "sigmoid"},
    "control-no-prior": {"perceptual_weight": 0.0, "latent": "sigmoid"},
    "vae": {"perceptual_weight": 0.0},
    "gmvae": {"perceptual_weight": 0.0},
    "dae": {"perceptual_weight": 0.0},
}
"""What of the package's defaults every arm goes without unless it says so: each is an ablation."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to detect.

    Attributes:
        name: unique; also a file's name.
        method: name of the method.
        params: what differs from its defaults and from ``PLAIN``.
        data: what it learns from.
        longer: how many times the study's slices it sees.
        draws: whether a seed makes any difference; one seed is run where it does not.
        group: the page's table that it belongs to.
        label: what the table calls it.
    """

    name: str
    method: str
    params: Mapping[str, Any] = field(default_factory=dict)
    data: TrainingData = "healthy"
    longer: int = 1
    draws: bool = True
    group: Literal["main", "ablation", "control", "detector"] = "main"
    label: str = ""


ARMS: tuple[Arm, ...] = (
    *(
        Arm(
            f"thresholding{suffix}",
            "thresholding",
            {"variant": variant},
            draws=False,
            label=f"thresholding, {variant}",
        )
        for suffix, variant in (("", "raw"), ("-quantile", "quantile"), ("-histeq", "histeq"))
    ),
    Arm("control-black", "control-black", draws=False, group="control", label="black"),
    Arm("control-mean", "control-mean", draws=False, group="control", label="mean brain"),
    *(
        Arm(name, "outlier", params, draws=False, group="detector", label=label)
        for name, params, label in (
            ("outlier", {}, "outlier"),
            ("outlier-no-prior", {"prior": False}, "no prior"),
            ("outlier-no-smoothing", {"smoothing": 0.0}, "no smoothing"),
            ("outlier-no-edge", {"edge": 0.0}, "blurred edges too"),
            ("outlier-no-rim", {"rim": 0.0}, "along the surface too"),
            ("outlier-silent", {"faint": 1.0}, "no score outside of lesions"),
            ("outlier-no-shrinkage", {"shrinkage": 0.0}, "no healthy intensities"),
        )
    ),
    Arm("spa", "spa", label="SPA"),
    Arm("spa-beta-0", "control-no-prior", group="control", label="SPA, beta 0"),
    Arm("vae", "vae", label="VAE"),
    Arm("gmvae", "gmvae", label="GMVAE"),
    Arm("dae", "dae", group="control", label="denoising U-Net"),
    Arm("spa-beta-1e-3", "spa", {"beta": 1e-3}, group="ablation", label="beta 1e-3"),
    Arm("spa-plain", "spa", {"corruption": "none"}, group="ablation", label="no rectangles"),
    Arm("vae-plain", "vae", {"corruption": "none"}, group="ablation", label="VAE, no rectangles"),
    Arm(
        "gmvae-plain",
        "gmvae",
        {"corruption": "none"},
        group="ablation",
        label="GMVAE, no rectangles",
    ),
    Arm(
        "spa-lesion-free",
        "spa",
        data="healthy and lesion-free",
        group="ablation",
        label="also lesion-free slices",
    ),
    Arm(
        "spa-paper",
        "spa",
        {
            "beta": 1e-3,
            "tv_weight": 1.0,
            "perceptual_weight": 0.1,
            "norm_scope": "batch",
            "initial_variance": 0.5,
            "clean_target": True,
        },
        label="SPA, the paper's loss",
    ),
    Arm("spa-noise", "spa", {"corruption": "noise"}, group="ablation", label="coarse noise"),
    Arm("spa-tv-1", "spa", {"tv_weight": 1.0}, group="ablation", label="TV 1"),
    Arm("spa-perceptual", "spa", {"perceptual_weight": 0.1}, label="SPA, perceptual term"),
    Arm(
        "spa-perceptual-softmax",
        "spa",
        {"perceptual_weight": 0.1, "latent": "softmax"},
        label="SPA, perceptual term, softmax",
    ),
    Arm(
        "spa-perceptual-beta-1e-4",
        "spa",
        {"perceptual_weight": 0.1, "beta": 1e-4},
        group="ablation",
        label="SPA, perceptual term, beta 1e-4",
    ),
    Arm(
        "vae-perceptual",
        "vae",
        {"perceptual_weight": 0.1},
        group="ablation",
        label="VAE, perceptual",
    ),
    Arm(
        "gmvae-perceptual",
        "gmvae",
        {"perceptual_weight": 0.1},
        group="ablation",
        label="GMVAE, perceptual",
    ),
    Arm("spa-no-skips", "spa", {"skips": False}, group="ablation", label="no skips"),
    Arm("spa-beta-1e-4", "spa", {"beta": 1e-4}, group="ablation", label="beta 1e-4"),
    Arm(
        "spa-floor-1e-3", "spa", {"var_floor": 1e-3}, group="ablation", label="variance floor 1e-3"
    ),
    Arm(
        "spa-floor-5e-2", "spa", {"var_floor": 5e-2}, group="ablation", label="variance floor 5e-2"
    ),
    Arm("spa-snr-4", "spa", {"snr": 4.0}, group="ablation", label="SNR 4"),
    Arm("spa-snr-64", "spa", {"snr": 64.0}, group="ablation", label="SNR 64"),
    Arm("spa-kl-mean", "spa", {"kl_reduction": "mean"}, group="ablation", label="KL: mean"),
    Arm(
        "vae-fullres", "vae", {"latent": "fullres"}, group="ablation", label="VAE, full resolution"
    ),
    Arm(
        "vae-reparameterisation",
        "vae",
        {"reparameterisation": "plain"},
        group="ablation",
        label="VAE, plain noise",
    ),
    *(
        Arm(f"{name}-long", name, longer=4, group="ablation", label=f"{label}, 4 x as long")
        for name, label in (("spa", "SPA"), ("vae", "VAE"), ("gmvae", "GMVAE"))
    ),
)
"""In the order of importance: a run that is cut short has the first ones of every seed."""
