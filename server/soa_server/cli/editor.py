"""An editor's part, as little of it as the demo needs: open a file, pick a code action, apply the edit, save.

Everything goes as plain JSON over the server's stdio, through pygls' client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from pygls.client import JsonRPCClient
from pygls.protocol import (
    JsonRPCNotification,
    JsonRPCProtocol,
    JsonRPCRequestMessage,
    JsonRPCResponseMessage,
    default_converter,
)

Json = dict[str, Any]
FINAL = ("done", "failed", "refused", "cancelled")
CAPABILITIES: Json = {
    "general": {"positionEncodings": ["utf-32", "utf-16"]},
    "window": {"workDoneProgress": True, "showMessage": {}},
    "workspace": {"applyEdit": True, "workspaceEdit": {"documentChanges": True}},
    "textDocument": {
        "codeAction": {"codeActionLiteralSupport": {"codeActionKind": {"valueSet": [""]}}},
        "publishDiagnostics": {},
    },
}


class Editor:
    """One session with a server on one folder. `heard` gets every `soa/job` and `soa/agent` as it comes."""

    def __init__(self, folder: Path, settings: Json, choose: Callable[[str, list[str]], str | None]) -> None:
        self.folder = folder
        self.heard: Callable[[str, Json], None] = lambda method, params: None
        self._settings = settings
        self._choose = choose
        self._versions: dict[str, int] = {}
        self._texts: dict[str, str] = {}
        self._ends: dict[str, Json] = {}
        self._changed = asyncio.Condition()
        self._draining: asyncio.Task[None] | None = None
        self._client = JsonRPCClient(JsonRPCProtocol, _plain_converter)
        self._listen()

    async def start(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        """Start the server's process and introduce the editor to it."""
        environment: Any = dict(env)
        await self._client.start_io(*command, env=environment)
        self._draining = asyncio.create_task(self._drain())
        await self._ask(
            "initialize",
            {
                "processId": None,
                "rootUri": self.folder.as_uri(),
                "capabilities": CAPABILITIES,
                "initializationOptions": {"soa": self._settings},
                "workspaceFolders": [{"uri": self.folder.as_uri(), "name": self.folder.name}],
            },
        )
        self._client.protocol.notify("initialized", {})

    async def stop(self) -> None:
        """Say goodbye and wait for the process's end."""
        await self._ask("shutdown", None)
        self._client.protocol.notify("exit", None)
        process = self._client._server
        if process is not None:
            await asyncio.wait_for(process.wait(), 20)
        await self._client.stop()  # type: ignore[no-untyped-call]  # pygls

    def kill(self) -> None:
        """End the server's process at once."""
        process = self._client._server
        if process is not None and process.returncode is None:
            process.kill()

    async def act(self, path: str, at: str, title: str) -> Json:
        """Pick the code action whose title begins with `title`, with the cursor on `at`; the last `soa/job`.

        Raises `LookupError` when the server does not offer it.
        """
        uri = self._open(path)
        before = self._texts[uri][: self._texts[uri].index(at)]
        here = {"line": before.count("\n"), "character": len(before) - before.rfind("\n") - 1}
        params = {
            "textDocument": {"uri": uri},
            "range": {"start": here, "end": here},
            "context": {"diagnostics": []},
        }
        actions = await self._ask("textDocument/codeAction", params) or []
        found = [action["command"] for action in actions if action["title"].startswith(title)]
        if not found:
            raise LookupError(f"The server does not offer “{title}” at {at} in {path}.")
        job: str = (await self._ask("workspace/executeCommand", found[0]))["jobId"]
        return await self._end(job)

    async def _end(self, job: str) -> Json:
        """The last `soa/job` of a job. Raises `ConnectionError` when the server goes before it comes."""

        async def heard() -> None:
            async with self._changed:
                await self._changed.wait_for(lambda: job in self._ends)

        process = self._client._server
        assert process is not None, "the server was started"  # noqa: S101  # for the type checker
        waits = {asyncio.create_task(heard()), asyncio.create_task(process.wait())}
        _, left = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in left:
            task.cancel()
        if job not in self._ends:
            raise ConnectionError(f"the server ended with code {process.returncode} while it worked")
        return self._ends[job]

    async def _drain(self) -> None:
        """Read what the server logs, so that it never waits for a reader."""
        process = self._client._server
        while process is not None and process.stderr is not None and await process.stderr.read(65536):
            pass

    async def _ask(self, method: str, params: Any) -> Any:
        if method == "workspace/executeCommand":
            params = {"command": params["command"], "arguments": params["arguments"]}
        return await asyncio.wait_for(self._client.protocol.send_request_async(method, params), 60)

    def _open(self, path: str) -> str:
        uri = (self.folder / path).as_uri()
        if uri not in self._texts:
            self._texts[uri], self._versions[uri] = _path(uri).read_bytes().decode(), 1
            document = {"uri": uri, "languageId": "python", "version": 1, "text": self._texts[uri]}
            self._client.protocol.notify("textDocument/didOpen", {"textDocument": document})
        return uri

    def _listen(self) -> None:
        answers: dict[str, Callable[[Json], Any]] = {
            "workspace/applyEdit": self._apply,
            "window/showMessageRequest": self._answer,
            "window/workDoneProgress/create": lambda params: None,
            "client/registerCapability": lambda params: None,
            "soa/job": self._job,
            "soa/agent": lambda params: self.heard("soa/agent", params),
            "window/showMessage": lambda params: None,
            "window/logMessage": lambda params: None,
            "$/progress": lambda params: None,
            "textDocument/publishDiagnostics": lambda params: None,
        }
        for method, answer in answers.items():
            self._client.feature(method)(self._handler(answer))

    def _handler(self, answer: Callable[[Json], Any]) -> Callable[[Json], Any]:
        async def handler(params: Json) -> Any:
            async with self._changed:
                result = answer(params)
                self._changed.notify_all()
            return result

        return handler

    def _job(self, params: Json) -> None:
        self.heard("soa/job", params)
        if params["state"] in FINAL:
            self._ends[params["jobId"]] = params

    def _answer(self, params: Json) -> Json | None:
        chosen = self._choose(params["message"], [action["title"] for action in params.get("actions") or []])
        return None if chosen is None else {"title": chosen}

    def _apply(self, params: Json) -> Json:
        """Change the buffers as an editor does, tell the server, and save."""
        for change in params["edit"].get("documentChanges") or []:
            if "textDocument" not in change:
                continue
            uri = change["textDocument"]["uri"]
            self._open(_path(uri).relative_to(self.folder).as_posix())
            if change["textDocument"].get("version") not in (None, self._versions[uri]):
                return {"applied": False}
            self._texts[uri] = _edited(self._texts[uri], change["edits"])
            self._versions[uri] += 1
            document = {"uri": uri, "version": self._versions[uri]}
            content = [{"text": self._texts[uri]}]
            self._client.protocol.notify(
                "textDocument/didChange", {"textDocument": document, "contentChanges": content}
            )
            _path(uri).write_bytes(self._texts[uri].encode())
            self._client.protocol.notify("textDocument/didSave", {"textDocument": {"uri": uri}})
        return {"applied": True}


