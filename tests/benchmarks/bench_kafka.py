"""What the Kafka sink costs the caller, and how much it delivers: `python -m tests.benchmarks.bench_kafka`.

Rounds are interleaved over the brokers (embedded; Apache Kafka where ../shared is; an address where nothing listens),
so that a change of the machine's load hits all alike. `write` is one call with one event; `delivered` counts until the
last acknowledgement; `ack` is from write() to the acknowledgement at 200 events a second. For comparison `producer` is
kafka-python alone sending the same bodies with three headers, without waiting between batches.

Two shared cores that others kept busy (load 4), kafka-python 3.0.12, 5 rounds of 10,000 bodies of 390 bytes, medians:

    |                              | embedded | Apache 4.2.1 |    away |
    | accepted per s               |  206,500 |      170,900 | 319,200 |
    | write, us, p50 / p99         | 1.2 / 3.1 |   1.2 / 3.1 | 1.2 / 2.7 |
    | delivered per s              |    5,370 |        5,635 |         |
    | kafka-python alone, per s    |    9,150 |        7,375 |         |
    | ack at 200/s, ms, p50 / p95  | 1.7 / 2.9 |  2.0 / 18.0 |         |

The price of the order that survives failures (rounds that wait) and of ten headers instead of three: 0.6 to 0.75 of
kafka-python's rate, 25 times what 200 events a second need.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import kafka

from deployments.embedded_broker import EmbeddedBroker
from engine.event import Event, ObjectPart
from operators.kafka import Kafka
from tests.builders import make_event
from tests.kafka_brokers import TOOL, Apache

NUM_CAMERAS = 8
HEADERS = {"node": "bench", "pipeline": "bench/0123456789abcdef", "model": "street/0123456789abcdef/fp32"}
PERSON = ObjectPart(57, "person", 0.91, (0.12, 0.33, 0.18, 0.61), 4.2, (0.03, 0.0))


def main() -> None:
    """Run it and print the medians over the rounds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rounds: dict[str, list[dict[str, float]]] = {}
    with ExitStack() as stack:
        addresses = {"embedded": stack.enter_context(EmbeddedBroker()).bootstrap, "away": "127.0.0.1:1"}
        if TOOL.is_file():
            addresses["apache"] = stack.enter_context(_apache())
        for number in range(options.rounds):
            for name, address in addresses.items():
                prefix = f"bench{number}."
                numbers = burst(address, prefix, options.events, is_away=name == "away")
                if name != "away":
                    numbers |= steady(address, prefix) | bare_producer(address, prefix, options.events)
                rounds.setdefault(name, []).append(numbers)
    medians = {
        name: {key: round(statistics.median(each[key] for each in found), 1) for key in found[0]}
        for name, found in rounds.items()
    }
    if options.json:
        print(json.dumps(medians))
        return
    for name, numbers in medians.items():
        print(name)
        for key, value in numbers.items():
            print(f"  {key:28} {value:12,.1f}")


def burst(address: str, prefix: str, num_events: int, is_away: bool) -> dict[str, float]:
    """Write as fast as possible; without a broker only the writing is measured."""
    sink = Kafka(address, topic_prefix=prefix)
    sink.open()
    if not is_away:
        sink.write([make_event("warm-up")], HEADERS)
        assert sink.flush(30.0) == 0
    events = list(_events(num_events))
    written_us = []
    started = time.perf_counter()
    for event in events:
        before = time.perf_counter()
        sink.write([event], HEADERS)
        written_us.append((time.perf_counter() - before) * 1e6)
    accepted_s = time.perf_counter() - started
    numbers = {"accepted per s": num_events / accepted_s} | _percentiles("write us", written_us)
    if not is_away:
        assert sink.flush(120.0) == 0
        numbers["delivered per s"] = num_events / (time.perf_counter() - started)
    sink.close()
    return numbers


def steady(address: str, prefix: str, per_s: int = 200, for_s: float = 2.0) -> dict[str, float]:
    """Write at a camera site's rate."""
    sink = Kafka(address, topic_prefix=prefix)
    sink.open()
    written_us = []
    for event in _events(round(per_s * for_s)):
        before = time.perf_counter()
        sink.write([event], HEADERS)
        written_us.append((time.perf_counter() - before) * 1e6)
        time.sleep(1 / per_s)
    assert sink.flush(30.0) == 0
    counts = sink.counts()
    sink.close()
    acks = {f"steady ack ms p{percent}": counts[f"ack_ms_p{percent}"] for percent in (50, 95, 99)}
    return _percentiles("steady write us", written_us) | acks


def bare_producer(address: str, prefix: str, num_events: int) -> dict[str, float]:
    """Send the same bodies by kafka-python alone."""
    producer = kafka.KafkaProducer(
        bootstrap_servers=address, acks="all", compression_type="gzip", linger_ms=5, batch_size=131_072
    )
    events = list(_events(num_events))
    headers = [(name, text.encode()) for name, text in HEADERS.items()]
    started = time.perf_counter()
    for event in events:
        producer.send(f"{prefix}events", value=event.to_json(), key=event.camera.encode(), headers=headers)
    producer.flush(120)
    per_s = num_events / (time.perf_counter() - started)
    producer.close()
    return {"bare producer per s": per_s}


def _events(number: int) -> Iterator[Event]:
    for index in range(number):
        camera, seq = f"cam-{index % NUM_CAMERAS}", index // NUM_CAMERAS + 1
        yield make_event(camera, seq, object=PERSON, clock="arrival", time_us=time.time_ns() // 1000)


def _percentiles(name: str, values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {f"{name} p{p}": ordered[min(len(ordered) - 1, len(ordered) * p // 100)] for p in (50, 99)}


@contextmanager
def _apache() -> Iterator[Any]:
    with tempfile.TemporaryDirectory() as folder:
        broker = Apache(Path(folder) / "kafka")
        try:
            broker.start()
            yield broker.bootstrap
        finally:
            broker.kill()


if __name__ == "__main__":
    main()
