"""The routes of the HTTP server."""

from collections.abc import Awaitable, Callable, Iterator
from html import escape
from itertools import islice
from typing import Final, NamedTuple
from urllib.parse import quote

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from exporter import __version__
from exporter.exposition import Exposition, Format

EXPOSITION: Final = web.AppKey("exposition", Exposition)
READY: Final = web.AppKey[Callable[[], bool]]("ready")
METRICS_PATH: Final = web.AppKey("metrics_path", str)

Reload = Callable[[], Awaitable[str | None]]
"""Loads the configuration anew; None when it is in force, else the text of what is wrong."""

RELOAD: Final = web.AppKey[Reload | None]("reload")

# What `only` of a query may say: no name of a target, since a target may be called anything.
EXPORTER: Final = "exporter"

# No client accepts more than some formats and codings, and an entry costs a microsecond.
MAX_CHOICES: Final = 64

# How much of what was asked for, or of what there is, an error repeats.
MAX_NAME: Final = 100
MAX_NAMES: Final = 20

log = structlog.get_logger()


def make_application(
    exposition: Exposition,
    ready: Callable[[], bool],
    metrics_path: str,
    reload: Reload | None = None,
) -> web.Application:
    """Build the application; `ready` tells whether every target was polled once.

    Without `reload` nobody can have the configuration loaded anew over HTTP.
    """
    application = web.Application(middlewares=[tell_errors])
    application[EXPOSITION] = exposition
    application[READY] = ready
    application[METRICS_PATH] = metrics_path
    application[RELOAD] = reload
    application.add_routes(
        [
            web.get(metrics_path, serve_metrics),
            web.get("/-/healthy", serve_healthy),
            web.get("/-/ready", serve_ready),
            web.get("/sd", serve_discovery),
            web.post("/-/reload", serve_reload),
            web.put("/-/reload", serve_reload),
        ]
    )
    if metrics_path != "/":
        application.add_routes([web.get("/", serve_index)])
    return application


@web.middleware
async def tell_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Say in a line of plain text why a request has no answer; log what nobody foresaw."""
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return web.Response(status=404, text=f"nothing is here; there are: {places(request.app)}\n")
    except web.HTTPMethodNotAllowed as error:
        methods = ", ".join(sorted(error.allowed_methods))
        text = f"this takes {methods} and no other method\n"
        return web.Response(status=405, text=text, headers={"Allow": methods})
    except web.HTTPException:
        raise
    except Exception:
        log.exception("unforeseen fault in a request", path=request.path)
        return web.Response(status=500, text="unforeseen fault; the log of the exporter has more\n")


def places(application: web.Application) -> str:
    """List the paths that there are."""
    return ", ".join(resource.canonical for resource in application.router.resources())


class Choice(NamedTuple):
    """One entry of an Accept or Accept-Encoding header; a weight of 0 refuses it."""

    name: str
    version: str
    weight: float


def choices(header: str) -> Iterator[Choice]:
    """Read what a client accepts. Whatever it sends, this doesn't fail."""
    for entry in islice(header.lower().split(",", MAX_CHOICES), MAX_CHOICES):
        name, *pairs = entry.split(";")
        parameters = {
            key.strip(): value.strip(' "')
            for key, _, value in (pair.partition("=") for pair in pairs)
        }
        try:
            weight = float(parameters.get("q", "1"))
        except ValueError:
            weight = 0.0
        yield Choice(name.strip(), parameters.get("version", ""), weight)


def negotiate(accept: str) -> Format:
    """Choose the format that a scraper asks for: OpenMetrics unless it likes plain text better."""
    openmetrics = plain = 0.0
    for name, version, weight in choices(accept):
        if name == "application/openmetrics-text" and version in {"", "1.0.0"}:
            openmetrics = max(openmetrics, weight)
        elif name == "text/plain":
            plain = max(plain, weight)
    return Format.OPENMETRICS if openmetrics > 0 and openmetrics >= plain else Format.TEXT


def takes_gzip(request: web.Request) -> bool:
    """Tell whether a client can read gzip."""
    codings = choices(request.headers.get("Accept-Encoding", ""))
    weights = {coding.name: coding.weight for coding in codings}
    return weights.get("gzip", weights.get("*", 0.0)) > 0


