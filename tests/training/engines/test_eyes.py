"""Outputs of any backend become boxes as they do live; what a classifier says becomes boxes, too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.bundle import Bundle, Manifest
from engine.input_spec import InputSpec
from engine.picture import LetterboxGeometry
from tests.training.engines.parts import square_bundle
from training.engines.eyes import open_eyes, sure_from

GEOMETRY = LetterboxGeometry((40, 30), (64, 64), (0, 0))


def classifier() -> Bundle:
    return Bundle(
        Path("colours"),
        Manifest(
            name="colours", family="classifier", labels=("blue", "red", "green"), input=InputSpec(size_wh=(64, 64)),
            files={}, scores="probabilities",
        ),
    )  # fmt: skip


def test_a_class_is_a_box_around_the_picture() -> None:
    with open_eyes(classifier()) as decode:
        found = decode([np.array([0.2, 0.795, 0.005], np.float32)], GEOMETRY)

    assert found.class_id.tolist() == [1, 0]
    assert found.confidence.tolist() == pytest.approx([0.795, 0.2])
    assert found.xyxy.tolist() == [[0, 0, 40, 30]] * 2


def test_a_classifier_is_believed_from_where_classify_believes_it(tmp_path: Path) -> None:
    assert sure_from(classifier()) == 0.5
    assert sure_from(square_bundle(tmp_path / "bundle")) == 0.3
