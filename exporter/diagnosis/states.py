"""The states of a session: what PostgreSQL calls them, and what they mean to us."""

IDLE = "idle"
ACTIVE_STATES = frozenset({"active", "fastpath function call"})
"""The states in which a query runs."""
STARTING = "starting"
"""Still logging in (18 on): nobody knows yet who it is."""
NOT_BUSY_STATES = frozenset({IDLE, STARTING, "disabled", ""})
"""Not working for a client, or nobody knows (track_activities is off)."""
