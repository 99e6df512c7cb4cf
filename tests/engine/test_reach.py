from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import pytest

from engine.errors import Cause, SourceError, SourceUnavailable
from engine.reach import check_file, check_url, failure_sentence
from engine.redact import Url


@pytest.mark.parametrize(
    ("url", "cause", "text"),
    [
        (
            "rtps://u:secret@h/1",
            Cause.INVALID,
            r"rtps://\*\*\*@h/1: 'rtps' is no protocol for cameras; these are: rtsp",
        ),
        ("rtsp://u:secret@h:99999/1", Cause.INVALID, "a port is a number from 1 to 65535, got '99999'"),
        ("rtsp://h:x1/1", Cause.INVALID, "a port is a number from 1 to 65535, got 'x1'"),
        ("rtsp:///1", Cause.INVALID, "it names no host"),
        ("rtsp://viewer:p@secret/1@127.0.0.1/gate", Cause.INVALID, "write them as %40 and %2F"),
        ("rtsp://u:secret@no-such-host.invalid/1", Cause.DNS, "no host is called 'no-such-host.invalid'"),
    ],
)
def test_a_url_that_cannot_work_is_named_before_anything_connects(url: str, cause: Cause, text: str) -> None:
    with pytest.raises(SourceError, match=text) as raised:
        check_url(Url(url), 5.0)

    assert raised.value.cause is cause
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
def test_addresses_and_known_names_pass(host: str) -> None:
    check_url(Url(f"rtsp://{host}:554/1"), 5.0)


def test_a_name_server_that_does_not_answer_costs_no_more_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> None:
        time.sleep(5)

    monkeypatch.setattr(socket, "getaddrinfo", never)
    started_s = time.monotonic()
    with pytest.raises(SourceUnavailable, match=r"looking up 'gate\.example' took more than 0\.1 s") as raised:
        check_url(Url("rtsp://gate.example/1"), 0.1)

    assert time.monotonic() - started_s < 4
    assert raised.value.cause is Cause.DNS


def test_a_name_that_is_none_is_a_dns_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise UnicodeError("label too long")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(SourceUnavailable, match="not a host name"):
        check_url(Url("rtsp://gate.example/1"), 1.0)


def test_files_that_are_none_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    for name, text, cause in (
        ("missing.mp4", "missing.mp4: no such file", Cause.NOT_FOUND),
        ("empty.mp4", "empty.mp4: the file is empty", Cause.INVALID),
        ("", "this is a folder, not a video file", Cause.INVALID),
    ):
        with pytest.raises(SourceError, match=text) as raised:
            check_file(tmp_path / name)
        assert raised.value.cause is cause


@pytest.mark.parametrize("cause", list(Cause))
def test_every_cause_has_a_sentence_that_names_the_camera_and_no_credential(cause: Cause) -> None:
    sentence = failure_sentence(Url("rtsp://u:secret@10.0.0.7/live?password=xyz"), cause, 5.0, "Broken pipe")

    assert sentence.startswith("rtsp://***@10.0.0.7/live?password=***: ")
    assert "secret" not in sentence
    assert "xyz" not in sentence


def test_a_failed_connection_names_host_and_the_usual_port() -> None:
    assert failure_sentence(Url("rtsp://10.0.0.7/live"), Cause.REFUSED, 0.0, "") == (
        "rtsp://10.0.0.7/live: nothing listens on 10.0.0.7:554; check host and port, and that the camera is on"
    )
