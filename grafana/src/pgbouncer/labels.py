"""What tells the pools of PgBouncers apart, and their databases."""

from typing import Final

POOL: Final = "target, database, user"
"""The labels of a pool; there may be hundreds."""

DATABASE: Final = "target, database"
"""The labels of a database of PgBouncer, which may have several pools."""
