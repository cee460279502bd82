"""Holds: a client that never says its settings holds up no job."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from soa_server.lsp.configuration import Configuration
from soa_server.lsp.documents import Documents
from soa_server.lsp.from_lsp import Client


class Silent:
    """A person whose editor may be asked and does not answer."""

    client = Client(configuration=True)

    def __init__(self) -> None:
        self.told: list[str] = []

    async def ask(self, method: str, params: Any) -> Any:
        await asyncio.Event().wait()

    def tell(self, sentence: str, *, warning: bool = False) -> None:
        self.told.append(sentence)

    def refresh_lenses(self) -> None: ...


async def test_a_job_goes_on_without_the_settings_that_a_client_does_not_say(
    tmp_path: Path,
) -> None:
    person = Silent()
    configuration = Configuration(person, Documents(), patience=0.05)  # type: ignore[arg-type]  # a person's part
    configuration.refresh()
    settings = (await configuration.folder(tmp_path)).settings
    assert settings.protocol == "auto"
    assert [sentence.partition(",")[0] for sentence in person.told] == [
        "The editor did not answer when it was asked for SoA's settings"
    ]
    configuration.refresh()  # a later question does not wait for the lost one
    await configuration.folder(tmp_path)
    assert len(person.told) == 2
