"""Episodes: what lasts is said, once, and taken back when its absence lasts."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from engine.drift.episode import CLEAR_BELOW, Episode

PERSIST_S = 60.0
BETWEEN = (1 + CLEAR_BELOW) / 2


def steps(episode: Episode, scores: Sequence[tuple[float, str]], start_s: float = 0.0) -> list[tuple[float, str]]:
    """Check every ten seconds, close what is over, and give what followed."""
    out: list[tuple[float, str]] = []
    for number, (score, cause) in enumerate(scores):
        now_s = start_s + 10 * number
        step = episode.step(now_s, score, cause, now_s)
        if step == "clear":
            episode.close()
        if step is not None:
            out.append((now_s, step))
    return out


def run(score: float, num: int, cause: str = "dark") -> list[tuple[float, str]]:
    return [(score, cause)] * num


def test_a_change_is_raised_once_it_has_lasted_and_never_again() -> None:
    assert steps(Episode(PERSIST_S), run(2, 100)) == [(PERSIST_S, "raise")]


def test_a_change_that_does_not_last_is_never_raised() -> None:
    episode = Episode(PERSIST_S)
    assert steps(episode, (run(2, 6) + run(0.9, 1)) * 10) == []
    assert not episode.suspected


def test_below_the_threshold_nothing_is_suspected() -> None:
    episode = Episode(PERSIST_S)
    assert steps(episode, run(0.999, 100)) == []
    assert not episode.suspected


def test_what_is_suspected_is_known_to_be() -> None:
    episode = Episode(PERSIST_S)
    steps(episode, run(1, 1))
    assert episode.suspected
    assert episode.cause is None


def test_it_began_when_the_change_did() -> None:
    episode = Episode(PERSIST_S)
    for now_s in (50.0, 80.0, 110.0):
        step = episode.step(now_s, 2, "dark", changed_s=now_s - 20)
    assert step == "raise"
    assert (episode.cause, episode.began_s, episode.opened_s) == ("dark", 30.0, 110.0)


def test_it_is_over_when_its_absence_has_lasted() -> None:
    episode = Episode(PERSIST_S)
    found = steps(episode, run(2, 7) + run(0.1, 20))
    assert found == [(PERSIST_S, "raise"), (70 + PERSIST_S, "clear")]
    assert (episode.cause, episode.suspected) == (None, False)


def test_between_the_two_thresholds_it_stays_as_it_is() -> None:
    assert steps(Episode(PERSIST_S), run(2, 7) + run(BETWEEN, 100)) == [(PERSIST_S, "raise")]
    assert steps(Episode(PERSIST_S), run(BETWEEN, 100)) == []


def test_it_does_not_flicker_around_the_threshold() -> None:
    assert steps(Episode(PERSIST_S), run(2, 7) + (run(0.1, 5) + run(1.1, 1)) * 20) == [(PERSIST_S, "raise")]


def test_another_cause_that_fits_for_long_renames_it() -> None:
    episode = Episode(PERSIST_S)
    assert steps(episode, run(2, 7) + run(2, 12, "dusk")) == [(PERSIST_S, "raise")]
    assert steps(episode, run(2, 1, "dusk"), start_s=190.0) == [(190.0, "rename")]


@pytest.mark.parametrize("score", [2, BETWEEN])
def test_a_cause_that_comes_and_goes_or_hardly_counts_renames_nothing(score: float) -> None:
    flicker = (run(score, 2, "dusk") + run(score, 2)) * 20
    assert steps(Episode(PERSIST_S), run(2, 7) + flicker + run(BETWEEN, 30, "dusk")) == [(PERSIST_S, "raise")]


def test_after_its_end_it_is_raised_anew() -> None:
    found = steps(Episode(PERSIST_S), (run(2, 10) + run(0, 10)) * 2)
    assert [step for _, step in found] == ["raise", "clear", "raise", "clear"]
