"""How the jobs of one process reach their models: a pace for each server, the editor's model by its relay."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from soa_agents.models.endpoint import endpoint_of
from soa_agents.models.pace import Pace, Share, Waits
from soa_agents.models.port import OpenModel, Prompt, Reply
from soa_agents.models.relayed import Relay, RelayedChat, no_editor
from soa_agents.settings import Settings

IDLE_SECONDS = 120.0  # of silence between two tokens
RETRIES = 3  # of a call whose server failed or whose reply broke off


@dataclass
class Access:
    """What the jobs of a process share; `relay` is there where an editor offers its model."""

    relay: Relay | None = None
    idle_seconds: float = IDLE_SECONDS
    retries: int = RETRIES
    _paces: dict[tuple[str, str, str | None], Pace] = field(default_factory=dict)

    def open(self, settings: Settings, key: str | None, job_id: str, waits: Waits) -> OpenModel:
        """The model that the settings name, for one job; `key` is its key.

        `waits` hears what a call has to wait for before it is sent. Raises `ModelError` when none is named,
        or what is named can be none. Needs a running loop.
        """
        model = settings.model
        if model.provider == "editor":
            if self.relay is None:
                raise no_editor()
            return RelayedChat(model, job_id, self.relay)
        endpoint_of(model, key)
        pace = self._paces.setdefault((model.base_url, model.name, key), Pace())
        share = Share(pace, settings.limits.parallel, waits)

        def connect() -> OpenModel:
            from soa_agents.models.openai_chat import OpenAIChat

            return OpenAIChat(model, key, share=share, idle_seconds=self.idle_seconds, retries=self.retries)

        return _Loading(connect)


class _Loading:
    """A model whose SDK is still being imported: that takes most of a second, in which tests can run."""

    def __init__(self, connect: Callable[[], OpenModel]) -> None:
        self._model = asyncio.create_task(asyncio.to_thread(connect))

    async def ask(self, prompt: Prompt) -> Reply:
        """As `Model.ask`."""
        return await (await asyncio.shield(self._model)).ask(prompt)

    async def aclose(self) -> None:
        """As `OpenModel.aclose`."""
        await (await self._model).aclose()
