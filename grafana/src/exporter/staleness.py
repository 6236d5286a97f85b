"""Which read is late, as the alert PgconnDataStale finds it."""

from typing import Final

READ: Final = "instance, target, collector"
"""What tells the reads apart."""

INTERVAL: Final = f"max by ({READ}) (pgconn_poll_interval_seconds)"
"""The interval in force of each read."""

AGE: Final = f"min by ({READ}) (time() - pgconn_poll_last_success_timestamp_seconds)"
"""How long ago each read was last done."""

STALE: Final = f"""\
(
  {AGE}
    > on ({READ}) ({INTERVAL} * @{{stale_intervals}})
    > @{{stale_after}}
  or on ({READ})
  0 * (
    {INTERVAL}
    unless on ({READ}) {AGE}
    unless on ({READ})
      increase(pgconn_poll_errors_total{{reason=~"missing_extension|missing_preload"}}[$__rate_interval])
  )
)
and on (instance, target) pgconn_up == 1
unless on (instance, target) pgconn_privileges_limited == 1"""
"""The reads that are late, or that were never done though they could."""
