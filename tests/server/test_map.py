"""The map of agents that a session keeps: true to the disk, and made anew only when something has changed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from soa_server.lsp import agents as module
from soa_server.lsp.agents import Agents
from soa_server.lsp.diagnostics import Diagnostics
from soa_server.lsp.documents import Documents


@pytest.fixture
async def agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Agents]:
    """Of a workspace with one function, believed until somebody tells of a change."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "UNWATCHED", 1e9)
    root = tmp_path / "shop"
    root.mkdir()
    (root / "cart.py").write_text("def add(): ...\n")
    documents = Documents()
    documents.set_folders([root])
    found = Agents(documents, Diagnostics(documents))
    yield found
    await found.close()


async def functions(agents: Agents, wanted: set[str]) -> set[str]:
    """What the whole map lists: asked for until these are all, for a minute at most."""
    found: set[str] = set()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(60):
            while found != wanted:
                answer = await agents.answer("")
                found = {each["function"] for each in answer["agents"]} if answer["complete"] else set()
                await asyncio.sleep(0.05)
    return found


async def test_the_map_follows_the_disk_without_a_client_that_watches(agents: Agents, tmp_path: Path) -> None:
    begun = {"cart.py::add"}
    assert await functions(agents, begun) == begun
    (tmp_path / "shop" / "more.py").write_text("def more(): ...\n")
    grown = {"cart.py::add", "more.py::more"}
    assert await functions(agents, grown) == grown


async def test_a_client_that_watches_is_not_watched_beside(agents: Agents, tmp_path: Path) -> None:
    agents.watched = True
    await functions(agents, {"cart.py::add"})
    assert agents._watcher is None


@pytest.mark.parametrize("saved", [True, False], ids=["saved", "unsaved"])
async def test_what_has_not_changed_is_not_mapped_again(
    agents: Agents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved: bool
) -> None:
    agents.watched = True
    await functions(agents, {"cart.py::add"})
    cart = tmp_path / "shop" / "cart.py"
    text = cart.read_text() if saved else "def add(): ...\n\n\ndef more():\n    return add()\n"
    agents._documents.open(cart.as_uri(), text, 1, "python")
    asked = 0

    async def counted(*given: Any) -> Any:
        nonlocal asked
        asked += 1
        return await ask(*given)

    ask = module.ask_indexer
    monkeypatch.setattr(module, "ask_indexer", counted)
    uri = "" if saved else cart.as_uri()
    first = await agents.answer(uri)
    assert first == await agents.answer(uri)
    assert asked == (0 if saved else 1)
    agents._documents.edit(cart.as_uri(), [(None, text + "\n\ndef last():\n    return more()\n")], 2)
    children = {each["function"]: each["children"] for each in (await agents.answer(uri))["agents"]}
    assert saved or children["cart.py::last"] == ["cart.py::more"]
    assert asked == (1 if saved else 2)
