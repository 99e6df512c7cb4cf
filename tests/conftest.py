"""What every test begins with."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from engine import redact


@pytest.fixture(scope="session", autouse=True)
def state_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What cameras' normal is kept in must not be the folder of whoever runs the tests."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture(autouse=True)
def forget_secrets() -> Iterator[None]:
    """Secrets that one test registers must not mask words in another."""
    before = set(redact._secrets)
    yield
    redact._secrets.clear()
    redact._secrets.update(before)
