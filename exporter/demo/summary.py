"""What the demo shows: a summary of /metrics, and of nothing else, as an operator sees it."""

import math
from functools import partial

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

STATEMENTS = 3  # all of the summary fits into 24 lines of a terminal
MINUTES = 600.0  # seconds from which on a person reads minutes

NewTable = partial(Table, box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")


class Scrape:
    """The samples of one answer of /metrics."""

    def __init__(self, text: str) -> None:
        self._samples: dict[str, list[Sample]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                self._samples.setdefault(sample.name, []).append(sample)

    def select(self, name: str, **labels: str) -> list[Sample]:
        """Return the samples of a name that have the labels."""
        samples = self._samples.get(name, [])
        return [sample for sample in samples if labels.items() <= sample.labels.items()]

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of the samples; 0 where there is none."""
        return sum(sample.value for sample in self.select(name, **labels))

    def highest(self, name: str, **labels: str) -> Sample | None:
        """Return the sample with the highest value."""
        return max(self.select(name, **labels), key=lambda sample: sample.value, default=None)

    def by_client(self, name: str) -> dict[str, float]:
        """Return the sum of each client that has any."""
        clients = sorted({sample.labels["client"] for sample in self.select(name)})
        totals = {client: self.total(name, client=client) for client in clients}
        return {client: total for client, total in totals.items() if total}


def duration(seconds: float) -> str:
    """Write a duration for a person.

    >>> duration(0.0042), duration(7.25), duration(83), duration(7875)
    ('4.2 ms', '7.2 s', '83 s', '131 min')
    """
    if seconds >= MINUTES:
        return f"{seconds / 60:.0f} min"
    if seconds < 1:
        return f"{seconds * 1000:.1f} ms"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004 - digits


def summary(scrape: Scrape) -> RenderableType:
    """Return the summary of a scrape."""
    if not scrape.total("pgconn_up"):
        return Text("pgconn_up is 0: the exporter cannot reach the server, or has only begun.")
    parts: tuple[RenderableType, ...] = (
        head(scrape),
        clients(scrape),
        troubles(scrape),
        statements(scrape),
    )
    return Group(*[line for part in parts for line in (part, Text())][:-1])


def head(scrape: Scrape) -> str:
    """Tell how many connections are left, and what watching costs."""
    used, usable = scrape.total("pgconn_slots_used"), scrape.total("pgconn_slots_usable")
    peak = scrape.total("pgconn_slots_used_peak")
    full = f"[bold]{used:.0f} of {usable:.0f} usable slots used[/], {peak:.0f} at the peak"
    return f"{full}; {cost(scrape)}"


def clients(scrape: Scrape) -> Table:
    """Tell who holds connections, and for how long in which state."""
    table = NewTable("client", "connections", "busy", "idle", "longest in one state")
    for client, held in scrape.by_client("pgconn_client_connections").items():
        busy = scrape.total("pgconn_client_busy_connections", client=client)
        pool = scrape.total("pgconn_client_pool_size", client=client)
        count = f"{held:.0f} of {pool:.0f}" if pool else f"{held:.0f}"
        table.add_row(client, count, f"{busy:.0f}", f"{held - busy:.0f}", longest(scrape, client))
    return table


def longest(scrape: Scrape, client: str) -> str:
    """Tell a client's connection that has been in its state for longest."""
    sample = scrape.highest("pgconn_connection_state_age_max_seconds", client=client)
    return f"{duration(sample.value)} {sample.labels['state']}" if sample else ""


def troubles(scrape: Scrape) -> Table:
    """Tell what is wrong, or would be in production."""
    table = NewTable(show_header=False)
    for title, text in (
        ("root blocker", root_blockers(scrape) or "none"),
        ("blocked", blocked(scrape) or "none"),
        ("orphaned", orphaned(scrape) or "none"),
        ("slow queries", per_client(scrape, "pgconn_slow_queries") or "none"),
        ("bad timeouts", bad_timeouts(scrape) or "none"),
        ("dead clients", dead_clients(scrape)),
        ("refused", refused(scrape)),
    ):
        if text:
            table.add_row(f"[bold]{title}[/]", escape(text))
    return table


def per_client(scrape: Scrape, name: str) -> str:
    """Tell a count for each client."""
    return ", ".join(f"{client} {n:.0f}" for client, n in scrape.by_client(name).items())


def root_blockers(scrape: Scrape) -> str:
    """Tell who blocks others and waits for nobody, with the most victims first."""
    victims = scrape.select("pgconn_root_blocker_victims")
    return "\n".join(
        root_blocker(scrape, sample)
        for sample in sorted(victims, key=lambda sample: sample.value, reverse=True)
    )


def root_blocker(scrape: Scrape, victims: Sample) -> str:
    """Tell one of them: how many wait, and who does what, from where, and since when."""
    labels = victims.labels
    origin = f" ({labels['client_addr']})" if labels["client_addr"] else ""
    oldest = scrape.highest("pgconn_root_blocker_age_max_seconds", **labels)
    old = f", {duration(oldest.value)} old" if oldest else ""
    who = f"{labels['client']}{origin}, {labels['state']}{old}"
    return f"{victims.value:.0f} behind {who}"


def blocked(scrape: Scrape) -> str:
    """Tell who waits for a lock, and how long."""
    wait = scrape.highest("pgconn_lock_wait_max_seconds")
    who = per_client(scrape, "pgconn_blocked_connections")
    return f"{who}; the longest for {duration(wait.value)}" if wait and who else who


def orphaned(scrape: Scrape) -> str:
    """Tell each client's connections that nobody needs any more, why, and the oldest."""
    name = "pgconn_orphaned_connections"
    found = {(sample.labels["client"], sample.labels["reason"]) for sample in scrape.select(name)}
    lines = []
    for client, reason in sorted(found):
        count = scrape.total(name, client=client, reason=reason)
        ages = "pgconn_orphaned_connection_age_max_seconds"
        oldest = scrape.highest(ages, client=client, reason=reason)
        since = f", the oldest for {duration(oldest.value)}" if oldest else ""
        lines.append(f"{client} {count:.0f} {reason}{since}")
    return "\n".join(lines)


def bad_timeouts(scrape: Scrape) -> str:
    """Tell each rule that is broken, and by which clients."""
    broken: dict[str, list[str]] = {}
    for sample in scrape.select("pgconn_timeout_mismatch"):
        if sample.value:
            broken.setdefault(sample.labels["rule"], []).append(sample.labels["client"])
    # What only one client suffers from comes first: it says most.
    rules = sorted(broken.items(), key=lambda item: (len(item[1]), item[0]))
    return "\n".join(f"{rule}: {', '.join(sorted(clients))}" for rule, clients in rules)


def dead_clients(scrape: Scrape) -> str:
    """Tell how long the server keeps a client that vanished without a word."""
    samples = scrape.select("pgconn_dead_client_detection_seconds")
    moments = [f"{moment(sample.value)} while {sample.labels['session']}" for sample in samples]
    return f"noticed {', '.join(moments)}" if moments else ""


def moment(seconds: float) -> str:
    """Tell when something happens, if ever."""
    return "never" if math.isinf(seconds) else f"after {duration(seconds)}"


def refused(scrape: Scrape) -> str:
    """Tell whether new connections are refused now."""
    probes = scrape.select("pgconn_probe_success")
    return "" if all(sample.value for sample in probes) else "new connections"


def statements(scrape: Scrape) -> Table:
    """Tell the slowest statements with their text."""
    table = NewTable("mean of late", "mean", "calls", "slowest statements", expand=True)
    for column in table.columns:
        column.no_wrap = True  # a long text gives way, and not the numbers
    table.columns[-1].ratio = 1
    for info in slowest(scrape):
        calls = scrape.total("pgconn_statement_calls_total", **identity(info))
        recent, mean = means(scrape, info)
        late = "" if recent is None else duration(recent)
        table.add_row(late, duration(mean), f"{calls:.0f}", escape(info.labels["query"]))
    return table


def slowest(scrape: Scrape) -> list[Sample]:
    """Return the slowest statements: by their mean of late where they had calls."""

    def speed(info: Sample) -> float:
        recent, mean = means(scrape, info)
        return mean if recent is None else recent

    infos = scrape.select("pgconn_statement_info")
    return sorted(infos, key=speed, reverse=True)[:STATEMENTS]


def means(scrape: Scrape, info: Sample) -> tuple[float | None, float]:
    """Return a statement's mean of late, if it had calls, and since the last reset."""
    recent = scrape.highest("pgconn_statement_recent_mean_seconds", **identity(info))
    mean = scrape.total("pgconn_statement_mean_seconds", **identity(info))
    return recent.value if recent else None, mean


def identity(sample: Sample) -> dict[str, str]:
    """Return the labels by which all metrics of a statement are joined."""
    return {name: sample.labels[name] for name in ("target", "datname", "usename", "queryid")}


def cost(scrape: Scrape) -> str:
    """Tell what watching costs."""
    name = "pgconn_poll_duration_seconds"
    polls = scrape.total(f"{name}_count", collector="activity")
    mean = scrape.total(f"{name}_sum", collector="activity") / max(polls, 1)
    interval = scrape.total("pgconn_poll_interval_seconds", collector="activity")
    return f"[dim]one poll takes {duration(mean)}, every {duration(interval)}[/]"
