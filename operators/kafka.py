"""Publish events to Kafka, in order per camera and without loss while the broker is away.

`write()` only appends to a bounded queue. A thread of the sink's own sends what waits in rounds: up to 1000 events, at
most one record batch a partition, then it waits for `acks=all`. An event leaves the queue only when the broker has
acknowledged it or refused it for good, so whatever fails is sent again from the first event without an answer: a
consumer may see an event twice (with equal `event_id`), never out of order, and never misses one. The queue is in
memory: what waits when the process dies is gone.

- The broker is away, slow, restarted, or denies writing to the topic: events wait, one sentence is logged, and it is
  tried again for ever, at most 5 s apart. When `max_queue` events wait, `when_full` says which are dropped.
- It refuses one event for good (too large): what identifies the event goes to `<topic_prefix>deadletter` with the
  reason, and the events behind it go on.

A sink takes events and nothing else, so no input can be absent.

Costs a few microseconds per event in `write()`, and about 0.1 ms of the thread's time: see
`tests/benchmarks/bench_kafka.py`.

    sinks:
      - kafka: {bootstrap: "localhost:9092"}
"""

from __future__ import annotations

import collections
import contextlib
import datetime as dt
import itertools
import json
import logging
import random
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args
from urllib.parse import quote

import kafka
from kafka import errors as kafka_errors
from kafka.net.compat import KafkaNetClient
from pydantic import SecretStr

from engine.errors import SinkError
from engine.event import SCHEMA, Event, format_time
from engine.operator import Sink
from engine.outbox import Outbox, Waiting, WhenFull
from engine.redact import redact, register_secret

logger = logging.getLogger(__name__)

ROUND_EVENTS = 1000
ROUND_BYTES = 512 * 1024
BATCH_BYTES = 1024 * 1024  # a round fits into one batch whatever its keys, and that is what keeps the order
CONNECT_TIMEOUT_S = 5.0
ACK_TIMEOUT_S = 10.0
RETRY_MAX_S = 5.0
REMIND_S = 60.0

Compression = Literal["gzip"]
SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
_WORDS: dict[str, tuple[str | None, ...]] = {
    "when_full": get_args(WhenFull),
    "compression": (*get_args(Compression), None),
    "security_protocol": get_args(SecurityProtocol),
    "sasl_mechanism": (*get_args(SaslMechanism), None),
}

_client_numbers = itertools.count(1)


