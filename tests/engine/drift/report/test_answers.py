from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engine.drift.report.answers import advice, answers, headline, moment, remark
from engine.drift.report.parts import DriftReport, Finding, Row
from tests.engine.drift.report.builders import blurred, make_part, make_report, make_sample, training


def steady(**fields: Any) -> DriftReport:
    return make_report([make_sample(t) for t in range(60)], **fields)


def found(cause: str, against: str = "normal", **fields: Any) -> DriftReport:
    return steady(findings=[Finding(make_part(cause, against=against), 30.0, 40.0)], **fields)


@pytest.mark.parametrize(
    ("report", "text"),
    [
        (lambda: blurred(), "From 0:30 on the picture is blurred: out of focus, or the lens is wet."),
        (lambda: blurred(reference=training()), "From 0:30 on the picture is blurred: out of focus, or the lens is wet. The model was trained on pictures that are sharper."),
        (lambda: blurred(cleared_s=45.0), "From 0:30 to 0:45: the picture is blurred."),
        (lambda: steady(), "Nothing has changed."),
        (lambda: steady(reference=training(brightness=100.0)), "Nothing has changed. The model was trained on pictures that are brighter."),
        (lambda: found("changed", "training", reference=training(brightness=100.0)), "Nothing has changed, but it is unlike what the model was trained on. The model was trained on pictures that are brighter."),
        (lambda: steady(settled=0.4), "There is too little footage to say whether the picture changed."),
        (lambda: make_report([make_sample(0)]), "There is too little footage to say anything."),
        (lambda: make_report([]), "There is too little footage to say anything."),
    ],
)  # fmt: skip
def test_says_the_most_important_thing_first(report: Callable[[], DriftReport], text: str) -> None:
    assert headline(report()) == text


@pytest.mark.parametrize(
    ("report", "lights"),
    [
        (lambda: steady(reference=training()), ["green", "green", "green"]),
        (lambda: steady(), ["grey", "green", "green"]),
        (lambda: steady(reference=training(brightness=100.0)), ["amber", "green", "green"]),
        (lambda: steady(reference=training(size=0.9)), ["amber", "green", "green"]),
        (lambda: steady(reference=training(confidence=0.99)), ["amber", "green", "amber"]),
        (lambda: blurred(reference=training()), ["amber", "red", "green"]),
        (lambda: blurred(cleared_s=45.0, reference=training()), ["amber", "amber", "green"]),
        (lambda: found("dark", "training", reference=training(brightness=100.0)), ["red", "green", "green"]),
        (lambda: found("covered", reference=training()), ["green", "red", "red"]),
        (lambda: found("low_confidence", reference=training()), ["green", "red", "red"]),
        (lambda: steady(settled=0.5, reference=training()), ["green", "grey", "green"]),
        (lambda: make_report([make_sample(t, boxes=None) for t in range(60)], model=""), ["grey", "green", "grey"]),
        (lambda: make_report([make_sample(t, boxes=()) for t in range(60)]), ["grey", "green", "grey"]),
        (lambda: make_report([], reference=training(), settled=0.0), ["grey", "grey", "grey"]),
    ],
)
def test_answers_each_question_with_a_light(report: Callable[[], DriftReport], lights: list[str]) -> None:
    assert [answer.light for answer in answers(report())] == lights


def test_fewer_objects_than_before_are_a_doubt() -> None:
    samples = [make_sample(t, boxes=(0,) * (4 if t < 30 else 1)) for t in range(60)]
    report = make_report(samples, findings=[Finding(make_part("fog"), 30.0, 40.0)])
    answer = answers(report)[2]
    assert answer.light == "amber"
    assert answer.text == "It finds fewer objects: 1 in a picture, before it was 4."


def test_says_what_to_do_about_each_cause_once() -> None:
    report = steady(
        findings=[Finding(make_part("dirty"), 10, 20, 30), Finding(make_part("blurred"), 40, 50),
                  Finding(make_part("blurred", against="training"), 40, 55)],
        reference=training(),
    )  # fmt: skip
    assert advice(report)[:2] == ["Clean and dry the lens, then set the focus.", "Clean the lens or its dome."]
    assert [one.startswith("If this is how the camera is meant to look, train") for one in advice(report)[2:]] == [True]
    assert advice(steady(reference=training())) == ["Nothing."]
    assert "`vedette reference BUNDLE --data DATA`" in advice(steady())[0]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (Row("brightness", (9, 10, 11), (4, 5, 6), (1, 5, 9), -2.0), "darker than before"),
        (Row("brightness", (9, 10, 11), (9, 10, 12), (1, 5, 9), 0.7), "a little brighter than before; brighter than nearly all training pictures"),
        (Row("brightness", (9, 10, 11), (9, 10, 11), None, 0.1), "as before"),
        (Row("confidence", (0.7, 0.8, 0.9), (0.4, 0.5, 0.6), None, None), "less certain for the model than before"),
        (Row("brightness", None, (9, 10, 11), (1, 10, 19), None), "as in training"),
        (Row("brightness", None, (9, 10, 11), None, None), ""),
    ],
)  # fmt: skip
def test_says_a_row_in_words(row: Row, words: str) -> None:
    assert remark(row) == words


def test_a_moment_is_a_time_of_day_where_that_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    day = make_report([make_sample(t, unix_s=1_795_331_704.0 + t) for t in range(0, 3000, 10)])
    # The zone is that of whoever reads it; minutes are the same in nearly all.
    assert moment(day, 600).endswith(":25")
    assert moment(steady(), 30.0) == "0:30"
