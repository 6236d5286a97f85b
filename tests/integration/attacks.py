"""What clients, servers and names may throw at us, which no well-behaved driver lets through."""

import asyncio
import itertools
import re
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Final, Self

from exporter.demo.cluster import Cluster
from tests.integration.staging import PATIENCE

_PROTOCOL: Final = 196608  # 3.0
_CLEARTEXT: Final = 3
CHUNK: Final = 65536


class RawSession:
    """A session that sends bytes as they are: no driver is in the way that knows encodings."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.pid = 0

    @classmethod
    async def open(
        cls, cluster: Cluster, user: bytes = b"app", dbname: bytes = b"shop", name: bytes = b""
    ) -> Self:
        """Log in, which needs no password here, with an application_name of any bytes."""
        session = cls(*await asyncio.open_connection("127.0.0.1", cluster.port))
        pairs = (b"user", user, b"database", dbname, b"application_name", name)
        body = struct.pack("!I", _PROTOCOL) + b"".join(text + b"\0" for text in pairs) + b"\0"
        session._writer.write(struct.pack("!I", len(body) + 4) + body)
        await session._ready()
        return session

    async def run(self, query: bytes, *, fails: bool = False) -> None:
        """Run a query to its end, which must be near."""
        self._writer.write(_message(b"Q", query + b"\0"))
        await self._ready(fails=fails)

    async def _ready(self, *, fails: bool = False) -> None:
        """Wait until the server is ready for the next query."""
        async with asyncio.timeout(PATIENCE):
            while True:
                kind, length = struct.unpack("!cI", await self._reader.readexactly(5))
                body = await self._reader.readexactly(length - 4)
                if kind == b"K":
                    [self.pid] = struct.unpack("!I", body[:4])
                assert kind != b"E" or fails, body
                if kind == b"Z":
                    return

    async def close(self) -> None:
        """Say goodbye, and wait until the server has none of us any more."""
        self._writer.write(_message(b"X", b""))
        async with asyncio.timeout(PATIENCE):
            await self._reader.read()
        self._writer.close()
        await self._writer.wait_closed()


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def _error(text: bytes) -> bytes:
    """Make a server's error out of a text, which becomes its message and all of its details."""
    fields = b"".join(field + text + b"\0" for field in (b"M", b"D", b"H", b"W"))
    return _message(b"E", b"SFATAL\0" + b"C28P01\0" + fields + b"\0")


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Ask for the password in clear, and send it back in an error, with all that came before."""
    [length] = struct.unpack("!I", await reader.readexactly(4))
    startup = await reader.readexactly(length - 4)
    if length == 8:  # the question whether we speak TLS
        writer.write(b"N")
        await _echo(reader, writer)
        return
    writer.write(_message(b"R", struct.pack("!I", _CLEARTEXT)))
    _, length = struct.unpack("!cI", await reader.readexactly(5))
    password = (await reader.readexactly(length - 4)).rstrip(b"\0")
    sent = startup[4:].replace(b"\0", b" ")
    writer.write(_error(b"password authentication failed: you sent " + password + b" in " + sent))
    writer.close()


@asynccontextmanager
async def echoing_server() -> AsyncIterator[int]:
    """Run a server that says in its error what it was sent; give its port."""
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@asynccontextmanager
async def tapped(cluster: Cluster, heard: Callable[[bytes], object]) -> AsyncIterator[int]:
    """Forward to a server, and hand out all that it says; give the port to connect to."""
    tasks: set[asyncio.Task[None]] = set()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.TaskGroup() as both:
            there = await asyncio.open_connection("127.0.0.1", cluster.port)
            both.create_task(_pump(reader, there[1], len))
            both.create_task(_pump(there[0], writer, heard))

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(forward(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: Callable[[bytes], object]
) -> None:
    """Carry bytes one way until there are no more."""
    while data := await reader.read(CHUNK):
        heard(data)
        writer.write(data)
        await writer.drain()
    writer.close()


# A statement a line, or more that are indented; each secret gets a number of its own for %s. Some
# fail, which no version records.
SECRET_STATEMENTS: Final = """
CREATE ROLE secret_r LOGIN PASSWORD 'hunter%s'
ALTER ROLE secret_r PASSWORD 'hunter%s'
ALTER USER secret_r WITH ENCRYPTED PASSWORD 'hunter%s' VALID UNTIL 'infinity'
ALTER ROLE secret_r PASSWORD E'hunter\\x41%s'
ALTER ROLE secret_r PASSWORD U&'hunter\\0041%s'
ALTER ROLE secret_r PASSWORD $pw$hunter%s$pw$
ALTER ROLE secret_r SET application_name = 'hunter%s'
CREATE EXTENSION IF NOT EXISTS postgres_fdw
CREATE SERVER secret_s FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'hunter%s')
CREATE USER MAPPING FOR secret_r SERVER secret_s OPTIONS (user 'u', password 'hunter%s')
ALTER USER MAPPING FOR secret_r SERVER secret_s OPTIONS (SET password 'hunter%s')
DO $$ BEGIN PERFORM 'hunter%s'; EXECUTE 'SELECT ''hunter%s'', 1, 2 AS nested'; END $$
DO LANGUAGE plpgsql $do$ BEGIN PERFORM set_config('my.secret', 'hunter%s', false); END $do$
SET application_name = 'hunter%s'
SET my.secret TO hunter%s
SET SESSION AUTHORIZATION DEFAULT
SELECT pg_catalog.set_config('application_name', 'hunter%s', false)
RESET application_name
COMMENT ON ROLE secret_r IS 'hunter%s'
CREATE TABLE secret_t (a text DEFAULT 'hunter%s', b text CHECK (b <> 'hunter%s'))
CREATE TABLE secret_u AS SELECT 'hunter%s'::text AS a
SELECT 'hunter%s'::text AS a INTO secret_w
ALTER TABLE secret_t ALTER a SET DEFAULT 'hunter%s'
CREATE INDEX ON secret_t (a) WHERE a = 'hunter%s'
CREATE VIEW secret_v AS SELECT 'hunter%s'::text AS a
CREATE MATERIALIZED VIEW secret_m AS SELECT 'hunter%s'::text AS a
CREATE FUNCTION secret_f(a text DEFAULT 'hunter%s') RETURNS text
    LANGUAGE sql AS $$ SELECT a || 'hunter%s' $$
