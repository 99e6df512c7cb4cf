"""What the model sees: traffic comes and goes, but how sure it is and what it sees should stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine.drift.camera import CameraMonitor
from engine.drift.objects import MIN_BOXES, WINDOWS, Finding, ObjectWatch
from engine.drift.sample import BoxSample
from engine.drift.settings import DriftSettings
from engine.drift.training_normal import TrainingNormal
from tests.engine.drift.painted_camera import PaintedCamera, make_boxes

WINDOW_S = DriftSettings().window_s
USUAL: dict[str, Any] = {"shares": (0.7, 0.3, 0.0)}
SETTLED_S = 40 * WINDOW_S


class Watched:
    """An object watch that is checked once a window."""

    def __init__(self, seed: int = 0, training: TrainingNormal | None = None, **settings: Any) -> None:
        self.watch = ObjectWatch(DriftSettings(**settings), training)
        self.camera = PaintedCamera(seed, every_s=3.0)
        self._due_s = WINDOW_S

    def see(
        self, seconds: float, boxes: dict[str, Any] | None, learn: bool = True, quiet: bool = False
    ) -> list[Finding]:
        found: list[Finding] = []
        for sample in self.camera.film(seconds, boxes=boxes):
            self.watch.add(sample.pts_s, sample)
            if sample.pts_s >= self._due_s:
                self._due_s += WINDOW_S
                finding = self.watch.check(sample.pts_s, learn, quiet)
                if finding is not None:
                    found.append(finding)
                    if finding.step == "clear":
                        self.watch.episode.close()
        return found


def said(found: Sequence[Finding]) -> list[tuple[str, str]]:
    return [(finding.step, finding.cause) for finding in found]


def training_of(**changes: Any) -> TrainingNormal:
    labels = tuple(f"class {number}" for number in range(3))
    nothing = np.zeros(12)
    return replace(
        TrainingNormal(
            nothing, nothing, nothing, None, (), None, labels, np.array([500.0, 500, 0]), (0.02, 0.5), (-1, 1), 0.95
        ),
        **changes,
    )


@pytest.mark.parametrize("seed", range(3))
def test_what_the_model_always_saw_is_never_raised(seed: int) -> None:
    assert Watched(seed).see(2 * 3600, USUAL) == []


def test_that_traffic_comes_and_goes_says_nothing() -> None:
    watched = Watched()
    for num in (4, 1, 12, 3, 0, 6) * 4:
        assert watched.see(10 * WINDOW_S, {**USUAL, "num": num}) == []


def test_a_model_that_is_less_sure_is_raised_once_and_cleared_when_it_is_sure_again() -> None:
    watched = Watched()
    watched.see(SETTLED_S, USUAL)
    found = watched.see(30 * WINDOW_S, {**USUAL, "confidence": 0.3})
    assert said(found) == [("raise", "low_confidence")]
    assert found[0].against == "normal"
    assert found[0].score > 1
    assert found[0].text == "confidence 0.80 → 0.30"
    confidence = next(s for s in found[0].statistics if s.name == "confidence")
    assert (confidence.then, confidence.now) == pytest.approx((0.8, 0.3), abs=0.05)
    assert confidence.score < -1
    assert [finding.step for finding in watched.see(30 * WINDOW_S, USUAL)] == ["clear"]


def test_a_model_that_is_surer_is_no_drift() -> None:
    watched = Watched()
    watched.see(SETTLED_S, {**USUAL, "confidence": 0.4})
    assert watched.see(30 * WINDOW_S, {**USUAL, "confidence": 0.9}) == []


@pytest.mark.parametrize(
    ("boxes", "text"),
    [
        ({"size": 0.4}, "objects are 4.0 times as large"),
        ({"size": 0.025}, "objects are 0.2 times as large"),
        ({"shares": (0.0, 0.0, 1.0)}, "mostly class 0 → mostly class 2"),
    ],
)
def test_other_sizes_and_other_classes_are_other_objects(boxes: dict[str, Any], text: str) -> None:
    watched = Watched()
    watched.see(SETTLED_S, USUAL)
    found = watched.see(30 * WINDOW_S, {**USUAL, **boxes})
    assert said(found) == [("raise", "other_objects")]
    assert found[0].text == text


def test_a_cause_that_is_ignored_is_not_raised() -> None:
    watched = Watched(ignore=("low_confidence",))
    watched.see(SETTLED_S, USUAL)
    assert watched.see(30 * WINDOW_S, {**USUAL, "confidence": 0.3}) == []


@pytest.mark.parametrize(("sensitivity", "raised"), [(0.1, False), (1.0, True)])
def test_sensitivity_divides_the_thresholds(sensitivity: float, raised: bool) -> None:
    watched = Watched(sensitivity=sensitivity)
    watched.see(SETTLED_S, USUAL)
    assert bool(watched.see(30 * WINDOW_S, {**USUAL, "confidence": 0.3})) == raised


def test_a_picture_that_has_drifted_explains_what_the_model_sees() -> None:
    watched = Watched()
    watched.see(SETTLED_S, USUAL)
    assert watched.see(30 * WINDOW_S, {**USUAL, "confidence": 0.3}, learn=False, quiet=True) == []
    assert watched.see(30 * WINDOW_S, USUAL) == []


@pytest.mark.parametrize("boxes", [None, {"num": 0}])
def test_where_nothing_is_seen_nothing_is_said(boxes: dict[str, Any] | None) -> None:
    watched = Watched()
    assert watched.see(SETTLED_S, boxes) == []
    watched.see(SETTLED_S, USUAL)
    assert watched.see(SETTLED_S, boxes) == []


def test_another_model_begins_anew() -> None:
    watched = Watched()
    watched.see(SETTLED_S, USUAL)
    assert watched.see(SETTLED_S, {"confidence": 0.3, "shares": (0.5, 0.5)}) == []
    assert said(watched.see(30 * WINDOW_S, {"confidence": 0.1, "shares": (0.5, 0.5)})) == [("raise", "low_confidence")]


def test_what_was_accepted_is_the_normal_from_then_on() -> None:
    watched = Watched()
    watched.see(SETTLED_S, USUAL)
    watched.see(30 * WINDOW_S, {**USUAL, "confidence": 0.3})
    watched.watch.accept()
    watched.watch.episode.close()
    assert watched.see(30 * WINDOW_S, {**USUAL, "confidence": 0.3}) == []
    assert said(watched.see(30 * WINDOW_S, {**USUAL, "size": 0.4})) == [("raise", "other_objects")]


@pytest.mark.parametrize(
    ("boxes", "known"),
    [
        ({}, True),
        ({"size": 0.9}, False),
        ({"size": 0.005}, False),
        ({"shares": (0.0, 0.0, 1.0)}, False),
    ],
)
def test_objects_that_training_did_not_have_are_told_from_the_first_minutes(boxes: dict[str, Any], known: bool) -> None:
    found = Watched(training=training_of()).see(10 * WINDOW_S, {**USUAL, **boxes})
    assert said(found) == ([] if known else [("raise", "other_objects")])
    if not known:
        assert found[0].against == "training"
        assert found[0].text == "100% of the objects are of a size, shape or class that was not trained"


def test_objects_that_training_did_not_have_are_fine_while_the_model_is_sure_of_them() -> None:
    training = training_of(low_confidence=0.3)
    assert Watched(training=training).see(10 * WINDOW_S, {**USUAL, "size": 0.9}) == []


@pytest.mark.parametrize("changes", [{"labels": ("a", "b", "c")}, {"class_counts": np.array([MIN_BOXES / 2, 1, 1])}])
def test_training_of_other_classes_or_hardly_any_boxes_says_nothing(changes: dict[str, Any]) -> None:
    assert Watched(training=training_of(**changes)).see(10 * WINDOW_S, {**USUAL, "size": 0.9}) == []


def test_what_is_restored_goes_on_as_without() -> None:
    watched, other = Watched(), Watched()
    for each in (watched, other):
        each.see(SETTLED_S, USUAL)
    again = ObjectWatch(DriftSettings(), None)
    again.restore(*watched.watch.pack())
    watched.watch = again
    # The windows that were under way are lost.
    for each in (watched, other):
        each.see(WINDOWS * WINDOW_S, USUAL)
    dim = {**USUAL, "confidence": 0.3}
    found, expected = watched.see(30 * WINDOW_S, dim), other.see(30 * WINDOW_S, dim)
    assert said(found) == said(expected) == [("raise", "low_confidence")]
    assert found[0].score == pytest.approx(expected[0].score, rel=0.05)
    assert watched.camera.pts_s == other.camera.pts_s


def test_a_watch_that_has_seen_nothing_is_restored_too() -> None:
    watched = Watched()
    watched.watch.restore(*ObjectWatch(DriftSettings(), None).pack())
    assert watched.see(SETTLED_S, USUAL) == []


def test_boxes_of_other_classes_than_are_said_are_refused() -> None:
    arrays, facts = ObjectWatch(DriftSettings(), None).pack()
    with pytest.raises(ValueError, match=r"boxes have the shape \(0, 4\) with 2 classes"):
        ObjectWatch(DriftSettings(), None).restore(arrays, {**facts, "labels": ["a", "b"]})


def test_columns_and_classes_of_a_sample_must_fit() -> None:
    columns = make_boxes(np.random.default_rng(0)).columns
    with pytest.raises(ValueError, match=r"columns: expected the shape \(6, 3\), got \(6, 4\)"):
        BoxSample(columns, np.zeros(3, np.intp), ("class 0",))


def test_a_camera_says_what_its_model_sees() -> None:
    monitor, camera = CameraMonitor(DriftSettings()), PaintedCamera(every_s=3.0)
    verdicts = []
    for boxes in (USUAL, {**USUAL, "confidence": 0.3}, USUAL):
        for sample in camera.film(SETTLED_S, boxes=boxes):
            verdicts += monitor.observe(sample)
    raised, cleared = (verdict.part for verdict in verdicts)
    assert (raised.cause, cleared.cause, raised.against) == ("low_confidence", "low_confidence", "normal")
    assert raised.text.endswith(": confidence 0.80 → 0.30")
    assert raised.window.samples >= MIN_BOXES
    assert cleared.lasted_s is not None
    assert cleared.lasted_s == pytest.approx(SETTLED_S, abs=2 * WINDOWS * WINDOW_S)
