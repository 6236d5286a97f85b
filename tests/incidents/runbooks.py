"""What the runbooks tell an engineer to do, for a replay to do just that."""

import re
from pathlib import Path

from tests.incidents.faster import FACTOR

RUNBOOKS = Path(__file__).parents[2] / "docs" / "runbooks"

_SQL = re.compile(r"```sql\n(.+?)```", re.DOTALL)
_MINUTES = re.compile(r"interval '(\d+) minutes?'")


def statement(alert: str, containing: str) -> bytes:
    """Give the one statement of a page that has a text in it; its minutes are shorter here."""
    page = (RUNBOOKS / f"{alert}.md").read_text()
    (found,) = (sql for sql in _SQL.findall(page) if containing in sql)
    return _MINUTES.sub(lambda wait: f"interval '{60 * int(wait[1]) / FACTOR} s'", found).encode()
