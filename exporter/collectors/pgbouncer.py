"""PgBouncer: its pools, who waits for them and how long, its clients, limits and traffic."""

from collections.abc import Iterator

from exporter.collectors.base import Collector, counter, gauge
from exporter.exposition import Fold, Sample
from exporter.snapshot.pgbouncer import PgBouncerConfiguration, Pools, Traffic

INFO = gauge(
    "pgconn_pgbouncer_info",
    "1; PgBouncer's version, and the target behind it where the configuration names one (server)."
    " As of the last poll.",
    ["version", "server"],
)
POOL_CLIENTS = gauge(
    "pgconn_pgbouncer_pool_clients",
    "Clients of a pool by state: active (also those that are idle), waiting for a server"
    " connection, and others. As of the last poll.",
    ["database", "user", "state"],
)
POOL_SERVERS = gauge(
    "pgconn_pgbouncer_pool_servers",
    "Connections of a pool to PostgreSQL by state, as of the last poll.",
    ["database", "user", "state"],
)
POOL_MAX_WAIT = gauge(
    "pgconn_pgbouncer_pool_max_wait_seconds",
    "How long the first client in the queue of a pool has been waiting, as of the last poll.",
    ["database", "user"],
    Fold.MAX,
)
POOL_SIZE = gauge(
    "pgconn_pgbouncer_pool_size",
    "Connections to PostgreSQL that a pool may have, without its reserve. As of the last poll.",
    ["database", "user"],
)
POOL_RESERVE = gauge(
    "pgconn_pgbouncer_pool_reserve_size",
    "Further connections that a pool may have when clients wait for long, as of the last poll.",
    ["database", "user"],
)
DATABASE_CONNECTIONS = gauge(
    "pgconn_pgbouncer_database_connections",
    "Connections to PostgreSQL of all pools of a database, as of the last poll.",
    ["database"],
)
DATABASE_LIMIT = gauge(
    "pgconn_pgbouncer_database_connection_limit",
    "max_db_connections of a database, where it is set. As of the last poll.",
    ["database"],
)
DATABASE_PAUSED = gauge(
    "pgconn_pgbouncer_database_paused",
    "1 while a database is paused or disabled: its clients wait or are refused. As of the last"
    " poll.",
    ["database"],
)
CLIENT_CONNECTIONS = gauge(
    "pgconn_pgbouncer_client_connections",
    "Clients by who they are and by state, as of the last poll.",
    ["database", "user", "client_addr", "application_name", "state"],
)
CLIENTS_MAX = gauge("pgconn_pgbouncer_clients_max", "max_client_conn, as of the last poll.")
CLIENTS_USED = gauge("pgconn_pgbouncer_clients_used", "Clients of all pools, as of the last poll.")
TIMEOUT = gauge(
    "pgconn_pgbouncer_timeout_seconds",
    "Value of a timeout, 0 for off, as of the last poll.",
    ["setting"],
)
QUERIES = counter("pgconn_pgbouncer_queries_total", "Queries.", ["database"])
TRANSACTIONS = counter("pgconn_pgbouncer_transactions_total", "Transactions.", ["database"])
QUERY_SECONDS = counter(
    "pgconn_pgbouncer_query_seconds_total",
    "Time that queries took on the server, without their wait for a server connection.",
    ["database"],
)
TRANSACTION_SECONDS = counter(
    "pgconn_pgbouncer_transaction_seconds_total",
    "Time that transactions had a server connection, without their wait for it.",
    ["database"],
)
WAIT_SECONDS = counter(
    "pgconn_pgbouncer_wait_seconds_total",
    "Time that clients waited for a server connection.",
    ["database"],
)
RECEIVED_BYTES = counter(
    "pgconn_pgbouncer_received_bytes_total", "Bytes received from clients.", ["database"]
)
SENT_BYTES = counter("pgconn_pgbouncer_sent_bytes_total", "Bytes sent to clients.", ["database"])


class PgBouncerPools(Collector[Pools]):
    """Tell the state of the pools."""

    metrics = (
        POOL_CLIENTS,
        POOL_SERVERS,
        POOL_MAX_WAIT,
        POOL_SIZE,
        POOL_RESERVE,
        DATABASE_CONNECTIONS,
        DATABASE_LIMIT,
        DATABASE_PAUSED,
        CLIENTS_USED,
    )

    def collect(self, snapshot: Pools) -> Iterator[Sample]:
        """Yield pools, queues and databases."""
        del snapshot
        yield from ()


class PgBouncerTraffic(Collector[Traffic]):
    """Tell who the clients are, and what was done for them."""

    metrics = (
        CLIENT_CONNECTIONS,
        QUERIES,
        TRANSACTIONS,
        QUERY_SECONDS,
        TRANSACTION_SECONDS,
        WAIT_SECONDS,
        RECEIVED_BYTES,
        SENT_BYTES,
    )

    def collect(self, snapshot: Traffic) -> Iterator[Sample]:
        """Yield clients and totals."""
        del snapshot
        yield from ()


class PgBouncerSettings(Collector[PgBouncerConfiguration]):
    """Tell version, limits and timeouts."""

    metrics = (INFO, CLIENTS_MAX, TIMEOUT)

    def collect(self, snapshot: PgBouncerConfiguration) -> Iterator[Sample]:
        """Yield what is configured."""
        del snapshot
        yield from ()
