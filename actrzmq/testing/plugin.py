"""For pytest: `pytest_plugins = ["actrzmq.testing.plugin"]` in a `conftest.py`. Nothing else in here needs pytest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from actrzmq.testing.cluster import LocalCluster


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    """A `LocalCluster` that the test enters, on whichever event loop it runs: `async with cluster: …`."""
    cluster = LocalCluster()
    yield cluster
    if cluster.is_open:
        pytest.fail("the test has not left its cluster: what is done with one belongs within `async with cluster:`")
