"""Samples as text, parsed back by parsers that are not ours."""

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exporter.exposition import Distribution, Exposition, Format, Kind, Metric, Sample
from exporter.exposition.model import format_value
from exporter.exposition.rendering import Renderer
from tests.unit.pages import FORMATS, families, published, read, series

GAUGE = Metric("pgconn_some_seconds", Kind.GAUGE, "A gauge.", ("client",))
COUNTER = Metric("pgconn_some_total", Kind.COUNTER, "A counter.", ("client",))
HISTOGRAM = Metric("pgconn_probe_seconds", Kind.HISTOGRAM, "A histogram.", ("client",))
GAUGE_HISTOGRAM = Metric("pgconn_idle_seconds", Kind.GAUGE_HISTOGRAM, "Idle.", ("client",))
SUMMARY = Metric("pgconn_poll_seconds", Kind.SUMMARY, "A summary.", ("client",))
EVERY_KIND = (GAUGE, COUNTER, HISTOGRAM, GAUGE_HISTOGRAM, SUMMARY)

both_formats = pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)

# Whatever a client may call itself, and more: NUL, lone surrogates, every kind of line end.
any_text = st.text(st.characters() | st.sampled_from('\\"\n\r\t\0 {},=#\x85\u2028\ud800'))


def labelled(**labels: str) -> dict[str, str]:
    """Give labels of the target that `published` publishes."""
    return {"target": "orders", **labels}


@both_formats
def test_gauge_and_counter(form: Format) -> None:
    """A plain sample is one line with the target's label first."""
    page = published(Sample(GAUGE, ("api",), 0.25), Sample(COUNTER, ("api",), 3)).page(form)
    assert b'\npgconn_some_seconds{target="orders",client="api"} 0.25\n' in page
    assert read(page, form) == {
        series("pgconn_some_seconds", labelled(client="api")): 0.25,
        series("pgconn_some_total", labelled(client="api")): 3,
    }


@both_formats
def test_histogram(form: Format) -> None:
    """Buckets are cumulative, and the last one equals the count."""
    value = Distribution((0.5, 1.0), (1, 0, 2), 7.5)
    assert read(published(Sample(HISTOGRAM, ("a",), value)).page(form), form) == {
        series("pgconn_probe_seconds_bucket", labelled(client="a", le="0.5")): 1,
        series("pgconn_probe_seconds_bucket", labelled(client="a", le="1.0")): 1,
        series("pgconn_probe_seconds_bucket", labelled(client="a", le="+Inf")): 3,
        series("pgconn_probe_seconds_count", labelled(client="a")): 3,
        series("pgconn_probe_seconds_sum", labelled(client="a")): 7.5,
    }


@both_formats
def test_gauge_histogram(form: Format) -> None:
    """Its count and sum are gauges, since they fall, too."""
    values = [
        Sample(GAUGE_HISTOGRAM, ("a",), Distribution((1,), (1, 2), 9.5)),
        Sample(GAUGE_HISTOGRAM, ("b",), Distribution((1,), (0, 0), 0.0)),
    ]
    page = published(*values).page(form)
    assert read(page, form) == {
        series("pgconn_idle_seconds_bucket", labelled(client="a", le="1.0")): 1,
        series("pgconn_idle_seconds_bucket", labelled(client="a", le="+Inf")): 3,
        series("pgconn_idle_seconds_gcount", labelled(client="a")): 3,
        series("pgconn_idle_seconds_gsum", labelled(client="a")): 9.5,
        series("pgconn_idle_seconds_bucket", labelled(client="b", le="1.0")): 0,
        series("pgconn_idle_seconds_bucket", labelled(client="b", le="+Inf")): 0,
        series("pgconn_idle_seconds_gcount", labelled(client="b")): 0,
        series("pgconn_idle_seconds_gsum", labelled(client="b")): 0,
    }
    types = {family.name: family.type for family in families(page, form)}
    assert types == (
        {
            "pgconn_idle_seconds": "histogram",
            "pgconn_idle_seconds_gcount": "gauge",
            "pgconn_idle_seconds_gsum": "gauge",
        }
        if form is Format.TEXT
        else {"pgconn_idle_seconds": "gaugehistogram"}
    )


@both_formats
def test_summary(form: Format) -> None:
    """A summary is a count and a sum."""
    value = Distribution((), (4,), 0.5)
    assert read(published(Sample(SUMMARY, ("a",), value)).page(form), form) == {
        series("pgconn_poll_seconds_count", labelled(client="a")): 4,
        series("pgconn_poll_seconds_sum", labelled(client="a")): 0.5,
    }