@dataclass
class Kafka(Sink):
    """Events as JSON on the topic `<topic_prefix>events`, keyed by camera.

    Attributes:
        bootstrap: `host:port`, or several with commas between.
        topic_prefix: stands before `events` and `deadletter`.
        max_queue: so many events may wait in memory, at about 1 KB each.
        when_full: which event gives way when the queue is full.
        compression: of record batches. Without it the client spends 90 µs per event on a checksum, with it 5 µs.
        create_topic: create the topics where they are missing, with the broker's own replication.
        partitions: of the topic that is created. Adding some later moves cameras between them.
        security_protocol: how to talk to the broker.
        sasl_mechanism: how to log in.
        username: for SASL.
        password: for SASL; never printed.
        ssl_cafile: certificate authority of the broker, PEM.
    """

    central: ClassVar[bool] = False

    bootstrap: str
    topic_prefix: str = "vedette."
    max_queue: int = 100_000
    when_full: WhenFull = "drop_oldest"
    compression: Compression | None = "gzip"
    create_topic: bool = True
    partitions: int = 4
    security_protocol: SecurityProtocol = "PLAINTEXT"
    sasl_mechanism: SaslMechanism | None = None
    username: str = ""
    password: SecretStr = field(default_factory=lambda: SecretStr(""))
    ssl_cafile: str | None = None

    def __post_init__(self) -> None:
        if not self.servers() or re.search(r"[\s/@]", "".join(self.servers())):
            # The value is not repeated: it may hold a user and a password.
            raise ValueError("bootstrap: needs host:port, or several with commas between, and nothing else")
        if not re.fullmatch(r"[A-Za-z0-9._-]{0,200}", self.topic_prefix):
            raise ValueError(f"topic_prefix: may hold letters, digits, '.', '_' and '-', got {self.topic_prefix!r}")
        for name, words in _WORDS.items():
            if getattr(self, name) not in words:
                known = ", ".join(str(word or "null") for word in words)
                raise ValueError(f"{name}: needs one of {known}, got {getattr(self, name)!r}")
        for name in ("max_queue", "partitions"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be at least 1, got {getattr(self, name)}")
        if isinstance(self.password, str):
            self.password = SecretStr(self.password)
        is_login = self.security_protocol.startswith("SASL")
        if is_login and not (self.sasl_mechanism and self.username):
            raise ValueError(f"security_protocol: {self.security_protocol} needs sasl_mechanism, username and password")
        if not is_login and (self.sasl_mechanism or self.username or self.password.get_secret_value()):
            raise ValueError(
                f"security_protocol: {self.security_protocol} takes no user; use SASL_SSL, or SASL_PLAINTEXT"
            )
        self._client_id = f"vedette-{next(_client_numbers)}"
        self._delivery: _Delivery | None = None
        self._last_counts: Mapping[str, float] = {}

    @property
    def topic(self) -> str:
        """Name of the topic for events."""
        return f"{self.topic_prefix}events"

    @property
    def dead_letter_topic(self) -> str:
        """Name of the topic for what the broker refuses."""
        return f"{self.topic_prefix}deadletter"

    def servers(self) -> list[str]:
        """Give the addresses in `bootstrap`."""
        return [server.strip() for server in self.bootstrap.split(",") if server.strip()]

    def open(self) -> None:
        """Start the thread that connects and sends; a broker that is away is no error."""
        self._delivery = _Delivery(self)
        self._delivery.thread.start()

    def write(self, events: Sequence[Event], headers: Mapping[str, str]) -> None:
        """Queue events; never waits for the broker.

        Raises:
            SinkError: the sink is not open.
        """
        if self._delivery is None:
            raise SinkError(f"{self}: events were written before open() or after close()")
        self._delivery.outbox.accept(events, headers)

    def flush(self, timeout_s: float) -> int:
        """Wait until every event is acknowledged or refused; give the number that still waits."""
        return 0 if self._delivery is None else self._delivery.outbox.wait_empty(timeout_s)

    def close(self) -> None:
        """Stop sending, within about a second; what still waits is lost and its number logged."""
        if self._delivery is not None:
            self._delivery.stop()
            self._last_counts = self._delivery.outbox.counts()
            self._delivery = None

    def counts(self) -> Mapping[str, float]:
        """Give accepted = delivered + waiting + dropped + dead_lettered, and how often and how late.

        `resent` counts events that were sent once more. `ack_ms_p50`, `_p95` and `_p99` run from `write()` to the
        acknowledgement; `capture_to_ack_ms_…` from the picture, of events whose clock is `arrival`: other clocks may
        differ from ours.
        """
        return self._last_counts if self._delivery is None else self._delivery.outbox.counts()

    def create_topics(self) -> None:
        """Create the topics of events and dead letters where they are missing; takes up to about 15 s.

        That the broker denies it is no error: somebody else may create them.

        Raises:
            SinkError: the broker cannot be reached.
        """
        with _ear.listening(self._client_id) as heard:
            try:
                self._create_topics()
            except Exception as error:
                raise SinkError(f"{self}: {self.explain(error, heard)}") from None

    def read(self, topic: str | None = None, from_beginning: bool = False) -> Iterator[Record | None]:
        """Yield the records of a topic for ever, without a consumer group.

        Yields None about twice a second while nothing comes, so that the caller can stop. After the first item
        nothing that is published will be missed. A topic that does not exist is waited for.

        Raises:
            SinkError: the broker cannot be reached at the start, or denies reading.
        """
        topic = topic or self.topic
        with _ear.listening(self._client_id) as heard:
            try:
                consumer = _client(kafka.KafkaConsumer, **self._connection(), enable_auto_commit=False)
            except Exception as error:
                raise SinkError(f"{self}: {self.explain(error, heard)}") from None
        try:
            # Asked for by name, a topic would be created by a broker that does so.
            while topic not in consumer.topics():
                if not from_beginning:
                    logger.warning("%s: there is no topic '%s' yet; waiting for it", self, topic)
                from_beginning = True
                yield None
                time.sleep(0.5)
            where = [kafka.TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic))]
            consumer.assign(where)
            (consumer.seek_to_beginning if from_beginning else consumer.seek_to_end)(*where)
            for partition in where:
                consumer.position(partition)  # otherwise "the end" is where it is at the first poll
            yield None
            while True:
                polled = consumer.poll(timeout_ms=500)
                for found in itertools.chain.from_iterable(polled.values()):
                    yield Record(found.value, dict(found.headers), found.key, found.partition, found.offset)
                if not polled:
                    yield None
        except kafka_errors.AuthorizationError:
            raise SinkError(f"{self}: it denies reading topic '{topic}'; grant Read to the user") from None
        finally:
            consumer.close()

    def explain(self, error: BaseException, heard: Iterable[BaseException] = ()) -> str:
        """Say in the words of the configuration why the broker cannot be used; never holds the password.

        Args:
            error: what kafka-python raised, often only "Unable to bootstrap".
            heard: what it logged before that.
        """
        said = "\n".join(f"{type(e).__name__} {e}" for e in (error, *heard))
        for pattern, words in _CAUSES:
            if re.search(pattern, said):
                return words.format(sink=self)
        return redact(f"{type(error).__name__}: {error}")

    def _create_topics(self) -> None:
        admin = _client(kafka.KafkaAdminClient, **self._connection())
        try:
            partitions = {self.topic: self.partitions, self.dead_letter_topic: 1}
            wanted = {name: {"num_partitions": number} for name, number in partitions.items()}
            admin.create_topics(wanted, timeout_ms=round(CONNECT_TIMEOUT_S * 1000), raise_errors=False)
        finally:
            admin.close()

    def _connection(self) -> dict[str, Any]:
        settings: dict[str, Any] = {
            "bootstrap_servers": self.servers(),
            "client_id": self._client_id,
            "bootstrap_timeout_ms": round(CONNECT_TIMEOUT_S * 1000),
            "request_timeout_ms": round(ACK_TIMEOUT_S * 1000),
            "reconnect_backoff_max_ms": 1000,
            "security_protocol": self.security_protocol,
            "ssl_cafile": self.ssl_cafile,
        }
        if self.sasl_mechanism:
            password = self.password.get_secret_value()
            register_secret(password)
            settings["sasl_mechanism"] = self.sasl_mechanism
            settings["sasl_plain_username"] = self.username
            settings["sasl_plain_password"] = _Masked(password)
        return settings

    def __str__(self) -> str:
        return f"kafka {self.bootstrap}"


