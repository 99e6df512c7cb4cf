"""Run-time facts name pipeline and models with their digests."""

from __future__ import annotations

from pathlib import Path

from engine.facts import run_facts
from engine.onnx_import import ImportOptions, describe_onnx
from engine.pipeline import Pipeline
from engine.plan import plan
from engine.site import default_pipeline
from operators import MotionBlobs
from tests.tiny_models import save_yolox


def test_the_pipeline_is_named_with_its_digest() -> None:
    pipeline = Pipeline("north").then(MotionBlobs())
    assert run_facts(plan(pipeline, ["a"])) == {"pipeline": f"north@{pipeline.digest}"}


def test_models_are_named_with_theirs(tmp_path: Path) -> None:
    options = ImportOptions(family="yolox", labels=("blue", "red"))
    bundle = describe_onnx(save_yolox(tmp_path / "tiny.onnx"), options).write(tmp_path / "tiny")
    facts = run_facts(plan(default_pipeline(str(tmp_path / "tiny")), ["a", "b"]))
    assert facts["model"] == f"{bundle.manifest.name}@{bundle.digest}"
