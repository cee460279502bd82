"""Which Python runs the workspace's tests. Found by looking at files; run only inside the sandbox."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import platformdirs

from soa_agents.errors import NoPytest
from soa_agents.verify.probe import choose
from soa_agents.verify.sandbox import Command, run_briefly

_ASK = """
import json, sys
found = {"version": "%d.%d.%d" % sys.version_info[:3], "pytest": ""}
try:
    import pytest
    found["pytest"] = pytest.__version__
except ImportError:
    pass
print("\\n" + json.dumps(found))
"""
_OWN = "it runs SoA itself, and the workspace has no environment of its own"


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python that has pytest, and in words why it was taken."""

    path: Path
    why: str
    version: str
    pytest_version: str

    @property
    def records_freely(self) -> bool:
        """Whether it costs next to nothing to record what runs; otherwise a run takes twice as long."""
        return tuple(int(part) for part in self.version.split(".")[:2]) >= (3, 12)


def find(
    folder: Path,
    setting: str,
    environ: Mapping[str, str],
    editor_choice: str = "",
    sandbox: Literal["strict", "scrubbed"] = "strict",
) -> Interpreter:
    """The interpreter for the tests in `folder`.

    In order: the setting, the editor's choice, the active environment, `.venv` or `venv` of the folder or its
    repository, an environment of uv, Poetry or Hatch, and SoA's own where there is none of these. Runs the
    candidates inside the sandbox, so it blocks for a moment. Raises `NoPytest`, or `NoSandbox`.
    """
    folder = folder.resolve()
    first = ""
    for path, why in _candidates(folder, setting, environ, editor_choice):
        if why == _OWN and first:
            break
        chosen = path in (_named(folder, setting), _named(folder, editor_choice))
        there = os.path.isfile(path)  # noqa: PTH113 - Path's own raises for a link into a closed folder
        if chosen and not there:
            raise NoPytest(
                f"{why[0].upper()}{why[1:]}, but {path} does not exist. Correct soa.tests.interpreter."
            )
        found = _ask(path, folder, sandbox) if there else {}
        if found.get("pytest"):
            return Interpreter(path, why, found["version"], found["pytest"])
        first = first or _without_pytest(_short(path, folder), found)
        if chosen:
            break  # no other will do
    raise NoPytest(first)


def _without_pytest(name: str, found: Mapping[str, str]) -> str:
    if not found:
        return (
            f"{name}, which runs this workspace's tests, does not start. "
            "Repair it, or set soa.tests.interpreter."
        )
    return (
        f"pytest is not installed in {name}, which runs this workspace's tests. "
        "Install it there, or set soa.tests.interpreter."
    )


def _candidates(
    folder: Path, setting: str, environ: Mapping[str, str], editor_choice: str
) -> Iterator[tuple[Path, str]]:
    if setting:
        yield _named(folder, setting), "soa.tests.interpreter names it"
    if editor_choice:
        yield _named(folder, editor_choice), "it is the interpreter chosen in the editor"
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        if path := _python_in(Path(environ.get(variable) or "/nowhere")):
            yield path, f"{variable} names its environment"
    for place in _up_to_repository(folder):
        for name in dict.fromkeys((environ.get("UV_PROJECT_ENVIRONMENT", ".venv"), ".venv", "venv", "env")):
            if path := _python_in(place / name):
                yield path, f"{name} is this workspace's environment"
    for environment, tool in _managed(folder):
        if path := _python_in(environment):
            yield path, f"it is the environment that {tool} keeps for this workspace"
    yield Path(os.path.abspath(sys.executable)), _OWN  # noqa: PTH100 - resolve() would follow the venv's link


def _named(folder: Path, name: str) -> Path:
    """An interpreter as a person writes it: a path, one from the folder, a command, or an environment."""
    if not name:
        return Path()
    path = Path(name).expanduser()
    if not path.is_absolute():
        command = shutil.which(name) if path.name == name and not (folder / path).exists() else None
        path = Path(command) if command else folder / path
    return _python_in(path) or Path(os.path.abspath(path))  # noqa: PTH100 - keeps a venv's symlink


def _python_in(environment: Path) -> Path | None:
    for name in ("bin/python", "bin/python3", "Scripts/python.exe", "python.exe"):
        # A link that leads nowhere counts: passing over a broken environment would run another one.
        if os.path.lexists(environment / name):
            return environment / name
    return None


def _up_to_repository(folder: Path) -> Iterator[Path]:
    """The folder, and above it as far as its repository goes."""
    yield folder
    chain = [folder, *folder.parents]
    top = next((i for i, place in enumerate(chain) if (place / ".git").exists()), 0)
    yield from chain[1 : top + 1]


def _managed(folder: Path) -> Iterator[tuple[Path, str]]:
    """Environments that tools keep elsewhere under a hash of the folder's path."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(os.fsencode(folder)).digest()).decode()[:8]
    poetry = Path(platformdirs.user_cache_dir("pypoetry")) / "virtualenvs"
    yield from ((path, "Poetry") for path in sorted(poetry.glob(f"*-{digest}-py*"), reverse=True))
    hatch = Path(platformdirs.user_data_dir("hatch")) / "env" / "virtual"
    yield from ((path, "Hatch") for path in sorted(hatch.glob(f"*/{digest}/*")))


def _ask(path: Path, folder: Path, sandbox: Literal["strict", "scrubbed"]) -> dict[str, str]:
    done = run_briefly(Command(path, ("-c", _ASK), folder, seconds=30), choose(sandbox))
    try:
        found = json.loads(done.output.strip().rpartition("\n")[2])
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _short(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)
