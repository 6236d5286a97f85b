"""The routes of the HTTP server."""

from collections.abc import Callable, Iterator
from html import escape
from typing import Final, NamedTuple
from urllib.parse import quote

from aiohttp import web

from exporter import __version__
from exporter.exposition import Exposition, Format

EXPOSITION: Final = web.AppKey("exposition", Exposition)
READY: Final = web.AppKey[Callable[[], bool]]("ready")
METRICS_PATH: Final = web.AppKey("metrics_path", str)

# Nobody sends us more than a request line and some headers.
MAX_BODY: Final = 1024


def make_application(
    exposition: Exposition, ready: Callable[[], bool], metrics_path: str
) -> web.Application:
    """Build the application; `ready` tells whether every target was polled once."""
    application = web.Application(client_max_size=MAX_BODY)
    application[EXPOSITION] = exposition
    application[READY] = ready
    application[METRICS_PATH] = metrics_path
    application.add_routes(
        [
            web.get(metrics_path, serve_metrics),
            web.get("/-/healthy", serve_healthy),
            web.get("/-/ready", serve_ready),
            web.get("/sd", serve_discovery),
        ]
    )
    if metrics_path != "/":
        application.add_routes([web.get("/", serve_index)])
    return application


class Choice(NamedTuple):
    """One entry of an Accept or Accept-Encoding header; a weight of 0 refuses it."""

    name: str
    version: str
    weight: float


def choices(header: str) -> Iterator[Choice]:
    """Read what a client accepts. Whatever it sends, this doesn't fail."""
    for entry in header.lower().split(","):
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
    """Serve every target's metrics, or those of `?target=NAME`."""
    exposition = request.app[EXPOSITION]
    target = request.query.get("target")
    if target is not None and target not in exposition.targets:
        return unknown_target(target, exposition.targets)
    form = negotiate(request.headers.get("Accept", ""))
    compress = takes_gzip(request)
    headers = {"Content-Type": form.value, "Vary": "Accept, Accept-Encoding"}
    if compress:
        headers["Content-Encoding"] = "gzip"
    return web.Response(body=exposition.page(form, target, compress=compress), headers=headers)


def unknown_target(name: str, known: tuple[str, ...]) -> web.Response:
    """Say which targets there are."""
    text = f"no target is called {name!r}; there are: {', '.join(known)}\n"
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


async def serve_discovery(request: web.Request) -> web.Response:
    """List one entry a target, in the form of Prometheus' HTTP service discovery."""
    path, names = request.app[METRICS_PATH], request.app[EXPOSITION].targets
    return web.json_response([discovered(request.host, path, name) for name in names])


def discovered(host: str, path: str, name: str) -> dict[str, object]:
    """Describe one target; its `instance` keeps the `up` of several targets apart."""
    labels = {
        "instance": f"{host}/{name}",
        "__metrics_path__": path,
        "__param_target": name,
    }
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
