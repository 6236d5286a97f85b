"""The stage keeps its promises: what it says it has staged is what the server shows."""

from typing import get_args

import pytest

from tests.integration.backends import stopped
from tests.integration.conftest import NewCluster
from tests.integration.staging import ODD_NAMES, Client, Stage, State

SEEN = """
SELECT usename::text, application_name, coalesce(host(client_addr), 'local'), datname::text, state
FROM pg_stat_activity WHERE pid = %s
"""


@pytest.mark.parametrize("state", get_args(State))
async def test_states(stage: Stage, state: State) -> None:
    """Sessions are in the wanted state when they are handed out."""
    for session in await stage.open(state=state, count=2):
        [seen] = await stage.fetch(SEEN, [session.pid])
        assert seen == ("app", "", "127.0.0.1", "shop", state)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.5", "127.9.8.7", "local"])
async def test_client_addresses(stage: Stage, address: str) -> None:
    """Sessions come from the wanted address."""
    [session] = await stage.open(Client("reports", "nightly", address))
    [seen] = await stage.fetch(SEEN, [session.pid])
    assert seen == ("reports", "nightly", address, "shop", "idle")


@pytest.mark.parametrize("name", ODD_NAMES)
async def test_odd_names(stage: Stage, name: str) -> None:
    """Roles and databases of any name work, and are gone after the test."""
    client = Client(await stage.role(name), dbname=await stage.database(name))
    [session] = await stage.open(client, "active")
    [seen] = await stage.fetch(SEEN, [session.pid])
    assert seen == (name, "", "127.0.0.1", name, "active")
    await stage.clear()
    assert await stage.fetch("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]) == []


async def test_ages(stage: Stage) -> None:
    """Waiting for an age is by the server's clock."""
    opened = await stage.open(count=2)
    await stage.aged(opened, 0.3)
    ages = "SELECT min(clock_timestamp() - state_change) >= '0.3 s' FROM pg_stat_activity"
    assert await stage.fetch(ages + " WHERE usename = 'app'") == [(True,)]


async def test_pile_up(stage: Stage) -> None:
    """Waiters queue behind the holder in their order."""
    pile = await stage.pile_up(3)
    blocked_by = "SELECT pg_blocking_pids(pid) FROM pg_stat_activity WHERE pid = %s"
    first, second, third = pile.waiters
    assert await stage.fetch(blocked_by, [first.pid]) == [([pile.holder.pid],)]
    assert await stage.fetch(blocked_by, [third.pid]) == [([first.pid, second.pid],)]


async def test_chain(stage: Stage) -> None:
    """Each session of a chain waits for the one before it."""
    chain = await stage.chain(3)
    blocked_by = "SELECT pg_blocking_pids(pid) FROM pg_stat_activity WHERE pid = %s"
    assert await stage.fetch(blocked_by, [chain.waiters[2].pid]) == [([chain.waiters[1].pid],)]


async def test_prepared_transactions_end(stage: Stage) -> None:
    """A prepared transaction blocks until the stage is cleared."""
    await stage.prepared_transaction("it's prepared")
    [waiter] = await stage.queue(1)
    blocked_by = "SELECT pg_blocking_pids(pid) FROM pg_stat_activity WHERE pid = %s"
    assert await stage.fetch(blocked_by, [waiter.pid]) == [([0],)]
    await stage.clear()
    assert await stage.fetch("SELECT gid FROM pg_prepared_xacts") == []


async def test_vanished_clients(stage: Stage) -> None:
    """A client that vanishes leaves its active backend behind, not its idle one."""
    [idle], [active] = await stage.open(), await stage.open(state="active")
    idle.vanish()
    active.vanish()
    await stage.gone([idle])
    await stage.shows([active], "state = 'active'")


async def test_dead_network(stage: Stage) -> None:
    """A frozen forwarder holds everything back, even the end of a connection."""
    client = Client(client_addr="127.0.0.66")
    [session] = await stage.open(client)
    network = stage.forwarder(client.client_addr)
    network.freeze()
    session.vanish()
    await stage.aged([session], 0.3)
    await stage.shows([session], "state = 'idle'")
    network.thaw()
    await stage.gone([session])


async def test_stopped_backend(stage: Stage) -> None:
    """A stopped backend does nothing until it is let go."""
    [session] = await stage.open()
    with stopped(session.pid):
        session.begin("SELECT 1")
        await stage.aged([session], 0.3)
        assert session.running is not None
        assert not session.running.done()
    await session.finish()


async def test_survives_the_server(new_cluster: NewCluster) -> None:
    """Staging goes on after a restart, and clearing away works on a dead server."""
    server = new_cluster()
    async with Stage(server) as stage:
        await stage.open(state="active")
        server.restart()
        await stage.open(state="active")
        server.kill()


async def test_leaves_nothing(stage: Stage) -> None:
    """After other tests only the stage's own session is there."""
    # What was closed just now may take a moment to end.
    await stage.until(
        "array_agg(application_name) = '{stage}'"
        " FROM pg_stat_activity WHERE backend_type = 'client backend'"
    )
