"""Stage replication: a standby that streams from a primary, and a logical subscription."""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from exporter.demo.cluster import Cluster
from exporter.demo.forwarder import Forwarder
from exporter.demo.ports import IPV4
from tests.integration.conftest import SETTINGS, bin_dir
from tests.integration.staging import PATIENCE, TURN, Statement, prepare

STANDBY: Final = "standby"
"""The name of a standby: of its slot, and as application_name of its WAL receiver."""

# What these folders hold is made anew by a server that starts, or comes to it over the stream.
_LEFT_OUT: Final = {
    *("pg_wal", "pg_replslot", "pg_dynshmem", "pg_notify", "pg_serial", "pg_snapshots"),
    *("pg_stat", "pg_stat_tmp", "pg_subtrans"),
}

# A hot standby must have at least the primary's value of these, or refuses to start.
_AT_LEAST_THE_PRIMARYS: LiteralString = """
SELECT name, setting FROM pg_settings WHERE name IN ('max_connections', 'max_wal_senders',
    'max_worker_processes', 'max_prepared_transactions', 'max_locks_per_transaction', 'wal_level')
"""
_STREAMING: LiteralString = """
SELECT count(*) = 1 FROM pg_stat_replication WHERE application_name = %s AND state = 'streaming'
"""

_RELEASED: LiteralString = """
SELECT count(*) = 0 FROM pg_replication_slots WHERE slot_name = %s AND active
"""
_CREATE_SLOT: LiteralString = "SELECT pg_create_logical_replication_slot(%s, 'pgoutput')"

Row = tuple[Any, ...]
Params = Sequence[object] | None


@contextlib.contextmanager
def primary(**settings: str) -> Iterator[Cluster]:
    """Run a prepared server that can also decode its WAL; it can have standbys and subscribers."""
    with Cluster(bin_dir(), SETTINGS | {"wal_level": "logical"} | settings) as server:
        prepare(server)
        yield server


@contextlib.contextmanager
def standby(primary: Cluster, name: str = STANDBY, **settings: str) -> Iterator[Cluster]:
    """Run a hot standby that streams from a running primary, through a physical slot `name`.

    Its roles and databases are the primary's. It may be promoted, stopped or killed: the slot is
    dropped afterwards all the same.
    """
    required: dict[str, str] = dict(_ask(primary, _AT_LEAST_THE_PRIMARYS))
    source = {
        "primary_conninfo": primary.dsn(application_name=name),
        "primary_slot_name": name,
        "wal_retrieve_retry_interval": "100ms",  # to be back soon when the primary was restarted
    }
    with (
        physical_slot(primary, name),
        TemporaryDirectory(prefix="pgconn-base-") as folder,
    ):
        base = Path(folder) / "data"
        back_up(primary, base)
        (base / "standby.signal").touch()
        with Cluster(primary.bin_dir, SETTINGS | required | source | settings, base=base) as server:
            _await(primary, _STREAMING, (name,))
            yield server


@contextlib.contextmanager
def physical_slot(cluster: Cluster, name: str) -> Iterator[None]:
    """Make a physical slot that holds back WAL from now on, though nobody consumes it."""
    _ask(cluster, "SELECT pg_create_physical_replication_slot(%s, true)", (name,))
    try:
        yield
    finally:
        drop_slot(cluster, name)


def create_logical_slot(cluster: Cluster, name: str) -> None:
    """Make the slot of a subscription to `shop`."""
    _ask(cluster, _CREATE_SLOT, (name,), "shop")


def drop_slot(cluster: Cluster, name: str) -> None:
    """Drop a slot, once its consumer is gone, unless the server is gone itself."""
    if cluster.running:
        _await(cluster, _RELEASED, (name,))
        _ask(cluster, "SELECT pg_drop_replication_slot(%s)", (name,))


def back_up(cluster: Cluster, folder: Path) -> None:
    """Copy the data folder of a running server, as pg_basebackup does."""
    with _connected(cluster) as admin:
        modern = admin.info.server_version >= 150000
        start: LiteralString = "pg_backup_start('base', true)"
        stop: LiteralString = "pg_backup_stop(false)"
        if not modern:
            start, stop = "pg_start_backup('base', true, false)", "pg_stop_backup(false, false)"
        admin.execute("SELECT " + start)
        shutil.copytree(cluster.data, folder, symlinks=True, ignore=_ignored, copy_function=_copied)
        [(label,)] = admin.execute("SELECT labelfile FROM " + stop).fetchall()
        (folder / "backup_label").write_text(label, encoding="utf-8")


