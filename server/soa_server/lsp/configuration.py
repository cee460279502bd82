"""The settings of each workspace folder, as the client gives them now."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lsprotocol import types

from soa_server.lsp.documents import Documents, canonical
from soa_server.lsp.from_lsp import plain
from soa_server.lsp.person import Person
from soa_server.settings import Layers, Resolved, resolve, user_file

ANSWER = 20.0  # seconds that a client has to say its settings: an editor may first start another extension

UNANSWERED = (
    "The editor did not answer when it was asked for SoA's settings, so those of the environment and of "
    "pyproject.toml are used; change a setting or restart the server to have it asked again."
)


class Configuration:
    """Asks the client when it may be asked, else takes what it pushes; a problem is told once."""

    def __init__(self, person: Person, documents: Documents, patience: float = ANSWER) -> None:
        self._person = person
        self._documents = documents
        self._patience = patience
        self._given: dict[str, Mapping[str, Any]] = {}  # by folder URI, "" for all
        self._python: dict[str, Any] = {}  # the section of other Python servers, by folder URI as `_given`
        self._told: set[str] = set()
        self._resolved: dict[str, Resolved] = {}  # by folder URI, as `_given`
        self._refreshing: asyncio.Task[None] | None = None

    def refresh(self) -> None:
        """Ask the client anew; `folder` waits for the answer."""
        if self._person.client.configuration:
            before = self._refreshing
            self._refreshing = asyncio.create_task(self._ask(before))

    def push(self, settings: Any) -> None:
        """Settings that came with a notification, from a client that cannot be asked."""
        given = plain(settings)
        if isinstance(given, dict) and given and not self._person.client.configuration:
            self._given = {"": given}
            self._python = {"": given.get("python")}
            self._resolved.clear()
            self.now(None)
            self._person.refresh_lenses()

    def interpreter(self, root: Path) -> str:
        """The Python that was chosen in the editor for a folder, by the section that Python servers share."""
        section = self._python.get(canonical(root.as_uri())) or self._python.get("")
        options = self._person.client.options.get("python")
        return chosen(section, root) or chosen(options, root)

    async def folder(self, root: Path | None) -> Resolved:
        """The settings of a folder, once the client has answered.

        A client that loses the question is told so, and what is known without it holds.
        """
        if self._refreshing is not None:
            done, _ = await asyncio.wait({self._refreshing}, timeout=self._patience)
            if not done:
                self._refreshing = None  # a late answer still counts, but nobody waits for it
                self._person.tell(UNANSWERED, warning=True)
        return self._read(root)

    def now(self, root: Path | None) -> Resolved:
        """The settings of a folder as they were last read, from memory; new problems are told to the person.

        Files of settings are read when the client's settings change and when a job begins.
        """
        known = self._resolved.get(canonical(root.as_uri()) if root is not None else "")
        return known if known is not None else self._read(root)

    def _read(self, root: Path | None) -> Resolved:
        uri = canonical(root.as_uri()) if root is not None else ""
        resolved = self._resolved[uri] = resolve(
            Layers(
                client=self._given.get(uri) or self._given.get("", {}),
                options=self._person.client.options,
                environ=os.environ,
                user_file=user_file(),
                folder=root,
            )
        )
        for problem in resolved.problems:
            if problem.sentence not in self._told:
                self._told.add(problem.sentence)
                self._person.tell(problem.sentence, warning=True)
        return resolved

    async def _ask(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait({before})
        scopes = ["", *(canonical(folder.root.as_uri()) for folder in self._documents.folders)]
        soa, python = await asyncio.gather(self._section("soa", scopes), self._section("python", scopes))
        if soa:
            self._given = {scope: answer for scope, answer in soa.items() if isinstance(answer, dict)}
        self._python = python
        self._resolved.clear()
        self.now(None)
        for folder in self._documents.folders:
            self.now(folder.root)
        self._person.refresh_lenses()

    async def _section(self, section: str, scopes: Sequence[str]) -> dict[str, Any]:
        """A section as the client has it for each scope; empty when the client does not answer for all."""
        items = [types.ConfigurationItem(scope_uri=scope or None, section=section) for scope in scopes]
        answers = await self._person.ask(
            types.WORKSPACE_CONFIGURATION, types.ConfigurationParams(items=items)
        )
        given = [plain(answer) for answer in answers] if isinstance(answers, list | tuple) else []
        return dict(zip(scopes, given, strict=True)) if len(given) == len(scopes) else {}


def chosen(section: Any, root: Path) -> str:
    """The interpreter that a `python` section names for a folder; empty where it names none.

    A bare `python` is how editors spell that nothing was chosen. Variables other than the folder's own are
    the editor's to fill in.
    """
    if not isinstance(section, Mapping):
        return ""
    for key in ("pythonPath", "defaultInterpreterPath"):
        value = section.get(key)
        if isinstance(value, str) and value not in ("", "python", "python3"):
            path = value.replace("${workspaceFolder}", str(root))
            return "" if "${" in path else path
    return ""
