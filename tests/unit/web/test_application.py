"""The routes, asked over HTTP as scrapers and browsers do."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from typing import Any

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from structlog.testing import capture_logs

from exporter.exposition import Exposition, Format, Kind, Metric, Sample
from exporter.web.application import make_application
from tests.unit.pages import read, series

USED = Metric("pgconn_slots_used", Kind.GAUGE, "Slots that are used.")
BUILD = Metric("pgconn_build_info", Kind.GAUGE, "The build.", ("version",))
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "a&target=billing#x",
    "50% + 1 / ?",
    "über ✓",
)


class Scene:
    """An application with some targets, and a client of it."""

    def __init__(self, metrics_path: str = "/metrics") -> None:
        self.ready = False
        self.problem: str | Exception | None = None
        self.reloads = 0
        self.exposition = Exposition([BUILD, USED])
        for target in ("orders", "billing", *HOSTILE):
            self.exposition.watch(target, "activity")
        self.exposition.publish("orders", "activity", [Sample(USED, (), 7)])
        self.exposition.publish(None, "exporter", [Sample(BUILD, ("1",), 1)])
        application = make_application(
            self.exposition, lambda: self.ready, metrics_path, self.reload
        )
        # What was sent is to be seen as it is, so nothing is unpacked by itself.
        server = TestServer(application)
        self.client: TestClient[Any, Any] = TestClient(
            server, auto_decompress=False, skip_auto_headers=["Accept", "Accept-Encoding"]
        )

    async def reload(self) -> str | None:
        """Load nothing, but say what is wrong with it."""
        self.reloads += 1
        if isinstance(self.problem, Exception):
            raise self.problem
        return self.problem

    async def get(self, path: str, **headers: str) -> ClientResponse:
        """Ask for a path; underscores in the names of headers are dashes."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.get(path, headers=named)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    """Serve the scene on the loopback address."""
    made = Scene()
    async with made.client:
        yield made


async def test_metrics(scene: Scene) -> None:
    """The page is served as it is, with the type of its format."""
    response = await scene.get("/metrics")
    assert response.status == 200
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "Content-Encoding" not in response.headers
    assert await response.read() == scene.exposition.page()


async def test_openmetrics(scene: Scene) -> None:
    """Who asks for OpenMetrics gets it, and is told so."""
    response = await scene.get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert response.headers["Content-Type"] == (
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    )
    assert await response.read() == scene.exposition.page(Format.OPENMETRICS)


async def test_gzip(scene: Scene) -> None:
    """Who can read gzip gets it, ready made; caches are told what the answer depends on."""
    response = await scene.get("/metrics", Accept_Encoding="gzip")
    assert response.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(await response.read()) == scene.exposition.page()
    assert response.headers["Vary"] == "Accept, Accept-Encoding"
    assert (await scene.get("/metrics")).headers["Vary"] == "Accept, Accept-Encoding"


async def test_one_target(scene: Scene) -> None:
    """`?target=` gives that target alone."""
    response = await scene.get("/metrics?target=orders")
    assert read(await response.read()) == {
        series("pgconn_up", {"target": "orders"}): 1,
        series("pgconn_slots_used", {"target": "orders"}): 7,
    }


@pytest.mark.parametrize("query", ["target=nobody", "target=", "target=Orders"])
async def test_unknown_target(scene: Scene, query: str) -> None:
    """A target that is not there is an error that says which are, never an empty page."""
    response = await scene.get(f"/metrics?{query}")
    assert response.status == 404
    assert response.content_type == "text/plain"
    assert "there are: orders, billing" in await response.text()


async def test_several_targets(scene: Scene) -> None:
    """Who asks for two at once is not given one as if it were both."""
    response = await scene.get("/metrics?target=orders&target=billing")
    assert (response.status, response.content_type) == (400, "text/plain")


async def test_the_exporter_alone(scene: Scene) -> None:
    """`?only=exporter` gives what is about no target, in each format and coding."""
    path, own = "/metrics?only=exporter", {series("pgconn_build_info", {"version": "1"}): 1}
    assert read(await (await scene.get(path)).read()) == own
    assert (
        read(gzip.decompress(await (await scene.get(path, Accept_Encoding="gzip")).read())) == own
    )
    response = await scene.get(path, Accept="application/openmetrics-text; version=1.0.0")
    assert read(await response.read(), Format.OPENMETRICS) == own


@pytest.mark.parametrize(
    "query",
    ["only=", "only=orders", "only=exporter&only=exporter", "only=exporter&target=orders"],
)
async def test_only_the_exporter_can_be_alone(scene: Scene, query: str) -> None:
    """Who asks for something else is not given a page that he takes for it."""
    response = await scene.get(f"/metrics?{query}")
    assert (response.status, response.content_type) == (400, "text/plain")


async def test_a_target_called_as_the_exporter(scene: Scene) -> None:
    """A target may have any name; its page and the exporter's are two."""
    scene.exposition.watch("exporter", "activity")
    page = await (await scene.get("/metrics?target=exporter")).read()
    assert read(page) == {series("pgconn_up", {"target": "exporter"}): 0}
    page = await (await scene.get("/metrics?only=exporter")).read()
    assert read(page) == {series("pgconn_build_info", {"version": "1"}): 1}


