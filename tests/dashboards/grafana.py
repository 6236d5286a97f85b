"""What Grafana makes of an expression before it asks Prometheus, and of a table's answers.

As its Prometheus data source (packages/grafana-prometheus) and its transformations do it.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.dashboards.panels import Panel, Variable

Labels = Mapping[str, str]
Chosen = Mapping[str, Sequence[str] | str]
"""What is chosen: values of a variable that takes many, the value of one that takes one."""

_VARIABLE: Final = re.compile(
    r"\$(?:(?P<plain>[a-zA-Z_]\w*)|\{(?P<braced>\w+)\})|\[\[(?P<old>\w+)\]\]"
)
_SPECIAL: Final = re.compile(r"[$^*{}\[\]+?.()|]")
_VALUES: Final = re.compile(r"label_values\((?P<selector>.+), (?P<label>\w+)\)")
_LEGEND: Final = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_OF_ROW: Final = re.compile(r"\$\{__data\.fields\.(\w+)")
_OF_SERIES: Final = re.compile(r"\$\{__field\.labels\.(\w+)")


@dataclass(frozen=True, slots=True)
class Span:
    """What is looked at, in seconds: a range of time, and the least interval of two points."""

    length: float
    scrapes: float
    """The scrape interval, as the data source is told."""
    least: float = 0
    """What the panel says about that interval."""
    points: int = 1000
    """Pixels, of which a panel has no more points."""

    @property
    def step(self) -> float:
        """Return the interval of two points."""
        return max(self.scrapes, self.least, self.length / self.points)

    @property
    def of_rates(self) -> float:
        """Return a range in which a rate always finds two scrapes, of every point its own."""
        return max(self.step + self.scrapes, 4 * self.scrapes)

    def builtin(self) -> dict[str, str]:
        """Give Grafana's own variables, which an expression may name.

        >>> Span(3600, 15).builtin()["__rate_interval"], Span(86400, 15).builtin()["__interval"]
        ('60000ms', '86400ms')
        """
        seconds = {
            "__interval": self.step,
            "__rate_interval": self.of_rates,
            "__range": self.length,
        }
        return {name: f"{value * 1000:.0f}ms" for name, value in seconds.items()}


def interpolated(expr: str, variables: Iterable[Variable], chosen: Chosen, span: Span) -> str:
    r"""Put values for the variables of an expression; All where nothing is chosen.

    KeyError tells of a variable that the dashboard does not have.

    >>> job = Variable("job", many=True, everything=".+")
    >>> interpolated('up{job=~"$job"}', [job], {}, Span(3600, 15))
    'up{job=~".+"}'
    >>> interpolated('up{job=~"${job}"}', [job], {"job": ["a.b", "c"]}, Span(3600, 15))
    'up{job=~"(a\\\\.b|c)"}'
    """
    known, builtin = {each.name: each for each in variables}, span.builtin()

    def put(found: re.Match[str]) -> str:
        name = found["plain"] or found["braced"] or found["old"]
        return builtin[name] if name in builtin else _value(known[name], chosen)

    return _VARIABLE.sub(put, expr)


def _value(variable: Variable, chosen: Chosen) -> str:
    if variable.everything and variable.name not in chosen:
        return variable.everything
    value = chosen[variable.name]
    if not variable.many:
        assert isinstance(value, str), value
        return value.replace("\\", "\\\\").replace("'", "\\\\'")
    escaped = list(map(_within_regex, [value] if isinstance(value, str) else value))
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


def _within_regex(value: str) -> str:
    """Escape for a regular expression within a string of PromQL: backslashes double."""
    return _SPECIAL.sub(r"\\\\\g<0>", value.replace("\\", "\\\\\\\\"))


def values_asked(query: str) -> tuple[str, str]:
    """Give the selector and the label whose values a variable's query asks for.

    >>> values_asked('label_values(up{job=~".+"}, instance)')
    ('up{job=~".+"}', 'instance')
    """
    found = _VALUES.fullmatch(query)
    assert found is not None, query
    return found["selector"], found["label"]


def legend_labels(legend: str) -> set[str]:
    """Give the labels that a legend names.

    >>> sorted(legend_labels("{{target}} {{ client }}: idle"))
    ['client', 'target']
    """
    return set(_LEGEND.findall(legend))


def linked_labels(panel: Panel, ref: str) -> set[str]:
    """Give the labels that the links of a query's series take."""
    config = panel.json["fieldConfig"]
    links = [config["defaults"].get("links", ())]
    for override in config["overrides"]:
        if override["matcher"] == {"id": "byFrameRefID", "options": ref}:
            links += [each["value"] for each in override["properties"] if each["id"] == "links"]
    return set(_OF_SERIES.findall(str(links[-1])))


