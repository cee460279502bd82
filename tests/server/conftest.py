"""A workspace, a server with a planned engine, and an editor in front of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from lsp_bench import Bench, make_bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path)
