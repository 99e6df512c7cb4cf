"""What a drift report says first: one headline, and an answer to each of the three questions that people ask."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np

from engine.drift.causes import CAUSES
from engine.drift.report.parts import DriftReport, Finding, Light, Row
from engine.drift.report.words import ADVICE, HEADLINES, clock, length, listed, word_of

# Statistics of how the picture is: what people mean by "pictures like these". Where objects stand is the scene's own.
_OF_PICTURES = (
    "brightness", "contrast", "saturation", "sharpness", "noise", "color_cast_blue", "color_cast_red", "blockiness",
)  # fmt: skip
_BLIND = {"frozen", "covered"}
_UNSURE = {"low_confidence"}


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as a traffic light with a sentence; grey is not known."""

    question: str
    light: Light
    text: str


def headline(report: DriftReport) -> str:
    """Say the most important thing in plain words."""
    main = report.main
    if len(report.series) < 2:
        return "There is too little footage to say anything."
    if main is not None:
        cause = HEADLINES.get(main.part.cause, main.part.cause.replace("_", " "))
        usually = CAUSES.get(main.part.cause, "").partition(": ")[2]
        if main.cleared_s is None:
            first = f"From {moment(report, main.began_s)} on {cause}{usually and f': {usually}'}."
        else:
            first = f"From {moment(report, main.began_s)} to {moment(report, main.cleared_s)}: {cause}."
        # What was always so is no news: the answer below says it.
        return " ".join([first, *_trained_on(report, changed_only=True)])
    first = (
        "Nothing has changed"
        if report.settled >= 1
        else "There is too little footage to say whether the picture changed"
    )
    if any(one.cleared_s is None for one in report.unlike_training):
        return " ".join([f"{first}, but it is unlike what the model was trained on.", *_trained_on(report)])
    return " ".join([f"{first}.", *_trained_on(report)])


def answers(report: DriftReport) -> list[Answer]:
    """Answer the three questions."""
    return [_is_as_trained(report), _has_changed(report), _can_see(report)]


def advice(report: DriftReport) -> list[str]:
    """Say what to do, the most important first, each once."""
    order = sorted(report.changes, key=lambda one: (one.cleared_s is not None, -one.part.score))
    # Against the training pictures "changed" has no advice of its own: the camera may always have been so.
    order += [one for one in report.unlike_training if one.part.cause != "changed"]
    found = list(dict.fromkeys(ADVICE[one.part.cause] for one in order if one.part.cause in ADVICE))
    if report.unlike_training or (not report.changes and any(_strange(report))):
        found.append(
            "If this is how the camera is meant to look, train the model with pictures of it (`vedette label` and "
            "`vedette train`)."
        )
    if report.reference is None and report.model:
        found.append(
            "Give the model its reference statistics, so that a camera can be compared with what it was trained on: "
            "`vedette reference BUNDLE --data DATA`."
        )
    return found or ["Nothing."]


def moment(report: DriftReport, at_s: float) -> str:
    """Name a place on the axis of time: by the time of day where that is known, or by the time since the start.

    A report over more than a day names the day, too.
    """
    series = report.series
    if not len(series):
        return clock(at_s)
    row = max(int(np.searchsorted(series.elapsed_s, at_s, "right")) - 1, 0)
    unix_s = float(series.unix_s[row])
    if np.isnan(unix_s):
        return f"{clock(at_s)}"
    when = dt.datetime.fromtimestamp(unix_s + at_s - float(series.elapsed_s[row])).astimezone()
    spread_s = float(np.nanmax(series.unix_s) - np.nanmin(series.unix_s))
    return f"{when:%d %b %H:%M}" if spread_s > 86400 else f"{when:%H:%M:%S}" if spread_s < 600 else f"{when:%H:%M}"


def remark(row: Row) -> str:
    """Say in words how a statistic is now: against before, and against training."""
    word, change = word_of(row.name), row.change
    parts = []
    if change is not None and abs(change) >= 0.5:
        way = word.more if change > 0 else word.less
        parts.append(f"a little {way} than before" if abs(change) < 1 else f"{way} than before")
    if row.outside_training:
        way = word.more if row.outside_training > 0 else word.less
        parts.append(f"{way} than nearly all training pictures")
    return "; ".join(parts) or ("as before" if change is not None else "as in training" if row.training else "")


