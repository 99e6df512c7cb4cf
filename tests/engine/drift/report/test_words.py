from __future__ import annotations

from engine.drift.causes import CAUSES
from engine.drift.report.series import SERIES_STATISTICS
from engine.drift.report.words import ADVICE, HEADLINES, WORDS, word_of


def test_every_cause_has_a_headline_and_advice() -> None:
    assert set(HEADLINES) == set(ADVICE) == set(CAUSES)


def test_every_statistic_has_words() -> None:
    assert set(SERIES_STATISTICS) <= set(WORDS)


def test_a_statistic_without_words_keeps_its_name() -> None:
    assert word_of("scene_detail").name == "scene detail"