async def serve_metrics(request: web.Request) -> web.Response:
    """Serve all metrics, those of `?target=NAME`, or with `?only=exporter` none of any target."""
    exposition = request.app[EXPOSITION]
    wanted, only = (request.query.getall(name, []) for name in ("target", "only"))
    if len(wanted) > 1:
        return web.Response(status=400, text="target= stands there more than once; ask for one\n")
    if only and (wanted or only != [EXPORTER]):
        text = f"only= can be {EXPORTER}, once and without target=, and nothing else\n"
        return web.Response(status=400, text=text)
    target = wanted[0] if wanted else None
    if target is not None and target not in exposition.targets:
        return unknown_target(target, exposition.targets)
    form = negotiate(request.headers.get("Accept", ""))
    compress = takes_gzip(request)
    headers = {"Content-Type": form.value, "Vary": "Accept, Accept-Encoding"}
    if compress:
        headers["Content-Encoding"] = "gzip"
    page = exposition.page(form, target, own=bool(only), compress=compress)
    return web.Response(body=page, headers=headers)


def unknown_target(name: str, known: tuple[str, ...]) -> web.Response:
    """Say which targets there are."""
    asked = f"{name[:MAX_NAME]!r}{'...' if len(name) > MAX_NAME else ''}"
    more = f" and {len(known) - MAX_NAMES} more" if len(known) > MAX_NAMES else ""
    text = f"no target is called {asked}; there are: {', '.join(known[:MAX_NAMES])}{more}\n"
    return web.Response(status=404, text=text)


async def serve_healthy(request: web.Request) -> web.Response:
    """Say that the process answers."""
    del request
    return web.Response(text="healthy\n")


async def serve_ready(request: web.Request) -> web.Response:
    """Say whether every target was polled once, with success or not."""
    if request.app[READY]():
        return web.Response(text="ready\n")
    return web.Response(status=503, text="not ready: no poll of some target has ended yet\n")


async def serve_reload(request: web.Request) -> web.Response:
    """Load the configuration anew, and say what is wrong with it."""
    reload = request.app[RELOAD]
    if reload is None:
        text = "Lifecycle API is not enabled; start with --web.enable-lifecycle\n"
        return web.Response(status=403, text=text)
    problem = await reload()
    if problem is not None:
        return web.Response(status=500, text=f"{problem}\n")
    return web.Response(text="reloaded\n")


async def serve_discovery(request: web.Request) -> web.Response:
    """List the targets and the exporter, in the form of Prometheus' HTTP service discovery."""
    host = request.headers.get("Host")
    if not host:
        text = "a Host header is needed: the targets are where it says\n"
        return web.Response(status=400, text=text)
    path, names = request.app[METRICS_PATH], request.app[EXPOSITION].targets
    entries = [discovered(host, f"{host}/{name}", path, target=name) for name in names]
    return web.json_response([*entries, discovered(host, host, path, only=EXPORTER)])


def discovered(host: str, instance: str, path: str, **query: str) -> dict[str, object]:
    """Describe one scrape; its `instance` keeps the `up` of several scrapes apart."""
    parameters = {f"__param_{name}": value for name, value in query.items()}
    labels = {"instance": instance, "__metrics_path__": path, **parameters}
    return {"targets": [host], "labels": labels}


async def serve_index(request: web.Request) -> web.Response:
    """Show a person what is here."""
    exposition, path = request.app[EXPOSITION], escape(request.app[METRICS_PATH])
    rows = "".join(
        f'<li><a href="{path}?target={quote(name)}">{escape(name)}</a>: '
        f"{'up' if exposition.is_up(name) else 'DOWN'}</li>"
        for name in exposition.targets
    )
    page = (
        "<!doctype html><meta charset=utf-8><title>pgconn-exporter</title>"
        f"<h1>pgconn-exporter {__version__}</h1><h2>Targets</h2><ul>{rows}</ul>"
        f'<p><a href="{path}">all metrics</a>, <a href="/sd">service discovery</a>, '
        '<a href="/-/healthy">healthy</a>, <a href="/-/ready">ready</a></p>'
    )
    return web.Response(text=page, content_type="text/html")
