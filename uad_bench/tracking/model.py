"""A detector as an MLflow model: its folder, a signature, and what to install."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

_LOADER = "uad_bench.front.mlflow_model"
"""The module that loads it: code comes from the installed package, weights from safetensors."""

_PACKAGES = ("uad-bench", "mlflow", "numpy", "scipy", "nibabel", "safetensors", "torch")

_FILES = ("detector.json", "state.safetensors", "validation.npz")


_BEGUN = "model_begun"
"""The tag of a run with the model that it may have had when a kill came."""


def log_model(client: Any, experiment: str, run: Any, home: Path) -> str:
    """Log a detector as a model of its run, and return the model's identifier.

    One that an interruption left half-logged is completed.

    Args:
        client: of MLflow.
        experiment: the run's.
        run: the detector's.
        home: the detector's folder.
    """
    from mlflow.entities import LoggedModelOutput

    run_id, model_id = run.info.run_id, run.data.tags.get(_BEGUN)
    if model_id is None:
        model_id = str(client.create_logged_model(experiment, home.name, run_id).model_id)
        client.set_tag(run_id, _BEGUN, model_id)
    with tempfile.TemporaryDirectory(prefix="uad-bench-") as name:
        folder = Path(name) / "model"
        _save(home, folder, Path(name), model_id)
        client.log_model_artifacts(model_id, str(folder))
    client.finalize_logged_model(model_id, "READY")
    outputs = client.get_run(run_id).outputs
    if all(one.model_id != model_id for one in (outputs.model_outputs if outputs else ())):
        client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])
    return str(model_id)


def register_model(client: Any, name: str, model_id: str, run_id: str) -> None:
    """Make a logged model the newest version of a registered one, which is created if missing.

    A version that an interruption left unmarked is not made again.
    """
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    versions = client.search_model_versions(f"run_id = '{run_id}'")
    if any(one.name == name for one in versions):
        return
    # Its address as `models:/` would be looked up in MLflow's global state.
    place = client.get_logged_model(model_id).artifact_location
    client.create_model_version(name, place, run_id, model_id=model_id)


def _save(home: Path, folder: Path, room: Path, model_id: str) -> None:
    """Write the model's folder."""
    import numpy as np
    from mlflow.models import Model, ModelSignature
    from mlflow.pyfunc import save_model
    from mlflow.types.schema import AnyType, ColSpec, Schema, TensorSpec

    detector = room / "detector"
    detector.mkdir()
    for file in (home / name for name in _FILES):
        if file.is_file():
            shutil.copyfile(file, detector / file.name)
    maps = TensorSpec(np.dtype("float32"), (-1, -1, -1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it misses an example of the input, which is a patient's
        save_model(
            folder,
            loader_module=_LOADER,
            data_path=str(detector),
            mlflow_model=Model(model_id=model_id),
            signature=ModelSignature(Schema([ColSpec(AnyType(), "scan")]), Schema([maps])),
            pip_requirements=[f"{name}=={version(name).partition('+')[0]}" for name in _PACKAGES],
        )
