"""The editor's own model: questions of the engine to the client, its answers back. Nothing here is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from pygls.exceptions import JsonRpcException
from soa_agents.models.relayed import no_editor

from soa_server.lsp.person import Person

CHAT = "soa/model/chat"

Json = dict[str, Any]


class Chat:
    """The questions that the client has been asked. `post` writes one message to the engine."""

    def __init__(self, person: Person, post: Callable[[Json], None]) -> None:
        self._person = person
        self._post = post
        self._asking: dict[str, asyncio.Task[None]] = {}

    def hear(self, message: Json) -> None:
        """Take a question of the engine to the client, or one back."""
        request = str(message.get("requestId"))
        if message.get("type") == "chat":
            self._asking[request] = asyncio.create_task(self._ask(request, message))
        elif request in self._asking:
            self._asking[request].cancel()

    def chunk(self, params: Any) -> None:
        """A part of an answer came from the client; one to no question is dropped."""
        if isinstance(params, dict) and params.get("requestId") in self._asking:
            text = str(params.get("text") or "")
            self._post({"type": "chunk", "requestId": params["requestId"], "text": text})

    def close(self) -> None:
        """Take every question back: nobody waits for the answers any more."""
        for task in self._asking.values():
            task.cancel()

    async def _ask(self, request: str, message: Json) -> None:
        if "chat" not in self._person.client.supports:  # a job begun elsewhere, taken up here
            self._post(_failure(request, str(no_editor())))
            del self._asking[request]
            return
        params = {key: message[key] for key in ("requestId", "model", "messages") if key in message}
        try:
            self._post(_answer(request, await self._person.call(CHAT, params)))
        except (JsonRpcException, OSError, ValueError) as error:
            self._post(_failure(request, str(getattr(error, "message", error))))
        finally:
            del self._asking[request]


def _answer(request: str, found: Any) -> Json:
    if not isinstance(found, dict) or not isinstance(found.get("text"), str):
        return _failure(request, "its answer holds no text")
    members = {key: found[key] for key in ("text", "finishReason", "usage") if key in found}
    return {"type": "chatResult", "requestId": request, **members}


def _failure(request: str, message: str) -> Json:
    return {"type": "chatFailed", "requestId": request, "message": message}
