"""A detector is a model of MLflow, sent once and whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tracked_cells import cell, put, runs_of, sync

import uad_bench
from uad_bench.cells import FitRecord
from uad_bench.results import ResultsFolder
from uad_bench.system.disk import write_whole
from uad_bench.tracking import Tracker, TrackingError, sync_models
from uad_bench.volumes.steps.space import template_grid


def test_a_detector_is_a_model_that_takes_paths_and_arrays(
    database: str, results: Path, lab: Path, prepared: Path
) -> None:
    import mlflow
    from mlflow import MlflowClient

    tracker = Tracker(database, experiment="models")
    made = uad_bench.fit("thresholding", data_root=lab, cache=prepared, progress=False)
    made.save(results / "detectors" / "spa-1")
    put(results, cell())
    sync(results, tracker)
    for register, is_new in ((False, True), (False, False), (True, True), (True, False)):
        found = sync_models(ResultsFolder(results), tracker, register=register)
        assert (found.sent, found.already) == ((("spa-1",), ()) if is_new else ((), ("spa-1",)))

    client = MlflowClient(tracking_uri=database)
    (version,) = client.search_model_versions("name = 'uad-bench-spa'")
    (run,) = runs_of(tracker, kind="detector")
    (output,) = run.outputs.model_outputs
    model = client.get_logged_model(output.model_id)
    assert model.status.value == "READY"
    assert (version.run_id, version.source) == (run.info.run_id, model.artifact_location)
    loaded = mlflow.pyfunc.load_model(model.artifact_location)
    scan = lab / "MSLUB" / "patient11" / "FLAIR.nii.gz"
    (found,) = loaded.predict({"scan": str(scan)})
    np.testing.assert_array_equal(found, made.predict(scan).map)
    image = np.zeros(template_grid(made.recipe).shape, np.float32)
    image[20:30, 40:80, 40:80] = 0.5
    (found,) = loaded.predict({"scan": [image]})
    np.testing.assert_array_equal(found, made.predict(image).map)


@pytest.mark.parametrize("mark", ["model", "registered"])
def test_a_model_whose_sending_was_cut_off_is_completed_not_doubled(
    tracker: Tracker, results: Path, monkeypatch: pytest.MonkeyPatch, mark: str
) -> None:
    from mlflow import MlflowClient

    name = f"spa-{mark}"
    fit = FitRecord(detector="spa-1")
    spec = cell().spec.model_copy(update={"method": name})
    put(results, cell(spec=spec, fit=fit))
    for file in ("detector.json", "state.safetensors"):
        write_whole(results / "detectors" / "spa-1" / file, b"{}")
    sync(results, tracker)
    original = MlflowClient.set_tag

    def cut_off(self: Any, run_id: str, key: str, value: Any, **more: Any) -> Any:
        if key == mark:
            raise RuntimeError("the cable is out")
        return original(self, run_id, key, value, **more)

    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "set_tag", cut_off)
        with pytest.raises(TrackingError, match="the cable is out"):
            sync_models(ResultsFolder(results), tracker, register=True)
    assert sync_models(ResultsFolder(results), tracker, register=True).sent == ("spa-1",)
    client = MlflowClient(tracking_uri=tracker.uri)
    (run,) = runs_of(tracker, kind="detector")
    assert len(run.outputs.model_outputs) == 1
    assert len(client.search_model_versions(f"name = 'uad-bench-{name}'")) == 1
    assert len(client.search_logged_models([run.info.experiment_id])) == 1
