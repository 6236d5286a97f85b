"""A nightly job with SQLAlchemy that looks items up at a steady rate: a session for each of them.

`--leak` forgets to close the sessions, each of which keeps its connection: idle, since nothing is
looked up in a transaction. Run as `python nightly.py`; the environment has DATABASE (a DSN as a
URL) and APPLICATION_NAME.
"""

import argparse
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL, Engine, create_engine, make_url, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

ITEM = text("SELECT quantity FROM stock WHERE id = :id")
RETRY = 0.2  # seconds after which an item is tried again


class Job:
    """Looks items up, each thread one after the other."""

    def __init__(self, engine: Engine, *, leak: bool) -> None:
        self._engine = engine
        self._leak = leak
        self._sessions: list[Session] = []

    def run(self, seconds: float, first: float = 0) -> None:
        """Start an item every so many seconds, the first one after some."""
        due = time.monotonic() + first
        while True:
            time.sleep(max(0, due - time.monotonic()))
            self._insist()
            due += seconds

    def _insist(self) -> None:
        """Look an item up, again and again until that succeeds, as a queue of tasks would."""
        while True:
            try:
                return self._look_up()
            except OperationalError as error:
                print(error, file=sys.stderr, flush=True)  # noqa: T201 - a program's log
                time.sleep(RETRY)

    def _look_up(self) -> None:
        with self._session() as session:
            session.execute(ITEM, {"id": 3}).scalar_one()

    @contextmanager
    def _session(self) -> Iterator[Session]:
        session = Session(self._engine)
        if self._leak:
            self._sessions.append(session)
            yield session
        else:
            with session:
                yield session


def engine(dsn: str, application_name: str) -> Engine:
    """Make a pool without a limit; reading needs no transactions."""
    url: URL = make_url(dsn).set(drivername="postgresql+psycopg")
    return create_engine(
        url,
        connect_args={"application_name": application_name},
        isolation_level="AUTOCOMMIT",
        pool_size=5,
        max_overflow=-1,
    )


def main() -> None:
    """Run the job until it is ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--every", type=float, default=0.3, help="seconds from item to item")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--leak", action="store_true")
    flags = parser.parse_args()
    job = Job(engine(os.environ["DATABASE"], os.environ["APPLICATION_NAME"]), leak=flags.leak)
    pace = flags.every * flags.threads
    for turn in range(1, flags.threads):
        first = flags.every * turn
        threading.Thread(target=job.run, args=(pace, first), daemon=True).start()
    job.run(pace)


if __name__ == "__main__":
    main()
