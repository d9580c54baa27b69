"""Does a plugin keep its contract? Every broken rule at once, on a toy dataset, in seconds."""

from uad_bench.plugins.conformance.datasets import check_dataset
from uad_bench.plugins.conformance.evaluation import check_postprocessing, check_protocol
from uad_bench.plugins.conformance.findings import Violation, check_score
from uad_bench.plugins.conformance.methods import check_method

__all__ = [
    "Violation",
    "check_dataset",
    "check_method",
    "check_postprocessing",
    "check_protocol",
    "check_score",
]
