"""The routes of the HTTP server."""

from collections.abc import Callable
from html import escape
from typing import Final

from aiohttp import web
from prometheus_client.exposition import choose_encoder

from exporter import __version__
from exporter.exposition import Exposition, Format

EXPOSITION: Final = web.AppKey("exposition", Exposition)
READY: Final = web.AppKey[Callable[[], bool]]("ready")
METRICS_PATH: Final = web.AppKey("metrics_path", str)

# Nobody sends us more than a request line and some headers.
MAX_BODY: Final = 1024

TEXT_TYPE: Final = "text/plain; charset=utf-8"


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


def negotiate(accept: str) -> Format:
    """Choose the format that a scraper asks for."""
    _, content_type = choose_encoder(accept)
    openmetrics = content_type.startswith("application/openmetrics-text")
    return Format.OPENMETRICS if openmetrics else Format.TEXT


def takes_gzip(request: web.Request) -> bool:
    """Tell whether a client can read gzip."""
    codings = request.headers.get("Accept-Encoding", "").lower().split(",")
    names = {
        name.strip(): weight.replace(" ", "")
        for name, _, weight in (coding.partition(";") for coding in codings)
    }
    weight = names.get("gzip", names.get("*", "q=0"))
    return weight not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}


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
    path = request.app[METRICS_PATH]
    return web.json_response(
        [
            {
                "targets": [request.host],
                "labels": {"__metrics_path__": path, "__param_target": name},
            }
            for name in request.app[EXPOSITION].targets
        ]
    )


async def serve_index(request: web.Request) -> web.Response:
    """Show a person what is here."""
    exposition, path = request.app[EXPOSITION], escape(request.app[METRICS_PATH])
    rows = "".join(
        f'<li><a href="{path}?target={escape(name)}">{escape(name)}</a>: '
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
