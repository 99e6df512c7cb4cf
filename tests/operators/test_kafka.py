from __future__ import annotations

import collections
import json
import logging
import os
import pickle
import random
import signal
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import kafka
import pytest
from kafka import errors as kafka_errors
from kafka.admin import ACL, ACLFilter, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType
from pydantic import TypeAdapter

from deployments.embedded_broker import EmbeddedBroker
from engine.errors import SinkError
from engine.event import ObjectPart, parse_body
from operators.kafka import BATCH_BYTES, Kafka
from tests.builders import make_event
from tests.kafka_brokers import Apache, consume, opened

pytest_plugins = ("tests.kafka_brokers",)
# kafka-python leaves the sockets of refused connections to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

PERSON = ObjectPart(57, "person", 0.91, (0.12, 0.33, 0.18, 0.61), 4.2, (0.03, 0.0))
LOGIN: dict[str, Any] = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "SCRAM-SHA-256"}


# Configuration


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"bootstrap": ""}, r"bootstrap: needs host:port, or several"),
        ({"bootstrap": "kafka://a:1"}, r"bootstrap: needs host:port"),
        ({"topic_prefix": "a b"}, r"topic_prefix: may hold letters, digits, '.', '_' and '-', got 'a b'"),
        ({"when_full": "wait"}, r"when_full: needs one of drop_oldest, drop_newest, got 'wait'"),
        ({"compression": "lz4"}, r"compression: needs one of gzip, null, got 'lz4'"),
        ({"security_protocol": "TLS"}, r"security_protocol: needs one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL, "),
        ({"sasl_mechanism": "GSSAPI"}, r"sasl_mechanism: needs one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, null, got"),
        ({"max_queue": 0}, r"max_queue: must be at least 1, got 0"),
        ({"partitions": 0}, r"partitions: must be at least 1, got 0"),
        ({"security_protocol": "SASL_SSL"}, r"security_protocol: SASL_SSL needs sasl_mechanism, username and password"),
        ({"username": "engine"}, r"security_protocol: PLAINTEXT takes no user; use SASL_SSL"),
    ],
)
def test_refuses_a_configuration_that_cannot_be_meant(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Kafka(**{"bootstrap": "localhost:9092", **fields})


def test_does_not_repeat_a_password_that_was_put_into_the_address() -> None:
    with pytest.raises(ValueError, match="bootstrap: needs host:port") as caught:
        Kafka(bootstrap="engine:hunter22@localhost:9092")
    assert "hunter22" not in str(caught.value)


def test_reads_its_configuration_from_yaml_values() -> None:
    values = {"bootstrap": "a:9092, b:9092", **LOGIN, "username": "engine", "password": "hunter22"}
    sink = TypeAdapter(Kafka).validate_python(values)
    assert sink.servers() == ["a:9092", "b:9092"]
    assert (sink.topic, sink.dead_letter_topic) == ("vedette.events", "vedette.deadletter")
    assert sink.password.get_secret_value() == "hunter22"


def test_the_password_is_not_in_anything_that_prints() -> None:
    sink = Kafka("a:1", **LOGIN, username="engine", password="hunter22")  # type: ignore[arg-type]
    settings = sink._connection()
    assert settings["sasl_plain_password"] == "hunter22"
    failure = kafka_errors.KafkaError("said hunter22")
    assert "hunter22" not in f"{sink!r} {sink} {settings} {sink.explain(failure)}"


def test_travels_to_another_process_before_it_is_opened() -> None:
    sink = Kafka("a:1", topic_prefix="x.", **LOGIN, username="engine", password="hunter22")  # type: ignore[arg-type]
    copy = pickle.loads(pickle.dumps(sink))
    assert copy == sink
    assert copy.password.get_secret_value() == "hunter22"


# Without a broker


def test_events_cannot_be_written_before_it_is_open() -> None:
    with pytest.raises(SinkError, match=r"kafka a:1: events were written before open\(\) or after close\(\)"):
        Kafka("a:1").write([make_event()], {})


def test_has_nothing_to_flush_and_nothing_to_count_before_it_is_open() -> None:
    sink = Kafka("a:1")
    sink.close()
    assert (sink.flush(0.0), sink.counts()) == (0, {})


def test_accepts_at_once_and_closes_quickly_while_nothing_listens(caplog: pytest.LogCaptureFixture) -> None:
    sink = Kafka(f"127.0.0.1:{_closed_port()}")
    sink.open()
    slowest_s = 0.0
    for seq in range(1, 1001):
        started = time.perf_counter()
        sink.write([make_event(seq=seq)], {})
        slowest_s = max(slowest_s, time.perf_counter() - started)
    assert sink.flush(0.05) == 1000
    started = time.perf_counter()
    sink.close()
    assert time.perf_counter() - started < 3.0
    assert slowest_s < 4  # connecting takes 5 s
    assert sink.counts() == {**_zeros(), "accepted": 1000, "waiting": 1000}
    assert f"{sink}: closed with 1000 events not delivered" in _said(sink, caplog)


@pytest.mark.parametrize("when_full", ["drop_oldest", "drop_newest"])
def test_a_full_queue_drops_by_its_policy_and_says_so(
    when_full: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("operators.kafka.CONNECT_TIMEOUT_S", 0.2)
    sink = Kafka(f"127.0.0.1:{_closed_port()}", max_queue=3, when_full=when_full)
    with opened(sink):
        sink.write([make_event(seq=seq) for seq in range(1, 6)], {})
        assert sink.counts() == {**_zeros(), "accepted": 5, "waiting": 3, "dropped": 2}
        _wait_until(lambda: f"{sink}: max_queue 3 is reached: 2 events dropped so far" in _said(sink, caplog))


def test_says_once_and_in_one_sentence_why_it_cannot_connect(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("operators.kafka.CONNECT_TIMEOUT_S", 0.3)
    sink = Kafka(f"127.0.0.1:{_closed_port()}")
    with opened(sink):
        sink.write([make_event()], {})
        time.sleep(2.0)
    sentence = f"{sink}: nothing listens there; check bootstrap, and that Kafka runs; 1 events wait, trying again"
    assert _said(sink, caplog) == [sentence, f"{sink}: closed with 1 events not delivered"]


def test_a_port_that_accepts_and_stays_silent_is_no_answer(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("operators.kafka.CONNECT_TIMEOUT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        sink = Kafka(f"127.0.0.1:{silent.getsockname()[1]}")
        with opened(sink):
            sink.write([make_event()], {})
            _wait_until(lambda: len(_said(sink, caplog)) > 0)
    assert _said(sink, caplog)[0].startswith(f"{sink}: it does not answer; 1 events wait")


@pytest.mark.parametrize(
    ("heard", "sentence"),
    [
        (kafka_errors.SaslAuthenticationFailedError("x"), "it refuses user 'engine'; check username and password"),
        (kafka_errors.UnsupportedSaslMechanismError(), "it does not offer SCRAM-SHA-256; check sasl_mechanism"),
        (OSError("[SSL: CERTIFICATE_VERIFY_FAILED]"), "its certificate cannot be verified; check ssl_cafile and"),
        (FileNotFoundError(2, "No such file"), "the file ssl_cafile 'ca.pem' does not exist"),
        (kafka_errors.KafkaConnectionError("Handshake failed: x"), "the TLS handshake fails; check security_protocol"),
        (kafka_errors.KafkaConnectionError("DNS Resolution failure"), "the host name cannot be resolved"),
        (kafka_errors.KafkaConnectionError("111 ECONNREFUSED"), "nothing listens there"),
        (kafka_errors.KafkaConnectionError("socket disconnected"), "it closes the connection; check security_protocol"),
        (kafka_errors.TopicAuthorizationFailedError(), "it denies writing to topic 'vedette.events'; grant Write"),
        (kafka_errors.ClusterAuthorizationFailedError(), "it denies idempotent writing; grant IdempotentWrite"),
        (kafka_errors.NotEnoughReplicasError(), "too few replicas of topic 'vedette.events' are in sync"),
        (RuntimeError("?"), "it does not answer"),
    ],
)
def test_finds_the_cause_behind_a_failed_bootstrap(heard: BaseException, sentence: str) -> None:
    sink = Kafka("a:1", **LOGIN, username="engine", password="hunter22", ssl_cafile="ca.pem")  # type: ignore[arg-type]
    raised = kafka_errors.KafkaTimeoutError("Unable to bootstrap from a:1")
    last = kafka_errors.KafkaConnectionError("socket disconnected")
    words = sink.explain(raised, [heard] if isinstance(heard, RuntimeError) else [heard, last])
    assert words.startswith(sentence)


def test_reading_from_where_nothing_listens_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("operators.kafka.CONNECT_TIMEOUT_S", 0.3)
    sink = Kafka(f"127.0.0.1:{_closed_port()}")
    with pytest.raises(SinkError, match=r"kafka 127.0.0.1:\d+: nothing listens there; check bootstrap"):
        next(sink.read())
    _wait_until(lambda: _threads(sink) == [])


def test_creating_topics_where_nothing_listens_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("operators.kafka.CONNECT_TIMEOUT_S", 0.3)
    sink = Kafka(f"127.0.0.1:{_closed_port()}")
    with pytest.raises(SinkError, match=r"kafka 127.0.0.1:\d+: nothing listens there"):
        sink.create_topics()
    _wait_until(lambda: _threads(sink) == [])


# With the embedded broker and with Apache Kafka


@pytest.mark.kafka
def test_publishes_each_camera_in_order_under_its_key(broker: str, prefix: str) -> None:
    cameras = [f"cam-{number}" for number in range(7)]
    sink = Kafka(broker, topic_prefix=prefix)
    with opened(sink):
        for seq in range(1, 301):
            for camera in cameras:
                sink.write([make_event(camera, seq)], {})
        assert sink.flush(30.0) == 0
    records = consume(broker, sink.topic, 2100)
    seqs = collections.defaultdict(list)
    for record in records:
        body = json.loads(record.value)
        assert record.key.decode() == body["camera"]
        seqs[body["camera"]].append(body["seq"])
    assert seqs == {camera: list(range(1, 301)) for camera in cameras}
    counts = sink.counts()
    assert {key: counts[key] for key in _zeros()} == {**_zeros(), "accepted": 2100, "delivered": 2100}
    assert 0 < counts["ack_ms_p50"] <= counts["ack_ms_p95"] <= counts["ack_ms_p99"]


@pytest.mark.kafka
def test_a_record_is_a_cloud_event_with_the_run_time_facts_in_its_headers(broker: str, prefix: str) -> None:
    sink = Kafka(broker, topic_prefix=prefix)
    event = make_event("Gate Nord/Süd", object=PERSON, clock="arrival", time_us=time.time_ns() // 1000)
    with opened(sink):
        sink.write([event], {"node": "n1", "traceparent": "00-ab-cd-01"})
        assert sink.flush(30.0) == 0
    (record,) = consume(broker, sink.topic, 1)
    headers = {name: value.decode() for name, value in record.headers}
    published = headers.pop("time-published")
    assert headers == {
        "node": "n1",
        "traceparent": "00-ab-cd-01",
        "ce_specversion": "1.0",
        "ce_id": event.event_id,
        "ce_source": "/vedette/north/Gate%20Nord%2FS%C3%BCd",
        "ce_type": "line.crossed",
        "ce_time": event.body()["time"],
        "ce_subject": "Gate Nord/Süd/57",
        "content-type": "application/json",
        "schema-version": "1.0",
    }
    assert record.value == event.to_json()
    assert parse_body(json.loads(record.value)).camera == "Gate Nord/Süd"
    assert published.startswith(time.strftime("%Y-%m-%dT", time.gmtime()))
    assert 0 < sink.counts()["capture_to_ack_ms_p50"] < 30_000


@pytest.mark.kafka
def test_a_record_of_old_footage_carries_the_time_of_publishing(broker: str, prefix: str) -> None:
    sink = Kafka(broker, topic_prefix=prefix)
    with opened(sink):
        sink.write([make_event(time_us=0)], {})  # a file without a recording time counts from 1970
        assert sink.flush(30.0) == 0
    (record,) = consume(broker, sink.topic, 1)
    assert abs(record.timestamp / 1000 - time.time()) < 60
    assert json.loads(record.value)["time"].startswith("1970-")


@pytest.mark.kafka
def test_what_can_never_be_sent_goes_to_the_dead_letters_and_holds_up_nothing(broker: str, prefix: str) -> None:
    sink = Kafka(broker, topic_prefix=prefix)
    huge = make_event(seq=2, data={"x": "y" * BATCH_BYTES})
    odd = make_event(seq=3, data={"x": object()})
    with opened(sink):
        sink.write([make_event(seq=1), huge, odd, make_event(seq=4)], {})
        assert sink.flush(30.0) == 0
        _wait_until(lambda: len(consume(broker, sink.dead_letter_topic, 2, timeout_s=1)) == 2)
    assert [json.loads(r.value)["seq"] for r in consume(broker, sink.topic, 2)] == [1, 4]
    letters = consume(broker, sink.dead_letter_topic, 2)
    assert [json.loads(letter.value)["event_id"] for letter in letters] == [huge.event_id, odd.event_id]
    reasons = [dict(letter.headers)["dead-letter-reason"].decode() for letter in letters]
    assert reasons[0] == f"larger than {BATCH_BYTES} bytes"
    assert reasons[1].startswith("cannot be written as JSON: ")
    counts = sink.counts()
    assert {key: counts[key] for key in _zeros()} == {**_zeros(), "accepted": 4, "delivered": 2, "dead_lettered": 2}


@pytest.mark.kafka
def test_a_reader_at_the_end_sees_what_is_published_from_then_on(broker: str, prefix: str) -> None:
    sink = Kafka(broker, topic_prefix=prefix)
    with opened(sink):
        sink.write([make_event(seq=1)], {})
        assert sink.flush(30.0) == 0
        late, all_of_it = sink.read(), sink.read(from_beginning=True)
        assert next(late) is None
        sink.write([make_event(seq=2)], {"node": "n1"})
        assert sink.flush(30.0) == 0
        (record,) = _take(late, 1)
        assert (json.loads(record.value)["seq"], record.key, record.headers["node"]) == (2, b"gate", b"n1")
        assert [json.loads(r.value)["seq"] for r in _take(all_of_it, 2)] == [1, 2]


@pytest.mark.kafka
def test_a_reader_waits_for_a_topic_that_does_not_exist_yet(broker: str, prefix: str) -> None:
    sink = Kafka(broker, topic_prefix=prefix)
    reading = sink.read()
    assert next(reading) is None
    with opened(sink):
        sink.write([make_event(seq=1)], {})
        assert sink.flush(30.0) == 0
        assert [json.loads(r.value)["seq"] for r in _take(reading, 1)] == [1]


@pytest.mark.kafka
def test_goes_on_after_a_broker_has_forgotten_everything(prefix: str) -> None:
    first = EmbeddedBroker(topic_prefix=prefix)
    first.start()
    sink = Kafka(first.bootstrap, topic_prefix=prefix)
    with opened(sink):
        try:
            sink.write([make_event(seq=1)], {})
            assert sink.flush(30.0) == 0
        finally:
            first.stop()
        sink.write([make_event(seq=2)], {})
        with EmbeddedBroker(topic_prefix=prefix, port=int(first.bootstrap.partition(":")[2])) as second:
            sink.write([make_event(seq=3)], {})
            assert sink.flush(30.0) == 0
            assert _first_seqs(consume(second.bootstrap, sink.topic, 2)) == {"gate": [2, 3]}


# With Apache Kafka


@pytest.mark.kafka
def test_a_message_too_large_for_its_topic_is_found_among_the_others(secure_apache: Apache, prefix: str) -> None:
    sink = Kafka(secure_apache.bootstrap, topic_prefix=prefix, create_topic=False)
    _create(secure_apache, sink.topic, {"max.message.bytes": "2000"})
    _create(secure_apache, sink.dead_letter_topic, {})
    events = [make_event(f"cam-{seq % 2}", seq) for seq in range(1, 101)]
    events[40] = make_event("cam-1", 41, data={"noise": _incompressible(5000)})
    with opened(sink):
        sink.write(events, {})
        assert sink.flush(60.0) == 0
        (letter,) = consume(secure_apache.bootstrap, sink.dead_letter_topic, 1)
    assert json.loads(letter.value)["event_id"] == events[40].event_id
    assert dict(letter.headers)["dead-letter-reason"].startswith(b"MessageSizeTooLargeError: ")
    expected = {f"cam-{c}": [s for s in range(1, 101) if s % 2 == c and s != 41] for c in (0, 1)}
    assert _first_seqs(consume(secure_apache.bootstrap, sink.topic, 99)) == expected


@pytest.mark.kafka
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_logs_in_over_tls(secure_apache: Apache, prefix: str, mechanism: Any) -> None:
    sink = Kafka(
        secure_apache.facts["sasl_ssl"],
        topic_prefix=prefix,
        security_protocol="SASL_SSL",
        sasl_mechanism=mechanism,
        username="engine",
        password="engine-secret",  # type: ignore[arg-type]
        ssl_cafile=secure_apache.facts["ca"],
    )
    with opened(sink):
        sink.write([make_event()], {})
        assert sink.flush(30.0) == 0


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("listener", "fields", "sentence"),
    [
        ("sasl_plaintext", {**LOGIN, "username": "engine", "password": "wrong-one"}, "it refuses user 'engine'; check"),
        ("sasl_plaintext", {}, "it closes the connection; check security_protocol PLAINTEXT"),
        ("plaintext", {"security_protocol": "SSL"}, "the TLS handshake fails; check security_protocol"),
        ("ssl", {"security_protocol": "SSL"}, "its certificate cannot be verified; check ssl_cafile"),
        ("ssl", {"security_protocol": "SSL", "ssl_cafile": "no.pem"}, "the file ssl_cafile 'no.pem' does not exist"),
    ],
)
def test_says_what_is_wrong_with_the_login(
    secure_apache: Apache,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    listener: str,
    fields: dict[str, Any],
    sentence: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr("operators.kafka.CONNECT_TIMEOUT_S", 1.5)
    sink = Kafka(secure_apache.facts[listener], **fields)
    with opened(sink):
        sink.write([make_event()], {})
        # Of a refused login the client often sees only that the connection ends: it may need another round.
        _wait_until(lambda: any(said.startswith(f"{sink}: {sentence}") for said in _said(sink, caplog)))
    assert "wrong-one" not in caplog.text
    assert not logging.getLogger("kafka").propagate


@pytest.mark.kafka
def test_events_for_a_denied_topic_wait_for_the_permission(
    secure_apache: Apache, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    sink = Kafka(
        secure_apache.facts["sasl_plaintext"],
        topic_prefix=prefix,
        create_topic=False,
        **LOGIN,
        username="engine",
        password="engine-secret",  # type: ignore[arg-type]
    )
    _create(secure_apache, sink.topic, {})
    with _denied(secure_apache, sink.topic) as grant, opened(sink):
        sink.write([make_event(seq=seq) for seq in range(1, 51)], {})
        _wait_until(lambda: len(_said(sink, caplog)) > 0)
        assert sink.counts()["waiting"] == 50
        grant()
        assert sink.flush(30.0) == 0
    sentence = f"{sink}: it denies writing to topic '{sink.topic}'; grant Write to the user; 50 events wait"
    assert _said(sink, caplog)[0].startswith(sentence)
    assert _first_seqs(consume(secure_apache.bootstrap, sink.topic, 50)) == {"gate": list(range(1, 51))}


@pytest.mark.kafka
def test_nothing_is_lost_when_the_broker_is_away_at_the_start(fragile_apache: Apache, prefix: str) -> None:
    fragile_apache.kill()
    sink = Kafka(fragile_apache.bootstrap, topic_prefix=prefix)
    with opened(sink):
        sink.write([make_event(seq=seq) for seq in range(1, 1501)], {})
        assert sink.flush(1.0) == 1500
        fragile_apache.start()
        assert sink.flush(30.0) == 0
    assert _first_seqs(consume(fragile_apache.bootstrap, sink.topic, 1500)) == {"gate": list(range(1, 1501))}


@pytest.mark.kafka
@pytest.mark.parametrize("ack_timeout_s", [10.0, 0.5], ids=["its client reconnects", "its client is replaced"])
def test_nothing_is_lost_or_reordered_when_the_broker_is_killed_under_traffic(
    fragile_apache: Apache, prefix: str, monkeypatch: pytest.MonkeyPatch, ack_timeout_s: float
) -> None:
    monkeypatch.setattr("operators.kafka.ACK_TIMEOUT_S", ack_timeout_s)
    fragile_apache.start()
    sink = Kafka(fragile_apache.bootstrap, topic_prefix=prefix)
    stopping = threading.Event()
    written = 0

    def write_steadily() -> None:
        nonlocal written
        while not stopping.wait(0.02):
            for camera in "abc":
                sink.write([make_event(camera, seq) for seq in range(written + 1, written + 6)], {})
            written += 5

    with opened(sink):
        writer = threading.Thread(target=write_steadily)
        writer.start()
        try:
            _wait_until(lambda: sink.counts()["delivered"] > 200)
            fragile_apache.kill()
            time.sleep(2.0)
            fragile_apache.start()
            time.sleep(1.0)
        finally:
            stopping.set()
            writer.join()
        assert sink.flush(60.0) == 0
    records = consume(fragile_apache.bootstrap, sink.topic, 3 * written)
    assert _first_seqs(records) == {camera: list(range(1, written + 1)) for camera in "abc"}
    bodies = collections.defaultdict(set)
    for record in records:
        bodies[dict(record.headers)["ce_id"]].add(record.value)
    assert all(len(versions) == 1 for versions in bodies.values())  # a duplicate is the same event


@pytest.mark.kafka
def test_a_broker_that_hangs_is_left_and_nothing_is_lost_or_reordered(
    fragile_apache: Apache, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("operators.kafka.ACK_TIMEOUT_S", 0.5)
    monkeypatch.setattr("operators.kafka.CONNECT_TIMEOUT_S", 0.5)
    fragile_apache.start()
    sink = Kafka(fragile_apache.bootstrap, topic_prefix=prefix)
    with opened(sink):
        sink.write([make_event(seq=1)], {})
        assert sink.flush(30.0) == 0
        os.kill(fragile_apache.facts["pid"], signal.SIGSTOP)
        try:
            for seq in range(2, 202):
                sink.write([make_event(seq=seq)], {})
            assert sink.flush(2.0) == 200
        finally:
            os.kill(fragile_apache.facts["pid"], signal.SIGCONT)
        assert sink.flush(30.0) == 0
    assert sink.counts()["resent"] > 0
    assert _first_seqs(consume(fragile_apache.bootstrap, sink.topic, 201)) == {"gate": list(range(1, 202))}


@pytest.mark.kafka
def test_a_producer_that_is_given_up_leaves_no_thread_behind(fragile_apache: Apache, prefix: str) -> None:
    fragile_apache.start()
    sink = Kafka(fragile_apache.bootstrap, topic_prefix=prefix)
    sink.open()
    sink.write([make_event(seq=1)], {})
    assert sink.flush(30.0) == 0
    fragile_apache.kill()
    sink.write([make_event(seq=2)], {})
    assert sink.flush(1.0) == 1
    sink.close()
    _wait_until(lambda: _threads(sink) == [])


def _first_seqs(records: list[Any]) -> dict[str, list[int]]:
    """For each camera its sequence numbers in the order in which each event was first seen."""
    seen: set[bytes] = set()
    seqs: dict[str, list[int]] = collections.defaultdict(list)
    for record in records:
        event_id = dict(record.headers)["ce_id"]
        if event_id not in seen:
            seen.add(event_id)
            seqs[record.key.decode()].append(json.loads(record.value)["seq"])
    return dict(seqs)


def _said(sink: Kafka, caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the user reads; pytest also captures kafka-python's own lines, which reach nobody else."""
    return [r.getMessage() for r in caplog.records if r.name == "operators.kafka" and str(sink) in r.getMessage()]


def _threads(sink: Kafka) -> list[str]:
    """The threads that kafka-python runs for a sink."""
    return [thread.name for thread in threading.enumerate() if sink._client_id in thread.name]


def _zeros() -> dict[str, float]:
    return dict.fromkeys(("accepted", "delivered", "waiting", "resent", "dropped", "dead_lettered"), 0)


def _take(records: Any, number: int) -> list[Any]:
    found: list[Any] = []
    deadline = time.monotonic() + 20.0
    while len(found) < number and time.monotonic() < deadline:
        record = next(records)
        found += [record] if record is not None else []
    return found


def _wait_until(holds: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _incompressible(length: int) -> str:
    return "".join(random.Random(7).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=length))


def _create(broker: Apache, topic: str, configs: dict[str, str]) -> None:
    admin = kafka.KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    admin.create_topics({topic: {"num_partitions": 2, "configs": configs}})
    admin.close()


class _denied:  # noqa: N801
    """Denies user `engine` writing to a topic for the block, or until `grant()`."""

    def __init__(self, broker: Apache, topic: str) -> None:
        self._admin = kafka.KafkaAdminClient(bootstrap_servers=broker.bootstrap)
        self._pattern = ResourcePattern(ResourceType.TOPIC, topic)

    def __enter__(self) -> Callable[[], None]:
        self._admin.create_acls(
            [ACL("User:engine", "*", ACLOperation.WRITE, ACLPermissionType.DENY, resource_pattern=self._pattern)]
        )
        return self._grant

    def _grant(self) -> None:
        self._admin.delete_acls(
            [ACLFilter("User:engine", "*", ACLOperation.WRITE, ACLPermissionType.DENY, resource_pattern=self._pattern)]
        )

    def __exit__(self, *_: object) -> None:
        self._grant()
        self._admin.close()
