"""How tests are run: properties are never judged by the clock, and what takes longest starts first."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("calm", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("calm"), derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "calm")

LONG = "tests/e2e/test_projects.py"  # minutes for each real project


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Real projects first, so that the other worker is not left waiting for them at the end."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))