# The first that is found wins: a reason stands before "disconnected", which follows every failure.
_CAUSES = (
    (r"SaslAuthenticationFailed", "it refuses user '{sink.username}'; check username and password"),
    (r"UnsupportedSaslMechanism", "it does not offer {sink.sasl_mechanism}; check sasl_mechanism"),
    (r"CERTIFICATE_VERIFY_FAILED", "its certificate cannot be verified; check ssl_cafile and the host name"),
    (r"FileNotFoundError", "the file ssl_cafile '{sink.ssl_cafile}' does not exist"),
    (r"Handshake failed", "the TLS handshake fails; check security_protocol, the port may not speak TLS"),
    (r"TopicAuthorizationFailed", "it denies writing to topic '{sink.topic}'; grant Write to the user"),
    (r"ClusterAuthorizationFailed", "it denies idempotent writing; grant IdempotentWrite to the user"),
    (
        r"Failed to update metadata",
        "it says nothing about topic '{sink.topic}'; if it is missing, create_topic: true helps",
    ),
    (r"DNS|gaierror", "the host name cannot be resolved; check bootstrap"),
    (r"ECONNREFUSED", "nothing listens there; check bootstrap, and that Kafka runs"),
    (r"NotEnoughReplicas", "too few replicas of topic '{sink.topic}' are in sync"),
    (r"disconnect", "it closes the connection; check security_protocol {sink.security_protocol}, user and password"),
    (r"Unable to bootstrap|NoAnswer", "it does not answer"),
)


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a topic as it was read."""

    value: bytes
    headers: Mapping[str, bytes]
    key: bytes | None
    partition: int
    offset: int


class _NoAnswer(Exception):
    """Nothing was acknowledged for a while."""


class _Refused(Exception):
    """One event will never be taken; the text says why."""


class _NewProducer(Exception):
    """A refusal kills the idempotent producer of kafka-python; a new one goes on at once."""


_REFUSALS = (
    kafka_errors.MessageSizeTooLargeError,
    kafka_errors.RecordListTooLargeError,
    kafka_errors.InvalidRecordError,
    kafka_errors.CorruptRecordError,
)

Answer = BaseException | None


class _Delivery:
    """The thread that empties the outbox."""

    def __init__(self, sink: Kafka) -> None:
        self.outbox = Outbox(sink.max_queue, sink.when_full)
        self.thread = threading.Thread(target=self._run, name=f"kafka-{sink.topic}", daemon=True)
        self._sink = sink
        self._stopping = threading.Event()
        self._round_events = ROUND_EVENTS
        self._dead_letters: collections.deque[tuple[Waiting, str]] = collections.deque()
        self._failures = 0
        self._trouble_since: float | None = None
        self._said: dict[str, float] = {}
        self._num_dropped = 0

    def stop(self) -> None:
        self._stopping.set()
        self.outbox.wake()
        self.thread.join(1.0)  # while it connects it takes longer, and then ends by itself
        if left := len(self.outbox):
            logger.warning("%s: closed with %d events not delivered", self._sink, left)

    def _run(self) -> None:
        producer: _Producer | None = None
        while not self._stopping.is_set():
            with _ear.listening(self._sink._client_id) as heard:
                try:
                    producer = producer or self._connect()
                    self._send_dead_letters(producer)
                    self._send_round(producer)
                    continue
                except _NewProducer:
                    pass
                except Exception as error:
                    # Whatever it was: starting over from the first event without an answer loses nothing.
                    self._failures += 1
                    self._complain(self._sink.explain(error, heard))
                finally:
                    self._own_up()
            _abandon(producer)
            producer = None
            if self._failures:
                self._stopping.wait(min(RETRY_MAX_S, 0.25 * 2**self._failures) * random.uniform(0.5, 1.0))
        _abandon(producer)

    def _connect(self) -> _Producer:
        producer: _Producer = _client(
            _Producer,
            **self._sink._connection(),
            acks="all",
            enable_idempotence=True,
            compression_type=self._sink.compression,
            batch_size=BATCH_BYTES,
            linger_ms=10_000,  # nothing is sent while a round is being filled; flush() sends it
            max_block_ms=round(CONNECT_TIMEOUT_S * 1000),
            delivery_timeout_ms=3_600_000,  # it is not kept to: _is_answered() watches instead
        )
        if self._sink.create_topic:
            # At every connection: a restarted embedded broker acknowledges what it then loses, for want of a topic.
            try:
                self._sink._create_topics()
            except Exception:
                _abandon(producer)
                raise
        return producer

    def _send_round(self, producer: _Producer) -> None:
        batch = self._take()
        answers: list[Answer] = [_NoAnswer()] * len(batch)
        try:
            answers = self._send(producer, batch)
        finally:
            failure = self._settle(batch, answers)
        if failure is not None:
            raise failure

    def _take(self) -> list[Waiting]:
        batch = self.outbox.take(self._round_events, timeout_s=0.5)
        fitting = max(1, sum(size <= ROUND_BYTES for size in itertools.accumulate(map(_size, batch))))
        if fitting < len(batch):
            self.outbox.put_back(batch[fitting:])
        return batch[:fitting]

    def _send(self, producer: _Producer, batch: list[Waiting]) -> list[Answer]:
        """Send a round and wait for the answers: None is an acknowledgement."""
        futures: list[Any] = []
        for item in batch:
            try:
                futures.append(producer.send(self._sink.topic, **_record(item, item.encode())))
            except kafka_errors.MessageSizeTooLargeError:
                futures.append(_Refused(f"larger than {BATCH_BYTES} bytes"))
            except (TypeError, ValueError) as error:
                futures.append(_Refused(f"cannot be written as JSON: {error}"))
        self._await_answers(producer, [future for future in futures if not isinstance(future, _Refused)])
        return [
            future if isinstance(future, _Refused) else future.exception if future.is_done else _NoAnswer()
            for future in futures
        ]

    def _await_answers(self, producer: _Producer, futures: list[Any]) -> None:
        # kafka-python's own time-out leaves futures pending for ever when a broker dies under traffic.
        deadline = time.monotonic() + ACK_TIMEOUT_S
        while not all(future.is_done for future in futures):
            if self._stopping.is_set() or time.monotonic() > deadline:
                return
            producer.flush(0.25)

    def _settle(self, batch: list[Waiting], answers: list[Answer]) -> Exception | None:
        """Book what became of a round; give the reason for starting over, if there is one."""
        delivered: list[Waiting] = []
        kept: list[Waiting] = []
        refused: list[tuple[Waiting, str]] = []
        failure: Exception | None = None
        for item, answer in zip(batch, answers, strict=True):
            if answer is None:
                delivered.append(item)
            elif isinstance(answer, _Refused):
                refused.append((item, str(answer)))
            elif isinstance(answer, _REFUSALS):
                failure = failure or _NewProducer()
                # The dying producer fails its other batches with the same error: only an event that was alone in its
                # round is known to be the one.
                if len(batch) == 1:
                    refused.append((item, f"{type(answer).__name__}: {len(item.body)} bytes"))
                else:
                    kept.append(item)
            else:
                failure = answer if isinstance(answer, Exception) else _NoAnswer()
                kept.append(item)
        is_searching = isinstance(failure, _NewProducer) and bool(kept)
        self._round_events = max(1, len(batch) // 2) if is_searching else min(ROUND_EVENTS, self._round_events * 2)
        self._dead_letters.extend(refused)
        self.outbox.settle(delivered, kept, len(refused))
        if delivered:
            self._cheer()
        return failure

    def _send_dead_letters(self, producer: _Producer) -> None:
        topic = self._sink.dead_letter_topic
        while self._dead_letters:
            item, reason = self._dead_letters.popleft()
            event = item.event
            self._say(
                re.split(r"[:0-9]", reason)[0],
                f"refused for good: {event.type} of camera '{event.camera}', {event.event_id}: {reason}; see {topic}",
            )
            if time.monotonic() - self._said.get(topic, -REMIND_S) < REMIND_S:
                continue  # the topic did not take the last one; trying each would hold up the events
            identity = {"event_id": event.event_id, "type": event.type, "site": event.site, "camera": event.camera}
            body = {**identity, "epoch": event.epoch, "seq": event.seq, "reason": reason}
            record = _record(item, json.dumps(body, ensure_ascii=False).encode())
            record["headers"].append(("dead-letter-reason", reason.encode()))
            try:
                future = producer.send(topic, **record)
                producer.flush(2.0)
                future.get(timeout=0)
            except Exception as error:
                self._say(topic, f"cannot write to {topic}: {type(error).__name__}; refusals are only counted")
                raise _NewProducer from None

    def _complain(self, why: str) -> None:
        self._trouble_since = self._trouble_since or time.monotonic()
        if not self._stopping.is_set():
            self._say(why, f"{why}; {len(self.outbox)} events wait, trying again")

    def _own_up(self) -> None:
        dropped = self.outbox.num_dropped
        if dropped > self._num_dropped:
            self._num_dropped = dropped
            self._say("dropped", f"max_queue {self._sink.max_queue} is reached: {dropped} events dropped so far")

    def _cheer(self) -> None:
        self._failures = 0
        if self._trouble_since is not None:
            logger.info("%s: delivering again after %.1f s", self._sink, time.monotonic() - self._trouble_since)
            self._trouble_since = None
            self._said.clear()

    def _say(self, about: str, text: str) -> None:
        now = time.monotonic()
        if now - self._said.get(about, -REMIND_S) >= REMIND_S:
            self._said[about] = now
            logger.warning("%s: %s", self._sink, redact(text))


class _Producer(kafka.KafkaProducer):  # type: ignore[misc]
    """A producer that can be closed while something is unsent."""

    def flush(self, timeout: float | None = None) -> None:
        """Wait up to `timeout` for what was sent.

        The original raises when time is up. Its `close()` flushes first and so would give up closing, and leave a
        thread behind that delivers stale events when the broker is back.
        """
        try:
            super().flush(timeout)
        except kafka_errors.KafkaError:
            time.sleep(0.002)  # it also raises, at once, while a batch is being split


def _client(kind: Any, **settings: Any) -> Any:
    """Make a client of kafka-python; one that cannot connect leaves neither sockets nor its thread behind."""
    made: list[Any] = []

    def net_client(**config: Any) -> Any:
        made.append(KafkaNetClient(**config))
        return made[-1]

    try:
        return kind(**settings, kafka_client=net_client)
    except BaseException:
        for each in made:
            each.close()
        raise


def _abandon(producer: _Producer | None) -> None:
    if producer is not None:
        producer.close(timeout=0.05)


def _size(item: Waiting) -> int:
    try:
        return len(item.encode()) + 600 + sum(len(name) + len(text) for name, text in item.headers.items())
    except (TypeError, ValueError):
        return 0  # sending it fails in the same way, and says so


def _record(item: Waiting, value: bytes) -> dict[str, Any]:
    """Give what `KafkaProducer.send` takes: a CloudEvents 1.0 message in binary mode.

    The record's timestamp is left to be now: a bare file counts from 1970, which retention would delete at once.
    """
    event = item.event
    headers = {
        **item.headers,
        "ce_specversion": "1.0",
        "ce_id": event.event_id,
        "ce_source": f"/vedette/{quote(event.site, safe='')}/{quote(event.camera, safe='')}",
        "ce_type": event.type,
        "ce_time": format_time(event.time_us),
        "ce_subject": event.camera if event.object is None else f"{event.camera}/{event.object.track_id}",
        "content-type": "application/json",
        "schema-version": SCHEMA.partition("/")[2],
        "time-published": dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }
    encoded = [(name, text.encode()) for name, text in headers.items()]
    return {"value": value, "key": event.camera.encode(), "headers": encoded}


class _Masked(str):
    """A password that kafka-python cannot print: at DEBUG its admin client logs all its settings."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


