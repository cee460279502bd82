"""An editor's part over stdio: a small client that sees exactly the JSON on the wire.

    async with Editor([folder]) as editor:
        await editor.open(path)
        job = await editor.act(path, "def total", "Generate with SoA")
        end = await editor.end(job)          # the last `soa/job` of that job

It applies edits as an editor does (versions compared, positions counted in the agreed encoding, buffers
changed and announced, nothing saved) and keeps everything that the server said, in order.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit

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
SERVE = (str(Path(sys.executable).with_name("soa")), "serve")

# What VS Code announces, as far as the server asks.
VSCODE: Json = {
    "general": {"positionEncodings": ["utf-16"]},
    "window": {"workDoneProgress": True, "showDocument": {"support": True}, "showMessage": {}},
    "workspace": {
        "applyEdit": True,
        "configuration": True,
        "workspaceFolders": True,
        "codeLens": {"refreshSupport": True},
        "workspaceEdit": {
            "documentChanges": True,
            "resourceOperations": ["create", "rename", "delete"],
            "changeAnnotationSupport": {"groupsOnLabel": True},
        },
    },
    "textDocument": {
        "codeAction": {
            "codeActionLiteralSupport": {"codeActionKind": {"valueSet": [""]}},
            "dataSupport": True,
            "tagSupport": {"valueSet": [1]},
            "disabledSupport": True,
        },
        "hover": {"contentFormat": ["markdown", "plaintext"]},
        "publishDiagnostics": {"relatedInformation": True, "dataSupport": True},
    },
}

# What the plainest client announces: nothing but edits.
PLAIN: Json = {"workspace": {"applyEdit": True}}


@dataclass(slots=True)
class Buffer:
    """An open document."""

    uri: str
    path: Path
    text: str
    version: int


@dataclass(slots=True)
class Manners:
    """How the person at this editor behaves; a test changes it before or while a job runs.

    `applies`: whether edits are applied when their versions fit. `confirms`: whether previews are accepted.
    `chooses`: the button pressed on a message with actions, by its text and titles. `secrets`: answers to
    `soa/secret`. `settings`: answers to `workspace/configuration`, by folder URI or "" for any, and
    `python` what it answers for that section. `model`: what answers `soa/model/chat`.
    """

    applies: bool = True
    confirms: bool = True
    chooses: Callable[[str, list[str]], str | None] = lambda message, titles: None
    secrets: Mapping[str, str | None] = field(default_factory=dict)
    settings: dict[str, Json] = field(default_factory=dict)
    python: Json | None = None
    model: Callable[[Json], Awaitable[Json]] | None = None


def line_starts(text: str) -> list[int]:
    """Offsets of the lines as the protocol counts them: ended by \\n, \\r\\n or \\r only."""
    return [0, *(match.end() for match in re.finditer(r"\r\n|\n|\r", text))]


def width(character: str, encoding: str) -> int:
    """Units that one character takes in a position encoding."""
    codec, unit = {"utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2), "utf-32": ("utf-32-le", 4)}[encoding]
    return len(character.encode(codec, "surrogatepass")) // unit


def offset(text: str, position: Json, encoding: str) -> int:
    """The character offset of a position; it must fall on a character's border."""
    at = line_starts(text)[position["line"]]
    units = position["character"]
    while units > 0:
        units -= width(text[at], encoding)
        at += 1
    assert units == 0, f"{position} splits a character"
    return at


def position(text: str, at: int, encoding: str) -> Json:
    """The position of a character offset."""
    line = max(i for i, start in enumerate(line_starts(text)) if start <= at)
    before = text[line_starts(text)[line] : at]
    return {"line": line, "character": sum(width(c, encoding) for c in before)}


def edited(text: str, edits: Sequence[Json], encoding: str) -> str:
    """The text after the edits, which must not overlap; insertions at one place keep their order."""
    spans = [
        (offset(text, e["range"]["start"], encoding), offset(text, e["range"]["end"], encoding), e["newText"])
        for e in edits
    ]
    parts, done = [], 0
    for start, end, new in sorted(spans, key=lambda span: span[:2]):
        assert start >= done, "edits overlap"
        parts += [text[done:start], new]
        done = end
    return "".join([*parts, text[done:]])


