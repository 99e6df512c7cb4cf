from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.bundle import Bundle
from engine.errors import SourceError
from tests.training.labelled import LABELS, learned, rectangles
from training.dataset import Dataset
from training.evaluation.detections import judge_detections, predict
from training.export import export_onnx
from training.held_out import HeldOut
from training.model import Detector

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return rectangles(tmp_path_factory.mktemp("data"), 8)


@pytest.fixture(scope="module")
def detector(data: Dataset) -> Detector:
    torch.set_num_threads(1)
    return learned(data)


def test_it_sees_what_the_live_engine_sees(data: Dataset, detector: Detector, tmp_path: Path) -> None:
    export_onnx(detector, tmp_path / "model.onnx", input_wh=(96, 64), labels=LABELS)
    live = predict(Bundle.of_onnx(tmp_path / "model.onnx").write(tmp_path / "bundle").root, data)
    held_out = HeldOut(data, (96, 64))
    found = held_out.predict(detector, CPU, len(data))

    assert len(found) == len(live) > 8
    for ours, seen in zip(found, live, strict=True):
        assert (ours["image_id"], ours["category_id"]) == (seen["image_id"], seen["category_id"])
        assert ours["bbox"] == pytest.approx(seen["bbox"], abs=0.01)
        assert ours["score"] == pytest.approx(seen["score"], abs=1e-4)
    scores = held_out.judge(detector, CPU)
    theirs = judge_detections(data.to_coco(), live).stats
    assert [scores[name] for name in ("ap", "ap50", "ap75")] == [theirs[name] for name in ("ap", "ap50", "ap75")]
    assert scores["ap50"] > 0.5


def test_pictures_beyond_the_limit_are_read_each_time(data: Dataset, detector: Detector, tmp_path: Path) -> None:
    samples = []
    for number, sample in enumerate(data.samples[:3]):
        (tmp_path / f"{number}.png").write_bytes(sample.path.read_bytes())
        samples.append(replace(sample, path=tmp_path / f"{number}.png"))
    held_out = HeldOut(replace(data, samples=tuple(samples)), (96, 64), limit_bytes=2 * 96 * 64 * 3)
    before = held_out.predict(detector, CPU, 3)
    for sample in samples[:2]:
        sample.path.unlink()

    assert held_out.predict(detector, CPU, 3) == before
    samples[2].path.unlink()
    with pytest.raises(SourceError, match=r"2\.png: no such image file"):
        held_out.predict(detector, CPU, 3)


def test_a_detector_that_sees_nothing_scores_zero(data: Dataset, detector: Detector) -> None:
    blind = Detector(detector.spec).eval()
    with torch.no_grad():
        for branch in blind.branches:
            branch.objectness.bias.fill_(-20)  # type: ignore[union-attr, operator]

    scores = HeldOut(data, (96, 64)).judge(blind, CPU)
    assert (scores["ap"], scores["ap50"]) == (0, 0)
    assert np.isfinite(list(scores.values())).all()
