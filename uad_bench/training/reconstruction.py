"""The base class of the deep methods: a network, trained by the shared loop."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from uad_bench.method import (
    FitContext,
    FitReport,
    FloatArray,
    Params,
    ReconstructionMethod,
    Slices,
    TissuePrior,
)
from uad_bench.models.batches import one_by_one
from uad_bench.models.perceptual import file_checksum, find_lite0, load_vgg19
from uad_bench.models.variational import VariationalNetwork
from uad_bench.training.loop import train_network
from uad_bench.training.params import DeepParams, TrainingParams


class DeepReconstruction(ReconstructionMethod):
    """A reconstruction method that is a :class:`VariationalNetwork` and its hyper-parameters."""

    objective: ClassVar[tuple[str, ...]] = ("l1", "kl")
    budget: ClassVar[tuple[str, ...]] = ("width", "steps", "batch_size")
    Params: ClassVar[type[Params]] = DeepParams
    params: TrainingParams
    network_: VariationalNetwork[Any]

    @abstractmethod
    def network(self, prior: TissuePrior | None) -> VariationalNetwork[Any]:
        """Return the untrained network.

        Args:
            prior: the tissue prior, where the method needs one; ``None`` when a trained state is
                restored, which needs no divergence.
        """

    @classmethod
    def resolve(cls, params: Any) -> Any:
        """Return the parameters with the checksum of VGG19's file, where the loss looks at it.

        A detector is then known by the weights behind its loss, not by their file's name.

        Raises:
            UadBenchError: if the weights of the perceptual loss are missing, are others, or are no
                weights.
        """
        if not params.perceived:
            return params
        if params.perceptual == "vgg19":
            found = file_checksum(params.vgg19_weights, params.vgg19_sha256)
            load_vgg19(params.vgg19_weights, found, "cpu")
            return params.model_copy(update={"vgg19_sha256": found})
        find_lite0()
        return params

    def fit(self, train: Slices, validation: Slices, context: FitContext) -> FitReport:
        """Train on healthy slices and keep the state that does best on the validation slices.

        Raises:
            DivergenceError: if the loss is no longer finite.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(context.seed)
            network = self.network(context.tissue_prior)
        self.network_ = network.to(context.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return train_network(self.network_, self.params, train, validation, context)

    @torch.inference_mode()
    def reconstruct(self, slices: Slices) -> FloatArray:
        """Return pseudo-healthy slices ``[N, 1, H, W]`` in [0, 1], 0 outside the brain.

        Where the latent is drawn, the noise of a slice follows from its place in the atlas, so
        that it depends neither on the slices around it nor on the device.
        """
        self.network_.eval()
        draws, result = self.params.draws, []
        for batch in one_by_one(slices, self.network_):
            noise = torch.Generator().manual_seed(int(batch.z))
            image = self.network_.reconstruct(batch.image, draws, noise)
            result.append((image * batch.brain).cpu().numpy())
        return np.concatenate(result)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the weights and the running statistics."""
        weights = self.network_.state_dict().items()
        return {name: np.array(value.cpu().numpy(), order="C") for name, value in weights}

    def load(self, state: Mapping[str, NDArray[Any]], device: str = "cpu") -> None:
        """Restore what :meth:`state` returned."""
        network = self.network(None)
        network.load_state_dict({name: torch.tensor(value) for name, value in state.items()})
        self.network_ = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