def _is_as_trained(report: DriftReport) -> Answer:
    question = "Is it like what the model was trained on?"
    if not report.model:
        return Answer(question, "grey", "No model looks at this camera.")
    if report.reference is None:
        text = "Not known: the model's bundle says nothing about its training pictures."
        return Answer(question, "grey", f"{text} `vedette reference BUNDLE --data DATA` adds that.")
    if not len(report.now):
        return Answer(question, "grey", "There are no pictures to compare.")
    raised = [one for one in report.unlike_training if one.cleared_s is None]
    text = " ".join(_trained_on(report))
    if raised:
        return Answer(question, "red", text or _sentence(raised[0].part.text))
    if text:
        return Answer(question, "amber", text)
    if others := [word_of(row.name).name for row in report.rows() if row.outside_training]:
        text = f"The picture is, but this is seldom so in the training pictures: {listed(others)}."
        return Answer(question, "amber", text)
    return Answer(question, "green", "Yes: light, colours, focus and objects are as in the training pictures.")


def _strange(report: DriftReport) -> list[Row]:
    """Give the statistics of the picture that are outside of what training covered, the furthest first."""
    rows = [row for row in report.rows() if row.outside_training and row.name in _OF_PICTURES]
    return sorted(rows, key=lambda row: -row.beyond_training)


def _trained_on(report: DriftReport, changed_only: bool = False) -> list[str]:
    """Say how the training pictures differ, in a sentence; nothing where they do not."""
    rows = _strange(report)
    if changed_only:
        changed = [row for row in rows if abs(row.change or 0.0) >= 1]
        rows = sorted(changed, key=lambda row: -abs(row.change or 0.0))
    if not rows:
        return []
    ways = [word_of(row.name).less if row.outside_training > 0 else word_of(row.name).more for row in rows]
    return [f"The model was trained on pictures that are {listed(ways[:3])}."]


def _has_changed(report: DriftReport) -> Answer:
    question = "Has it changed?"
    found = report.changes
    lasting = [one for one in found if one.cleared_s is None]
    if lasting:
        return Answer(question, "red", f"Yes: {listed([_told(report, one) for one in lasting])}.")
    if found:
        told = listed([f"{_told(report, one)} (until {moment(report, one.cleared_s or 0.0)})" for one in found])
        return Answer(question, "amber", f"For a while: {told}. It has passed.")
    if report.settled < 1:
        share = f"{report.settled:.0%} of the {length(report.settings.settle_s)} that it takes to know what is normal"
        return Answer(question, "grey", f"Not known: there is {share} for this camera.")
    return Answer(question, "green", "No: it looks as it did.")


def _told(report: DriftReport, one: Finding) -> str:
    return f"from {moment(report, one.began_s)} on {HEADLINES.get(one.part.cause, one.part.text)}"


def _can_see(report: DriftReport) -> Answer:
    question = "Can the model still see?"
    causes = {one.part.cause for one in report.findings if one.cleared_s is None}
    if causes & _BLIND:
        return Answer(question, "red", "No: there is nothing to be seen in such a picture.")
    if not report.model:
        return Answer(question, "grey", "No model looks at this camera.")
    rows = {row.name: row for row in report.rows()}
    count, confidence = rows.get("count"), rows.get("confidence")
    if causes & _UNSURE:
        return Answer(question, "red", f"Badly: it is less sure of what it sees{_by_how_much(confidence)}.")
    if count is None or confidence is None:
        return Answer(question, "grey", "It found no object in the last pictures, so that it cannot be told.")
    doubts = []
    if (confidence.change or 0.0) <= -1 or confidence.outside_training < 0:
        doubts.append(f"it is less sure of what it sees{_by_how_much(confidence)}")
    if (count.change or 0.0) <= -1:
        then = 0.0 if count.then is None else count.then[1]
        doubts.append(f"it finds fewer objects: {count.now[1]:.0f} in a picture, before it was {then:.0f}")
    if doubts:
        return Answer(question, "amber", _sentence(listed(doubts)))
    return Answer(question, "green", f"Yes: it is as sure of what it sees as ever{_by_how_much(confidence)}.")


def _by_how_much(confidence: Row | None) -> str:
    if confidence is None:
        return ""
    before = confidence.then or confidence.training
    return f" ({confidence.now[1]:.2f} of 1{'' if before is None else f', before it was {before[1]:.2f}'})"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."