async def test_errors_are_short(scene: Scene) -> None:
    """Neither a long question nor many targets make a long answer."""
    for number in range(1000):
        scene.exposition.watch(f"target{number}", "activity")
    response = await scene.get("/metrics?target=" + "x" * 4000)
    text = await response.text()
    assert response.status == 404
    assert len(text) < 1000
    assert text.endswith(" and 987 more\n")


async def test_a_forgotten_target(scene: Scene) -> None:
    """A target that a reload took away is unknown, and its page is not kept."""
    assert (await scene.get("/metrics?target=orders")).status == 200
    scene.exposition.forget("orders")
    assert (await scene.get("/metrics?target=orders")).status == 404
    assert "orders" not in await (await scene.get("/metrics")).text()


async def test_discovery_without_a_host() -> None:
    """Old clients need not say whom they ask, but then nobody can tell them where we are."""
    application = make_application(Exposition([]), lambda: True, "/metrics")
    async with TestServer(application) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(b"GET /sd HTTP/1.0\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.0 400 ")
        writer.close()


async def test_a_hostile_question(scene: Scene) -> None:
    """What is asked for is given back as text, in one line."""
    response = await scene.get("/metrics?target=%3Cb%3E%0D%0Ax")
    assert response.content_type == "text/plain"
    assert (await response.text()).count("\n") == 1


async def test_health(scene: Scene) -> None:
    """The process is healthy while it answers."""
    response = await scene.get("/-/healthy")
    assert (response.status, await response.text()) == (200, "healthy\n")


async def test_readiness(scene: Scene) -> None:
    """It is ready when every target was polled once."""
    assert (await scene.get("/-/ready")).status == 503
    scene.ready = True
    response = await scene.get("/-/ready")
    assert (response.status, await response.text()) == (200, "ready\n")


async def test_discovery(scene: Scene) -> None:
    """Prometheus is told one target each, and the exporter, all at the address that it asked."""
    response = await scene.get("/sd", Host="exporter.internal:10432")
    assert response.content_type == "application/json"
    found = await response.json()
    assert found[0] == {
        "targets": ["exporter.internal:10432"],
        "labels": {
            "instance": "exporter.internal:10432/orders",
            "__metrics_path__": "/metrics",
            "__param_target": "orders",
        },
    }
    *targets, own = found
    assert [entry["labels"]["__param_target"] for entry in targets] == [
        "orders",
        "billing",
        *HOSTILE,
    ]
    assert own == {
        "targets": ["exporter.internal:10432"],
        "labels": {
            "instance": "exporter.internal:10432",
            "__metrics_path__": "/metrics",
            "__param_only": "exporter",
        },
    }


async def test_discovered_pages_are_everything(scene: Scene) -> None:
    """Whoever scrapes all that is listed has all metrics, and none twice."""
    found: list[Any] = []
    for entry in await (await scene.get("/sd")).json():
        labels = entry["labels"]
        query = {k.removeprefix("__param_"): v for k, v in labels.items() if "__param_" in k}
        response = await scene.client.get(labels["__metrics_path__"], params=query)
        found += read(await response.read()).items()
    assert len({key for key, _ in found}) == len(found)
    assert dict(found) == read(scene.exposition.page())


@pytest.mark.parametrize("path", ["/metrics", "/-/healthy", "/sd", "/"])
async def test_head(scene: Scene, path: str) -> None:
    """HEAD is GET without a body."""
    response = await scene.client.head(path)
    asked = await scene.get(path)
    assert (response.status, await response.read()) == (200, b"")
    for header in ("Content-Type", "Content-Length"):
        assert response.headers[header] == asked.headers[header]


