"""What the protocol ``strict`` measures: its metrics, and why one may have no value."""

from __future__ import annotations

from uad_bench.evaluation.protocol import MetricInfo

FPR = 0.01
"""The false-positive rate that sets the threshold of everything but ``dice_fpr5``."""

_THRESHOLD = "Threshold: a false-positive rate of 1 % on healthy validation scans."
_MATCHED = "Lesions and findings are matched one to one from an IoU of 0.25 on."

METRICS = (
    MetricInfo(name="auprc", title="AUPRC", shown="always", chance="prevalence"),
    MetricInfo(name="prevalence", title="Prevalence of lesion voxels", better=None),
    MetricInfo(name="auprc_slice", title="AUPRC over whole slices", chance="prevalence_slice"),
    MetricInfo(name="prevalence_slice", title="Prevalence over whole slices", better=None),
    MetricInfo(name="dice", title="Dice at 1 % FPR", shown="always", notes=(_THRESHOLD,)),
    MetricInfo(
        name="dice_fpr5",
        title="Dice at 5 % FPR",
        notes=("Threshold: a false-positive rate of 5 % on healthy validation scans.",),
    ),
    MetricInfo(
        name="max_dice",
        title="max Dice (upper bound)",
        shown="always",
        notes=("Maximum Dice is an upper bound: its threshold is searched on test labels.",),
    ),
    MetricInfo(
        name="surface_dice",
        title="Surface Dice",
        shown="always",
        notes=(_THRESHOLD, "Surface Dice: within 2 mm in 3D."),
    ),
    MetricInfo(name="hd95", title="HD95", unit="mm", better="lower", notes=(_THRESHOLD,)),
    MetricInfo(name="hd", title="HD", unit="mm", better="lower", notes=(_THRESHOLD,)),
    MetricInfo(
        name="fpr",
        title="FPR on test scans",
        better=None,
        target=FPR,
        notes=(_THRESHOLD,),
        undefined="no healthy voxel",
    ),
    MetricInfo(name="lesion_f1", title="Lesion F1", shown="always", notes=(_THRESHOLD, _MATCHED)),
    MetricInfo(name="panoptic_quality", title="Panoptic quality", notes=(_THRESHOLD, _MATCHED)),
    MetricInfo(name="lesion_recall", title="Lesion recall", notes=(_THRESHOLD, _MATCHED)),
    MetricInfo(
        name="lesion_recall_small",
        title="Lesion recall below 0.1 ml",
        undefined="no lesion below 0.1 ml",
        notes=(_THRESHOLD, _MATCHED),
    ),
    MetricInfo(
        name="lesion_recall_medium",
        title="Lesion recall, 0.1 to 1 ml",
        undefined="no lesion of 0.1 to 1 ml",
        notes=(_THRESHOLD, _MATCHED),
    ),
    MetricInfo(
        name="lesion_recall_large",
        title="Lesion recall from 1 ml on",
        undefined="no lesion of 1 ml or more",
        notes=(_THRESHOLD, _MATCHED),
    ),
    MetricInfo(
        name="false_findings",
        title="False findings",
        unit="per scan",
        better="lower",
        notes=(_THRESHOLD, _MATCHED),
    ),
    MetricInfo(
        name="healthy_volume",
        title="False-positive volume in healthy people",
        unit="ml",
        better="lower",
        undefined="not of a healthy subject",
        notes=(_THRESHOLD,),
    ),
)
"""What is measured per scan. Those of the default table put no control that sees no image first
(``studies/controls_ranks.py``)."""

_DETECTION_NOTE = (
    "Detection of patients: a subject's score is the mean of the highest 1 % of the scores in the "
    "brain, compared with healthy test subjects, from whom the threshold of the sensitivity comes."
)

DETECTION = (
    MetricInfo(
        name="patient_auroc",
        title="Detection of patients: AUROC",
        shown="where known",
        notes=(_DETECTION_NOTE,),
    ),
    MetricInfo(
        name="patient_auprc",
        title="Detection of patients: AUPRC",
        shown="where known",
        chance="patient_prevalence",
        notes=(_DETECTION_NOTE,),
    ),
    MetricInfo(name="patient_prevalence", title="Share of patients", better=None),
    MetricInfo(
        name="patient_sensitivity",
        title="Sensitivity at 1 false alarm in 10 healthy people",
        shown="where known",
        notes=(_DETECTION_NOTE,),
    ),
)
"""What is measured over subjects, from the score of each of their scans."""

NEED_THRESHOLD = tuple(
    one.name
    for one in METRICS
    if not one.name.startswith(("auprc", "prevalence")) and one.name != "max_dice"
)
NO_THRESHOLD = "needs a threshold, which comes from anomaly maps of healthy validation scans"
NO_GROUPS = "needs patients and healthy people among the test subjects"
