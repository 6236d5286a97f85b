"""`pgconn-exporter export`: print what belongs to other programs, with a user's own values."""

from collections.abc import Callable
from typing import Annotated, TypeVar

import typer

from exporter.alerts.errors import AlertError
from exporter.alerts.rendering import EXAMPLE_GRAFANA, EXAMPLE_RUNBOOKS, Options
from exporter.alerts.thresholds import tuned
from exporter.commands.export import (
    Form,
    alert_labels,
    job_name,
    metadata_labels,
    render_alertmanager,
    render_rules,
    url,
)
from exporter.commands.failing import fail

Given = TypeVar("Given")
Read = TypeVar("Read")

export = typer.Typer(
    help="Print what belongs to other programs, with your own values filled in.",
    no_args_is_help=True,
)

Job = Annotated[str, typer.Option("--job", help="The scrape job of the exporter.", metavar="NAME")]


@export.command(
    epilog="Example: pgconn-exporter export alerts --threshold slots_high=75% --label team=payments"
)
def alerts(
    job: Job = "pgconn",
    form: Annotated[Form, typer.Option("--as", help="What to print.")] = Form.RULES,
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            help="Another threshold, such as slots_high=75%; docs/alerts.md lists them."
            " May be repeated.",
            metavar="NAME=VALUE",
        ),
    ] = None,
    runbook_url: Annotated[
        str, typer.Option(help="Where docs/runbooks can be read.", metavar="URL")
    ] = EXAMPLE_RUNBOOKS,
    dashboard_url: Annotated[
        str, typer.Option(help="Where Grafana is.", metavar="URL")
    ] = EXAMPLE_GRAFANA,
    label: Annotated[
        list[str] | None,
        typer.Option(
            help="A label for every alert, such as team=payments. May be repeated.",
            metavar="NAME=VALUE",
        ),
    ] = None,
    metadata_label: Annotated[
        list[str] | None,
        typer.Option(
            help="A label of the PrometheusRule itself, by which Prometheus selects it, such as"
            " release=prometheus. May be repeated.",
            metavar="NAME=VALUE",
        ),
    ] = None,
) -> None:
    """Print the alert rules, for Prometheus or its operator."""
    selected_by = taken("--metadata-label", metadata_labels, metadata_label or [])
    if selected_by and form is not Form.PROMETHEUS_RULE:
        raise fail(f"--metadata-label: only a PrometheusRule has any: --as {Form.PROMETHEUS_RULE}")
    options = Options(
        job=taken("--job", job_name, job),
        thresholds=taken("--threshold", tuned, threshold or []),
        runbooks=taken("--runbook-url", url, runbook_url),
        grafana=taken("--dashboard-url", url, dashboard_url),
        labels=taken("--label", alert_labels, label or []),
    )
    typer.echo(render_rules(options, form, selected_by), nl=False)


@export.command(epilog="Example: pgconn-exporter export alertmanager --job postgres-connections")
def alertmanager(job: Job = "pgconn") -> None:
    """Print the routes and inhibition rules for Alertmanager."""
    options = Options(job=taken("--job", job_name, job))
    typer.echo(render_alertmanager(options), nl=False)


def taken(flag: str, read: Callable[[Given], Read], given: Given) -> Read:
    """Read what was given with a flag, and name the flag where that cannot be."""
    try:
        return read(given)
    except AlertError as error:
        raise fail(f"{flag}: {error}") from None
