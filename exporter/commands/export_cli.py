"""`pgconn-exporter export`: print what belongs to other programs, with a user's own values."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from exporter.alerts.errors import AlertError
from exporter.alerts.model import Dashboard
from exporter.alerts.rendering import EXAMPLE_GRAFANA, EXAMPLE_RUNBOOKS, Options
from exporter.alerts.thresholds import tuned
from exporter.commands.dashboards import (
    PATH,
    SOURCE,
    DashboardForm,
    Wanted,
    one,
    stream,
    write,
)
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
from exporter.dashboards.provisioning import SIDECAR_LABEL
from exporter.dashboards.rendering import NAMES

Given = TypeVar("Given")
Read = TypeVar("Read")

export = typer.Typer(
    help="Print what belongs to other programs, with your own values filled in.",
    no_args_is_help=True,
)

Thresholds = Annotated[
    list[str] | None,
    typer.Option(
        "--threshold",
        help="Another threshold, such as slots_high=75%; docs/alerts.md lists them."
        " May be repeated.",
        metavar="NAME=VALUE",
    ),
]
RunbookUrl = Annotated[
    str, typer.Option("--runbook-url", help="Where docs/runbooks can be read.", metavar="URL")
]
Job = Annotated[str, typer.Option("--job", help="The scrape job of the exporter.", metavar="NAME")]


@export.command(
    epilog="Example: pgconn-exporter export alerts --threshold slots_high=75% --label team=payments"
)
def alerts(
    job: Job = "pgconn",
    form: Annotated[Form, typer.Option("--as", help="What to print.")] = Form.RULES,
    threshold: Thresholds = None,
    runbook_url: RunbookUrl = EXAMPLE_RUNBOOKS,
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


@export.command(
    epilog="Example: pgconn-exporter export dashboards --to ./grafana --threshold slots_high=75%"
)
def dashboards(
    form: Annotated[
        DashboardForm, typer.Option("--as", help="How they get into Grafana.")
    ] = DashboardForm.PROVISIONING,
    to: Annotated[
        Path | None,
        typer.Option(help="Folder to write the files into.", metavar="FOLDER"),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(help=f"Print one of them: {', '.join(NAMES)}.", metavar="NAME"),
    ] = None,
    threshold: Thresholds = None,
    runbook_url: RunbookUrl = EXAMPLE_RUNBOOKS,
    datasource_url: Annotated[
        str, typer.Option(help="Where Grafana finds Prometheus, for provisioning.", metavar="URL")
    ] = SOURCE,
    path: Annotated[
        str,
        typer.Option(help="Where Grafana finds the dashboards, for provisioning.", metavar="PATH"),
    ] = PATH,
    metadata_label: Annotated[
        list[str] | None,
        typer.Option(
            help="A label of the ConfigMaps, instead of grafana_dashboard=1, by which Grafana's"
            " sidecar finds them. May be repeated.",
            metavar="NAME=VALUE",
        ),
    ] = None,
) -> None:
    """Write the Grafana dashboards: for provisioning, as ConfigMaps, or for import."""
    labels = taken("--metadata-label", metadata_labels, metadata_label or [])
    if labels and form is not DashboardForm.CONFIG_MAPS:
        raise fail(f"--metadata-label: only ConfigMaps have any: --as {DashboardForm.CONFIG_MAPS}")
    wanted = Wanted(
        form=form,
        options=Options(
            thresholds=taken("--threshold", tuned, threshold or []),
            runbooks=taken("--runbook-url", url, runbook_url),
        ),
        path=taken("--path", absolute, path),
        source=taken("--datasource-url", url, datasource_url),
        labels=labels or SIDECAR_LABEL,
    )
    if only is not None:
        if to is not None:
            raise fail("--only prints one dashboard, --to writes all: give one of the two")
        typer.echo(one(taken("--only", named, only), wanted), nl=False)
    elif to is not None:
        written(to, wanted)
    elif form is DashboardForm.CONFIG_MAPS:
        typer.echo(stream(wanted), nl=False)
    else:
        raise fail(f"--as {form} makes several files: give a folder with --to, or --only NAME")


def written(folder: Path, wanted: Wanted) -> None:
    """Write the files, and tell how many."""
    try:
        files = write(folder, wanted)
    except OSError as error:
        raise fail(f"--to {folder}: {error.strerror}: {error.filename}") from None
    typer.echo(f"wrote {len(files)} files into {folder}", err=True)


def named(name: str) -> Dashboard:
    """Take a dashboard's short name; AlertError where there is none."""
    try:
        return NAMES[name]
    except KeyError:
        raise AlertError(f"there is no {name!r}; there are: {', '.join(NAMES)}") from None


def absolute(path: str) -> str:
    """Take a folder of the machine where Grafana runs; AlertError where it is relative."""
    if not path.startswith("/") or not path.isprintable():
        raise AlertError(f"{path!r} is no absolute path, such as {PATH}")
    return path


def taken(flag: str, read: Callable[[Given], Read], given: Given) -> Read:
    """Read what was given with a flag, and name the flag where that cannot be."""
    try:
        return read(given)
    except AlertError as error:
        raise fail(f"{flag}: {error}") from None
