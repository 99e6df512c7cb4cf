"""Making a run's monitors: what each camera's model was trained on, and who has a memory."""

from __future__ import annotations

import dataclasses
import logging
import zipfile
from pathlib import Path

import pytest

from engine.bundle import Bundle
from engine.default_model import find_default_model
from engine.drift.settings import DriftSettings
from engine.drift.setup import make_drift, state_path, training_normals
from engine.errors import BundleError
from engine.onnx_import import ImportOptions, describe_onnx
from engine.pipeline import Pipeline
from engine.plan import ExecutionPlan, plan
from engine.redact import Url
from engine.reference import SCHEMA
from engine.site import Camera, Site, default_pipeline
from operators import Detect
from tests.engine.test_reference import saved
from tests.fake_drift import make_sample
from tests.tiny_models import save_yolox

LIVE, RECORDING = Camera(Url("rtsp://127.0.0.1/x")), Camera(Url("clip.mp4"))
SETTINGS = DriftSettings()


def make_bundle(folder: Path, reference: bool = True) -> str:
    options = ImportOptions(family="yolox", labels=("blue", "red"))
    bundle = describe_onnx(save_yolox(folder.with_suffix(".onnx")), options).write(folder)
    if reference:
        bundle.add({"reference": saved(folder.parent / f"{folder.name}-statistics")})
    return str(folder)


def planned(model: str, cameras: str = "ab") -> ExecutionPlan:
    return plan(default_pipeline(model), list(cameras))


def test_each_camera_is_compared_with_what_its_detector_was_trained_on(tmp_path: Path) -> None:
    steps = Pipeline().then(Detect(make_bundle(tmp_path / "tiny")), "a", ["a"])
    steps = steps.then(Detect(make_bundle(tmp_path / "bare", reference=False)), "b", ["b"])
    found = training_normals(SETTINGS, plan(steps, ["a", "b"]))

    assert list(found) == ["a"]
    assert found["a"].labels == ("person", "car")


def test_the_model_that_ships_with_vedette_has_its_own_statistics() -> None:
    found = training_normals(SETTINGS, plan(default_pipeline(), ["a"]))
    assert found["a"].labels == Bundle.load(find_default_model()).manifest.labels


def test_the_reference_may_be_another_bundles_and_does_without_a_detector(tmp_path: Path) -> None:
    other = dataclasses.replace(SETTINGS, reference=make_bundle(tmp_path / "other"))
    own = make_bundle(tmp_path / "own", reference=False)

    for model in (own, "motion"):
        assert training_normals(other, planned(model))["b"].labels == ("person", "car")


def test_without_a_detector_a_camera_has_its_own_normal_only() -> None:
    assert training_normals(SETTINGS, planned("motion")) == {}


def test_a_bundle_without_statistics_is_named_once_with_what_makes_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = make_bundle(tmp_path / "tiny", reference=False)
    with caplog.at_level(logging.INFO):
        assert training_normals(SETTINGS, planned(model)) == {}

    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", f"drift is judged by each camera's own normal: {model} has no reference statistics; "
                 f"`vedette reference {model} --data DATA` makes them"),
    ]  # fmt: skip


def test_statistics_of_another_version_are_a_warning_and_the_run_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = Path(make_bundle(tmp_path / "tiny", reference=False))
    old = saved(tmp_path)
    with zipfile.ZipFile(old) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["facts.npy"] = parts["facts.npy"].replace(SCHEMA.encode(), b"vedette.reference/0")
    with zipfile.ZipFile(old, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    Bundle.load(model).add({"reference": old})

    with caplog.at_level(logging.INFO):
        assert training_normals(SETTINGS, planned(str(model))) == {}

    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "drift is judged by each camera's own normal: " in record.getMessage()
    assert "reference statistics of another version: vedette.reference/0" in record.getMessage()


def test_several_detectors_have_no_training_in_common(tmp_path: Path) -> None:
    model = make_bundle(tmp_path / "tiny")
    steps = Pipeline().then(Detect(model)).then(Detect(model, merge=True), "more")
    assert training_normals(SETTINGS, plan(steps, ["a"])) == {}


def test_a_reference_that_is_no_bundle_stops_the_start(tmp_path: Path) -> None:
    wrong = dataclasses.replace(SETTINGS, reference=str(tmp_path / "none"))
    with pytest.raises(BundleError, match="none: no such model; give a bundle's folder"):
        make_drift(wrong, {"a": LIVE}, planned("motion", "a"))


def test_nobody_watches_where_drift_is_switched_off() -> None:
    assert make_drift(None, {"a": LIVE}, planned("motion", "a")) is None


def test_only_live_cameras_keep_state(tmp_path: Path) -> None:
    drift = make_drift(SETTINGS, {"a": LIVE, "b": RECORDING}, planned("motion"), tmp_path / "state")
    assert drift is not None
    for camera in "ab":
        drift.observe(camera, [make_sample(float(s)) for s in range(5)])
    drift.close()

    assert [path.name for path in (tmp_path / "state").glob("*.npz")] == ["a.npz"]


def test_state_is_kept_in_the_users_own_folder_or_where_the_configuration_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    site = Site("north", {"a": LIVE}, drift=SETTINGS)
    assert state_path(site) == tmp_path / "vedette" / "north" / "drift"
    assert state_path(dataclasses.replace(site, drift=DriftSettings(state="/srv/state"))) == Path("/srv/state")


def test_recordings_and_a_run_without_drift_keep_no_state() -> None:
    assert state_path(Site("north", {"a": RECORDING}, drift=SETTINGS)) is None
    assert state_path(Site("north", {"a": LIVE}, drift=None)) is None
