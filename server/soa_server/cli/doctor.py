"""`soa doctor`: what would be used here, what is missing, and the single next thing to do."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.text import Text
from soa_agents.errors import CallFailed, SoaError
from soa_agents.settings import state_folder
from soa_agents.workspace.snapshot import Snapshot, open_folders, read_text

from soa_server.cli import show, words
from soa_server.cli.options import Workspace, workspace
from soa_server.settings import user_file


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: a subject, one sentence, and what to do when it is not well. `ok` None is a mere remark."""

    subject: str
    sentence: str
    ok: bool | None = True
    todo: str = ""


Check = Callable[[Workspace], Coroutine[Any, Any, tuple[Finding, ...]]]
MARKS = {True: "ok", False: "!!", None: "--"}


@click.command(short_help="Say what is found here and what to do next.")
def command() -> None:
    """Say which model, interpreter, pytest and sandbox would be used here, and what to do next.

    Runs the workspace's interpreter once to see that it has pytest, tries the sandbox, and asks a model's
    server for its list of models only when somebody named that server.
    """
    here = workspace()
    out = show.console()
    out.print(Text(f"SoA in {here.root}", "bold"))
    findings: list[Finding] = []
    for check in CHECKS:
        for finding in asyncio.run(check(here)):
            findings.append(finding)
            line = f"{MARKS[finding.ok]}  {finding.subject:<12} {finding.sentence}"
            out.print(show.coloured(line))
    todo = next((f.todo for f in findings if f.ok is False and f.todo), "")
    out.print(Text(f"\nNext: {todo or 'soa agents --stubs, then soa generate one of them.'}"))


async def _interpreter(here: Workspace) -> tuple[Finding, ...]:
    from soa_agents.verify import interpreter

    try:
        found = await asyncio.to_thread(
            interpreter.find,
            here.root,
            here.settings.tests.interpreter,
            dict(os.environ),
            sandbox=here.settings.tests.sandbox,
        )
    except SoaError as error:
        return (Finding("interpreter", str(error), False, str(error)),)
    return (
        Finding("interpreter", f"Tests run with {found.path} (Python {found.version}): {found.why}."),
        Finding("pytest", f"pytest {found.pytest_version} is installed there."),
    )


async def _model(here: Workspace) -> tuple[Finding, ...]:
    if not here.key and not here.settings.model.base_url:
        sentence = "No model is configured, so nothing can be written yet."
        return (Finding("model", sentence, False, await _suggestion()),)
    from soa_agents.models.openai_chat import OpenAIChat

    try:
        model = OpenAIChat(here.settings.model, here.key, retries=0)
        try:
            names = await model.models()
            return (_named_model(here, await model.only_model(), names),)
        finally:
            await model.aclose()
    except CallFailed as error:  # some servers list nothing and answer all the same
        name = here.settings.model.name or "The only model of the server"
        return (Finding("model", f"{name} would be asked, but its server gives no list: {error}", None),)
    except SoaError as error:
        return (Finding("model", str(error), False, str(error)),)


def _named_model(here: Workspace, name: str, names: tuple[str, ...]) -> Finding:
    place = here.settings.model.base_url or "api.openai.com"
    if name not in names:
        shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
        todo = f"set SOA_MODEL (or soa.model.name) to a model that {place} offers."
        return Finding(
            "model", f"The server at {place} does not list {name}; it offers {shown}.", False, todo
        )
    key = f"with the key in {here.settings.model.api_key_env}" if here.key else "without a key"
    return Finding("model", f"{name} at {place}, {key}.")


async def _suggestion() -> str:
    """What to set for a model; names a local server when one listens."""
    from soa_agents.models.discovery import local_servers

    found = await local_servers()
    if not found:
        return "set OPENAI_API_KEY, or OPENAI_BASE_URL for a local server, then SOA_MODEL."
    server = found[0]
    return f"export OPENAI_BASE_URL={server.base_url} SOA_MODEL={server.models[0]} to use {server.name} here."


