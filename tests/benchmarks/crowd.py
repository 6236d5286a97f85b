"""Many real sessions on a real server, as an application with pools would hold them."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

import psycopg
from psycopg import pq
from psycopg.pq.abc import PGconn

from exporter.demo.cluster import Cluster
from tests.integration.staging import LOCK_ROW, eventually, prepare

DISPERSED_WITHIN = 60.0  # seconds: thousands of processes have to end
OPENERS = 4  # at a time: the postmaster is one process, and we have few cores
USERS = ("app", "reports", "celery", "deploy")
APPLICATIONS = 50
IDLE, SLEEP = "SELECT 'staged'", "SELECT pg_sleep(3600)"

# Of a hundred sessions, ninety are idle: that is what pools are like.
BUSY = {**dict.fromkeys(range(4), SLEEP), **dict.fromkeys(range(4, 7), "BEGIN")}
BUSY |= dict.fromkeys(range(7, 10), LOCK_ROW)


@contextlib.contextmanager
def server(sessions: int) -> Iterator[Cluster]:
    """Run a server that has room for so many sessions, the exporter's and some more."""
    settings = {
        "max_connections": str(sessions + 20),
        # A thousand waiters that look for a deadlock at the same time are no part of a poll.
        "deadlock_timeout": "1h",
    }
    with Cluster(settings=settings) as cluster:
        prepare(cluster)
        yield cluster


class Crowd:
    """Sessions of several users and applications, and one that locks a row for ever."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._sessions: list[PGconn] = []
        self._hold()

    def _hold(self) -> None:
        """Lock the row that others will wait for, and stay idle in transaction."""
        holder = self._open(0)
        for statement in ("BEGIN", LOCK_ROW):
            assert holder.exec_(statement.encode()).status == pq.ExecStatus.COMMAND_OK
        self._sessions.append(holder)

    def grow(self, count: int, *, all_wait: bool = False) -> None:
        """Open more until there are so many; all of them wait for the lock, or few."""
        numbers = range(len(self._sessions), count)
        with ThreadPoolExecutor(OPENERS) as pool:
            self._sessions += pool.map(self._begin, numbers, repeat(all_wait))

    def _begin(self, number: int, all_wait: bool) -> PGconn:  # noqa: FBT001 - as map calls it
        session = self._open(number)
        statement = LOCK_ROW if all_wait else BUSY.get(number % 100, IDLE)
        if statement in (IDLE, "BEGIN"):
            session.exec_(statement.encode())
        else:
            session.send_query(statement.encode())  # never to be answered
        return session

    def _open(self, number: int) -> PGconn:
        dsn = self._cluster.dsn(
            user=USERS[number % len(USERS)],
            dbname="shop",
            application_name=f"gunicorn: worker {number % APPLICATIONS}",
        )
        session = pq.PGconn.connect(dsn.encode())
        if session.status != pq.ConnStatus.OK:
            raise RuntimeError(session.get_error_message())
        return session

    def states(self) -> str:
        """Say what the server sees."""
        query = """SELECT CASE WHEN wait_event_type = 'Lock' THEN 'waiting' ELSE state END AS s,
            count(*) FROM pg_stat_activity WHERE datname = 'shop' GROUP BY 1 ORDER BY 2 DESC"""
        with psycopg.connect(self._cluster.socket_dsn()) as admin:
            return ", ".join(f"{count} {state}" for state, count in admin.execute(query))

    async def disperse(self) -> None:
        """End every session, also those that never listen."""
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'shop'"
        with psycopg.connect(self._cluster.socket_dsn(), autocommit=True) as admin:
            admin.execute(query)

            async def gone() -> bool:
                rest = admin.execute("SELECT 1 FROM pg_stat_activity WHERE datname = 'shop'")
                return rest.fetchone() is None

            await eventually(gone, DISPERSED_WITHIN)
        for session in self._sessions:
            session.finish()
        self._sessions.clear()
