"""One Ray cluster for all tests of a session: starting one takes seconds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deployments import cluster

# Before any test module imports Ray.
cluster.local_environment()


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    with cluster.connect():
        yield
