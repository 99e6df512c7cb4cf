"""Whether a source can be reached, and the sentence for a person when it cannot. Knows no media library."""

from __future__ import annotations

import ipaddress
import socket
import threading
from pathlib import Path

from engine.errors import Cause, SourceError, SourceUnavailable
from engine.redact import Url, redact

RTSP_SCHEMES = ("rtsp", "rtsps")
LIVE_SCHEMES = (*RTSP_SCHEMES, "http", "https", "rtmp", "rtmps", "udp")
_PORTS = {"rtsp": "554", "rtsps": "322", "http": "80", "https": "443", "rtmp": "1935", "rtmps": "443"}


def check_file(path: Path) -> None:
    """See that there is a file with something in it.

    Raises:
        SourceError: there is none, it is a folder, or it is empty.
    """
    if path.is_dir():
        raise SourceError(f"{path}: this is a folder, not a video file", Cause.INVALID)
    if not path.exists():
        raise SourceError(f"{path}: no such file", Cause.NOT_FOUND)
    if path.is_file() and path.stat().st_size == 0:
        raise SourceError(f"{path}: the file is empty", Cause.INVALID)


def check_url(url: Url, limit_s: float) -> None:
    """See that a URL can be one, and that its host is known.

    Args:
        url: of a camera.
        limit_s: how long looking up the host may take.

    Raises:
        SourceError: another protocol, a port that is none, or no host.
        SourceUnavailable: the host is not known now.
    """
    if url.scheme not in LIVE_SCHEMES:
        known = ", ".join(LIVE_SCHEMES)
        raise SourceError(f"{url}: '{url.scheme}' is no protocol for cameras; these are: {known}", Cause.INVALID)
    if url.port and not (url.port.isdecimal() and 0 < int(url.port) < 65536):
        raise SourceError(f"{url}: a port is a number from 1 to 65535, got '{redact(url.port)}'", Cause.INVALID)
    if url.looks_misread:
        text = "user or password seem to hold '@' or '/' as they are; write them as %40 and %2F"
        raise SourceError(f"{url.scheme}://***: {text}", Cause.INVALID)
    if not url.host:
        raise SourceError(f"{url}: it names no host", Cause.INVALID)
    _look_up(url, limit_s)


def failure_sentence(url: Url, cause: Cause, took_s: float, reason: str) -> str:
    """Say what went wrong with a camera and what to do about it.

    Args:
        url: of the camera.
        cause: what went wrong.
        took_s: how long it was waited for.
        reason: the library's words, for causes that say nothing by themselves.
    """
    port = url.port or _PORTS.get(url.scheme, "")
    where = f"{url.host}:{port}" if port else url.host
    sentences = {
        Cause.AUTH: "the camera refuses this user and password; check both",
        Cause.NOT_FOUND: f"the camera has no stream '{url.path or '/'}'; check the path",
        Cause.REFUSED: f"nothing listens on {where}; check host and port, and that the camera is on",
        Cause.TIMEOUT: f"nothing came from {where} for {took_s:.1f} s",
        Cause.INVALID: f"what answers on {where} is no {url.scheme.upper()} stream; check protocol and port",
        Cause.CODEC: f"what comes from {where} cannot be read ({reason})",
        Cause.ENDED: "the camera ended the stream",
    }
    return redact(f"{url}: {sentences.get(cause, f'the connection to {where} failed ({reason})')}")


def _look_up(url: Url, limit_s: float) -> None:
    # In a thread of its own: a look-up cannot be interrupted, and media libraries fail without saying that it was it.
    try:
        ipaddress.ip_address(url.host)
    except ValueError:
        pass
    else:
        return
    answers: list[str] = []

    def look_up() -> None:
        try:
            socket.getaddrinfo(url.host, None)
            answers.append("")
        except (OSError, UnicodeError) as error:
            answers.append(getattr(error, "strerror", None) or "not a host name")

    thread = threading.Thread(target=look_up, name=f"dns-{url.host}", daemon=True)
    thread.start()
    thread.join(limit_s)
    if not answers:
        raise SourceUnavailable(f"{url}: looking up '{url.host}' took more than {limit_s:.1f} s", Cause.DNS)
    if answers[0]:
        text = f"no host is called '{url.host}' ({answers[0]}); check the name, or use an address"
        raise SourceUnavailable(f"{url}: {text}", Cause.DNS)
