"""The golden exposition: hand-written snapshots, and every byte that is made of them.

After a wanted change: `PGCONN_RENEW_GOLDEN=1 .venv/bin/pytest tests/unit/golden`, then read the
difference line by line before it is committed.
"""

import os
from pathlib import Path

import pytest

from exporter.collectors import METRICS
from exporter.exposition import Exposition, Format
from tests.unit.golden import pooler, scene
from tests.unit.golden.scene import polls
from tests.unit.rows import NOW

FOLDER = Path(__file__).parent
SCENES = {"orders": scene.read_samples, "orders-pool": pooler.read_samples}


def exposition() -> Exposition:
    """Publish the scene as one target, its PgBouncer, and one that was never reached."""
    shown = Exposition(METRICS, clock=lambda: NOW)
    for target in (*SCENES, "billing"):
        shown.watch(target, "activity")
    for target, samples_of in SCENES.items():
        for read, samples in samples_of().items():
            shown.publish(target, read, samples)
    unreachable = polls()
    unreachable.errors["activity", "refused"] += 3
    shown.publish("billing", "polling", unreachable.samples())
    return shown


@pytest.mark.parametrize(
    ("file", "form"),
    [("metrics.txt", Format.TEXT), ("metrics.openmetrics.txt", Format.OPENMETRICS)],
)
def test_golden(file: str, form: Format) -> None:
    """The page is, byte for byte, the one that was read and found right."""
    page = exposition().page(form)
    if os.environ.get("PGCONN_RENEW_GOLDEN"):
        (FOLDER / file).write_bytes(page)
    assert page.decode() == (FOLDER / file).read_text("utf-8")


def test_every_sample_is_shown() -> None:
    """No collector yields a metric that it does not declare, which the page would leave out."""
    for samples_of in SCENES.values():
        yielded = {sample.metric for samples in samples_of().values() for sample in samples}
        assert yielded <= set(METRICS)


def test_the_scene_shows_every_metric() -> None:
    """Nothing that is declared is missing from the golden page."""
    page = exposition().page().decode()
    assert [m.name for m in METRICS if f"# TYPE {m.name} " not in page] == []


def test_no_literal_is_shown() -> None:
    """The literals and comments of the statements' texts are not on the page."""
    assert b"SECRET" not in exposition().page()
