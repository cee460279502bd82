"""Messages to the person at the editor, questions with buttons, and files shown. Nothing here decides."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer

from soa_server.lsp import to_lsp
from soa_server.lsp.from_lsp import Client

logger = logging.getLogger(__name__)

Buttons = Mapping[str, Callable[[], Awaitable[None]]]


class Person:
    """The connection as the rest of the server sees it: notifications, requests, messages."""

    def __init__(self, server: LanguageServer) -> None:
        self._server = server
        self._asking: set[asyncio.Task[Any]] = set()
        self.client = Client()

    def notify(self, method: str, params: Any) -> None:
        """Send a notification; a client that is gone is noticed elsewhere."""
        try:
            self._server.protocol.notify(method, params)
        except (OSError, ValueError):  # a closed pipe; the connection's end follows
            logger.debug("a notification could not be sent")

    async def ask(self, method: str, params: Any) -> Any:
        """Send a request and wait for its result; None when the client answers with an error."""
        try:
            return await self._server.protocol.send_request_async(method, params)
        except (JsonRpcException, OSError, ValueError) as error:
            logger.info("the client refused %s: %s", method, error)
            return None

    async def call(self, method: str, params: Any) -> Any:
        """Send a request and wait for its result; cancelling takes the request back from the client.

        Raises `JsonRpcException` when the client answers with an error.
        """
        request = uuid4().hex
        answer = self._server.protocol.send_request_async(method, params, request)
        try:
            return await asyncio.shield(answer)  # its late answer still finds a place
        except asyncio.CancelledError:
            answer.add_done_callback(lambda late: late.cancelled() or late.exception())  # nobody reads it
            self.notify(types.CANCEL_REQUEST, types.CancelParams(id=request))
            raise

    def tell(self, sentence: str, *, warning: bool = False) -> None:
        """Show a message."""
        kind = types.MessageType.Warning if warning else types.MessageType.Info
        self.notify(types.WINDOW_SHOW_MESSAGE, types.ShowMessageParams(type=kind, message=_signed(sentence)))

    async def choose(self, sentence: str, titles: tuple[str, ...], *, warning: bool = True) -> str | None:
        """Show a message with buttons; the title of the one pressed, None when it was closed."""
        kind = types.MessageType.Warning if warning else types.MessageType.Info
        actions = [types.MessageActionItem(title=title) for title in titles]
        params = types.ShowMessageRequestParams(type=kind, message=_signed(sentence), actions=actions)
        answer = await self.ask(types.WINDOW_SHOW_MESSAGE_REQUEST, params)
        return getattr(answer, "title", None)

    def offer(self, sentence: str, buttons: Buttons, *, warning: bool) -> None:
        """A message with buttons that holds up nobody; without buttons a plain one."""
        if not buttons:
            self.tell(sentence, warning=warning)
            return

        async def wait() -> None:
            chosen = await self.choose(sentence, tuple(buttons), warning=warning)
            if chosen is not None and chosen in buttons:
                await buttons[chosen]()

        self._later(wait())

    def refresh_lenses(self) -> None:
        """Have the client ask for its code lenses anew, where it can be told so."""
        if self.client.refreshes_lenses:
            self._later(self.ask(types.WORKSPACE_CODE_LENS_REFRESH, None))

    def watch(self, patterns: Sequence[str]) -> None:
        """Have the client tell of changes of such files on the disk."""
        watchers = [types.FileSystemWatcher(glob_pattern=pattern) for pattern in patterns]
        options = types.DidChangeWatchedFilesRegistrationOptions(watchers=watchers)
        method = types.WORKSPACE_DID_CHANGE_WATCHED_FILES
        wish = types.Registration(id="soa-watched-files", method=method, register_options=options)
        params = types.RegistrationParams(registrations=[wish])
        self._later(self.ask(types.CLIENT_REGISTER_CAPABILITY, params))

    def _later(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def show(self, path: Path) -> None:
        """Show a file, where the client can."""
        if self.client.shows_documents:
            await self.ask(types.WINDOW_SHOW_DOCUMENT, to_lsp.show_document(path))

    async def apply(self, label: str, edit: types.WorkspaceEdit) -> str | None:
        """Have the client apply an edit: None when it did, else the client's reason or an empty text."""
        params = types.ApplyWorkspaceEditParams(edit=edit, label=label)
        result = await self.ask(types.WORKSPACE_APPLY_EDIT, params)
        if result is not None and result.applied:
            return None
        return str(getattr(result, "failure_reason", None) or "")

    def close(self) -> None:
        """Wait for no answer any more."""
        for task in self._asking:
            task.cancel()


def _signed(sentence: str) -> str:
    """Who speaks stands before what is said, once."""
    return sentence if sentence.startswith("SoA") else f"SoA: {sentence}"
