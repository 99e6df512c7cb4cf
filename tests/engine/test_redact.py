from __future__ import annotations

import pickle
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from engine.redact import Url, redact, register_secret


def test_a_url_prints_without_user_and_password() -> None:
    url = Url("rtsp://admin:s3cret@10.0.0.7:554/live?x=1")

    assert str(url) == f"{url}" == "rtsp://***@10.0.0.7:554/live?x=1"
    assert repr(url) == "Url('rtsp://***@10.0.0.7:554/live?x=1')"
    assert url.reveal() == "rtsp://admin:s3cret@10.0.0.7:554/live?x=1"
    assert (url.scheme, url.host, url.port, url.path) == ("rtsp", "10.0.0.7", "554", "/live?x=1")


def test_a_dataclass_that_holds_one_prints_without_the_password() -> None:
    @dataclass
    class Holder:
        url: Url

    assert "s3cret" not in repr(Holder(Url("rtsp://admin:s3cret@host/1")))


@pytest.mark.parametrize(
    ("written", "revealed", "host"),
    [
        ("rtsp://a:p@ss@h/1", "rtsp://a:p%40ss@h/1", "h"),
        ("rtsp://a:p/w#d?@h:5/1", "rtsp://a:p%2Fw%23d%3F@h:5/1", "h"),
        ("rtsp://a:x:y@h/1", "rtsp://a:x%3Ay@h/1", "h"),
        ("rtsp://a:p%40ss@h/1", "rtsp://a:p%40ss@h/1", "h"),
        ("rtsp://a:100%@h/1", "rtsp://a:100%25@h/1", "h"),
        ("rtsp://a@h/1", "rtsp://a@h/1", "h"),
        ("rtsp://:pw@h/1", "rtsp://:pw@h/1", "h"),
        ("rtsp://h/cam@1", "rtsp://h/cam@1", "h"),
        ("rtsp://h:554/cam@1", "rtsp://h:554/cam@1", "h"),
        ("rtsp://[::1]:554/cam@1", "rtsp://[::1]:554/cam@1", "::1"),
        ("clips/a@b.mp4", "clips/a@b.mp4", ""),
    ],
)
def test_user_and_password_are_encoded_however_they_were_written(written: str, revealed: str, host: str) -> None:
    url = Url(written)

    assert url.reveal() == revealed
    assert url.host == host


@given(st.text(min_size=1, max_size=20), st.text(min_size=4, max_size=20))
def test_parts_of_any_characters_give_a_url_that_parses_back_and_hides_them(user: str, password: str) -> None:
    url = Url.from_parts("rtsp", "10.0.0.7", "/live", 554, user, password)

    assert (url.host, url.port, url.path) == ("10.0.0.7", "554", "/live")
    assert Url(url.reveal()) == url
    assert str(url) == "rtsp://***@10.0.0.7:554/live"


def test_parts_without_credentials_and_with_an_ipv6_host() -> None:
    assert Url.from_parts("rtsp", "::1", "live").reveal() == "rtsp://[::1]/live"


def test_it_works_in_another_process_and_compares_by_what_it_holds() -> None:
    url = Url("rtsp://a:s3cret@h/1")
    back = pickle.loads(pickle.dumps(url))

    assert back == url
    assert hash(back) == hash(url)
    assert back != Url("rtsp://a:other@h/1")
    assert back != "rtsp://a:s3cret@h/1"
    assert back.reveal() == "rtsp://a:s3cret@h/1"
    assert Url.of(url) is url


def test_pydantic_reads_it_from_text_and_writes_it_without_the_password() -> None:
    adapter = TypeAdapter(Url)
    url = adapter.validate_python("rtsp://a:s3cret@h/1")

    assert url == Url("rtsp://a:s3cret@h/1")
    assert adapter.dump_json(url) == b'"rtsp://***@h/1"'
    with pytest.raises(ValidationError, match="expected a path or a URL, got a int"):
        adapter.validate_python(3)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("open 'rtsp://u:p@h/1': refused", "open 'rtsp://***@h/1': refused"),
        ("a rtsp://u:p@h/1 and http://v:q@g/2", "a rtsp://***@h/1 and http://***@g/2"),
        ("rtsp://u:p/w@h/1", "rtsp://***@h/1"),
        ("rtsp://h/user=admin&password=abc&channel=1", "rtsp://h/user=***&password=***&channel=1"),
        ("http://h/v?pwd=abc;x", "http://h/v?pwd=***;x"),
        ("mail me@example.org", "mail me@example.org"),
        ("no secret here", "no secret here"),
        ("", ""),
    ],
)
def test_any_text_loses_the_credentials_of_its_urls(text: str, clean: str) -> None:
    assert redact(text) == clean


def test_a_registered_secret_vanishes_in_every_form_and_short_ones_stay() -> None:
    register_secret("Tr0ub/4dor")
    register_secret("abc")

    assert redact("got Tr0ub/4dor, Tr0ub%2F4dor and abc") == "got ***, *** and abc"


def test_the_password_of_a_url_vanishes_from_text_that_holds_no_url() -> None:
    Url("rtsp://admin:hunter%402x@h/1")

    assert redact("the server said: hunter@2x is wrong") == "the server said: *** is wrong"