async def _local(here: Workspace) -> tuple[Finding, ...]:
    from soa_agents.models.discovery import local_servers

    return tuple(
        Finding("local server", f"{s.name} at {s.base_url} offers {', '.join(s.models[:4])}.", None)
        for s in await local_servers()
        if s.base_url != here.settings.model.base_url
    )


async def _sandbox(here: Workspace) -> tuple[Finding, ...]:
    from soa_agents.verify import probe

    if here.settings.tests.sandbox == "scrubbed":
        sentence = (
            "Switched off by tests.sandbox = scrubbed: tests run unprotected with an emptied environment."
        )
        return (Finding("sandbox", sentence, None),)
    status = await asyncio.to_thread(probe.try_out)
    if status.level == "none":
        todo = "enable user namespaces or Landlock, or pass --sandbox scrubbed where you trust the code."
        return (Finding("sandbox", status.sentence, False, todo), *_unproven())
    sentence = f"{status.sentence} All attacks failed just now. Layers: {', '.join(status.layers)}."
    found = [Finding("sandbox", sentence)]
    if status.level == "landlock":
        found.append(
            Finding("sandbox", f"{WITHOUT_NAMESPACES} The reason: {'; '.join(status.refused)}.", None)
        )
    return tuple(found)


WITHOUT_NAMESPACES = (
    "Without user namespaces tests cannot open sockets, terminals or shared memory, files keep their modes "
    "and times, and every candidate is run from the start, as no test server is safe."
)
UNPROVEN = {
    "darwin": "A sandbox-exec profile for macOS is written but was not proven, so it is not used.",
    "win32": "A Job Object for Windows is written but was not proven, so it is not used.",
}


def _unproven() -> tuple[Finding, ...]:
    return (Finding("sandbox", UNPROVEN[sys.platform], None),) if sys.platform in UNPROVEN else ()


async def _git(here: Workspace) -> tuple[Finding, ...]:
    if shutil.which("git") is None:
        return (Finding("git", "git is not installed; ignored files are told by plain rules instead.", None),)
    if not (here.root / ".git").exists():
        return (Finding("git", "This folder is no git repository, so --branch cannot be used.", None),)
    return (Finding("git", "The repository says which files are ignored; your index and branches stay."),)


async def _files(here: Workspace) -> tuple[Finding, ...]:
    snapshot = Snapshot(open_folders([here.root]), exclude=here.settings.index_exclude)
    listing = await asyncio.to_thread(snapshot.python_files)
    left_out = dict(listing.skipped)
    readable = sum(read_text(file.disk) is not None for file in listing.files)
    if readable < len(listing.files):
        left_out["unreadable or binary"] = len(listing.files) - readable
    sentence = f"{words.several(readable, 'Python file')} of your own."
    if left_out:
        told = ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items()))
        sentence += f" Left out beside ignored and foreign ones: {told}."
    return (Finding("files", sentence, True if readable else None),)


async def _state(here: Workspace) -> tuple[Finding, ...]:
    folder = state_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        todo = f"make {folder} writable, or point XDG_STATE_HOME elsewhere."
        return (Finding("state", f"{folder} cannot be written ({reason}).", False, todo),)
    return (Finding("state", f"Jobs are recorded in {_from_home(folder)}."),)


async def _settings(here: Workspace) -> tuple[Finding, ...]:
    place = user_file()
    shown = _from_home(place)
    if place.exists():
        return (Finding("settings", f"Your own settings are read from {shown}."),)
    return (Finding("settings", f"You have none of your own; they would be read from {shown}.", None),)


def _from_home(folder: Path) -> str:
    home = Path.home()
    return f"~/{folder.relative_to(home).as_posix()}" if folder.is_relative_to(home) else str(folder)


CHECKS: tuple[Check, ...] = (_model, _local, _interpreter, _sandbox, _git, _files, _settings, _state)
