"""The demo: a whole session with the real server, without a key, quick, and saying who wrote."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

SECONDS = 20


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], float]:
    home = tmp_path_factory.mktemp("home")
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"}
    began = time.monotonic()
    command = [sys.executable, "-m", "soa_server.cli", "demo"]
    done = subprocess.run(command, cwd=home, env=env, capture_output=True, text=True, timeout=100)
    return done, time.monotonic() - began


def test_it_ends_well_and_soon(session: tuple[subprocess.CompletedProcess[str], float]) -> None:
    done, seconds = session
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert seconds < SECONDS * 3  # on a machine that does other things too


@pytest.mark.parametrize(
    "line",
    [
        "Model: bundled scripted replies (no model is configured; they were written by hand",
        "1  Generate: billing/invoice.py::total_due",
        "tests 0/4 → 4/4, nothing else changed",
        "2  Regenerate: text/slug.py::slugify",
        "tests 4/6 → 6/6, nothing else changed",
        "3  Generate stubs from docstring: shop/stock.py",
        "+    reduced = goods - _discount(goods, status)",
        "+def running_low(stock: dict[str, int], least: int) -> list[str]:",
        "Next: set OPENAI_API_KEY",
    ],
)
def test_it_shows_what_happened(line: str, session: tuple[subprocess.CompletedProcess[str], float]) -> None:
    assert line in session[0].stdout


def test_the_child_that_was_wrong_is_seen_to_change(
    session: tuple[subprocess.CompletedProcess[str], float],
) -> None:
    lines = [line for line in session[0].stdout.splitlines() if "─ _discount " in line]
    assert len(lines) == 1
    assert "code ✓" in lines[0] and "→ modify ✓" in lines[0]
