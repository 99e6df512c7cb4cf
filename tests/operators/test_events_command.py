from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kafka
import pytest

from engine.cli import main
from engine.event import CameraPart, DriftPart, DriftWindow, LinePart, ObjectPart, ZonePart, json_schema
from engine.wording import describe
from operators.kafka import Kafka
from tests.builders import make_event
from tests.kafka_brokers import opened

pytest_plugins = ("tests.kafka_brokers",)
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

ROOT = Path(__file__).resolve().parents[2]
PERSON = ObjectPart(57, "person", 0.91, (0.12, 0.33, 0.18, 0.61), 4.2, (0.03, 0.0))
MOVED = DriftPart(
    "moved",
    "it was bumped by 41 px (+41, -3)",
    "normal",
    3.21,
    DriftWindow(0.0, 60.0, 60, 20.0),
    moved_px=(41.2, -3.0),
    picture="data:x",
)


# schema


def test_the_schema_that_is_checked_in_is_the_one_that_the_types_give() -> None:
    assert json.loads((ROOT / "docs" / "event.schema.json").read_text(encoding="utf-8")) == json_schema()


def test_the_schema_is_printed_or_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["events", "schema"]) == 0
    assert main(["events", "schema", "--out", str(tmp_path / "s.json")]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed) == json_schema()
    assert (tmp_path / "s.json").read_text(encoding="utf-8") == printed


def test_a_schema_that_cannot_be_written_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["events", "schema", "--out", str(tmp_path)]) == 3
    assert capsys.readouterr().err == f"vedette: the schema cannot be written to {tmp_path}: is a directory\n"


# One line for an event


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (
            {"type": "zone.dwelled", "object": PERSON, "zone": ZonePart("yard", 2, 10.0)},
            "zone.dwelled  person #57 (0.91), zone yard: 2 inside, for 10.0 s",
        ),
        (
            {"type": "line.crossed", "object": PERSON, "line": LinePart("in", "out", 3, 1)},
            "line.crossed  person #57 (0.91), line in: out, 3 in and 1 out so far",
        ),
        ({"type": "object.end", "object": PERSON, "reason": "left"}, "object.end  person #57 (0.91), left"),
        (
            {"type": "camera.down", "camera_state": CameraPart("down", cause="auth")},
            "camera.down  state=down cause=auth",
        ),
        ({"type": "model.changed", "data": {"to": "street"}}, 'model.changed  {"to": "street"}'),
        (
            {"type": "drift.raised", "rule": "moved", "drift": MOVED},
            "drift.raised  moved: it was bumped by 41 px (+41, -3), score 3.21",
        ),
        ({"type": "of.a.later.version"}, "of.a.later.version"),
    ],
)
def test_says_an_event_in_one_line(parts: dict[str, Any], words: str) -> None:
    body = make_event("gate", time_us=1_795_331_704_120_000, **parts).body()
    assert describe(body) == f"2026-11-22 07:15:04.120  gate  {words}"


# tail


def test_a_broker_that_is_not_there_is_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("operators.kafka.CONNECT_TIMEOUT_S", 0.3)
    assert main(["events", "tail", "--bootstrap", "127.0.0.1:1"]) == 3
    said = "vedette: kafka 127.0.0.1:1: nothing listens there; check bootstrap, and that Kafka runs\n"
    assert capsys.readouterr().err.endswith(said)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--bootstrap", "kafka://x"], "vedette: bootstrap: needs host:port"),
        (["--security-protocol", "TLS"], "vedette: security_protocol: needs one of PLAINTEXT, SSL"),
        (["--for", "soon"], "vedette: --for: needs a duration"),
    ],
)
def test_a_wrong_option_is_one_sentence(options: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["events", "tail", *options]) == 2
    assert capsys.readouterr().err.startswith(sentence)


