"""An ensemble of detectors that fail differently: by tissues, by noise and by intensity."""

from __future__ import annotations

from typing import ClassVar

from uad_bench.method import Method, MethodInfo
from uad_bench.training.ensemble import Ensemble, EnsembleParams

from .dae import DAE
from .outlier import Outlier
from .spa import SPA


class MixedEnsemble(Ensemble):
    """SPA, DAE and the outlier detector. Another choice is a file of this form."""

    class Params(EnsembleParams):
        """The parameters of each member."""

        spa: SPA.Params = SPA.Params()
        """Parameters of SPA; what is set for ``spa`` in the run is set here too."""
        dae: DAE.Params = DAE.Params()
        """Parameters of the DAE, likewise."""
        outlier: Outlier.Params = Outlier.Params()
        """Parameters of the outlier detector, likewise."""

    info = MethodInfo(
        name="ensemble",
        title="Ensemble",
        citation="after Lakshminarayanan et al. 2017",
        needs=frozenset({"tissue_prior"}),
        presets={"paper": {"spa": SPA.info.presets["paper"], "dae": DAE.info.presets["paper"]}},
    )
    members: ClassVar[tuple[type[Method], ...]] = (SPA, DAE, Outlier)
    params: Params
