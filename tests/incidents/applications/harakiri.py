"""Settings of gunicorn by which a request that takes too long ends its worker, by SIGKILL.

Gunicorn's own timeout does so only with a worker that is stuck as a whole, such as one that has no
threads; uWSGI calls it harakiri. The environment has REQUEST_TIMEOUT, in seconds.
"""

import os
import signal
from threading import Timer
from typing import Final

from gunicorn.http.message import Request
from gunicorn.http.wsgi import Response
from gunicorn.workers.base import Worker

REQUEST_TIMEOUT: Final = float(os.environ["REQUEST_TIMEOUT"])


def pre_request(worker: Worker, request: Request) -> None:
    """Set the clock."""
    request.clock = Timer(REQUEST_TIMEOUT, os.kill, (worker.pid, signal.SIGKILL))
    request.clock.daemon = True
    request.clock.start()


def post_request(
    worker: Worker, request: Request, environ: dict[str, object], response: Response
) -> None:
    """Stop the clock: there is an answer."""
    del worker, environ, response
    request.clock.cancel()
