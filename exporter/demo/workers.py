"""What each process of the demo's application does: `python -m exporter.demo.workers ROLE DSN`."""

import contextlib
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, LiteralString, NoReturn

import psycopg
from psycopg import Connection

THREADS = 5  # of an api worker, each with its own connection
REQUEST_TIMEOUT = 10.0  # gunicorn's --timeout: the worker is killed, its query is not
SLOW_SEARCH = 30.0  # what the one slow endpoint takes
LEAK_BOUND = 25  # sessions that the nightly job leaks before somebody kills it
LEAK_HELD = 15.0  # seconds until then
LOCK_HELD, LOCK_PAUSE = 8.0, 4.0  # seconds that a migration takes, and until the next

Row = tuple[Any, ...]

ORDER: LiteralString = "SELECT id, created, total FROM orders WHERE id = %s"
PAGE: LiteralString = """
SELECT id, created, total FROM orders CROSS JOIN pg_sleep(%s)
WHERE customer_id = %s ORDER BY created DESC LIMIT 20
"""
PAY: LiteralString = "UPDATE payments SET paid = now() WHERE order_id = %s"
SEARCH: LiteralString = """
SELECT id, total FROM orders CROSS JOIN pg_sleep(%s) WHERE note LIKE %s ORDER BY total DESC
"""
ITEM: LiteralString = "SELECT id, total FROM orders WHERE id = %s"
REPORTS: tuple[LiteralString, ...] = (
    """
    SELECT date_trunc('month', created) AS month, sum(total) FROM orders CROSS JOIN pg_sleep(%s)
    GROUP BY month ORDER BY month
    """,
    """
    SELECT customer_id, sum(total) OVER (ORDER BY created) FROM orders CROSS JOIN pg_sleep(%s)
    ORDER BY total DESC LIMIT 100
    """,
    """
    SELECT a.customer_id, count(*) FROM orders a JOIN orders b USING (customer_id)
    CROSS JOIN pg_sleep(%s) GROUP BY a.customer_id ORDER BY 2 DESC LIMIT 10
    """,
)


def end_with_parent() -> None:
    """End this process when its standard input does, which is when the parent is gone."""

    def wait() -> None:
        while os.read(
            sys.stdin.fileno(), 1024
        ):  # sys.stdin itself has a lock that we must not hold
            pass
        os._exit(0)

    threading.Thread(target=wait, name="parent", daemon=True).start()


def connect(dsn: str) -> Connection[Row]:
    """Open a session."""
    return psycopg.connect(dsn, autocommit=True)


def keep_doing(work: Callable[[], None]) -> NoReturn:
    """Do something again and again, whatever the server says: an application has to live."""
    while True:
        with contextlib.suppress(psycopg.Error):
            work()
        time.sleep(1)


def in_threads(works: list[Callable[[], None]]) -> NoReturn:
    """Do several things at the same time, for ever."""
    for work in works:
        threading.Thread(target=keep_doing, args=(work,), daemon=True).start()
    while True:
        signal.pause()


def api(dsn: str, number: int) -> NoReturn:
    """Serve requests as one gunicorn worker; now and then one of them is far too slow."""
    # The first worker meets the slow endpoint soon, so that there is soon something to see.
    first = 1.0 if number == 1 else random.uniform(10, 60)
    searching = [lambda: serve_until(dsn, time.monotonic() + first)]
    in_threads([*searching, *[lambda: serve_until(dsn, None)] * (THREADS - 1)])


def serve_until(dsn: str, end: float | None) -> None:
    """Serve quick requests on one connection, and at the end the slow one."""
    with connect(dsn) as connection:
        while end is None or time.monotonic() < end:
            serve(connection)
            time.sleep(random.expovariate(1 / 0.3))
        watchdog = threading.Timer(REQUEST_TIMEOUT, os.kill, (os.getpid(), signal.SIGKILL))
        watchdog.start()  # what gunicorn's arbiter does to a worker that does not answer
        connection.execute(SEARCH, (SLOW_SEARCH, "%beef%"))
        watchdog.cancel()


def serve(connection: Connection[Row]) -> None:
    """Answer one quick request."""
    chance = random.random()
    if chance < 0.04:  # noqa: PLR2004 - about two a second over all workers
        connection.execute(PAY, (random.randint(1, 1000),))
    elif chance < 0.5:  # noqa: PLR2004 - half of the rest
        connection.execute(PAGE, (random.uniform(0.02, 0.3), random.randrange(5000)))
    else:
        connection.execute(ORDER, (random.randint(1, 100_000),))


def reports(dsn: str) -> NoReturn:
    """Run slow analytic queries, each in a session of its own."""

    def running(query: LiteralString) -> Callable[[], None]:
        return lambda: report(dsn, query)

    in_threads([running(query) for query in REPORTS])


def report(dsn: str, query: LiteralString) -> None:
    """Run one analytic query over and over, never twice as long."""
    with connect(dsn) as connection:
        while True:
            connection.execute(query, (random.uniform(1, 8),))
            time.sleep(random.uniform(0.5, 3))


def celery(dsn: str) -> None:
    """Open a session for each item and never close it; then somebody kills the job."""
    leaked = []
    for item in range(1, LEAK_BOUND + 1):
        leaked.append(connect(dsn))
        leaked[-1].execute(ITEM, (item,))
        time.sleep(1)
    time.sleep(LEAK_HELD)
    os.kill(os.getpid(), signal.SIGKILL)


def migration(dsn: str) -> None:
    """Lock a table idle in transaction for a while, time and again."""
    with connect(dsn) as connection:
        while True:
            time.sleep(1)
            connection.execute("BEGIN")
            connection.execute("ALTER TABLE payments ADD COLUMN method text")
            time.sleep(LOCK_HELD)
            connection.execute("ROLLBACK")
            time.sleep(LOCK_PAUSE)


def main() -> None:
    """Play the role that the command line names."""
    end_with_parent()
    role, dsn, *number = sys.argv[1:]
    if role == "api":
        api(dsn, int(number[0]))
    {"reports": reports, "celery": celery, "migration": migration}[role](dsn)


if __name__ == "__main__":
    main()
