"""One PgBouncer at one moment, written by hand: the second target of the golden exposition."""

from typing import Final

from exporter.collectors import Options
from exporter.diagnosis.poolers import Pooler
from exporter.exposition import Sample
from exporter.reads import pgbouncer_reads
from exporter.snapshot.pgbouncer import (
    ClientRow,
    DatabaseRow,
    PgBouncerConfiguration,
    PoolRow,
    Pools,
    ServerRow,
    TotalsRow,
    Traffic,
)

POOLS: Final = Pools(
    pools=(
        PoolRow(
            "shop",
            "app",
            clients={"active": 2, "waiting": 3},
            servers={"active": 2, "idle": 0, "login": 1},
            max_wait=1.501181,
        ),
        PoolRow("reports", 'the "boss"', clients={"active": 1}, servers={"idle": 1}, max_wait=0.0),
    ),
    databases=(
        DatabaseRow("shop", 2, 1, 0, 3, paused=False, disabled=False),
        DatabaseRow("reports", 20, 0, 30, 1, paused=True, disabled=False),
    ),
    servers=(ServerRow(102, 40_102, local=False),),
    clients_used=7,
)

CLIENTS: Final = (
    *[ClientRow("shop", "app", "10.0.1.7", "gunicorn", "active")] * 2,
    *[ClientRow("shop", "app", "10.0.1.7", "gunicorn", "waiting")] * 3,
    ClientRow("reports", 'the "boss"', "local", "", "active"),
)

SHOP_BEFORE: Final = TotalsRow("shop", 100, 90, 50.0, 55.0, 10.0, 4096, 8192)
SHOP: Final = TotalsRow("shop", 105, 95, 77.03, 82.03, 22.01, 5000, 9000)

CONFIGURATION: Final = PgBouncerConfiguration(
    version="1.18.0",
    clients_max=100,
    timeouts={"query_wait_timeout": 120.0, "server_idle_timeout": 600.0, "query_timeout": 0.0},
)


def read_samples() -> dict[str, list[Sample]]:
    """Give the samples of the second poll, by read."""
    pools, traffic, settings = pgbouncer_reads(Options(server="orders"), Pooler())
    list(traffic.collect(Traffic(CLIENTS, (SHOP_BEFORE,))))
    return {
        pools.name: list(pools.collect(POOLS)),
        traffic.name: list(traffic.collect(Traffic(CLIENTS, (SHOP,)))),
        settings.name: list(settings.collect(CONFIGURATION)),
    }
