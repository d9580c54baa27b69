"""Deep ensemble of SPA (Lakshminarayanan et al. 2017): trainings that differ in their seed."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from uad_bench.method import Method, MethodInfo
from uad_bench.training.ensemble import Ensemble, EnsembleParams

from .spa import SPA


class SPAEnsemble(Ensemble):
    """Where one training is surprised by chance, the others are not."""

    class Params(EnsembleParams):
        """How many trainings, and the parameters of each."""

        seeds: int = Field(default=3, ge=1, le=100)
        spa: SPA.Params = SPA.Params()
        """Parameters of SPA; what is set for ``spa`` in the run is set here too."""

    info = MethodInfo(
        name="spa-ensemble",
        title="SPA ensemble",
        citation="Lakshminarayanan et al. 2017",
        needs=frozenset({"tissue_prior"}),
        presets={"paper": {"spa": SPA.info.presets["paper"]}},
    )
    members: ClassVar[tuple[type[Method], ...]] = (SPA,)
    params: Params
