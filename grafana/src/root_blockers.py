"""Root blockers: what tells them apart, and whom they are in the way of."""

from typing import Final

from grafana.src.shared import RESTING, SESSION, added_up

BLOCKER: Final = f"{SESSION}, client_addr, state"
"""What tells root blockers apart."""

VICTIMS: Final = f"max by ({BLOCKER}) (pgconn_root_blocker_victims)"
"""How many wait behind each."""

AGE: Final = f"max by ({BLOCKER}) (pgconn_root_blocker_age_max_seconds)"
"""How old its transaction is."""

VICTIMS_OF_RESTING: Final = added_up(SESSION, f"pgconn_root_blocker_victims{{{RESTING}}}")
"""What the alert pages for: how many wait behind those that do nothing."""

PAGED_FOR: Final = f"""\
0 * max by ({BLOCKER}) (pgconn_root_blocker_victims{{{RESTING}}})
+ on ({SESSION}) group_left ()
{VICTIMS_OF_RESTING}"""
"""The same for each of these root blockers."""
