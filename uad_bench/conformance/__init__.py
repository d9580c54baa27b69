"""Does a plugin keep its contract? Every broken rule at once, on a toy cohort, in seconds."""

from uad_bench.conformance.cohorts import check_cohort
from uad_bench.conformance.findings import Violation, check_score
from uad_bench.conformance.methods import check_method

__all__ = ["Violation", "check_cohort", "check_method", "check_score"]
