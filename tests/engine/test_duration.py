from __future__ import annotations

import pytest

from engine.duration import parse_duration_s
from engine.errors import UsageError


@pytest.mark.parametrize(("text", "seconds"), [("10s", 10), ("500ms", 0.5), ("5m", 300), ("1.5h", 5400), ("7", 7)])
def test_reads_a_duration(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == seconds


def test_refuses_what_is_no_duration() -> None:
    with pytest.raises(UsageError, match=r"--for: needs a duration such as 10s, 5m or 1h, got 'soon'"):
        parse_duration_s("soon")
