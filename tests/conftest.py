"""What every test begins with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine import redact


@pytest.fixture(autouse=True)
def forget_secrets() -> Iterator[None]:
    """Secrets that one test registers must not mask words in another."""
    before = set(redact._secrets)
    yield
    redact._secrets.clear()
    redact._secrets.update(before)
