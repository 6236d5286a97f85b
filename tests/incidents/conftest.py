"""Fixtures of the replays: a server of its own for each."""

import pytest

from tests.integration.conftest import new_cluster, pytest_report_header

collect_ignore = ["applications"]  # programs of their own, which need an environment

__all__ = ["new_cluster", "pytest_report_header"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give a replay the time of an incident; its waits have limits of their own."""
    for item in items:
        if "tests/incidents/" in item.path.as_posix():
            item.add_marker(pytest.mark.timeout(300))
