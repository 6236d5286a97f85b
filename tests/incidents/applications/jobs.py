"""Jobs in Celery, as run beside many a shop: each worker process keeps one connection.

Run as `celery --app jobs worker`. The environment has DATABASE (a DSN as a URL) and
APPLICATION_NAME. The worker asks for the jobs itself, so that no broker has to run.
"""

import os
import threading
import time
from typing import Final

from celery import Celery
from celery.signals import worker_ready
from sqlalchemy import URL, create_engine, make_url, text

PAUSE: Final = 0.1  # seconds from job to job

app = Celery("jobs", broker="memory://")
app.conf.broker_transport_options = {"polling_interval": PAUSE}
app.conf.task_ignore_result = True


def database() -> URL:
    """Say where the stock is, by the driver that is here."""
    place = make_url(os.environ["DATABASE"]).set(drivername="postgresql+psycopg")
    return place.update_query_dict({"application_name": os.environ["APPLICATION_NAME"]})


engine = create_engine(database(), pool_size=1, max_overflow=0)


@app.task  # type: ignore[untyped-decorator]
def count_stock() -> None:
    """Count the stock, a moment's work."""
    with engine.connect() as connection:
        connection.execute(text("SELECT sum(quantity), pg_sleep(0.05) FROM stock")).all()


def ask() -> None:
    """Ask for a job again and again."""
    while True:
        count_stock.delay()
        time.sleep(PAUSE)


@worker_ready.connect  # type: ignore[untyped-decorator]
def begin(**_: object) -> None:
    """Begin when the worker can take jobs."""
    threading.Thread(target=ask, daemon=True).start()
