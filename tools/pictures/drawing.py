"""Draw dashboards as a person would see them, with what a running Prometheus has."""

import asyncio
import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final, Literal

from PIL import Image
from playwright.async_api import Browser, Page, Route, ViewportSize, async_playwright

from tools.pictures.page import browser, prepare
from tools.pictures.palette import reduced

Json = dict[str, Any]
Theme = Literal["light", "dark"]

_FOLDER: Final = "__pictures__"  # of the page, on Prometheus' own address: one origin
_QUIET: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--font-render-hinting=none",
    "--force-color-profile=srgb",
]
_ENOUGH: Final = 60_000
"""Milliseconds within which the page is loaded, and a dashboard's queries answered and drawn."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A dashboard as drawn, and what is wrong with it."""

    uid: str
    path: Path
    problems: list[str]
    """Failed queries, and what is named but does not exist: columns, options, transformations."""
    empty: list[str]
    """Panels without data, which may be as it should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How dashboards are looked at; times as Grafana writes them, lengths as Prometheus does."""

    since: str = "now-15m"
    until: str = "now"
    variables: Mapping[str, Sequence[str]] | None = None
    """Chosen values by variable; the others have what the dashboard was saved with."""
    scrape_interval: str = "15s"
    """What the data source says about the scrapes: the least step, and a part of rates' windows."""
    width: int = 1600
    theme: Theme = "light"


def read(folder: Path) -> list[Json]:
    """Return the dashboards of a folder, or the one of a file."""
    files = sorted(folder.glob("*.json")) if folder.is_dir() else [folder]
    return [json.loads(file.read_text()) for file in files]


async def draw(
    dashboards: Sequence[Json],
    prometheus: str,
    into: Path,
    view: View = View(),
    *,
    only: Sequence[str] = (),
) -> list[Picture]:
    """Write a picture of each dashboard into a folder, named after its uid.

    `only` are the uids to draw, if not all; links lead to the others even so.
    """
    folder, program = await asyncio.to_thread(_ready, into)
    wanted = [one for one in dashboards if not only or one["uid"] in only]
    job = _job(dashboards, prometheus, view)
    async with AsyncExitStack() as stack:
        playwright = await stack.enter_async_context(async_playwright())
        chromium = await playwright.chromium.launch(executable_path=program, args=_QUIET)
        stack.push_async_callback(chromium.close)
        tab = await _open(chromium, folder, job)
        return [await _draw(tab, {**job, "dashboard": one}, into) for one in wanted]


def _ready(into: Path) -> tuple[Path, str]:
    into.mkdir(parents=True, exist_ok=True)
    return prepare(), browser()


def _job(dashboards: Sequence[Json], prometheus: str, view: View) -> Json:
    tagged: defaultdict[str, list[str]] = defaultdict(list)
    for dashboard in dashboards:
        for tag in dashboard.get("tags", ()):
            tagged[tag].append(dashboard["title"])
    return {
        "tagged": tagged,
        "prometheus": prometheus.rstrip("/"),
        "from": view.since,
        "to": view.until,
        "variables": {name: list(values) for name, values in (view.variables or {}).items()},
        "scrapeInterval": view.scrape_interval,
        "width": view.width,
        "theme": view.theme,
    }


async def _open(chromium: Browser, folder: Path, job: Json) -> Page:
    """Open the bundled page as if it were Prometheus' own, so that it may ask Prometheus."""

    async def serve(route: Route) -> None:
        path = folder / route.request.url.partition(f"/{_FOLDER}/")[2]
        if path.is_file():
            await route.fulfill(path=path)
        else:
            print(f"the page asks for {path.name}, which is not there", file=sys.stderr)
            await route.fulfill(status=404)

    size: ViewportSize = {"width": job["width"], "height": 1000}
    page = await chromium.new_page(viewport=size, timezone_id="UTC", locale="en-GB")
    page.set_default_timeout(_ENOUGH)
    await page.route(f"**/{_FOLDER}/**", serve)
    await page.goto(f"{job['prometheus']}/{_FOLDER}/index.html")
    return page


async def _draw(page: Page, job: Json, into: Path) -> Picture:
    async with asyncio.timeout(_ENOUGH / 1000):
        found = await page.evaluate("job => window.__draw(job)", job)
        # Tables outside the viewport are not painted, so it has to hold all.
        await page.set_viewport_size({"width": job["width"], "height": found["height"]})
        await page.evaluate("window.__settled()")
        shot = await page.screenshot(animations="disabled")
    uid = job["dashboard"]["uid"]
    path = into / f"{uid}.png"
    await asyncio.to_thread(_save, shot, path)
    return Picture(uid, path, found["problems"], found["empty"])


def _save(shot: bytes, path: Path) -> None:
    with Image.open(BytesIO(shot)) as image:
        reduced(image).save(path, optimize=True)
