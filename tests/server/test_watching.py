"""Files that change on the disk are seen by the server itself where no client tells of them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from soa_server.lsp.watching import Watcher, concerning
from watchfiles import Change

CONCERNING = {
    "shop/cart.py": True,
    "shop": True,
    ".gitignore": True,
    "shop/.soaignore": True,
    "shop/cart.pyc": False,
    "shop/__pycache__/cart.cpython-311.pyc": False,
    "shop/__pycache__/x.py": False,
    ".git/HEAD": False,
    ".coverage": False,
    ".venv/lib/new": False,
    ".pytest_cache/v/lastfailed": False,
    "notes.txt": False,
}


@pytest.mark.parametrize(("path", "wanted"), CONCERNING.items(), ids=CONCERNING)
def test_what_may_change_the_index(path: str, wanted: bool) -> None:
    assert concerning()(Change.modified, f"/home/me/{path}") is wanted


async def test_each_change_is_told_until_the_end(tmp_path: Path) -> None:
    told = asyncio.Event()

    async def heard() -> None:
        await told.wait()
        told.clear()

    watcher = Watcher((tmp_path,), told.set)
    await heard()
    assert watcher.is_watching
    (tmp_path / "new").mkdir()
    await heard()
    (tmp_path / "new" / "cart.py").write_text("def add(): ...\n")
    await heard()
    (tmp_path / "new").rename(tmp_path / "old")
    await heard()
    (tmp_path / "old" / "cart.py").unlink()
    await heard()
    await watcher.end()
    assert not watcher.is_watching


async def test_folders_that_cannot_be_watched_are_not_said_to_be(tmp_path: Path) -> None:
    watcher = Watcher((tmp_path / "missing",), lambda: None)
    await watcher.end()
    assert not watcher.is_watching