@pytest.mark.kafka
def test_prints_each_event_once(broker: str, prefix: str, capsys: pytest.CaptureFixture[str]) -> None:
    sink = Kafka(broker, topic_prefix=prefix)
    with opened(sink):
        sink.write([make_event(seq=1), make_event(seq=1), make_event("dock", 1)], {})
        assert sink.flush(30.0) == 0
    options = ["--bootstrap", broker, "--topic", sink.topic, "--from-beginning", "--for", "2s"]
    assert main(["events", "tail", *options]) == 0
    printed = capsys.readouterr()
    assert sorted(printed.out.splitlines()) == sorted(describe(make_event(c).body()) for c in ("dock", "gate"))
    assert "vedette: 2 events, 1 repeated ones left out" in printed.err


@pytest.mark.kafka
def test_prints_only_what_is_asked_for_and_stops_when_it_has_enough(
    broker: str, prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sink = Kafka(broker, topic_prefix=prefix)
    with opened(sink):
        for seq, kind in enumerate(["zone.entered", "line.crossed", "zone.exited", "zone.entered"], start=1):
            sink.write([make_event("gate", seq, type=kind), make_event("dock", seq, type=kind)], {})
        assert sink.flush(30.0) == 0
    options = ["--camera", "gate", "--type", "zone", "--json", "--max", "2", "--from-beginning", "--for", "20s"]
    started = time.monotonic()
    assert main(["events", "tail", "--bootstrap", broker, "--topic", sink.topic, *options]) == 0
    assert time.monotonic() - started < 15.0
    lines = capsys.readouterr().out.encode().splitlines()
    assert lines == [make_event("gate", seq, type=t).to_json() for seq, t in ((1, "zone.entered"), (3, "zone.exited"))]


@pytest.mark.kafka
def test_says_what_is_not_an_event_and_goes_on(broker: str, prefix: str, capsys: pytest.CaptureFixture[str]) -> None:
    sink = Kafka(broker, topic_prefix=prefix, partitions=1)
    sink.create_topics()
    producer = kafka.KafkaProducer(bootstrap_servers=broker)
    for value in (b"hello", b"[1]", None, make_event().to_json()):
        producer.send(sink.topic, key=b"gate", value=value)
    producer.flush()
    producer.close()
    options = ["--from-beginning", "--max", "1", "--for", "20s"]
    assert main(["events", "tail", "--bootstrap", broker, "--topic", sink.topic, *options]) == 0
    printed = capsys.readouterr()
    assert printed.out == describe(make_event().body()) + "\n"
    assert [line for line in printed.err.splitlines() if "not an event" in line] == [
        f"vedette: not an event: {sink.topic}, partition 0, offset {offset}" for offset in (0, 1, 2)
    ]


@pytest.mark.kafka
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(embedded: str, prefix: str, ending: signal.Signals) -> None:
    sink = Kafka(embedded, topic_prefix=prefix)
    sink.create_topics()
    command = ["-m", "engine", "events", "tail", "--bootstrap", embedded, "--topic", sink.topic, "--from-beginning"]
    with opened(sink), running(command) as child:
        sink.write([make_event()], {})
        assert child.stdout is not None
        assert child.stdout.readline() == describe(make_event().body()) + "\n"
        child.send_signal(ending)
        out, err = child.communicate(timeout=20)
    assert (child.returncode, out) == (0, "")
    assert err == f"vedette: reading {sink.topic} at {embedded}, Ctrl-C ends\nvedette: 1 events\n"


# The page for consumers


@pytest.mark.kafka
def test_the_consumer_on_the_page_sees_each_event_once_and_notices_a_gap(embedded: str, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    program = tmp_path / "consumer.py"
    program.write_text(example.replace("localhost:9092", embedded), encoding="utf-8")
    events = [make_event("page-gate", seq) for seq in (1, 2, 2, 5)]
    sink = Kafka(embedded)
    with opened(sink), running([str(program)]) as child:
        sink.write(events, {})
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(4)]
    said = [f"page-gate {e.seq} {e.type} {e.body()['time']}\n" for e in (events[0], events[1], events[3])]
    assert lines == [said[0], said[1], "page-gate: missed 2 events\n", said[2]]


@contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A Python program that is stopped at the end of the block."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, *command], cwd=ROOT, stdout=pipe, stderr=pipe, text=True) as child:
        try:
            yield child
        finally:
            child.kill()
