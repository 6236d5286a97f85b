"""The demo's shop: its roles, its database, and enough orders to be slow on."""

from urllib.parse import quote

import psycopg

from exporter.demo.ports import IPV4

DATABASE = "shop"

ROLES = """
CREATE ROLE app LOGIN;
CREATE ROLE reports LOGIN;
CREATE ROLE celery LOGIN;
CREATE ROLE deploy LOGIN;
CREATE ROLE pgconn_exporter LOGIN IN ROLE pg_monitor;
CREATE EXTENSION pg_stat_statements;
"""

TABLES = """
CREATE EXTENSION pg_stat_statements;
CREATE TABLE orders AS
    SELECT id, id % 5000 AS customer_id, now() - id * interval '5 min' AS created,
           (random() * 500)::numeric(8, 2) AS total, md5(id::text) AS note
    FROM generate_series(1, 100000) AS id;
ALTER TABLE orders ADD PRIMARY KEY (id);
CREATE INDEX ON orders (customer_id);
CREATE TABLE payments (order_id int PRIMARY KEY, paid timestamptz);
INSERT INTO payments SELECT id FROM generate_series(1, 1000) AS id;
ALTER TABLE payments OWNER TO deploy;
GRANT SELECT ON orders TO app, reports, celery;
GRANT SELECT, UPDATE ON payments TO app;
ANALYZE;
SELECT pg_stat_statements_reset();
"""


def local_dsn(port: int, user: str, dbname: str = DATABASE, application_name: str = "") -> str:
    """Return the URL by which somebody reaches a database through a port of this machine."""
    return f"postgresql://{user}@{IPV4}:{port}/{dbname}?application_name={quote(application_name)}"


def prepare(port: int) -> None:
    """Make roles, database and tables on a new server, as its superuser."""
    with psycopg.connect(local_dsn(port, "postgres", "postgres"), autocommit=True) as connection:
        connection.execute(ROLES)
        connection.execute("CREATE DATABASE shop")
    with psycopg.connect(local_dsn(port, "postgres"), autocommit=True) as connection:
        connection.execute(TABLES)
