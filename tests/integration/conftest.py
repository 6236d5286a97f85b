"""Fixtures that give a test a real PostgreSQL server and sessions on it."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from exporter.demo.binaries import embedded, version_text
from exporter.demo.cluster import Cluster
from tests.integration.staging import Stage, prepare

# Room for what tests stage; prepared transactions are off by default.
SETTINGS = {"max_connections": "100", "max_prepared_transactions": "5"}


def bin_dir() -> Path:
    """Return the binaries under test: those of the environment or the embedded ones."""
    wanted = os.environ.get("PGCONN_TEST_POSTGRES_BIN")
    return Path(wanted) if wanted else embedded()


def pytest_report_header() -> str:
    """Say which server the tests stand on."""
    return f"server: {version_text(bin_dir())}"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Run one server for all tests that leave it as they found it."""
    with Cluster(bin_dir(), SETTINGS) as server:
        prepare(server)
        yield server


class NewCluster(Protocol):
    """Starts a server of a test's own; settings as keywords."""

    def __call__(self, port: int = 0, **settings: str) -> Cluster:
        """Start one, prepared as the common one is."""


@pytest.fixture
def new_cluster() -> Iterator[NewCluster]:
    """Start servers that the test may break or restart."""
    with ExitStack() as servers:

        def start(port: int = 0, **settings: str) -> Cluster:
            server = servers.enter_context(Cluster(bin_dir(), SETTINGS | settings, port))
            prepare(server)
            return server

        yield start


@pytest.fixture
async def stage(cluster: Cluster) -> AsyncIterator[Stage]:
    """Stage sessions on the common server and clear them away afterwards."""
    async with Stage(cluster) as staged:
        yield staged
