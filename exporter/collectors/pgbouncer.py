"""PgBouncer: its pools, who waits for them and how long, its clients, limits and traffic."""

from collections import Counter
from collections.abc import Iterator

from exporter.collectors.base import Collector, Options, counter, gauge, samples
from exporter.diagnosis.queueing import ServedSeconds
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
    "Connections to PostgreSQL that a pool may have, without its reserve; absent where there is"
    " no limit. As of the last poll.",
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
    "1 while a database is paused, suspended or disabled: its clients wait or are refused. Before"
    " 1.19, a PAUSE of all databases at once cannot be seen. As of the last poll.",
    ["database"],
)
CLIENT_CONNECTIONS = gauge(
    "pgconn_pgbouncer_client_connections",
    "Clients by who they are and by state, as of the last poll.",
    ["database", "user", "client_addr", "application_name", "state"],
)
CLIENTS_MAX = gauge("pgconn_pgbouncer_clients_max", "max_client_conn, as of the last poll.")
CLIENTS_USED = gauge(
    "pgconn_pgbouncer_clients_used",
    "Clients that count against max_client_conn: those of all pools, of the console, and who are"
    " logging in. As of the last poll.",
)
TIMEOUT = gauge(
    "pgconn_pgbouncer_timeout_seconds",
    "Value of a timeout, 0 for off, as of the last poll.",
    ["setting"],
)
QUERIES = counter("pgconn_pgbouncer_queries_total", "Queries.", ["database"])
TRANSACTIONS = counter("pgconn_pgbouncer_transactions_total", "Transactions.", ["database"])
QUERY_SECONDS = counter(
    "pgconn_pgbouncer_query_seconds_total",
    "Time that queries took on the server, without their wait for a server connection; counted"
    " when a query ends, from the exporter's start on.",
    ["database"],
)
TRANSACTION_SECONDS = counter(
    "pgconn_pgbouncer_transaction_seconds_total",
    "Time that transactions had a server connection, without their wait for it; counted when a"
    " transaction ends, from the exporter's start on.",
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


Labels = tuple[str, ...]


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
        yield from _pools(snapshot)
        yield from _sizes(snapshot)
        yield from _databases(snapshot)
        yield Sample(CLIENTS_USED, (), snapshot.clients_used)


def _pools(snapshot: Pools) -> Iterator[Sample]:
    """Yield who is in the pools, and for how long they wait."""
    clients, servers, waits = Counter[Labels](), Counter[Labels](), dict[Labels, float]()
    for pool in snapshot.pools:
        labels = pool.database, pool.user
        clients.update({(*labels, state): count for state, count in pool.clients.items()})
        servers.update({(*labels, state): count for state, count in pool.servers.items()})
        waits[labels] = max(waits.get(labels, 0.0), pool.max_wait)
    yield from samples(POOL_CLIENTS, clients)
    yield from samples(POOL_SERVERS, servers)
    yield from samples(POOL_MAX_WAIT, waits)


def _sizes(snapshot: Pools) -> Iterator[Sample]:
    """Yield the size of each pool: its user's own, else its database's; 0 is no limit."""
    databases = {row.database: row for row in snapshot.databases}
    users = {row.user: row for row in snapshot.users}
    sizes, reserves = dict[Labels, float](), dict[Labels, float]()
    for pool in snapshot.pools:
        labels = pool.database, pool.user
        database, user = databases.get(pool.database), users.get(pool.user)
        size = user.pool_size if user else None
        reserve = user.reserve_size if user else None
        if database is not None:
            size = database.pool_size if size is None else size
            reserve = database.reserve_size if reserve is None else reserve
        if size:
            sizes[labels] = size
        if reserve is not None:
            reserves[labels] = reserve
    yield from samples(POOL_SIZE, sizes)
    yield from samples(POOL_RESERVE, reserves)


def _databases(snapshot: Pools) -> Iterator[Sample]:
    """Yield the connections of each database, its limit where it has one, and whether it rests."""
    for row in snapshot.databases:
        labels = (row.database,)
        yield Sample(DATABASE_CONNECTIONS, labels, row.connections)
        if row.max_connections > 0:
            yield Sample(DATABASE_LIMIT, labels, row.max_connections)
        resting = snapshot.paused or row.paused or row.disabled
        yield Sample(DATABASE_PAUSED, labels, int(resting))


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

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._served = ServedSeconds()

    def collect(self, snapshot: Traffic) -> Iterator[Sample]:
        """Yield clients and totals."""
        # The fields of a client are the labels.
        yield from samples(CLIENT_CONNECTIONS, Counter(snapshot.clients))
        served = self._served.take(snapshot.totals)
        for row in snapshot.totals:
            labels = (row.database,)
            yield Sample(QUERIES, labels, row.queries)
            yield Sample(TRANSACTIONS, labels, row.transactions)
            yield Sample(QUERY_SECONDS, labels, served[row.database].query_seconds)
            yield Sample(TRANSACTION_SECONDS, labels, served[row.database].transaction_seconds)
            yield Sample(WAIT_SECONDS, labels, row.wait_seconds)
            yield Sample(RECEIVED_BYTES, labels, row.received_bytes)
            yield Sample(SENT_BYTES, labels, row.sent_bytes)


class PgBouncerSettings(Collector[PgBouncerConfiguration]):
    """Tell version, limits and timeouts."""

    metrics = (INFO, CLIENTS_MAX, TIMEOUT)

    def collect(self, snapshot: PgBouncerConfiguration) -> Iterator[Sample]:
        """Yield what is configured."""
        yield Sample(INFO, (snapshot.version, self.options.server), 1)
        yield Sample(CLIENTS_MAX, (), snapshot.clients_max)
        for setting, seconds in snapshot.timeouts.items():
            yield Sample(TIMEOUT, (setting,), seconds)
