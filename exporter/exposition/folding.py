"""The series limit: keep the largest series of a metric and fold the rest into `other`."""

from collections.abc import Callable, Mapping

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
    ordered = sorted(samples, key=lambda sample: (-_weight(sample), sample.labels))
    room = 0 if metric.fold is Fold.DROP else len({_folded_labels(s) for s in samples})
    kept = ordered[: max(0, limit - room)]
    rest = ordered[len(kept) :]
    if metric.fold is Fold.DROP:
        return kept, len(rest)
    merged: dict[tuple[str, ...], float] = {sample.labels: _weight(sample) for sample in kept}
    combine: Callable[[float, float], float] = max if metric.fold is Fold.MAX else float.__add__
    for sample in rest:
        key, value = _folded_labels(sample), float(_weight(sample))
        merged[key] = combine(float(merged[key]), value) if key in merged else value
    return [Sample(metric, labels, value) for labels, value in merged.items()], len(rest)


def _weight(sample: Sample) -> float:
    """Give what a series counts when some must be folded."""
    return sample.value.count if isinstance(sample.value, Distribution) else sample.value


def _folded_labels(sample: Sample) -> tuple[str, ...]:
    names = zip(sample.metric.labels, sample.labels, strict=True)
    return tuple(OTHER if name in sample.metric.open_labels else value for name, value in names)


def limited(groups: Mapping[Metric, list[Sample]], limit: int) -> dict[Metric, list[Sample]]:
    """Apply the series limit to each metric, and say what was folded."""
    kept: dict[Metric, list[Sample]] = {}
    folded: list[Sample] = []
    for metric, samples in groups.items():
        kept[metric], count = fold(metric, samples, limit)
        if count:
            folded.append(Sample(SERIES_FOLDED, (metric.name,), count))
    if folded:
        kept[SERIES_FOLDED] = folded
    return kept
