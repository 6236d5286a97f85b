"""The routes, asked over HTTP as scrapers and browsers do."""

import gzip
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from typing import Any

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from exporter.exposition import Exposition, Format, Kind, Metric, Sample
from exporter.web.application import make_application
from tests.unit.pages import read, series

USED = Metric("pgconn_slots_used", Kind.GAUGE, "Slots that are used.")
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
        self.exposition = Exposition([USED])
        for target in ("orders", "billing", *HOSTILE):
            self.exposition.watch(target, "activity")
        self.exposition.publish("orders", "activity", [Sample(USED, (), 7)])
        application = make_application(self.exposition, lambda: self.ready, metrics_path)
        # What was sent is to be seen as it is, so nothing is unpacked by itself.
        server = TestServer(application)
        self.client: TestClient[Any, Any] = TestClient(
            server, auto_decompress=False, skip_auto_headers=["Accept", "Accept-Encoding"]
        )

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
    """Prometheus is told one target each, all of them at the address that it asked."""
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
    assert [entry["labels"]["__param_target"] for entry in found] == [
        "orders",
        "billing",
        *HOSTILE,
    ]


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
    assert (await scene.client.request(method, path)).status == 405


@pytest.mark.parametrize("path", ["/metrics/", "/nothing", "/-/reload", "/-/quit", "/%2e%2e/etc"])
async def test_unknown_paths(scene: Scene, path: str) -> None:
    """There is nothing else."""
    assert (await scene.get(path)).status == 404


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
