"""Which format and coding a client gets, by what it says that it takes."""

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.exposition import Format
from exporter.web.application import choices, negotiate, takes_gzip

OPENMETRICS = {
    "Prometheus 3": (
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
        "application/openmetrics-text;version=0.0.1;q=0.5,"
        "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,"
        "*/*;q=0.2"
    ),
    "Prometheus 3 with native histograms": (
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"
        "encoding=delimited;q=0.7,application/openmetrics-text;version=1.0.0;q=0.6,"
        "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
    ),
    "Prometheus 2.49": (
        "application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;"
        "version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
    ),
    "alone": "application/openmetrics-text",
    "spaces and quotes": ' Application/OpenMetrics-Text ; Version="1.0.0" ; charset=utf-8 ',
    "no weights": "text/plain,application/openmetrics-text;version=1.0.0",
}

TEXT = {
    "nothing": "",
    "curl": "*/*",
    "a browser": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
    "Prometheus 2.5": "application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,"
    "*/*;q=0.1",
    "Prometheus 1": "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"
    "encoding=delimited;q=0.7,text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
    "text rather": "application/openmetrics-text;version=1.0.0;q=0.1,text/plain;q=0.9",
    "refused": "application/openmetrics-text;version=1.0.0;q=0",
    "a version to come": "application/openmetrics-text;version=2.0.0",
    "no version": "application/openmetrics-text;version=1.x",
    "no weight": "application/openmetrics-text;q=much",
    "no number": "application/openmetrics-text;q=nan",
}


@pytest.mark.parametrize("accept", OPENMETRICS.values(), ids=OPENMETRICS)
def test_openmetrics(accept: str) -> None:
    """Who likes OpenMetrics 1.0 at least as much as plain text gets it."""
    assert negotiate(accept) is Format.OPENMETRICS


@pytest.mark.parametrize("accept", TEXT.values(), ids=TEXT)
def test_text(accept: str) -> None:
    """Everybody else gets what everybody reads."""
    assert negotiate(accept) is Format.TEXT


@pytest.mark.parametrize(
    ("accept", "takes"),
    [
        ("gzip", True),
        ("gzip, deflate, br, zstd", True),
        ("deflate, GZIP;q=0.5", True),
        ("*", True),
        ("br, *;q=0.1", True),
        ("identity", False),
        ("", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip ; q=0.000", False),
        ("gzip;q=0, *", False),
        ("*;q=0", False),
        ("gzipped", False),
        ("gzip;q=", False),
    ],
)
def test_gzip(accept: str, *, takes: bool) -> None:
    """A client that refuses gzip, or does not name it, gets plain bytes."""
    headers = {"Accept-Encoding": accept}
    assert takes_gzip(make_mocked_request("GET", "/metrics", headers=headers)) is takes


@settings(max_examples=50, deadline=None)
@given(st.text() | st.lists(st.sampled_from(["gzip", "q=", ";", ",", "=", " ", '"', "0.5", "x"])))
def test_any_header_is_taken(header: str | list[str]) -> None:
    """Whatever a client sends, it gets an answer."""
    text = header if isinstance(header, str) else "".join(header)
    assert negotiate(text) in Format
    assert all(isinstance(choice.weight, float) for choice in choices(text))
