"""What state a target is in: the numbers of its states, and their words."""

from typing import Final

from grafana.src.house import BLUE, GREEN, RED, Word

UNKNOWN: Final = "Unknown"
"""What a panel says of a target that no exporter answers for."""

_REFUSED = 'increase(pgconn_probe_failures_total{sqlstate="53300"}[$__rate_interval])'

STATE: Final = f"""\
0 * (min by (target) (pgconn_up) == 0)
or on (target)
1 + 0 * (max by (target) ({_REFUSED}) > 0)
or on (target)
2 + min by (target) (pgconn_probe_success)
or on (target)
4 * min by (target) (pgconn_up)"""
"""Whether each target accepts a new connection, as the number of a state."""

STATES: Final[dict[float, Word]] = {
    0: Word("Unreachable", RED),
    1: Word("Refused", RED),
    2: Word("No", RED),
    3: Word("Yes", GREEN),
    4: Word("Not probed", BLUE),
}
"""What the numbers of STATE mean."""
