"""The series limit: keep the largest series of a metric and fold the rest into `other`."""

from collections.abc import Callable, Mapping, MutableMapping

from exporter.exposition.model import OTHER, Distribution, Fold, Kind, Metric, Sample

SERIES_FOLDED = Metric(
    "pgconn_series_folded",
    Kind.GAUGE,
    "Label sets that the series limit folded into 'other', as of the last poll.",
    ("metric",),
)


def fold(metric: Metric, samples: list[Sample], limit: int) -> tuple[list[Sample], int]:
    """Keep the largest series within a limit and fold the rest into 'other'.

    The labels whose values are a closed set stay, so sums over them stay true. Returns the
    samples and how many of the given ones were folded.
    """
    if len(samples) <= limit or not metric.open_labels:
        return samples, 0
    if metric.fold is Fold.DROP:
        return _largest(samples, limit), len(samples) - limit
    ordered = sorted(samples, key=lambda sample: (-_weight(sample), sample.labels))
    room = len({_folded_labels(s) for s in samples})
    kept = ordered[: max(0, limit - room)]
    rest = ordered[len(kept) :]
    merged: dict[tuple[str, ...], float] = {sample.labels: _weight(sample) for sample in kept}
    combine: Callable[[float, float], float] = max if metric.fold is Fold.MAX else float.__add__
    for sample in rest:
        key, value = _folded_labels(sample), float(_weight(sample))
        merged[key] = combine(float(merged[key]), value) if key in merged else value
    return [Sample(metric, labels, value) for labels, value in merged.items()], len(rest)


def _largest(samples: list[Sample], limit: int) -> list[Sample]:
    """Keep the largest; what is said of the server itself comes first, as it is worth most."""

    def order(sample: Sample) -> tuple[bool, float, tuple[str, ...]]:
        names = zip(sample.metric.labels, sample.labels, strict=True)
        is_own = not any(value for name, value in names if name in sample.metric.open_labels)
        return not is_own, -_weight(sample), sample.labels

    return sorted(samples, key=order)[:limit]


class FoldedCounter:
    """Fold the series of one counter, one publication after the other.

    Prometheus takes a counter that falls for one that began anew, and adds all of it. So what
    is folded only grows, by what its members grow: whoever moves into `other` or out of it, or
    vanishes, takes nothing along. And a series that was kept stays so.
    """

    def __init__(self) -> None:
        self._values: dict[tuple[str, ...], float] = {}
        self._kept: frozenset[tuple[str, ...]] = frozenset()
        self._told: dict[tuple[str, ...], float] = {}

    def fold(self, metric: Metric, samples: list[Sample], limit: int) -> tuple[list[Sample], int]:
        """Do as `fold` does, for a counter that adds up."""
        kept, rest = self._divide(samples, limit)
        keys = [_folded_labels(sample) for sample in rest]
        for key, sample in zip(keys, rest, strict=True):
            self._told[key] = self._told.get(key, 0.0) + self._growth(sample)
        self._values = {sample.labels: _weight(sample) for sample in samples}
        self._kept = frozenset(sample.labels for sample in kept)
        others = (Sample(metric, key, self._told[key]) for key in dict.fromkeys(keys))
        return [*kept, *others], len(rest)

    def _divide(self, samples: list[Sample], limit: int) -> tuple[list[Sample], list[Sample]]:
        """Give what is kept and what is folded; one that is called `other` is folded, too."""
        if len(samples) <= limit:
            return samples, []
        closed = {_folded_labels(sample) for sample in samples}
        ordered = sorted(
            samples,
            key=lambda s: (s.labels in closed, s.labels not in self._kept, -_weight(s), s.labels),
        )
        room = min(max(0, limit - len(closed)), sum(s.labels not in closed for s in samples))
        return ordered[:room], ordered[room:]

    def _growth(self, sample: Sample) -> float:
        """Give what a series has counted since the last publication; all of it if it is new."""
        value, before = _weight(sample), self._values.get(sample.labels, 0.0)
        return float(value - before if value >= before else value)


def _weight(sample: Sample) -> float:
    """Give what a series counts when some must be folded."""
    return sample.value.count if isinstance(sample.value, Distribution) else sample.value


def _folded_labels(sample: Sample) -> tuple[str, ...]:
    names = zip(sample.metric.labels, sample.labels, strict=True)
    return tuple(OTHER if name in sample.metric.open_labels else value for name, value in names)


def limited(
    groups: Mapping[Metric, list[Sample]],
    limit: int,
    counters: MutableMapping[Metric, FoldedCounter] | None = None,
) -> dict[Metric, list[Sample]]:
    """Apply the series limit to each metric, and say what was folded.

    `counters` are kept from one publication to the next, of those that were ever folded.
    """
    known = {} if counters is None else counters
    kept: dict[Metric, list[Sample]] = {}
    folded: list[Sample] = []
    for metric, samples in groups.items():
        adds_up = metric.kind is Kind.COUNTER and metric.fold is Fold.SUM and metric.open_labels
        if adds_up and (metric in known or len(samples) > limit):
            folder = known.setdefault(metric, FoldedCounter())
            kept[metric], count = folder.fold(metric, samples, limit)
        else:
            kept[metric], count = fold(metric, samples, limit)
        if count:
            folded.append(Sample(SERIES_FOLDED, (metric.name,), count))
    if folded:
        kept[SERIES_FOLDED] = folded
    return kept