@both_formats
def test_no_labels(form: Format) -> None:
    """A metric of the exporter itself needs no labels, of whatever kind it is."""
    bare = [Metric(m.name, m.kind, m.help) for m in EVERY_KIND]
    several, one = Distribution((0.5,), (1, 2), 7.5), Distribution((), (4,), 0.5)
    values: tuple[float | Distribution, ...] = (1.5, 2, several, several, one)
    samples = (Sample(metric, (), value) for metric, value in zip(bare, values, strict=True))
    found = read(published(*samples, target=None).page(form), form)
    assert found[series("pgconn_some_seconds", {})] == 1.5
    assert found[series("pgconn_probe_seconds_bucket", {"le": "0.5"})] == 1
    assert found[series("pgconn_poll_seconds_count", {})] == 4
    assert len(found) == 12


@both_formats
def test_help_and_type(form: Format) -> None:
    """Each family says what it is, in words that survive a backslash, a quote and a new line."""
    help_text = 'Ends in a "\\" or\na new line.'
    metrics = [Metric(m.name, m.kind, help_text, m.labels) for m in EVERY_KIND]
    samples = [
        Sample(m, ("a",), Distribution((), (1,), 1.0) if m.kind is Kind.SUMMARY else 1)
        for m in metrics
        if m.kind in {Kind.GAUGE, Kind.COUNTER, Kind.SUMMARY}
    ]
    assert [
        (family.name, family.type, family.documentation)
        for family in families(published(*samples).page(form), form)
    ] == [
        ("pgconn_some_seconds", "gauge", help_text),
        ("pgconn_some", "counter", help_text),
        ("pgconn_poll_seconds", "summary", help_text),
    ]


def test_only_openmetrics_ends_itself() -> None:
    """A page that was cut off can be told from a whole one."""
    exposition = published(Sample(GAUGE, ("api",), 1))
    assert exposition.page(Format.OPENMETRICS).endswith(b"} 1\n# EOF\n")
    assert exposition.page(Format.TEXT).endswith(b"} 1\n")


@both_formats
@settings(max_examples=40, deadline=None)
@given(name=any_text, target=any_text)
@example('"', "\\")
@example('\\"', "\\n")
@example("\\\\n", "a\nb")
@example('",x="', "# EOF")
@example("\ud800", "\udfff\ud800")
@example("caf\udce9", "\udcff\udc80")
@example("\r\n", "\x85\u2028\x0b\x0c\x1c")
@example("", "")
def test_any_label_is_read_back(form: Format, name: str, target: str) -> None:
    """What a client calls itself is read back as it was, and a byte that is no text is spelt."""
    page = published(Sample(GAUGE, (name,), 1), target=target).page(form)
    assert read(page, form) == {
        series("pgconn_some_seconds", {"target": shown(target), "client": shown(name)}): 1
    }


def shown(name: str) -> str:
    """Spell what is no text: a byte that is no UTF-8, or half a character."""
    return "".join(map(shown_character, name))


def shown_character(char: str) -> str:
    """Spell one character."""
    if "\udc80" <= char <= "\udcff":
        return f"\\x{ord(char) - 0xDC00:02x}"
    return "?" if "\ud800" <= char <= "\udfff" else char


@both_formats
def test_two_names_that_read_the_same(form: Format) -> None:
    """A byte and its spelling are one series: a page with two of them would be refused."""
    for metric in (GAUGE, COUNTER):
        samples = [Sample(metric, (name,), 1) for name in ("\udcff", "\\xff", "other")]
        renderer = Renderer("orders", {})
        text = renderer.lines({metric: samples}).of(form)[metric.name].plain.decode()
        assert text.count("\n") == 2
        assert text.count('client="\\\\xff"') == 1


@both_formats
@settings(max_examples=40, deadline=None)
@given(st.floats() | st.integers(-(2**63), 2**64))
@example(-0.0)
@example(5e-324)
@example(1.7976931348623157e308)
def test_any_value_is_read_back(form: Format, value: float) -> None:
    """No digit is lost."""
    [found] = read(published(Sample(GAUGE, ("a",), value)).page(form), form).values()
    assert found == value or (math.isnan(found) and math.isnan(value))


@given(st.floats(allow_nan=False))
def test_values_are_exact(value: float) -> None:
    """A number is written so that the same number is read."""
    assert float(format_value(value)) == value


def test_label_strings_are_reused() -> None:
    """A series that was there before gets the very string that it had."""
    first = Renderer("orders", {})
    old = first.labels(GAUGE, ("api",))
    second = Renderer("orders", first.heads)
    assert second.labels(GAUGE, ("api",)) is old
    assert second.labels(COUNTER, ("api",)) == old


def test_label_strings_of_what_is_gone_are_dropped() -> None:
    """Only the strings of the newest publication are kept, however many there were before."""
    renderer = Renderer("orders", {})
    for number in range(20):
        renderer = Renderer("orders", renderer.heads)
        renderer.lines({GAUGE: [Sample(GAUGE, (f"job {number} {i}",), 1) for i in range(5)]})
    assert len(renderer.heads) == 5


def test_wrong_number_of_labels() -> None:
    """Labels that do not fit the declaration are an error, not a wrong page."""
    exposition = Exposition([GAUGE])
    with pytest.raises(ValueError, match="zip"):
        exposition.publish("orders", "collector", [Sample(GAUGE, ("a", "b"), 1)])