# --- Tables


def table_problems(panel: Panel, answers: Mapping[str, Sequence[Labels]]) -> list[str]:
    """Tell what a table names and does not have; `answers` are series' labels by query."""
    rows = {ref: set(map(_row, series)) for ref, series in answers.items()}
    first = next(iter(rows.values()))
    problems = [
        f"other rows by query {ref}: {sorted(map(str, first ^ others))}"
        for ref, others in rows.items()
        if others != first
    ]
    try:
        fields = transformed(panel.transformations, answers)
    except LookupError as error:
        return [*problems, str(error)]
    return problems + _unknown(panel, fields)


def _row(labels: Labels) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(labels.items()))


def transformed(
    transformations: Iterable[Mapping[str, Any]], answers: Mapping[str, Sequence[Labels]]
) -> dict[str, str]:
    """Give the fields of a table by name, each with what it is called, in their order.

    LookupError tells of a field that a transformation names and nobody gave.
    """
    frames = frames_of(answers)
    for each in transformations:
        frames = _TRANSFORM[each["id"]](frames, each["options"])
    [frame] = frames
    return frame


Frame = dict[str, str]
"""Fields by name, with what they are called."""


def frames_of(answers: Mapping[str, Sequence[Labels]]) -> list[Frame]:
    """Give a frame for each query: time, labels, and the value.

    A query that found nothing has one too: Grafana's backend makes it, so the values of the others
    keep their names.

    >>> [list(frame) for frame in frames_of({"A": [{"client": "api"}]})]
    [['Time', 'client', 'Value']]
    >>> [list(frame) for frame in frames_of({"A": [{"client": "api"}], "B": []})]
    [['Time', 'client', 'Value #A'], ['Time', 'Value #B']]
    """
    return [
        {name: name for name in ("Time", *_labels(series), _value_name(ref, len(answers)))}
        for ref, series in answers.items()
    ]


def _labels(series: Iterable[Labels]) -> list[str]:
    return sorted({label for labels in series for label in labels})


def _value_name(ref: str, frames: int) -> str:
    return f"Value #{ref}" if frames > 1 else "Value"


def _merge(frames: list[Frame], options: Mapping[str, Any]) -> list[Frame]:  # noqa: ARG001 - as all
    return [{name: called for frame in frames for name, called in frame.items()}]


def _filter(frames: list[Frame], options: Mapping[str, Any]) -> list[Frame]:
    [frame] = frames
    names = options["include"]["names"]
    _known(names, frame)
    return [{name: called for name, called in frame.items() if name in names}]


def _organize(frames: list[Frame], options: Mapping[str, Any]) -> list[Frame]:
    [frame] = frames
    renames, places = options["renameByName"], options["indexByName"]
    _known({*renames, *places, *options["excludeByName"]}, frame)
    kept = [name for name in frame if not options["excludeByName"].get(name)]
    ordered = sorted(kept, key=lambda name: places.get(name, len(kept)))
    return [{name: renames.get(name) or frame[name] for name in ordered}]


_TRANSFORM: Final[Mapping[str, Callable[[list[Frame], Mapping[str, Any]], list[Frame]]]] = {
    "merge": _merge,
    "filterFieldsByName": _filter,
    "organize": _organize,
}


def _known(names: Iterable[str], frame: Frame) -> None:
    if missing := sorted(set(names) - frame.keys()):
        raise LookupError(f"no field {', '.join(missing)}; there are {', '.join(frame)}")


def _unknown(panel: Panel, fields: Frame) -> list[str]:
    """Tell what overrides, the order and links name, and the table has not."""
    config = panel.json.get("fieldConfig", {})
    named = {
        override["matcher"]["options"]
        for override in config.get("overrides", ())
        if override["matcher"]["id"] == "byName"
    }
    named |= {order["displayName"] for order in panel.json["options"].get("sortBy", ())}
    linked = set(_OF_ROW.findall(str(config)))
    return [
        *(f"no column {name}" for name in sorted(named - set(fields.values()))),
        *(f"no field {name} for a link" for name in sorted(linked - fields.keys())),
    ]
