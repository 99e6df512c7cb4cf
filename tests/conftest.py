"""What every test begins with."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from engine import redact
from engine.gpu import Gpu, gpus, why_no_gpu
from tests.cuda_driver import cuda_driver as cuda_driver

SERVERS = ("ray", "kafka", "rtsp")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where tests run in two processes, keep those that start servers in one: they wait more than they compute.

    The tests of a file stay together, too: what they share is made once.
    """
    if config.pluginmanager.hasplugin("xdist"):
        for item in items:
            serves = any(item.get_closest_marker(name) for name in SERVERS)
            item.add_marker(pytest.mark.xdist_group("servers" if serves else item.path.stem))


@pytest.fixture(scope="session", autouse=True)
def state_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What cameras' normal is kept in must not be the folder of whoever runs the tests."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture(autouse=True)
def usual_signals() -> None:
    """Let Ctrl-C arrive as usual: a shell's background process is deaf to it, and commands leave handlers behind."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def forget_secrets() -> Iterator[None]:
    """Secrets that one test registers must not mask words in another."""
    before = set(redact._secrets)
    yield
    redact._secrets.clear()
    redact._secrets.update(before)


@pytest.fixture(scope="session")
def gpu() -> Gpu:
    """The first GPU; where there is none the test is skipped, or fails with MUST_HAVE_GPU=1."""
    if found := gpus():
        return found[0]
    if os.environ.get("MUST_HAVE_GPU") == "1":
        pytest.fail(why_no_gpu())
    pytest.skip(why_no_gpu())
