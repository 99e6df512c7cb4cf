"""Lengths of time as people type them: `10s`, `5m`."""

from __future__ import annotations

import re

from engine.errors import UsageError

_UNITS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration_s(text: str) -> float:
    """Read `10s`, `500ms`, `5m`, `1h` or a plain number of seconds.

    Raises:
        UsageError: it is none of these.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|)", text.strip())
    if found is None:
        raise UsageError(f"--for: needs a duration such as 10s, 5m or 1h, got '{text}'")
    return float(found[1]) * _UNITS[found[2]]
