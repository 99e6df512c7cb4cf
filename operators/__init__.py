"""Operators, sources and sinks: one file each. `from operators import LineCount` finds `operators/line_count.py`."""

from __future__ import annotations

import re
from typing import Any


def __getattr__(name: str) -> Any:
    if not name[:1].isupper():
        raise AttributeError(f"module 'operators' has no attribute {name!r}")
    from engine.errors import ConfigError
    from engine.load import load_class

    kind = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    try:
        return load_class(kind)
    except ConfigError as error:
        raise AttributeError(f"module 'operators' has no attribute {name!r}: {error}") from error
