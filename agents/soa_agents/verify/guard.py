"""Test files and pytest's configuration: never changed to make a test pass."""

from __future__ import annotations

import configparser
import hashlib
import tomllib
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from soa_agents.workspace.snapshot import is_test_file

_SECTIONS = {  # file, in pytest's order -> the tables that configure pytest in it
    **dict.fromkeys(("pytest.toml", ".pytest.toml"), ("pytest",)),
    **dict.fromkeys(("pytest.ini", ".pytest.ini"), ("pytest",)),
    "pyproject.toml": ("tool.pytest", "tool.pytest.ini_options"),
    "tox.ini": ("pytest",),
    "setup.cfg": ("tool:pytest",),
}
_CONFIGURATION = frozenset({*_SECTIONS, "conftest.py", "sitecustomize.py", "usercustomize.py"})
_OWN = ("test_*.py", "*_test.py")
_ANY_FILE = frozenset({"*.py", "*", "**/*.py"})  # modules that hold their own tests beside the code


def changes_tests(paths: Iterable[str], patterns: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Those of `paths` that hold tests or decide how pytest runs them; `patterns` name further test files."""
    return tuple(p for p in paths if _is_guarded(p) or any(_matches(p, pattern) for pattern in patterns))


def _is_guarded(path: str) -> bool:
    return is_test_file(path) or PurePosixPath(path).name in _CONFIGURATION


def _matches(path: str, pattern: str) -> bool:
    return fnmatch(path if "/" in pattern else PurePosixPath(path).name, pattern)


def tampered(seen: Mapping[str, str], true_bytes: Callable[[str], bytes | None]) -> tuple[str, ...]:
    """The files whose hash, as the run saw it, is not that of what they should hold."""
    return tuple(
        path
        for path, digest in sorted(seen.items())
        if (data := true_bytes(path)) is None or hashlib.sha256(data).hexdigest() != digest
    )


def configuration(root: Path) -> Path | None:
    """The file that configures pytest for `root`: in it, or in the nearest folder above that has one."""
    for folder in (root, *root.parents):
        for name in _SECTIONS:
            if _tables(folder / name):
                return folder / name
    return None


def test_patterns(root: Path) -> tuple[str, ...]:
    """What `python_files` of pytest's configuration calls test files beside pytest's own two patterns.

    A pattern that means every file says nothing about which are tests, and is left out.
    """
    path = configuration(root)
    asked = [table.get("python_files", ()) for table in _tables(path)] if path else []
    named = (name for each in asked for name in (each.split() if isinstance(each, str) else each))
    return tuple(name for name in named if name not in _ANY_FILE and name not in _OWN)


def _tables(path: Path) -> list[Mapping[str, str | list[str]]]:
    """The tables of a file that configure pytest; none when it has none or cannot be read."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return []
    try:
        return list(_of_toml(text, path.name) if path.suffix == ".toml" else _of_ini(text, path.name))
    except (tomllib.TOMLDecodeError, configparser.Error):
        return []


def _of_ini(text: str, name: str) -> Iterable[Mapping[str, str]]:
    parser = configparser.RawConfigParser(strict=False)
    parser.read_string(text)
    return [parser[section] for section in _SECTIONS[name] if section in parser]


def _of_toml(text: str, name: str) -> Iterable[Mapping[str, str | list[str]]]:
    whole = tomllib.loads(text)
    for section in _SECTIONS[name]:
        table = whole
        for key in section.split("."):
            table = table.get(key, {})
        if table:
            yield table
