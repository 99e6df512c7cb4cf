from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from engine.errors import SourceError, UsageError
from tests.builders import make_event
from training.evaluation.events import Fact, Scores, judge_events, read_facts, register


def crossed(pts_s: float, direction: str = "in", camera: str = "gate", rule: str = "door") -> Fact:
    return Fact(camera, "line.crossed", rule, direction, pts_s)


def test_an_event_within_the_tolerance_is_found() -> None:
    judgement = judge_events([crossed(5.0)], [crossed(6.0)], tolerance_s=1.0)
    assert judgement.pairs == ((crossed(5.0), crossed(6.0)),)
    assert judgement.scores() == Scores(1, 1, 1, 1.0)


def test_an_event_outside_of_it_is_a_miss_and_a_false_alarm() -> None:
    judgement = judge_events([crossed(5.0)], [crossed(6.01)], tolerance_s=1.0)
    assert (judgement.pairs, judgement.missed, judgement.false_alarms) == ((), (crossed(5.0),), (crossed(6.01),))


@pytest.mark.parametrize("other", [crossed(5.0, "out"), crossed(5.0, camera="dock"), crossed(5.0, rule="road")])
def test_camera_rule_and_direction_must_agree(other: Fact) -> None:
    assert judge_events([crossed(5.0)], [other]).pairs == ()


def test_one_result_is_one_event_of_the_truth_only() -> None:
    judgement = judge_events([crossed(5.0), crossed(5.5)], [crossed(5.25)])
    assert judgement.scores() == Scores(2, 1, 1, 0.25)


def test_as_many_pair_as_can_even_where_the_nearest_would_not() -> None:
    judgement = judge_events([crossed(5.0), crossed(5.9)], [crossed(5.8), crossed(6.8)], tolerance_s=1.0)
    assert judgement.pairs == ((crossed(5.0), crossed(5.8)), (crossed(5.9), crossed(6.8)))


def test_among_those_the_nearest_pair() -> None:
    judgement = judge_events([crossed(5.0), crossed(5.5)], [crossed(5.6), crossed(5.1)], tolerance_s=1.0)
    assert judgement.pairs == ((crossed(5.0), crossed(5.1)), (crossed(5.5), crossed(5.6)))


def test_types_that_the_truth_does_not_speak_about_are_not_judged() -> None:
    new = Fact("gate", "object.new", "", "", 1.0)
    dwelled = Fact("gate", "zone.dwelled", "yard", "", 1.0)
    assert judge_events([crossed(5.0)], [crossed(5.0), new, dwelled]).false_alarms == (dwelled,)
    assert judge_events([new], [new]).scores() == Scores(1, 1, 1, 0.0)


def test_scores_per_type_and_rule() -> None:
    judgement = judge_events([crossed(1.0), crossed(5.0), crossed(1.0, rule="road")], [crossed(1.25), crossed(9.0)])
    assert judgement.kinds == [("line.crossed", "door"), ("line.crossed", "road")]
    assert judgement.scores(("line.crossed", "door")) == Scores(2, 2, 1, 0.25)
    assert judgement.scores(("line.crossed", "road")) == Scores(1, 0, 0, 0.0)


def test_nothing_expected_and_nothing_found_is_right() -> None:
    scores = judge_events([], []).scores()
    assert (scores.precision, scores.recall) == (1.0, 1.0)


def test_vedettes_own_log_and_a_truth_without_ids_are_read(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    truth = {"type": "zone.entered", "camera": "yard", "pts_s": 2.0, "zone": {"name": "loading"}, "object": {}}
    path.write_bytes(make_event(seq=50).to_json() + b"\n\n" + json.dumps(truth).encode() + b"\n")
    assert read_facts(path) == [
        Fact("gate", "line.crossed", "in", "", 2.0),
        Fact("yard", "zone.entered", "loading", "", 2.0),
    ]


def test_an_exit_because_nobody_looks_any_longer_is_not_judged(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    exits = [make_event(type="zone.exited", seq=25, reason=reason) for reason in ("lost", "shutdown", "camera_gap")]
    path.write_bytes(b"".join(event.to_json() + b"\n" for event in exits))
    assert read_facts(path) == [Fact("gate", "zone.exited", "in", "", 1.0)]


def test_a_missing_log_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.jsonl: no such event log"):
        read_facts(tmp_path / "gone.jsonl")


@pytest.mark.parametrize(
    "line", ["not json", "[]", '{"type": "line.crossed"}', '{"type":"a","camera":"b","pts_s":"x"}']
)
def test_a_line_that_is_no_event_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"type":"a","camera":"b","pts_s":1}\n' + line + "\n")
    with pytest.raises(SourceError, match=r"bad\.jsonl: line 2: not an event"):
        read_facts(path)


def write(path: Path, facts: list[Fact]) -> str:
    def body(fact: Fact) -> dict[str, Any]:
        line = {"name": fact.rule, "direction": fact.direction}
        return {"type": fact.type, "camera": fact.camera, "pts_s": fact.pts_s, "line": line}

    path.write_text("".join(json.dumps(body(fact)) + "\n" for fact in facts))
    return str(path)


def run(tmp_path: Path, *options: str) -> str:
    app = typer.Typer()
    register(app)
    app.command("other")(lambda: None)
    gt = write(tmp_path / "gt.jsonl", [crossed(1.0), crossed(5.0, "out")])
    results = write(tmp_path / "results.jsonl", [crossed(1.5), crossed(9.0)])
    found = CliRunner().invoke(app, ["events", "--gt", gt, "--results", results, *options])
    assert found.exit_code == 0, found.output
    return found.output


def test_the_command_prints_a_table_and_what_is_left_over(tmp_path: Path) -> None:
    assert run(tmp_path).splitlines() == [
        "                   precision  recall  truth  found  delay s",
        "line.crossed door      0.500   0.500      2      2    +0.50",
        "all                    0.500   0.500      2      2    +0.50",
        "- missed:      gate     5.00 s  line.crossed door out",
        "+ false alarm: gate     9.00 s  line.crossed door in",
    ]


def test_the_command_prints_json(tmp_path: Path) -> None:
    scores = {"precision": 0.0, "recall": 0.0, "truth": 2, "results": 2, "matched": 0, "mean_delay_s": 0.0}
    found = json.loads(run(tmp_path, "--json", "--tolerance-s", "0.2"))
    assert {key: found[key] for key in scores} == scores
    assert found["rules"] == [{"type": "line.crossed", "rule": "door", **scores}]
    assert (len(found["missed"]), len(found["false_alarms"])) == (2, 2)
