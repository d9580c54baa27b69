"""``uad-bench status``: what the last run has done, what failed, and how to go on."""

from __future__ import annotations

from uad_bench.cli.options import RESULTS, ResultsPath
from uad_bench.errors import UadBenchError
from uad_bench.system.collector import collector_paused


def status(
    results: ResultsPath = RESULTS,
) -> None:
    """Show which cells of the last run are done, which failed, and how to go on."""
    from pydantic import ValidationError

    from uad_bench.cli.plan_table import print_status
    from uad_bench.results import ResultsFolder, stored_cells
    from uad_bench.runner.plan.plan import PlanFile

    path = results / "plan.json"
    if not path.is_file():
        raise UadBenchError(f"no run in {results}: `uad-bench run` makes one, --results names it")
    try:
        plan = PlanFile.model_validate_json(path.read_bytes())
    except ValidationError:
        raise UadBenchError(f"{path} is damaged: run the command again") from None
    with collector_paused():
        folder = ResultsFolder(results)
        print_status(plan, stored_cells(folder), folder)
