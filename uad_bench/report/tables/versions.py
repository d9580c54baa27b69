"""Numbers that follow another version than this uad-bench are not shown."""

from __future__ import annotations

from collections.abc import Iterable

from uad_bench.cells import CellRecord
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.postprocessing import PostProcessing
from uad_bench.evaluation.protocol import Protocol


def refuse_other_version(
    records: Iterable[CellRecord],
    protocols: Iterable[Protocol],
    postprocessings: Iterable[PostProcessing],
) -> None:
    """Refuse finished cells of another version of their protocol or post-processing.

    Args:
        records: the cells.
        protocols: those of the cells.
        postprocessings: those of the cells.

    Raises:
        UadBenchError: naming the first such cell.
    """
    protocol_versions = {one.name: one.version for one in protocols}
    postprocessing_versions = {one.name: one.version for one in postprocessings}
    different: dict[tuple[object, ...], CellRecord] = {}
    for record in records:
        if record.state == "done":
            spec = record.spec
            mine = spec.protocol, spec.postprocessing
            theirs = record.protocol_version, record.postprocessing_version
            different.setdefault((*mine, *theirs), record)
    for record in different.values():
        spec = record.spec
        for what, stored, version in (
            (
                f"protocol {spec.protocol}",
                record.protocol_version,
                protocol_versions[spec.protocol],
            ),
            (
                f"post-processing {spec.postprocessing}",
                record.postprocessing_version,
                postprocessing_versions[spec.postprocessing],
            ),
        ):
            if stored != version:
                raise UadBenchError(
                    f"{spec.name}: its numbers follow {what}, version {stored}, and this "
                    f"uad-bench says version {version}: run it again with --overwrite all, or use "
                    "the uad-bench that computed it"
                )
