"""Run the web shop under gunicorn or uvicorn, and the jobs beside it."""

import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from exporter.demo.ports import free_port
from tests.incidents.programs import answering, program

APPLICATIONS = Path(__file__).parent / "applications"


@dataclass(frozen=True, slots=True)
class Shop:
    """A shop that is open."""

    url: str
    pid: int
    log: Path

    def workers(self) -> list[psutil.Process]:
        """Return the processes that serve requests, all children of the one we have started."""
        return psutil.Process(self.pid).children(recursive=True)


@asynccontextmanager
async def gunicorn(
    folder: Path,
    dsn: str,
    *flags: str,
    name: str = "gunicorn: shop",
    conn_max_age: int = 60,
    **environ: str,
) -> AsyncIterator[Shop]:
    """Serve the shop by gunicorn, with its flags such as --workers 2 --threads 4 --timeout 2."""
    port = free_port()
    # Its control socket has one place for all gunicorns of a user.
    command = ("gunicorn", "--no-control-socket", "--bind", f"127.0.0.1:{port}", *flags)
    log, environ = folder / "gunicorn.log", _env(dsn, name, conn_max_age) | environ
    async with _open(log, port, (*command, "shop:wsgi"), environ) as shop:
        yield shop


@asynccontextmanager
async def uvicorn(
    folder: Path, dsn: str, *flags: str, name: str = "uvicorn: shop", conn_max_age: int = 0
) -> AsyncIterator[Shop]:
    """Serve the shop by uvicorn, with its flags such as --workers 2."""
    port = free_port()
    command = ("uvicorn", "--port", str(port), *flags, "shop:asgi")
    async with _open(folder / "uvicorn.log", port, command, _env(dsn, name, conn_max_age)) as shop:
        yield shop


@asynccontextmanager
async def celery(
    folder: Path, dsn: str, concurrency: int = 2, name: str = "celery: jobs"
) -> AsyncIterator[None]:
    """Run the jobs by Celery, in so many processes with a connection each; all is well with it."""
    command = ("celery", "--app", "jobs", "worker", "--concurrency", str(concurrency))
    log = folder / "celery.log"
    async with program(log, sys.executable, "-m", *command, environ=_env(dsn, name)):
        yield


@asynccontextmanager
async def nightly(folder: Path, dsn: str, *flags: str) -> AsyncIterator[None]:
    """Run the nightly job of SQLAlchemy, with its flags such as --every 0.3 --leak."""
    log, environ = folder / "nightly.log", _env(dsn, "nightly: prices")
    async with program(log, sys.executable, APPLICATIONS / "nightly.py", *flags, environ=environ):
        yield


def _env(dsn: str, name: str, conn_max_age: int = 60) -> dict[str, str]:
    return {
        "DATABASE": dsn,
        "APPLICATION_NAME": name,
        "CONN_MAX_AGE": str(conn_max_age),
        "PYTHONPATH": str(APPLICATIONS),
    }


@asynccontextmanager
async def _open(
    log: Path, port: int, command: Sequence[str], environ: Mapping[str, str]
) -> AsyncIterator[Shop]:
    url = f"http://127.0.0.1:{port}"
    async with program(log, sys.executable, "-m", *command, environ=environ) as process:
        await answering(f"{url}/item", log)
        yield Shop(url, process.pid, log)
