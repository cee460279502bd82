"""Test files and pytest's configuration: never changed to make a test pass."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePosixPath

from soa_agents.workspace.snapshot import is_test_file

_CONFIGURATION = frozenset(
    {"pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "pyproject.toml", "tox.ini", "setup.cfg"}
    | {"conftest.py", "sitecustomize.py", "usercustomize.py"}
)


def changes_tests(paths: Iterable[str]) -> tuple[str, ...]:
    """Those of `paths` that hold tests or decide how pytest runs them."""
    return tuple(p for p in paths if is_test_file(p) or PurePosixPath(p).name in _CONFIGURATION)


def tampered(seen: Mapping[str, str], true_bytes: Callable[[str], bytes | None]) -> tuple[str, ...]:
    """The files whose hash, as the run saw it, is not that of what they should hold."""
    return tuple(
        path
        for path, digest in sorted(seen.items())
        if (data := true_bytes(path)) is None or hashlib.sha256(data).hexdigest() != digest
    )
