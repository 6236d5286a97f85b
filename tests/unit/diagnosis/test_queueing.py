"""Counters of time without the queue, from totals that contain it."""

from exporter.diagnosis.queueing import NOTHING, Served, ServedSeconds
from exporter.snapshot.pgbouncer import TotalsRow


def totals(
    query: float, wait: float, queries: int = 10, database: str = "shop", sent: int = 1000
) -> TotalsRow:
    """Make the totals of a database whose transactions are single statements."""
    return TotalsRow(database, queries, queries, query, query, wait, 1000, sent)


def test_nothing_goes_down_while_a_query_that_waited_runs() -> None:
    """Its wait is added when it gets a connection, and its whole time only when it ends."""
    served = ServedSeconds()
    served.take([totals(100.0, 20.0)])
    assert served.take([totals(103.0, 20.0)]) == {"shop": Served(3.0, 3.0)}
    assert served.take([totals(103.0, 22.5, 11)]) == {"shop": Served(3.0, 3.0)}
    assert served.take([totals(106.5, 22.5, 11)]) == {"shop": Served(4.0, 4.0)}


def test_queries_and_transactions_apart() -> None:
    """A transaction has its connection also between its queries."""
    served = ServedSeconds()
    row = totals(100.0, 20.0)
    served.take([row])
    later = row._replace(query_seconds=101.0, transaction_seconds=107.0, wait_seconds=21.0)
    assert served.take([later]) == {"shop": Served(0.0, 6.0)}


def test_a_restart_of_ours_adds_nothing() -> None:
    """Whoever begins to look counts from there: a total told lower would look like a restart."""
    assert ServedSeconds().take([totals(100.0, 20.0)]) == {"shop": NOTHING}


def test_pgbouncer_restarted() -> None:
    """Totals that went down begin anew, and what was done since then counts from zero."""
    served = ServedSeconds()
    served.take([totals(100.0, 20.0)])
    served.take([totals(150.0, 20.0)])
    assert served.take([totals(2.5, 0.5, 3)]) == {"shop": Served(2.0, 2.0)}
    assert served.take([totals(3.5, 0.5, 4)]) == {"shop": Served(3.0, 3.0)}


def test_any_total_tells_a_restart() -> None:
    """Times may have grown beyond the old ones already."""
    served = ServedSeconds()
    served.take([totals(1.0, 0.0)])
    served.take([totals(6.0, 0.0)])
    assert served.take([totals(7.0, 0.0, sent=999)]) == {"shop": Served(7.0, 7.0)}


def test_a_database_that_is_used_for_the_first_time() -> None:
    """It has done all that it did since we last looked; and the others do not mind."""
    served = ServedSeconds()
    served.take([totals(100.0, 20.0)])
    found = served.take([totals(101.0, 20.0), totals(0.4, 0.1, 1, "orders")])
    assert found["shop"] == Served(1.0, 1.0)
    assert found["orders"].query_seconds == 0.4 - 0.1


def test_a_database_that_went_and_came_back() -> None:
    """PgBouncer forgets one that nobody uses, with its totals."""
    served = ServedSeconds()
    served.take([totals(100.0, 20.0)])
    assert served.take([]) == {}
    assert served.take([totals(1.0, 0.0, 1)]) == {"shop": Served(1.0, 1.0)}


def test_a_wait_for_a_login_is_no_negative_time() -> None:
    """A client also waits for the pool's first connection before it has asked anything."""
    served = ServedSeconds()
    served.take([])
    assert served.take([totals(0.1, 0.5)]) == {"shop": NOTHING}
