"""Connection strings, and what is told about bad ones."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import Error
from psycopg.conninfo import conninfo_to_dict

from exporter.server.dsn import check_dsn

SECRET = "hunter2"


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://",
        "postgresql://user:hunter2@db.internal:5432/postgres?sslmode=verify-full",
        "postgres://[::1]:5432,[::2]:5433/postgres?target_session_attrs=read-write",
        "postgresql:///postgres?host=/run/postgresql",
        "postgresql://a,b:5432/",
        "host=db.internal user=me password='hunter2 with space'",
        "hostaddr=10.0.0.1,10.0.0.2 port=5432,5433",
        "host=db\nuser=me\n",
        "service=orders",
        "postgresql://u:hunter%402%2F@db.internal/postgres?host=/run/a@b",
        "host=/run/a@b dbname=me@home",
        "postgresql:///me%40home",
    ],
)
def test_good(dsn: str) -> None:
    """Whatever libpq takes is fine."""
    assert check_dsn(dsn) is None


@pytest.mark.parametrize(
    ("dsn", "words"),
    [
        ("", "is empty; write postgresql:// to take everything from libpq's PG* variables"),
        (" \n", "is empty; write postgresql:// to take everything from libpq's PG* variables"),
        ("hunter2", "is neither a postgresql:// URI nor key=value pairs"),
        ("mysql://u:hunter2@h/x", "has a scheme that is neither postgresql:// nor postgres://"),
        ("host=db hunter2=5", "has a key that libpq does not know"),
        ("host=db password='hunter2", "has a quote that is not closed"),
        ("postgresql://u:hunter 2@h/", "has a space in its URI; write %20 for it"),
        ("postgresql://u:hunter2%zz@h/", "has a '%' without two hex digits behind it; write %25"),
        ("postgresql://u:hunter2%00@h/", "has a %00 in it, which no value may hold"),
        ("postgresql://u:hunter2@[::1/", "has an IPv6 address without its closing ']'"),
        ("postgresql://u:hunter2@[]/", "has an IPv6 address that is not closed or is empty"),
        ("postgresql://u:hunter2@[::1]x/", "has something unexpected behind its host"),
        ("postgresql://h/?hunter2=1", "has a parameter after its '?' that libpq does not know"),
        ("postgresql://h/?hunter2", "has a parameter after its '?' that is not written key=value"),
        ("postgresql://h/?host=a=b", "has a parameter after its '?' that is not written key=value"),
        ("postgresql://u:hunter2@h/db\n", "has a line break or another control character in it"),
        ("host=db\0password=hunter2", "has a line break or another control character in it"),
        ("host=\ud800", "is not a connection string that libpq can parse"),
        ("postgresql://u:pass@hunter2@h/", "has an '@' in its host; write %40 for one in the user"),
        ("postgresql://u:12/hunter2@h/", "has an '@' behind its first '/'; write %2F for a '/'"),
        ("postgresql://u:hunter2@h:pg/", "has a port that is not a number from 1 to 65535"),
        ("postgresql://u@h:65536/", "has a port that is not a number from 1 to 65535"),
        ("host=db port=0", "has a port that is not a number from 1 to 65535"),
        ("host=a,b,c port=1,2", "lists a different number of hosts and of ports"),
        ("host=db sslmode=hunter2", "has an sslmode that is none of disable, allow, prefer,"),
    ],
)
def test_bad(dsn: str, words: str) -> None:
    """What libpq would refuse is told in words that quote nothing."""
    fault = check_dsn(dsn)
    assert fault is not None
    assert fault.startswith(words)
    assert SECRET not in fault


@settings(deadline=None, max_examples=200)
@given(st.text(alphabet="ab:/@?=[]%' \\\n2é,", max_size=30), st.sampled_from(["", "postgresql://"]))
def test_agrees_with_libpq(text: str, scheme: str) -> None:
    """What libpq cannot parse is never called fine, and the words are always ours."""
    fault = check_dsn(scheme + text)
    try:
        conninfo_to_dict(scheme + text)
    except (Error, UnicodeDecodeError):  # psycopg decodes what was percent-encoded
        assert fault is not None
    if fault is not None:
        assert fault.startswith(("is ", "has ", "lists "))
