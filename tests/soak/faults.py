"""The table of faults: each is done, lasts a while, and is undone."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final

from exporter.demo.cluster import Cluster
from tests.integration.backends import stopped
from tests.integration.staging import MONITOR, Client, eventually
from tests.soak import clients, visitors
from tests.soak.plan import Step
from tests.soak.world import SHAKEN, World

if TYPE_CHECKING:
    from tests.integration.watching import Target

Fault = Callable[[World, Step], Awaitable[object]]


def some(world: World, step: Step) -> Cluster:
    """Choose a server: what applications do is no fault of a server's, and both must bear it."""
    return step.chance.choice(world.servers)


# --- The server


async def session_terminated(world: World, step: Step) -> None:
    """End our sessions, as an administrator does."""
    del step
    await clients.terminate_own(world.shaken)


async def backend_stopped(world: World, step: Step) -> None:
    """Let our backends hang."""
    with stopped(*await clients.own_backends(world.shaken)):
        await asyncio.sleep(step.hold)


async def postmaster_stopped(world: World, step: Step) -> None:
    """Let nobody in."""
    with stopped(world.shaken.pid):
        await asyncio.sleep(step.hold)


async def server_stopped(world: World, step: Step) -> None:
    """Let every process hang."""
    with stopped(*world.shaken.processes()):
        await asyncio.sleep(step.hold)


async def restarted(world: World, step: Step) -> None:
    """Restart it in order."""
    await asyncio.to_thread(world.shaken.stop, "fast")
    await started(world, step)


async def restarted_at_once(world: World, step: Step) -> None:
    """Restart it without a shutdown, so that it recovers."""
    await asyncio.to_thread(world.shaken.stop, "immediate")
    await started(world, step)


async def killed(world: World, step: Step) -> None:
    """Kill the postmaster, as the kernel does."""
    await asyncio.to_thread(world.shaken.kill)
    await started(world, step)


async def started(world: World, step: Step) -> None:
    """Leave the server down for a while, and start it."""
    await asyncio.sleep(step.hold / 2)
    await asyncio.to_thread(world.shaken.start)


async def slots_exhausted(world: World, step: Step) -> None:
    """Take every slot."""
    await clients.exhaust(world.shaken, step.hold, terminate=False)


async def shut_out(world: World, step: Step) -> None:
    """Take every slot, and our own session too."""
    await clients.exhaust(world.shaken, step.hold, terminate=True)


async def network_frozen(world: World, step: Step) -> None:
    """Let nothing pass between us and the server, and tell nobody."""
    world.network.freeze()
    await asyncio.sleep(step.hold)
    world.network.thaw()


async def pooler_restarted(world: World, step: Step) -> None:
    """Kill PgBouncer and start it, with clients of its own."""
    await world.pooler.disconnect()
    world.pooler.kill()
    await asyncio.sleep(step.hold / 2)
    await asyncio.to_thread(world.pooler.start)
    for number in range(3):
        session = await world.pooler.connect(Client("app", f"web: pooled {number}"))
        await session.run("SELECT 1")


# --- Applications


async def new_names(world: World, step: Step) -> None:
    """Let clients come and go whose names are new."""
    await clients.come_and_go(some(world, step), step.chance, step.hold)


async def clients_killed(world: World, step: Step) -> None:
    """Let clients die while their query runs."""
    await clients.die(some(world, step), step.hold)


async def locks(world: World, step: Step) -> None:
    """Let clients queue behind a lock."""
    await clients.pile_up(some(world, step), step.hold)


async def prepared(world: World, step: Step) -> None:
    """Leave a prepared transaction."""
    await clients.prepare_transaction(some(world, step), step.chance, step.hold)


async def statements(world: World, step: Step) -> None:
    """Run statements that are all new."""
    await clients.new_statements(some(world, step), step.chance)


async def statements_reset(world: World, step: Step) -> None:
    """Reset pg_stat_statements."""
    await clients.reset_statements(some(world, step))


async def databases_and_roles(world: World, step: Step) -> None:
    """Let a database and a role come and go, with a timeout of its own."""
    await clients.new_names(some(world, step), step.chance, step.hold)


# --- The exporter itself


async def garbage(world: World, step: Step) -> None:
    """Send what is no request."""
    await visitors.garbage(world.subject.url, step.chance)


async def half_requests(world: World, step: Step) -> None:
    """Begin requests, and never end them."""
    await visitors.half_requests(world.subject.url, step.hold)


async def slow_readers(world: World, step: Step) -> None:
    """Ask for pages, and do not take them."""
    await visitors.slow_readers(world.subject.url, step.hold)


async def dropped(world: World, step: Step) -> None:
    """Open connections, and reset them."""
    del step
    await visitors.dropped(world.subject.url)


async def reloaded(world: World, step: Step) -> None:
    """Reload a file that has not changed."""
    del step
    await reload(world, world.text())


async def reload_of_changes(world: World, step: Step) -> None:
    """Reload a file in which targets have come, gone and changed, and then the old one."""
    top = step.chance.randint(1, 100)
    way = world.shaken.dsn(user=MONITOR)
    changed: dict[str, Target] = {
        "shaken-1": {"dsn": way, "statements": {"top": top}},
        f"new-{top}": way,
    }
    await reload(world, world.text(without=(SHAKEN[1],), **changed))
    await asyncio.sleep(step.hold)
    await reload(world, world.text())


async def reload_of_a_bad_file(world: World, step: Step) -> None:
    """Reload a file that is no configuration, and then a good one."""
    await reload(world, f"targets: [{step.seed}")
    await asyncio.sleep(step.hold)
    await reload(world, world.text())


async def reload(world: World, text: str) -> None:
    """Write the file, have it read, and wait until it was."""
    before = world.subject.reloads()

    async def done() -> bool:
        return world.subject.reloads() > before

    world.config.write_text(text)
    world.subject.signal(signal.SIGHUP)
    await eventually(done)


FAULTS: Final[Mapping[str, Mapping[str, Fault]]] = {
    "server": {
        "own session terminated": session_terminated,
        "own backend stopped": backend_stopped,
        "postmaster stopped": postmaster_stopped,
        "server stopped": server_stopped,
        "fast restart": restarted,
        "immediate restart": restarted_at_once,
        "killed": killed,
        "slots exhausted": slots_exhausted,
        "shut out while exhausted": shut_out,
        "network frozen": network_frozen,
        "PgBouncer restarted": pooler_restarted,
    },
    "applications": {
        "new application names": new_names,
        "clients killed": clients_killed,
        "locks": locks,
        "prepared transaction": prepared,
        "new statements": statements,
        "statements reset": statements_reset,
        "databases and roles": databases_and_roles,
    },
    "exporter": {
        "garbage": garbage,
        "half requests": half_requests,
        "slow readers": slow_readers,
        "connections dropped": dropped,
        "reload of the same file": reloaded,
        "reload of changes": reload_of_changes,
        "reload of a bad file": reload_of_a_bad_file,
    },
}
"""By lane: the faults of one lane come one after the other, those of different lanes at once."""
