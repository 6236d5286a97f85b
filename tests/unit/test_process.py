"""The metrics of our own process."""

from exporter import __version__, process
from exporter.exposition import Exposition, Format, Kind
from tests.unit.pages import families, read, series


def page(form: Format = Format.TEXT) -> bytes:
    """Serve the process alone."""
    exposition = Exposition(process.metrics())
    exposition.add_live(process.samples)
    return exposition.page(form)


def test_what_there_is() -> None:
    """Memory, processor time, files, the versions of Python and of the exporter are told."""
    found = read(page())
    names = {key.name for key in found}
    assert names >= {
        "process_cpu_seconds_total",
        "process_max_fds",
        "process_open_fds",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
        "python_info",
    }
    assert found[series("pgconn_build_info", {"version": __version__})] == 1
    assert found[series("process_resident_memory_bytes", {})] > 1_000_000


def test_both_formats_tell_the_same() -> None:
    """OpenMetrics knows counters by another name, and the same series."""
    assert read(page(Format.OPENMETRICS), Format.OPENMETRICS).keys() == read(page()).keys()
    types = {family.name: family.type for family in families(page(), Format.TEXT)}
    assert types["process_cpu_seconds"] == "counter"
    assert types["process_open_fds"] == "gauge"


def test_each_metric_has_one_declaration() -> None:
    """The samples of any moment are of the metrics that the page was made for."""
    declared = process.metrics()
    assert {sample.metric for sample in process.samples()} <= set(declared)
    assert len({metric.name for metric in declared}) == len(declared)
    assert all(metric.help.endswith(".") for metric in declared)
    assert {metric.kind for metric in declared} == {Kind.GAUGE, Kind.COUNTER}
