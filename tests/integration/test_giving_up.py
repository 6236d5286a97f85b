"""Statements that are given up: nothing of them is left, whenever we are stopped."""

import asyncio
import gc
import logging

import pytest

from exporter.demo.cluster import Cluster
from exporter.server.access import Access
from exporter.server.connection import Connection
from tests.integration.backends import stopped
from tests.integration.staging import MONITOR, Stage

TURNS = 10


@pytest.mark.parametrize("cancels", [1, 2, 3])
async def test_stopped_while_giving_up(
    cluster: Cluster, stage: Stage, caplog: pytest.LogCaptureFixture, cancels: int
) -> None:
    """A poll that is cancelled, and cancelled again, closes its link, and loses no exception."""
    gc.collect()  # what other tests have left is not told of this one
    caplog.set_level(logging.ERROR, "asyncio")
    connection = await Connection.open(Access(cluster.dsn(user=MONITOR)), 5.0)
    with stopped(connection.pid):
        poll = asyncio.create_task(connection.fetch("SELECT 1"))
        for _ in range(TURNS):  # until the statement is sent, and cannot be answered
            await asyncio.sleep(0)
        for _ in range(cancels):
            poll.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await poll
        assert connection.closed
    del poll
    await stage.until("count(*) = 0 FROM pg_stat_activity WHERE pid = %s", [connection.pid])
    gc.collect()
    assert caplog.records == []