@pytest.mark.parametrize("path", ["/metrics", "/-/healthy", "/-/ready", "/sd", "/"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_wrong_methods(scene: Scene, path: str, method: str) -> None:
    """There is nothing to write here."""
    response = await scene.client.request(method, path)
    assert response.status == 405
    assert response.headers["Allow"] == "GET, HEAD"
    assert await response.text() == "this takes GET, HEAD and no other method\n"


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_reload(scene: Scene, method: str) -> None:
    """It says when it has loaded, and else what is wrong."""
    assert (await scene.client.request(method, "/-/reload")).status == 200
    scene.problem = "config.yaml:3: no such key"
    response = await scene.client.request(method, "/-/reload")
    assert (response.status, await response.text()) == (500, "config.yaml:3: no such key\n")
    assert scene.reloads == 2


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
async def test_reload_has_to_be_meant(scene: Scene, method: str) -> None:
    """Who looks changes nothing."""
    response = await scene.client.request(method, "/-/reload")
    assert (response.status, response.headers["Allow"]) == (405, "POST, PUT")
    assert scene.reloads == 0


async def test_reload_that_is_not_enabled() -> None:
    """It says how to enable it."""
    application = make_application(Exposition([]), lambda: True, "/metrics")
    async with TestClient[Any, Any](TestServer(application)) as client:
        response = await client.post("/-/reload")
        assert response.status == 403
        text = "Lifecycle API is not enabled; start with --web.enable-lifecycle\n"
        assert await response.text() == text


async def test_an_unforeseen_fault(scene: Scene) -> None:
    """It is in the log with its traceback, and in the answer without."""
    scene.problem = ValueError("internals")
    with capture_logs() as logs:
        response = await scene.client.post("/-/reload")
    text = "unforeseen fault; the log of the exporter has more\n"
    assert (response.status, await response.text()) == (500, text)
    [line] = logs
    assert line == {
        "event": "unforeseen fault in a request",
        "exc_info": True,
        "log_level": "error",
        "path": "/-/reload",
    }


@pytest.mark.parametrize("path", ["/metrics/", "/nothing", "/-/quit", "/%2e%2e/etc", "/%ff%00"])
async def test_unknown_paths(scene: Scene, path: str) -> None:
    """There is nothing else, and what there is is said in a line."""
    response = await scene.get(path)
    assert response.status == 404
    assert response.content_type == "text/plain"
    assert await response.text() == (
        "nothing is here; there are: /metrics, /-/healthy, /-/ready, /sd, /-/reload, /\n"
    )


class Index(HTMLParser):
    """The index as a browser understands it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags = set[str]()
        self.links = dict[str, str]()
        self._href: str | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the tag, and where it leads."""
        self.tags.add(tag)
        self._href = dict(attrs).get("href")

    def handle_data(self, data: str) -> None:
        """Note the words of a link."""
        if self._href is not None:
            self.links[data] = self._href
            self._href = None


async def test_index(scene: Scene) -> None:
    """A person is led to everything, and sees which targets are up."""
    page = await (await scene.get("/")).text()
    assert Index(page).links.keys() >= {"orders", "all metrics", "service discovery", "healthy"}
    assert "orders</a>: up</li>" in page
    assert "billing</a>: DOWN</li>" in page


async def test_hostile_names_in_the_index(scene: Scene) -> None:
    """The name of a target is shown as it is, makes no tags, and its link leads to it alone."""
    response = await scene.get("/")
    assert response.content_type == "text/html"
    index = Index(await response.text())
    assert index.tags <= {"meta", "title", "h1", "h2", "ul", "li", "a", "p"}
    for name in ("orders", "billing", *HOSTILE):
        linked = await scene.get(index.links[name])
        assert linked.status == 200
        assert {dict(key.labels)["target"] for key in read(await linked.read())} == {name}


@pytest.mark.parametrize("path", ["/pg/metrics", "/"])
async def test_another_metrics_path(path: str) -> None:
    """The metrics are where they are wanted, and discovery and index know it."""
    scene = Scene(path)
    async with scene.client:
        assert (await scene.get(path)).headers["Content-Type"].startswith("text/plain; version")
        [first, *_] = await (await scene.get("/sd")).json()
        assert first["labels"]["__metrics_path__"] == path
        assert (await scene.get("/metrics")).status == 404
        if path != "/":
            links = Index(await (await scene.get("/")).text()).links
            assert links["all metrics"] == path
            assert links["orders"] == f"{path}?target=orders"