def _ignored(folder: str, names: list[str]) -> list[str]:
    """Leave out what belongs to the running server, and its WAL."""
    if Path(folder).name in _LEFT_OUT:
        return names
    return [name for name in names if name.startswith(("postmaster.", "pgsql_tmp"))]


def _copied(source: str, target: str) -> None:
    """Copy a file that may vanish meanwhile: replaying the WAL puts that right."""
    with contextlib.suppress(FileNotFoundError):
        shutil.copy2(source, target)


@contextlib.contextmanager
def subscription(
    publisher: Cluster, subscriber: Cluster | None = None, name: str = "copied"
) -> Iterator[str]:
    """Have the table `stock` of `shop` copied to a new database, by default of the same server.

    `name`, which is given back, names the database, the publication, the subscription and its
    slot. The publisher needs `wal_level` logical. When this begins, changes are streamed. The
    publisher may be stopped or upgraded meanwhile.
    """
    subscriber = subscriber or publisher
    with contextlib.ExitStack() as undo:
        _run(subscriber, "CREATE DATABASE {}", name)
        undo.callback(_run, subscriber, "DROP DATABASE {}", name)
        _ask(subscriber, "CREATE TABLE stock (id int PRIMARY KEY, quantity int)", dbname=name)
        _run(publisher, "CREATE PUBLICATION {} FOR TABLE stock", name, "shop")
        undo.callback(_unpublish, publisher, name)
        # Within one server CREATE SUBSCRIPTION would wait for itself if it made the slot.
        create_logical_slot(publisher, name)
        undo.callback(drop_slot, publisher, name)
        _subscribe(subscriber, publisher, name)
        undo.callback(_unsubscribe, subscriber, name)
        _await(publisher, _STREAMING, (name,))
        yield name


def _subscribe(subscriber: Cluster, publisher: Cluster, name: str) -> None:
    statement = sql.SQL(
        "CREATE SUBSCRIPTION {0} CONNECTION {1} PUBLICATION {0}"
        " WITH (create_slot = false, copy_data = false)"
    )
    source = publisher.dsn(dbname="shop", application_name=name)
    _ask(subscriber, statement.format(sql.Identifier(name), source), dbname=name)


def _unpublish(publisher: Cluster, name: str) -> None:
    """Drop the publication, unless the server is gone itself."""
    if publisher.running:
        _run(publisher, "DROP PUBLICATION {}", name, "shop")


def _unsubscribe(subscriber: Cluster, name: str) -> None:
    """Drop the subscription and leave the slot: dropping it would need the publisher."""
    _run(subscriber, "ALTER SUBSCRIPTION {} DISABLE", name, name)
    _run(subscriber, "ALTER SUBSCRIPTION {} SET (slot_name = NONE)", name, name)
    _run(subscriber, "DROP SUBSCRIPTION {}", name, name)


def await_replayed(primary: Cluster, replica: Cluster) -> None:
    """Wait until a standby has replayed everything that its primary has written by now."""
    [(position,)] = _ask(primary, "SELECT pg_current_wal_lsn()::text")
    _await(replica, "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", (position,))


class Address(Forwarder):
    """An address that leads to whichever server is the primary, as that of a proxy does."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__("127.0.0.99", cluster.port)

    def lead_to(self, cluster: Cluster) -> None:
        """Lead the connections to come to another server."""
        self._server = (IPV4, cluster.port)


# No session of ours stays open: a test would find it among those that it staged.


def _connected(cluster: Cluster, dbname: str = "postgres") -> psycopg.Connection[Row]:
    return psycopg.connect(cluster.socket_dsn(dbname=dbname), autocommit=True)


def _ask(
    cluster: Cluster, statement: Statement, params: Params = None, dbname: str = "postgres"
) -> list[Row]:
    with _connected(cluster, dbname) as admin:
        cursor = admin.execute(statement, params)
        return cursor.fetchall() if cursor.description else []


def _run(cluster: Cluster, statement: LiteralString, name: str, dbname: str = "postgres") -> None:
    _ask(cluster, sql.SQL(statement).format(sql.Identifier(name)), dbname=dbname)


def _await(cluster: Cluster, question: Statement, params: Params) -> None:
    """Ask until the server says yes."""
    with _connected(cluster) as admin:

        def look() -> bool:
            [(answer,)] = admin.execute(question, params).fetchall()
            return bool(answer)

        await_true(look)


def await_true(look: Callable[[], bool], patience: float = PATIENCE) -> None:
    """Look until it is true."""
    deadline = time.monotonic() + patience
    while not look():
        assert time.monotonic() < deadline, f"not true within {patience} s"
        time.sleep(TURN)
