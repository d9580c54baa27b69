"""Bercea et al. 2022, the SPA paper: its names and their order, for its Tables 2 to 5 and ours."""

from __future__ import annotations

from uad_bench.report.publication import Publication

BERCEA_2022 = Publication(
    datasets={
        "hi": "HI",
        "mslub": "MSLUB",
        "msisbi": "MSISBI",
        "msi": "MSI",
        "wmh": "WMH",
        "gbi": "GBI",
        "brats": "BraTS",
    },
    methods={
        "cvae": "c-VAE",
        "caae": "cAAE",
        "fanogan": "f-AnoGAN",
        "gmvae-restoration": "GM-IR",
        "vae": "VAE",
        "gmvae": "GMVAE",
        "spa": "SPA",
        "thresholding": "Thresh.",
    },
    others_before="thresholding",
    supervised="unet",
    metrics=("auprc", "max_dice", "hd"),
    caption="As printed in the paper (Bercea et al. 2022, Tables 2 to 5).",
    legend=(
        "Printed in Bercea et al. 2022: real patients, other preparation, training and "
        "evaluation code. c-VAE, cAAE, f-AnoGAN and GM-IR are quoted there from Baur et al. "
        "2021a. U-Nets are supervised and name their training dataset."
    ),
)