def _edited(text: str, edits: Sequence[Json]) -> str:
    """The text after edits that do not overlap; positions count characters (the bundled files are ASCII)."""
    starts = [0, *(i + 1 for i, letter in enumerate(text) if letter == "\n")]

    def at(position: Json) -> int:
        return starts[position["line"]] + int(position["character"])

    spans = [(at(e["range"]["start"]), at(e["range"]["end"]), e["newText"]) for e in edits]
    parts, done = [], 0
    for start, end, new in sorted(spans, key=lambda span: span[:2]):
        parts += [text[done:start], new]
        done = end
    return "".join([*parts, text[done:]])


def _path(uri: str) -> Path:
    return Path(url2pathname(unquote(urlsplit(uri).path)))


def _plain_converter() -> Any:
    """pygls' converter, but with parameters and results left as the JSON they are."""
    converter = default_converter()  # type: ignore[no-untyped-call]  # pygls
    converter.register_structure_hook(
        JsonRPCRequestMessage,
        lambda data, cls: cls(data["id"], data["method"], data["jsonrpc"], data.get("params")),
    )
    converter.register_structure_hook(
        JsonRPCNotification, lambda data, cls: cls(data["method"], data["jsonrpc"], data.get("params"))
    )
    converter.register_structure_hook(
        JsonRPCResponseMessage, lambda data, cls: cls(data["id"], data["jsonrpc"], data.get("result"))
    )
    return converter
