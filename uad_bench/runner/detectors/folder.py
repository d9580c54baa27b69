"""A detector on disk: a folder that says by itself what the detector is and what it needs.

``detector.json`` holds method, parameters, seed, code, recipe, training data, prior and versions;
``state.safetensors`` what ``fit`` left; ``validation.npz`` the scores of healthy validation scans,
which thresholds come from.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from uad_bench.cells import DatasetUse, FitRecord
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.postprocessing import PostProcessing
from uad_bench.method import Method
from uad_bench.plugins.code import code_of
from uad_bench.plugins.registry import Registry
from uad_bench.system.disk import opened_whole, sha256_of, writing
from uad_bench.volumes.recipe import Recipe

RECORD, STATE, VALIDATION = "detector.json", "state.safetensors", "validation.npz"
"""The files of a detector's folder."""

_AGAIN = "train the detector again"

SCHEMA: Literal[1] = 1
"""Version of the layout of ``detector.json``."""


class DetectorRecord(BaseModel):
    """What a detector is, and what it came from.

    Attributes:
        schema_version: version of this layout.
        method: name of the method.
        title: what tables call it.
        params: its parameters, after tuning.
        seed: of the training.
        code: hash of the method's code and of the building blocks it is made of.
        source: where the method's class was, as a module or a plugin file.
        training: the healthy people that it learned from.
        recipe: how scans become slices.
        template: the folder of SRI24, where scans are registered to it.
        atlas: hash of the atlas that its tissue prior came from; ``None`` for the training
            dataset's own prior, or none.
        fit: how it came to be.
        versions: of the packages that trained it.
        sha256: of the file with what ``fit`` left.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    schema_version: Literal[1] = SCHEMA
    method: str
    title: str
    params: dict[str, Any]
    seed: int
    code: str
    source: str
    training: DatasetUse
    recipe: Recipe
    template: Path | None = None
    atlas: str | None = None
    fit: FitRecord
    versions: dict[str, str]
    sha256: str = ""

    @property
    def simulated(self) -> bool:
        """Whether it learned from phantoms, or has a prior of phantoms."""
        return self.training.simulated or self.fit.simulated_prior


def histogram_key(variant: PostProcessing) -> str:
    """Return how the file of validation scores names a post-processing."""
    return f"{variant.name}-{variant.version}"


def is_detector(folder: Path) -> bool:
    """Whether a folder holds a detector."""
    return (folder / RECORD).is_file()


def write_detector(folder: Path, fitted: Method, record: DetectorRecord) -> None:
    """Write a detector's folder whole or not at all; one that is there is replaced.

    The disk has all of it before it has its name: a checkpoint that is removed then is not missed.

    Raises:
        UadBenchError: it cannot be written.
    """
    partial = folder.with_name(f".partial-{folder.name}")
    try:
        with writing(folder):
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            state = save(fitted.state())
            whole = {**record.model_dump(), "sha256": hashlib.sha256(state).hexdigest()}
            text = DetectorRecord.model_validate(whole).model_dump_json(indent=1)
            for name, content in ((STATE, state), (RECORD, f"{text}\n".encode())):
                with opened_whole(partial / name) as file:
                    file.write(content)
            shutil.rmtree(folder, ignore_errors=True)
            partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def read_record(folder: Path) -> DetectorRecord:
    """Read what a detector is.

    Raises:
        UadBenchError: the folder holds no detector, or one of another version.
    """
    file = folder / RECORD
    try:
        values = json.loads(file.read_bytes())
    except OSError as error:
        raise UadBenchError(
            f"{folder}: no detector ({RECORD}: {error.strerror or error}); `uad-bench run` keeps "
            "detectors in the folder `detectors` of its results"
        ) from None
    except ValueError:
        raise UadBenchError(f"{file}: damaged, it is no JSON; train the detector again") from None
    version = values.get("schema_version") if isinstance(values, dict) else None
    if version is not None and version != SCHEMA:
        raise UadBenchError(
            f"{folder}: a detector of another version of uad-bench (layout {version}, and this one "
            f"reads {SCHEMA}); train it again, or use that uad-bench"
        )
    try:
        return DetectorRecord.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise UadBenchError(
            f"{file}: not a detector's ({where}: {first['msg']}); train it again"
        ) from None


def find_method(folder: Path, record: DetectorRecord, registry: Registry) -> type[Method]:
    """Return the method of a stored detector.

    Raises:
        UadBenchError: it is not known here, or its code is another than trained the detector.
    """
    if record.method not in registry.names("method"):
        raise UadBenchError(
            f"{folder}: needs the method {record.method}, which is not known here (it was in "
            f"{record.source}); give its file with --plugin, or plugin= in Python"
        )
    method = registry.method(record.method)
    if code_of(method).hash != record.code:
        trained = record.versions.get("uad-bench", "unknown")
        raise UadBenchError(
            f"{folder}: the code of {record.method} changed since this detector was trained "
            f"(uad-bench {trained}); train it again, or use the code of then"
        )
    return method


def refuse_damaged(folder: Path, record: DetectorRecord) -> None:
    """Refuse a detector whose state is not the one of its record, without loading it.

    Raises:
        UadBenchError: it is another, or cannot be read.
    """
    try:
        found = sha256_of(folder / STATE)
    except OSError as error:
        raise UadBenchError(f"{folder / STATE}: {error.strerror or error}; {_AGAIN}") from None
    if found != record.sha256:
        raise UadBenchError(f"{folder / STATE}: damaged, its SHA-256 is another; {_AGAIN}")


def read_detector(
    folder: Path, method: type[Method], record: DetectorRecord, device: str
) -> Method:
    """Restore a detector's method, ready to score.

    Args:
        folder: of the detector.
        method: its method.
        record: what the folder says.
        device: a torch device.

    Raises:
        UadBenchError: the folder is damaged, or a file that the method reads is gone.
    """
    try:
        data = (folder / STATE).read_bytes()
    except OSError as error:
        raise UadBenchError(f"{folder / STATE}: {error.strerror or error}; {_AGAIN}") from None
    if hashlib.sha256(data).hexdigest() != record.sha256:
        raise UadBenchError(f"{folder / STATE}: damaged, its SHA-256 is another; {_AGAIN}")
    try:
        fitted = method(method.Params.model_validate(record.params))
        fitted.load(load(data), device)
    except ValidationError as error:
        item = error.errors()[0]
        name = ".".join(str(part) for part in item["loc"])
        raise UadBenchError(f"{folder}: parameter {name}: {item['msg']}; {_AGAIN}") from None
    except SafetensorError as error:
        raise UadBenchError(f"{folder / STATE}: damaged ({error}); {_AGAIN}") from None
    except OSError as error:
        raise UadBenchError(
            f"{folder}: {record.method} needs a file that cannot be read: {error}; put it back, or "
            f"{_AGAIN}"
        ) from None
    return fitted
