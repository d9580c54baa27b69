"""Bercea et al. 2022, the SPA paper: its names, their order, its Table 1, and its tables."""

from __future__ import annotations

from uad_bench.report.publication import PrintedTable, Publication, ScannerFacts

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
        "cevae": "c-VAE",
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
    data={
        "hi": ScannerFacts(
            scanner="Philips Achieva",
            resolution_mm=(1.5, 0.9, 0.9),
            tr_te_ti_s=(10.0, 0.14, 2.75),
            age="69 ± 4",
            female_percent=56,
            splits=(125, 15, 23),
        ),
        "mslub": ScannerFacts(
            scanner="Siemens Intera",
            resolution_mm=(0.8, 0.47, 0.47),
            tr_te_ti_s=(5.0, 0.392, 1.8),
            age="39 ± 10",
            female_percent=76,
            splits=(0, 0, 30),
        ),
        "msisbi": ScannerFacts(
            scanner="Philips Achieva",
            resolution_mm=(2.2, 0.82, 0.82),
            tr_te_ti_s=(11.0, 0.068, 2.8),
            age=None,
            female_percent=None,
            splits=(0, 0, 21),
        ),
        "msi": ScannerFacts(
            scanner="Philips Achieva",
            resolution_mm=(1.5, 0.9, 0.9),
            tr_te_ti_s=(10.0, 0.14, 2.75),
            age="32 ± 10",
            female_percent=61,
            splits=(0, 0, 48),
        ),
        "wmh": ScannerFacts(
            scanner="Philips & Siemens & GE",
            resolution_mm=None,
            tr_te_ti_s=None,
            age=None,
            female_percent=None,
            splits=(0, 0, 60),
        ),
        "gbi": ScannerFacts(
            scanner="Siemens Verio",
            resolution_mm=(1.5, 0.9, 0.9),
            tr_te_ti_s=(5.0, 0.395, 1.8),
            age="61 ± 20",
            female_percent=50,
            splits=(0, 0, 94),
        ),
        "brats": ScannerFacts(
            scanner="Multiple (N=19)",
            resolution_mm=(1.0, 1.0, 1.0),
            tr_te_ti_s=None,
            age="60 ± 9",
            female_percent=None,
            splits=(0, 0, 285),
        ),
    },
    metrics=("auprc", "max_dice", "hd"),
    units={"hd": "px"},
    tables={
        "table2": PrintedTable(
            number=2,
            caption="Anomaly detection per dataset",
            metrics=(("auprc",),),
            also=(("spa", "star"),),
            supervised="yes",
            supervised_on=("mslub", "brats"),
        ),
        "table3": PrintedTable(
            number=3,
            caption="Supervised methods, by the dataset that they learned from",
            metrics=(("auprc",),),
            supervised="only",
            supervised_on=("mslub", "msisbi", "msi", "wmh", "gbi", "brats"),
        ),
        "table4": PrintedTable(
            number=4,
            caption="Largest Dice and distance per dataset",
            metrics=(("max_dice", "hd"),),
        ),
        "table5": PrintedTable(
            number=5,
            caption="Results per dataset with simple post-processing",
            metrics=(("auprc",), ("max_dice", "hd")),
            postprocessings=("star",),
        ),
    },
    protocol="paper",
    caption="As printed in Bercea et al. 2022",
    legend=(
        "Printed in Bercea et al. 2022: real patients, other preparation, training and "
        "evaluation code. c-VAE, cAAE, f-AnoGAN and GM-IR are quoted there from Baur et al. "
        "2021a. U-Nets are supervised and name their training dataset."
    ),
)
