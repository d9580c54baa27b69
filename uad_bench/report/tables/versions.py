"""Numbers that follow another version of their protocol than this uad-bench are not shown."""

from __future__ import annotations

from collections.abc import Iterable

from uad_bench.cells import CellRecord
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.protocols import PROTOCOLS


def refuse_other_version(records: Iterable[CellRecord]) -> None:
    """Refuse finished cells of another version of their protocol.

    Raises:
        UadBenchError: naming the first such cell.
    """
    for record in records:
        protocol = record.spec.protocol
        version = PROTOCOLS[protocol].version
        if record.state == "done" and record.protocol_version != version:
            raise UadBenchError(
                f"{record.spec.name}: its numbers follow protocol {protocol}, version "
                f"{record.protocol_version}, and this uad-bench says version {version}: run it "
                "again with --overwrite all, or use the uad-bench that computed it"
            )
