"""A web shop in Django, as many are: the ORM, one connection a thread, settings from outside.

Run by gunicorn (`shop:wsgi`) or uvicorn (`shop:asgi`). The environment has DATABASE (a DSN as a
URL), APPLICATION_NAME, and CONN_MAX_AGE (seconds; 0 opens a connection for each request).
"""

import os
from urllib.parse import urlsplit

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.urls import path, resolve

place = urlsplit(os.environ["DATABASE"])

settings.configure(
    ALLOWED_HOSTS=["*"],
    SECRET_KEY="of a replay",
    ROOT_URLCONF=__name__,
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": place.hostname,
            "PORT": place.port,
            "USER": place.username,
            "NAME": place.path.removeprefix("/"),
            "CONN_MAX_AGE": int(os.environ.get("CONN_MAX_AGE", "60")),
            "OPTIONS": {"application_name": os.environ.get("APPLICATION_NAME", "shop")},
        }
    },
)
django.setup()


def item(request: HttpRequest) -> HttpResponse:
    """Look something up, which takes a moment."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT quantity FROM stock WHERE id = %s", [request.GET.get("id", 2)])
        return HttpResponse(str(cursor.fetchone()))


def order(request: HttpRequest) -> HttpResponse:
    """Take something from the stock, which locks its row."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE stock SET quantity = quantity - 1 WHERE id = %s", [request.GET.get("id", 1)]
        )
    return HttpResponse("ordered")


def report(request: HttpRequest) -> HttpResponse:
    """Run a query that takes as many seconds as the request says."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(%s)", [float(request.GET["seconds"])])
    return HttpResponse("reported")


urlpatterns = [path("item", item), path("order", order), path("report", report)]

wsgi = get_wsgi_application()
asgi = get_asgi_application()

# What the first request would load otherwise is there before: gunicorn's --preload has it once for
# all workers, which are as fast as ever from their birth.
resolve("/item")
assert connection.vendor == "postgresql"
