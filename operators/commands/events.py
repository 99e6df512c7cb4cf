"""`vedette events`: read the topic as people or programs would, and print the contract as JSON Schema."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.duration import parse_duration_s
from engine.errors import SinkError, UsageError
from engine.wording import describe

PASSWORD_VARIABLE = "VEDETTE_KAFKA_PASSWORD"
REMEMBERED_IDS = 100_000


def register(app: typer.Typer) -> None:
    """Add the commands."""
    events = typer.Typer(help="Read the events that were published; print what one looks like.", no_args_is_help=True)
    events.command("tail")(tail)
    events.command("schema")(schema)
    app.add_typer(events, name="events")


def tail(
    bootstrap: Annotated[str, typer.Option(metavar="HOST:PORT", help="The Kafka broker.")] = "localhost:9092",
    topic: Annotated[str, typer.Option(help="The topic.")] = "vedette.events",
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="Print what the topic holds, too.")] = False,
    camera: Annotated[str | None, typer.Option(help="Only this camera.")] = None,
    type: Annotated[str | None, typer.Option(help="Only this type: line.crossed, or all of `zone`.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the bodies, one JSON object a line.")] = False,
    max_events: Annotated[int | None, typer.Option("--max", min=1, help="Stop after so many events.")] = None,
    for_: Annotated[str | None, typer.Option("--for", metavar="10s", help="Stop after so long: 10s, 5m, 1h.")] = None,
    security_protocol: Annotated[str, typer.Option(help="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.")] = "PLAINTEXT",
    sasl_mechanism: Annotated[str | None, typer.Option(help="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.")] = None,
    username: Annotated[str, typer.Option(help=f"For SASL; the password is read from ${PASSWORD_VARIABLE}.")] = "",
    ssl_cafile: Annotated[str | None, typer.Option(help="Certificate authority of the broker, PEM.")] = None,
) -> None:  # fmt: skip
    """Print one line for each event as it is published; repeated ones are left out. Ctrl-C ends it."""
    from engine.load import load_class

    limit_s = None if for_ is None else parse_duration_s(for_)
    try:
        source = load_class("kafka")(
            bootstrap=bootstrap, security_protocol=security_protocol, sasl_mechanism=sasl_mechanism,
            username=username, password=os.environ.get(PASSWORD_VARIABLE, "") if username else "",
            ssl_cafile=ssl_cafile,
        )  # fmt: skip
    except ValueError as error:
        raise UsageError(str(error)) from None
    deadline = None if limit_s is None else time.monotonic() + limit_s
    num_printed = num_repeated = 0
    seen: dict[str, None] = {}
    print(f"vedette: reading {topic} at {bootstrap}, Ctrl-C ends", file=sys.stderr, flush=True)
    try:
        with _ending_on_signals(), closing(source.read(topic, from_beginning)) as records:
            for record in records:
                if deadline is not None and time.monotonic() > deadline:
                    break
                if record is None:
                    continue
                body = _body(record, topic)
                if body is None or not _is_wanted(body, camera, type):
                    continue
                if body["event_id"] in seen:
                    num_repeated += 1
                    continue
                seen[body["event_id"]] = None
                if len(seen) > REMEMBERED_IDS:
                    del seen[next(iter(seen))]
                num_printed += 1
                print(record.value.decode() if as_json else describe(body), flush=True)
                if num_printed == max_events:
                    break
    except KeyboardInterrupt:
        pass
    finally:
        repeated = f", {num_repeated} repeated ones left out" if num_repeated else ""
        print(f"vedette: {num_printed} events{repeated}", file=sys.stderr)


def schema(
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it to a file instead.")] = None,
) -> None:
    """Print the JSON Schema of an event's body."""
    from engine.event import json_schema

    text = json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
    if out is None:
        print(text, end="")
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SinkError(f"the schema cannot be written to {out}: {(error.strerror or str(error)).lower()}") from None


def _body(record: Any, topic: str) -> dict[str, Any] | None:
    try:
        body = json.loads(record.value)
    except (TypeError, ValueError):
        body = None
    if isinstance(body, dict) and isinstance(body.get("event_id"), str):
        return body
    where = f"{topic}, partition {record.partition}, offset {record.offset}"
    print(f"vedette: not an event: {where}", file=sys.stderr)
    return None


def _is_wanted(body: Mapping[str, Any], camera: str | None, type: str | None) -> bool:
    name = str(body.get("type"))
    return camera in (None, body.get("camera")) and (type is None or name == type or name.startswith(f"{type}."))


@contextmanager
def _ending_on_signals() -> Iterator[None]:
    """Treat SIGTERM as Ctrl-C, where signals can be caught: in the main thread.

    SIGINT is set, too: what a shell starts in the background is born deaf to it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
