"""The configuration as frozen, validated models.

`File` is the file as it is written; `Config` is what the daemon works with, the file's
defaults merged into every target. Durations are in seconds, percentages are ratios. The
docstrings of the keys are the descriptions in config.schema.json.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from exporter.config.fields import (
    LABELS,
    ClientName,
    Deadline,
    Dsn,
    Duration,
    FilePath,
    Flag,
    Globs,
    Interval,
    Label,
    Limit,
    ListenAddress,
    MaxSeries,
    Name,
    Networks,
    PoolSize,
    Ratio,
    TextLength,
    Top,
    in_label_order,
)
from exporter.config.values import split_address


class Model(BaseModel):
    """A group of keys: frozen, no unknown keys, values never quoted in an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True
    )

    @model_validator(mode="before")
    @classmethod
    def _drop_keys_without_value(cls, data: object) -> object:
        """Take a key with nothing behind it as not written: its values may be commented out."""
        if not isinstance(data, Mapping):
            return data
        return {
            key: value
            for key, value in data.items()
            if value is not None or key not in cls.model_fields
        }


class Web(Model):
    """Where the exporter serves its metrics."""

    listen_address: ListenAddress = ":10432"
    """Address to listen on: `host:port`, or `:port` for every interface."""

    @property
    def host(self) -> str:
        """The host to listen on; empty for every interface."""
        return split_address(self.listen_address)[0]

    @property
    def port(self) -> int:
        """The port to listen on; 0 for one that the system chooses."""
        return split_address(self.listen_address)[1]


class Intervals(Model):
    """How often each read is done; stretched where `max_overhead` asks for it. At least 100ms."""

    activity: Interval = 1.0
    """Sessions, their queries and locks: everything about who holds what, and who blocks whom."""
    probe: Interval = 15.0
    """A new connection, to see whether clients can still connect."""
    databases: Interval = 15.0
    """How sessions ended, deadlocks and connection limits of databases and roles."""
    statements: Interval = 30.0
    """Slow statements from pg_stat_statements."""
    settings: Interval = 60.0
    """Timeouts and other settings of the server."""
    replication: Interval = 30.0
    """Replication slots and WAL senders."""


class Orphans(Model):
    """From when on a connection counts as orphaned, where its client says nothing else."""

    idle_after: Duration = 900.0
    """Idle for longer than this, unless the client has its own `idle_timeout`."""
    idle_in_transaction_after: Duration = 60.0
    """Idle inside a transaction for longer than this."""


class Statements(Model):
    """Which statements are exported."""

    top: Top = 20
    """How many statements, by mean time, by recent mean time and by recent total time each."""
    text_length: TextLength = 200
    """Length in characters after which a statement's text is cut."""


class Match(Model):
    """Which connections belong to a client: all given conditions must hold, any of a list."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    client_addr: Networks = ()
    """Address or network, or a list: `10.0.1.5`, `10.0.1.0/24`, `local` for the Unix socket."""
    application_name: Globs = ()
    """Glob, or a list of globs, for the application's name: `gunicorn*`. Case matters."""
    usename: Globs = ()
    """Glob, or a list of globs, for the role: `app_*`. Case matters."""

    @model_validator(mode="after")
    def _needs_a_condition(self) -> Self:
        """Refuse a match that takes every connection, most likely by mistake."""
        if not (self.client_addr or self.application_name or self.usename):
            raise ValueError("needs at least one of client_addr, application_name, usename")
        return self


class ClientGroup(Model):
    """An application that connects to the servers, and the limits that it sets itself."""

    name: ClientName
    """Value of the label `client`."""
    match: Match
    """Which connections belong to it; the first client that matches wins."""
    request_timeout: Limit | None = None
    """After how long nobody waits for its answer any more: gunicorn's --timeout."""
    idle_timeout: Limit | None = None
    """After how long its pool closes an idle connection: CONN_MAX_AGE, pool_recycle."""
    pool_size: PoolSize | None = None
    """How many connections all of its pools together may hold: 8 workers x 25 threads is 200."""


class Probe(Model):
    """How the probe connects, where it is not the way in which we watch the server."""

    dsn: Dsn
    """Connection string as libpq takes it: a URI, key=value pairs, or `service=NAME`."""
    password_file: FilePath | None = None
    """File that holds the password, relative to the configuration file."""


class Settings(Model):
    """How a target is watched: may stand under `defaults` and on each target."""

    intervals: Intervals = Field(default_factory=Intervals)
    """How often each read is done."""
    max_overhead: Ratio = 0.01
    """Share of one server core, and of our own, that polls may take; they slow down before."""
    query_timeout: Deadline = 5.0
    """Hard limit for one poll: holds against a stopped backend and a dead network."""
    slow_query_after: Duration = 5.0
    """From when on a running query counts as slow."""
    peak_window: Duration = 60.0
    """How far back the `_peak` metrics look; not below Prometheus's scrape interval."""
    orphans: Orphans = Field(default_factory=Orphans)
    """From when on a connection counts as orphaned."""
    proc: Flag = False
    """Whether the exporter runs on the server's host and shall read its TCP table from /proc."""
    spare: Flag = False
    """Whether a second connection is kept, which takes over where the first is lost."""
    statements: Statements = Field(default_factory=Statements)
    """Which statements are exported, from pg_stat_statements."""
    connection_labels: Annotated[
        tuple[Label, ...],
        AfterValidator(in_label_order),
        Field(json_schema_extra={"uniqueItems": True}),
    ] = LABELS
    """Labels of the connection metrics; drop some on very large fleets."""
    max_series: MaxSeries = 1000
    """Series per metric and target; the rest is folded into `other`."""


class Target(Settings):
    """A server to watch."""

    name: Name
    """Value of the label `target`."""
    kind: Literal["postgresql", "pgbouncer"] = "postgresql"
    """What answers there."""
    dsn: Dsn
    """Connection string as libpq takes it: a URI, key=value pairs, or `service=NAME`."""
    password_file: FilePath | None = None
    """File that holds the password, relative to the configuration file."""
    probe: Probe | None = None
    """How the probe connects; by default as the target itself."""
    server: Name | None = None
    """For a PgBouncer: the name of the PostgreSQL target behind it."""
    clients: tuple[ClientGroup, ...] = ()
    """Clients of this target, looked at before those of the file; same name replaces."""


def _needs_a_target(targets: tuple[Target, ...]) -> tuple[Target, ...]:
    """Refuse a file that watches nothing."""
    if not targets:
        raise ValueError("lists no server to watch; write at least one target")
    return targets


class File(Model):
    """Configuration of pgconn-exporter: which PostgreSQL servers to watch, and how."""

    web: Web = Field(default_factory=Web)
    """The exporter's own HTTP server."""
    defaults: Settings = Field(default_factory=Settings)
    """Settings of all targets; every key may also stand on a target, which then wins."""
    targets: Annotated[
        tuple[Target, ...],
        AfterValidator(_needs_a_target),
        Field(json_schema_extra={"minItems": 1}),
    ]
    """The servers to watch."""
    clients: tuple[ClientGroup, ...] = ()
    """The applications that connect to the servers; the first that matches wins."""


class Config(Model):
    """What the daemon works with: every target complete, defaults and clients merged in."""

    web: Web = Field(default_factory=Web)
    targets: tuple[Target, ...]