CREATE PROCEDURE secret_p(a text) LANGUAGE plpgsql AS $$ BEGIN a := 'hunter%s'; END $$
CALL secret_p('hunter%s')
SELECT secret_f('hunter%s')
CREATE RULE secret_r AS ON INSERT TO secret_t WHERE new.a = 'hunter%s' DO ALSO NOTHING
CREATE POLICY secret_y ON secret_t USING (a = 'hunter%s')
CREATE DOMAIN secret_d AS text CHECK (value <> 'hunter%s')
CREATE TYPE secret_e AS ENUM ('hunter%s')
COPY (SELECT 'hunter%s') TO '/dev/null'
COPY (SELECT 'hunter%s') TO PROGRAM 'cat > /dev/null # hunter%s'
EXPLAIN SELECT 'hunter%s'
EXPLAIN (ANALYZE, COSTS off) SELECT 'hunter%s', pg_sleep(0.001)
DECLARE hunter_c CURSOR WITH HOLD FOR SELECT 'hunter%s'
FETCH ALL FROM hunter_c
PREPARE hunter_p AS SELECT 'hunter%s'
EXECUTE hunter_p
LISTEN hunter%s
NOTIFY hunter%s, 'hunter%s'
BEGIN
SAVEPOINT hunter_s
ROLLBACK TO hunter_s
COMMIT
CREATE SUBSCRIPTION secret_sub CONNECTION 'host=h password=hunter%s' PUBLICATION p
    WITH (connect = false)
ALTER SUBSCRIPTION secret_sub CONNECTION 'host=h password=hunter%s'
ALTER SYSTEM SET archive_command = 'hunter%s'
ALTER SYSTEM RESET archive_command
ALTER DATABASE shop SET my.secret = 'hunter%s'
ALTER DATABASE shop RESET my.secret
SECURITY LABEL ON ROLE secret_r IS 'hunter%s'
CREATE EXTENSION IF NOT EXISTS dblink
SELECT dblink_connect('host=127.0.0.1 port=1 password=hunter%s')
INSERT INTO secret_t VALUES ('hunter%s')
UPDATE secret_t SET a = 'hunter%s' WHERE a = E'\\x' || 'hunter%s'
DELETE FROM secret_t WHERE a = 'hunter%s' RETURNING 'hunter%s'
WITH c AS (SELECT 'hunter%s'::text) TABLE c
VALUES ('hunter%s', 5), ($tag$hunter%s$tag$, 6)
SELECT 1 /* hunter%s /* hunter%s */ hunter%s */ AS commented -- hunter%s
/* hunter%s */ SELECT 2 AS led
-- hunter%s
SELECT $$hunter%s$$, $a$ $b$ hunter%s $a$, E'\\'hunter%s', U&'hunter%s!0041' UESCAPE '!',
    N'hunter%s'
SELECT B'1011', X'1FF', 7.5e3, -98765, '2020-01-01'::date, 'hunter%s'::text || 'hunter%s'
SELECT interval 'hunter%s'
SELECT 'hunter%s'::int
SELECT 'hunter%s' hunter%s syntax
hunter%s
SELECT 1 / 0 /* hunter%s */
ALTER SUBSCRIPTION secret_sub DISABLE
ALTER SUBSCRIPTION secret_sub SET (slot_name = NONE)
DROP SUBSCRIPTION secret_sub
DROP POLICY secret_y ON secret_t
DROP TABLE secret_t, secret_u, secret_w CASCADE
DROP MATERIALIZED VIEW secret_m
DROP VIEW secret_v
DROP SERVER secret_s CASCADE
DROP ROUTINE secret_f(text)
DROP PROCEDURE secret_p(text)
DROP DOMAIN secret_d
DROP TYPE secret_e
DROP ROLE secret_r
"""


def secret_statements() -> Iterator[str]:
    """Yield a statement of each kind, with secrets that all begin with `hunter`."""
    numbers = itertools.count(100)
    for statement in re.split(r"\n(?! )", SECRET_STATEMENTS.strip()):
        yield re.sub("%s", lambda _: str(next(numbers)), statement)
