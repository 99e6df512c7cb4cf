"""Credentials: a URL that never prints its own, and a filter that takes them out of any text.

FFmpeg repeats the whole URL in its messages, so every text that comes from it passes through `redact()`.
"""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

MASK = "***"

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
# Greedy up to the last @ of a word: a password written with a raw '/' or '@' must not survive, even if a path that
# holds an @ is lost with it.
_USERINFO_IN_TEXT = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)[^\s'\"<>]*@")
# Cheap cameras take user and password in the path or the query: rtsp://host/user=admin&password=x&channel=1
_PARAMETER = re.compile(
    r"(?P<key>(?<![A-Za-z0-9])(?:user(?:name)?|usr|passw(?:or)?d|pwd|pass|token|secret|api_?key)=)(?!\*\*\*)[^&\s/;'\"<>]*",
    re.IGNORECASE,
)
# Shorter secrets would mask ordinary words and numbers of every message.
_MIN_SECRET_CHARS = 4

_secrets: set[str] = set()
_secrets_lock = threading.Lock()


def register_secret(secret: str) -> None:
    """Make `redact()` take this text, plain or percent-encoded, out of everything from now on."""
    forms = {secret, quote(secret, safe=""), quote(secret)}
    with _secrets_lock:
        _secrets.update(form for form in forms if len(form) >= _MIN_SECRET_CHARS)


def redact(text: object) -> str:
    """Give the text without the credentials of any URL in it, and without registered secrets."""
    clean = str(text)
    # The longest first: one secret may be part of another.
    with _secrets_lock:
        secrets = sorted(_secrets, key=len, reverse=True)
    for secret in secrets:
        if secret in clean:
            clean = clean.replace(secret, MASK)
    clean = _USERINFO_IN_TEXT.sub(rf"\g<scheme>{MASK}@", clean)
    return _PARAMETER.sub(rf"\g<key>{MASK}", clean)


class Url:
    """A path or URL whose user and password never print: `rtsp://***@host/path`.

    User and password are percent-encoded on construction, so that one written with a raw `@`, `:` or `/` works; a
    `%` followed by two hexadecimal digits counts as already encoded. It pickles with its secret, since it must work
    in another process.

    >>> Url("rtsp://admin:p@ss@10.0.0.7/live")
    Url('rtsp://***@10.0.0.7/live')
    >>> Url("rtsp://admin:p@ss@10.0.0.7/live").reveal()
    'rtsp://admin:p%40ss@10.0.0.7/live'
    """

    __slots__ = ("_revealed", "host", "path", "port", "scheme")

    def __init__(self, text: str) -> None:
        match = _SCHEME.match(text)
        self.scheme = match[0][:-3].lower() if match else ""
        self.host, self.port = "", ""
        self.path = text
        self._revealed = text
        if match is None:
            return
        rest = text[match.end() :]
        userinfo, rest = _split_userinfo(rest)
        authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
        self.host, self.port = _split_port(authority)
        self.path = rest[len(authority) :]
        self._revealed = f"{match[0]}{_encode_userinfo(userinfo)}{rest}"

    @classmethod
    def of(cls, url: Url | str) -> Url:
        """Wrap a text; a Url stays as it is."""
        return url if isinstance(url, Url) else cls(url)

    @classmethod
    def from_parts(
        cls, scheme: str, host: str, path: str = "/", port: int | None = None, user: str = "", password: str = ""
    ) -> Url:
        """Build a URL from plain parts; whatever characters user and password hold are encoded."""
        at = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user or password else ""
        where = f"[{host}]" if ":" in host else host
        return cls(f"{scheme}://{at}{where}{f':{port}' if port is not None else ''}/{path.removeprefix('/')}")

    @property
    def looks_misread(self) -> bool:
        """True when the path holds an '@': most likely a raw '@' and '/' in the password have cut it in two."""
        return self.scheme != "" and "@" in re.split(r"[?#]", self.path, maxsplit=1)[0]

    def reveal(self) -> str:
        """Give the URL with its credentials: only for the library that connects."""
        return self._revealed

    def __str__(self) -> str:
        return redact(self._revealed)

    def __repr__(self) -> str:
        return f"Url({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return self._revealed == other._revealed if isinstance(other, Url) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._revealed)

    def __reduce__(self) -> tuple[type[Url], tuple[str]]:
        return Url, (self._revealed,)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(_validate, serialization=core_schema.to_string_ser_schema())


def _validate(value: object) -> Url:
    if isinstance(value, Url | str):
        return Url.of(value)
    raise ValueError(f"expected a path or a URL, got a {type(value).__name__}")


def _split_userinfo(rest: str) -> tuple[str, str]:
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in authority:
        userinfo, _, _ = authority.rpartition("@")
        return userinfo, rest[len(userinfo) + 1 :]
    _, colon, port = authority.partition(":")
    # `admin:p/ss@host`: what stands after the colon is no port, so the password holds a raw '/', '?' or '#'.
    if colon and "@" in rest and not authority.startswith("[") and not port.isdigit():
        userinfo, _, after = rest.partition("@")
        return userinfo, after
    return "", rest


def _split_port(authority: str) -> tuple[str, str]:
    bracketed = re.fullmatch(r"\[(?P<host>[^]]*)\](?::(?P<port>.*))?", authority)
    if bracketed:
        return bracketed["host"], bracketed["port"] or ""
    host, _, port = authority.partition(":")
    return host, port


def _encode_userinfo(userinfo: str) -> str:
    if not userinfo:
        return ""
    user, colon, password = userinfo.partition(":")
    if password:
        register_secret(unquote(password))
        register_secret(password)
    return f"{quote(unquote(user), safe='')}{colon}{quote(unquote(password), safe='')}@"
