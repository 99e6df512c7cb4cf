"""Causes: each is told by its marks."""

from __future__ import annotations

import numpy as np
import pytest

from engine.drift.causes import CAUSES
from engine.drift.diagnosis import MARKS, MEASURES, SCENE_MEASURES, Diagnosis, diagnose, marks_of, nearest
from engine.drift.distance import Values
from engine.drift.sample import PICTURE_STATISTICS
from engine.drift.signatures import SIGNATURES


def scores_of(**scores: float) -> Values:
    return np.array([scores.get(name, 0.0) for name in MEASURES])


def scores_with(marks: Values) -> Values:
    """Give scores that leave these marks."""
    undamped = dict(zip(MARKS, np.sign(marks) * np.expm1(np.abs(marks)), strict=True))
    undamped["color_cast_red"] = undamped.pop("color_cast")
    return scores_of(**undamped)


def test_measures_are_the_statistics_and_then_the_view() -> None:
    assert (*PICTURE_STATISTICS, *SCENE_MEASURES) == MEASURES
    assert len(set(MEASURES)) == len(MEASURES)


def test_every_signature_has_a_number_for_each_mark() -> None:
    for cause, each in SIGNATURES.items():
        assert cause in CAUSES
        for signature in each:
            assert len(signature) == len(MARKS)
            assert np.linalg.norm(signature) == pytest.approx(1, abs=0.3)


@pytest.mark.parametrize("cause", SIGNATURES)
def test_what_shows_as_a_signature_has_its_cause(cause: str) -> None:
    for signature in SIGNATURES[cause]:
        found = diagnose(scores_with(2 * np.array(signature)))
        assert found.cause == cause
        assert found.fit == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("scores", "cause"),
    [
        ({"frozen": 1.0, "moved": 9.0, "covered": 9.0}, "frozen"),
        ({"moved": 1.0, "covered": 9.0, "brightness": -9.0}, "moved"),
        ({"covered": 2.0, "elsewhere": 0.1, "brightness": -9.0}, "covered"),
        ({"covered": 1.0, "elsewhere": 9.0, "brightness": -9.0}, "moved"),
        ({"elsewhere": 1.0, "brightness": -9.0}, "moved"),
    ],
)
def test_what_the_view_tells_goes_before_what_the_numbers_resemble(scores: dict[str, float], cause: str) -> None:
    assert diagnose(scores_of(**scores)).cause == cause


def test_a_view_that_is_elsewhere_is_less_sure_than_a_shift() -> None:
    assert diagnose(scores_of(elsewhere=2)).fit < diagnose(scores_of(moved=2)).fit


def test_below_its_threshold_the_view_decides_nothing() -> None:
    view = dict.fromkeys(("frozen", "moved", "covered", "elsewhere"), 0.99)
    assert diagnose(scores_of(**view)).cause == "changed"


def test_no_change_has_no_cause() -> None:
    assert diagnose(scores_of()) == Diagnosis("changed", 0.0)


def test_a_change_that_resembles_nothing_is_only_called_a_change() -> None:
    found = diagnose(scores_of(entropy=9, brightness=-0.5, noise=-5, sharpness=9))
    assert found.cause == "changed"
    assert 0 <= found.fit < 1


def test_the_nearest_signature_is_that_of_the_greatest_cosine() -> None:
    signatures = {"up": [[9.0, 0.0]], "aslant": [[0.0, 1.0], [0.6, 0.8]]}
    assert nearest(np.array([3.0, 0.5]), signatures).cause == "up"
    found = nearest(np.array([2.0, 2.0]), signatures)
    assert found.cause == "aslant"
    assert found.fit == pytest.approx(1.4 / np.sqrt(2))
    assert nearest(np.array([-1.0, 0.0]), signatures).cause == "changed"
    assert nearest(np.array([1.0, 0.0]), {}) == Diagnosis("changed", 0.0)


def test_the_direction_of_a_colour_cast_is_no_mark() -> None:
    blue, red = scores_of(color_cast_blue=4), scores_of(color_cast_red=-4)
    assert np.array_equal(marks_of(blue), marks_of(red))


def test_one_wild_measure_does_not_drown_the_others() -> None:
    assert np.array_equal(marks_of(scores_of(noise=10, sharpness=-3)), marks_of(scores_of(noise=1e9, sharpness=-3)))


def test_an_unknown_score_leaves_no_mark() -> None:
    assert np.isfinite(marks_of(scores_of(motion=np.nan, noise=np.inf))).all()
