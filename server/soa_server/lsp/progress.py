"""Progress of a job in the editor: one wrapper owns the token, the cancel button and the ending."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import uuid4

from lsprotocol import types


class Wire(Protocol):
    """What progress needs of the connection to the client."""

    def notify(self, method: str, params: Any) -> None:
        """Send a notification."""
        ...

    async def ask(self, method: str, params: Any) -> Any:
        """Send a request; None when the client answers with an error."""
        ...


@dataclass(slots=True)
class Progress:
    """The progress of one job. The token is the server's own; without the capability nothing is sent."""

    wire: Wire
    enabled: bool
    title: str
    token: str = field(default_factory=lambda: f"soa-{uuid4().hex}")
    _begun: bool = False
    _ended: bool = False
    _message: str = ""

    async def begin(self, message: str) -> None:
        """Ask for a place to show progress in, and show the first message there."""
        self._message = self._message or message
        if not self.enabled:
            return
        try:
            params = types.WorkDoneProgressCreateParams(token=self.token)
            await self.wire.ask(types.WINDOW_WORK_DONE_PROGRESS_CREATE, params)
        except asyncio.CancelledError:
            return
        if self._ended:
            return
        self._begun = True
        self._send(
            types.WorkDoneProgressBegin(
                title=self.title, cancellable=True, message=self._message, percentage=0
            )
        )

    def report(self, message: str, percentage: int | None = None) -> None:
        """Show a message; kept for the beginning when that has not come yet. `percentage` from 0 to 100."""
        self._message = message
        if self._begun and not self._ended:
            self._send(types.WorkDoneProgressReport(message=message, percentage=percentage))

    def end(self, message: str) -> None:
        """Close the progress, once."""
        if self._begun and not self._ended:
            self._send(types.WorkDoneProgressEnd(message=message or None))
        self._ended = True

    def _send(self, value: Any) -> None:
        self.wire.notify(types.PROGRESS, types.ProgressParams(token=self.token, value=value))
