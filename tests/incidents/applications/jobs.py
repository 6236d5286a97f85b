"""Jobs in Celery, as run beside many a shop: each worker process keeps one connection.

Run as `celery --app jobs worker`. The environment has DATABASE (a DSN as a URL), APPLICATION_NAME
and BROKER (a folder). Each job asks for the next one, so a worker is never without.
"""

import os
from typing import Final

from celery import Celery
from celery.signals import worker_ready
from sqlalchemy import URL, create_engine, make_url, text

FOLDER: Final = os.environ["BROKER"]
AT_ONCE: Final = 2
PAUSE: Final = 0.2  # seconds until the next job

app = Celery("jobs", broker="filesystem://")
app.conf.broker_transport_options = {
    "data_folder_in": FOLDER,
    "data_folder_out": FOLDER,
    "control_folder": FOLDER,
    "polling_interval": 0.1,
}
app.conf.task_ignore_result = True


def database() -> URL:
    """Say where the stock is, by the driver that is here."""
    place = make_url(os.environ["DATABASE"]).set(drivername="postgresql+psycopg")
    return place.update_query_dict({"application_name": os.environ["APPLICATION_NAME"]})


engine = create_engine(database(), pool_size=1, max_overflow=0)


@app.task  # type: ignore[untyped-decorator]
def count_stock() -> None:
    """Count the stock, a moment's work, and have it counted again."""
    with engine.connect() as connection:
        connection.execute(text("SELECT sum(quantity), pg_sleep(0.05) FROM stock")).all()
    count_stock.apply_async(countdown=PAUSE)


@worker_ready.connect  # type: ignore[untyped-decorator]
def begin(**_: object) -> None:
    """Ask for the first jobs."""
    for _job in range(AT_ONCE):
        count_stock.delay()