class _Ear(logging.Handler):
    """Silences kafka-python, and keeps the exceptions that it only logs.

    Its loggers repeat themselves many times a second while a broker is away. And they alone say why: what is raised,
    for a wrong password too, is "Unable to bootstrap".
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._listeners: list[tuple[int, str, collections.deque[BaseException]]] = []

    @contextlib.contextmanager
    def listening(self, client_id: str) -> Iterator[collections.deque[BaseException]]:
        """Collect what this thread logs, and the threads of the client."""
        kafka_logger = logging.getLogger("kafka")
        kafka_logger.propagate = False
        if self not in kafka_logger.handlers or kafka_logger.level != logging.WARNING:
            kafka_logger.addHandler(self)
            kafka_logger.setLevel(logging.WARNING)
        heard: collections.deque[BaseException] = collections.deque(maxlen=50)
        listener = (threading.get_ident(), client_id, heard)
        self._listeners.append(listener)
        try:
            yield heard
        finally:
            self._listeners.remove(listener)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the exceptions among the arguments of a log line, never its text."""
        errors = [argument for argument in record.args or () if isinstance(argument, BaseException)]
        for thread, client_id, heard in tuple(self._listeners):
            if record.thread == thread or client_id in re.split(r"-network-thread|kafka-io-", record.threadName or ""):
                heard.extend(errors)


_ear = _Ear()