class Editor:
    """A client session. Everything received is kept: `jobs`, `agents`, `messages`, `asked`, `edits`, …"""

    def __init__(
        self,
        folders: Sequence[Path],
        *,
        command: Sequence[str] = SERVE,
        capabilities: Json = VSCODE,
        options: Json | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.folders = list(folders)
        self.command = list(command)
        self.capabilities = capabilities
        self.options = options or {}
        self.env = env
        self.manners = Manners()
        self.buffers: dict[str, Buffer] = {}
        self.jobs: list[Json] = []
        self.agents: list[Json] = []
        self.messages: list[Json] = []  # window/showMessage and window/showMessageRequest
        self.edits: list[Json] = []  # workspace/applyEdit
        self.progress: list[Json] = []
        self.diagnostics: dict[str, list[Json]] = {}
        self.asked: list[tuple[str, Json]] = []  # every request of the server
        self.told: list[tuple[str, Json]] = []  # every message of the server and every answer, in order
        self.server_info: Json = {}
        self.server_capabilities: Json = {}
        self.stderr = b""
        self.process_id: int | None = None  # announced as the client's process
        self._heard = asyncio.Event()
        self._client = JsonRPCClient(JsonRPCProtocol, _plain_converter)
        self._draining: asyncio.Task[None] | None = None
        self._listen()

    # -- the session

    async def __aenter__(self) -> Editor:
        await self.start()
        await self.initialize()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.returncode is None:
            if kind is None:
                await self.shutdown()
            else:
                self.process.kill()
        await self.stop()

    @property
    def process(self) -> asyncio.subprocess.Process:
        """The server's process."""
        assert self._client._server is not None
        return self._client._server

    @property
    def encoding(self) -> str:
        """The position encoding agreed on."""
        return str(self.server_capabilities.get("positionEncoding") or "utf-16")

    async def start(self) -> None:
        """Start the server's process; nothing is sent yet."""
        environment: Any = None if self.env is None else dict(self.env)
        await self._client.start_io(*self.command, env=environment)
        self._draining = asyncio.create_task(self._drain())

    async def initialize(self) -> None:
        """`initialize` and `initialized`."""
        result = await self.ask(
            "initialize",
            {
                "processId": self.process_id,
                "rootUri": self.folders[0].as_uri() if self.folders else None,
                "capabilities": self.capabilities,
                "initializationOptions": self.options,
                "workspaceFolders": [{"uri": f.as_uri(), "name": f.name} for f in self.folders] or None,
            },
        )
        self.server_info = result.get("serverInfo") or {}
        self.server_capabilities = result["capabilities"]
        self.tell("initialized", {})

    async def shutdown(self, seconds: float = 20) -> int:
        """`shutdown`, `exit`, and the exit code of the process."""
        await self.ask("shutdown", None)
        self.tell("exit", None)
        return await asyncio.wait_for(self.process.wait(), seconds)

    async def hang_up(self, seconds: float = 20) -> int:
        """Close the server's stdin without a word; the exit code of the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return await asyncio.wait_for(self.process.wait(), seconds)

    async def stop(self) -> None:
        """Wait for the process's end and release everything."""
        await self._client.stop()  # type: ignore[no-untyped-call]  # pygls
        if self._draining is not None:
            await self._draining

    async def ask(self, method: str, params: Any, seconds: float = 30) -> Any:
        """A request; raises `JsonRpcException` (with `code` and `message`) for an error."""
        answer = self._client.protocol.send_request(method, params)
        answer.add_done_callback(lambda _: self.told.append((f"answer {method}", None)))
        return await asyncio.wait_for(asyncio.wrap_future(answer), seconds)

    def tell(self, method: str, params: Any) -> None:
        """A notification."""
        self._client.protocol.notify(method, params)

    async def until(self, holds: Callable[[], Any], seconds: float = 30) -> Any:
        """Wait until `holds()` is true, looking after every message; its value."""

        async def wait() -> Any:
            while not (found := holds()):
                await self._heard.wait()
            return found

        return await asyncio.wait_for(wait(), seconds)

    # -- documents

    async def open(self, path: Path, text: str | None = None, *, uri: str = "") -> Buffer:
        """Open a document, with the disk's text (newlines kept) unless another is given."""
        return self._open(uri or path.as_uri(), path, _on_disk(path) if text is None else text)

    def type(self, path: Path, text: str) -> Buffer:
        """Replace an open document's text, as someone who types."""
        buffer = self.buffer(path)
        buffer.text, buffer.version = text, buffer.version + 1
        self.tell(
            "textDocument/didChange",
            {
                "textDocument": {"uri": buffer.uri, "version": buffer.version},
                "contentChanges": [{"text": text}],
            },
        )
        return buffer

    def close(self, path: Path) -> None:
        """Close an open document."""
        buffer = self.buffers.pop(self.buffer(path).uri)
        self.tell("textDocument/didClose", {"textDocument": {"uri": buffer.uri}})

    def buffer(self, path: Path) -> Buffer:
        """The open document of a path."""
        return next(b for b in self.buffers.values() if b.path == path)

    # -- what a person does

    async def actions(
        self,
        path: Path,
        at: str | int,
        *,
        only: Sequence[str] | None = None,
        diagnostics: Sequence[Json] = (),
        invoked: bool = False,
    ) -> list[Json]:
        """The code actions with the cursor at an offset, or at the first place of a text in the document.

        `invoked`: the person asked, not the editor by itself.
        """
        buffer = self.buffer(path)
        where = buffer.text.index(at) if isinstance(at, str) else at
        here = position(buffer.text, where, self.encoding)
        context: Json = {"diagnostics": list(diagnostics), "triggerKind": 1 if invoked else 2}
        if only is not None:
            context["only"] = list(only)
        cursor = {"start": here, "end": here}
        params = {"textDocument": {"uri": buffer.uri}, "range": cursor, "context": context}
        return await self.ask("textDocument/codeAction", params) or []

    async def lenses(self, path: Path) -> list[Json]:
        """The code lenses of an open document."""
        params = {"textDocument": {"uri": self.buffer(path).uri}}
        return await self.ask("textDocument/codeLens", params) or []

    async def hover(self, path: Path, at: str) -> Json | None:
        """The hover over the first place of a text in the document."""
        buffer = self.buffer(path)
        here = position(buffer.text, buffer.text.index(at), self.encoding)
        found: Json | None = await self.ask(
            "textDocument/hover", {"textDocument": {"uri": buffer.uri}, "position": here}
        )
        return found

    def save(self, path: Path) -> None:
        """Write an open document to the disk and say so."""
        buffer = self.buffer(path)
        path.write_bytes(buffer.text.encode())
        self.tell("textDocument/didSave", {"textDocument": {"uri": buffer.uri}})

    async def act(self, path: Path, at: str | int, title: str) -> str:
        """Pick the code action of that title and run its command; the job's id."""
        actions = await self.actions(path, at)
        chosen = [action for action in actions if action["title"] == title]
        assert chosen, f"{title!r} is not offered; there are {[a['title'] for a in actions]}"
        return await self.run(chosen[0]["command"]["command"], *chosen[0]["command"]["arguments"])

    async def run(self, command: str, *arguments: Any) -> str:
        """Execute a command; the job's id."""
        params = {"command": command, "arguments": list(arguments)}
        result = await self.ask("workspace/executeCommand", params)
        return str(result["jobId"])

    async def end(self, job_id: str, seconds: float = 90) -> Json:
        """The last `soa/job` of a job, once it has come."""

        def final() -> Json | None:
            return next((j for j in self.jobs if j["jobId"] == job_id and j["state"] in FINAL), None)

        found: Json = await self.until(final, seconds)
        return found

    # -- what an editor answers

    def _listen(self) -> None:
        kept: dict[str, Callable[[Json], Any]] = {
            "soa/job": self.jobs.append,
            "soa/agent": self.agents.append,
            "window/showMessage": self.messages.append,
            "$/progress": self.progress.append,
            "textDocument/publishDiagnostics": self._diagnose,
            "window/logMessage": lambda p: None,
            "telemetry/event": lambda p: None,
        }
        answered: dict[str, Callable[[Json], Any]] = {
            "workspace/applyEdit": self._apply,
            "workspace/configuration": self._configuration,
            "window/showMessageRequest": self._choose,
            "window/workDoneProgress/create": lambda p: None,
            "window/showDocument": lambda p: {"success": True},
            "soa/secret": lambda p: {"value": self.manners.secrets.get(p["name"])},
            "client/registerCapability": lambda p: None,
            "workspace/codeLens/refresh": lambda p: None,
        }
        for method, handle in kept.items():
            self._client.feature(method)(self._handler(method, handle, request=False))
        for method, handle in answered.items():
            self._client.feature(method)(self._handler(method, handle, request=True))

        @self._client.feature("soa/model/chat")
        async def chat(params: Json) -> Json:
            self._handler("soa/model/chat", lambda p: None, request=True)(params)
            assert self.manners.model is not None, "the server asked a model that was not announced"
            return await self.manners.model(params)

    def _handler(self, method: str, handle: Callable[[Json], Any], *, request: bool) -> Callable[[Json], Any]:
        def handler(params: Json) -> Any:
            self.told.append((method, params))
            if request:
                self.asked.append((method, params))
            result = handle(params)
            self._heard.set()  # wakes whoever waits now; who comes later waits for the next message
            self._heard = asyncio.Event()
            return result

        return handler

    def _choose(self, params: Json) -> Json | None:
        self.messages.append(params)
        titles = [action["title"] for action in params.get("actions") or []]
        chosen = self.manners.chooses(params["message"], titles)
        return None if chosen is None else {"title": chosen}

    def _diagnose(self, params: Json) -> None:
        self.diagnostics[params["uri"]] = params["diagnostics"]

    def _configuration(self, params: Json) -> list[Any]:
        given = self.manners.settings
        scopes = [(item.get("section"), item.get("scopeUri") or "") for item in params["items"]]
        soa = {scope: given.get(scope, given.get("")) for _, scope in scopes}
        return [soa[scope] if section == "soa" else self.manners.python for section, scope in scopes]

    def _apply(self, params: Json) -> Json:
        self.edits.append(params)
        edit = params["edit"]
        annotations = (edit.get("changeAnnotations") or {}).values()
        if not self.manners.applies:
            return {"applied": False}
        if any(a.get("needsConfirmation") for a in annotations) and not self.manners.confirms:
            return {"applied": False}
        changes = edit.get("documentChanges")
        if changes is None:
            changes = [
                {"textDocument": {"uri": uri, "version": None}, "edits": edits}
                for uri, edits in (edit.get("changes") or {}).items()
            ]
        if any(self._stale(change) for change in changes):
            return {"applied": False}
        for change in changes:
            self._change(change)
        return {"applied": True}

    def _stale(self, change: Json) -> bool:
        if "textDocument" not in change:
            return False
        version = change["textDocument"].get("version")
        buffer = self.buffers.get(change["textDocument"]["uri"])
        return version is not None and (buffer is None or buffer.version != version)

    def _change(self, change: Json) -> None:
        if change.get("kind") == "create":
            self._open(change["uri"], _path(change["uri"]), "")
            return
        uri = change["textDocument"]["uri"]
        if uri not in self.buffers:
            self._open(uri, _path(uri), _on_disk(_path(uri)))
        buffer = self.buffers[uri]
        self.type(buffer.path, edited(buffer.text, change["edits"], self.encoding))

    def _open(self, uri: str, path: Path, text: str) -> Buffer:
        buffer = self.buffers[uri] = Buffer(uri, path, text, 1)
        document = {"uri": uri, "languageId": "python", "version": 1, "text": text}
        self.tell("textDocument/didOpen", {"textDocument": document})
        return buffer

    async def _drain(self) -> None:
        assert self.process.stderr is not None
        while part := await self.process.stderr.read(65536):
            self.stderr += part


def _path(uri: str) -> Path:
    return Path(unquote(urlsplit(uri).path))


def _on_disk(path: Path) -> str:
    return path.read_bytes().decode("utf-8-sig")  # editors keep a BOM to themselves


def _plain_converter() -> Any:
    """pygls' converter, but with parameters and results left as the JSON they are."""
    converter = default_converter()  # type: ignore[no-untyped-call]  # pygls
    converter.register_structure_hook(
        JsonRPCRequestMessage,
        lambda data, cls: cls(data["id"], data["method"], data["jsonrpc"], data.get("params")),
    )
    converter.register_structure_hook(JsonRPCNotification, _notification)
    converter.register_structure_hook(
        JsonRPCResponseMessage, lambda data, cls: cls(data["id"], data["jsonrpc"], data.get("result"))
    )
    return converter


def _notification(data: Json, cls: type[JsonRPCNotification]) -> JsonRPCNotification:
    params: Any = data.get("params")
    if data["method"] == "$/cancelRequest":  # pygls reads it itself, as an object
        params = SimpleNamespace(**params)
    return cls(data["method"], data["jsonrpc"], params)
