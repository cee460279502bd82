"""Changed files of the workspace, seen by the server itself: for clients that do not tell of them."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watchfiles import Change

NAMES = (".gitignore", ".soaignore")
STEP = 100  # milliseconds between two looks at what the system has told
WAIT = 1000  # milliseconds after which it is known that nothing was told

logger = logging.getLogger(__name__)


class Watcher:
    """A thread that tells of changes below some folders, from when it `is_watching` to its `end`.

    `changed` is called in the event loop that it was made in: once when it has begun, as nobody has watched
    before, and after changes of what may concern the index.
    """

    def __init__(self, roots: tuple[Path, ...], changed: Callable[[], None]) -> None:
        self.roots = roots
        self.is_watching = False
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="files")
        self._thread.start()

    async def end(self) -> None:
        """Watch no more; the thread has ended then."""
        self._stopped.set()
        await asyncio.to_thread(self._thread.join)

    def _watch(self) -> None:
        from watchfiles import watch  # here, because most clients watch themselves

        told = watch(
            *self.roots,
            watch_filter=concerning(),
            step=STEP,
            rust_timeout=WAIT,
            yield_on_timeout=True,
            stop_event=self._stopped,
            raise_interrupt=False,
            ignore_permission_denied=True,
        )
        try:
            for changes in told:
                if changes or not self.is_watching:
                    self.is_watching = True
                    self._loop.call_soon_threadsafe(self._changed)
        except (OSError, RuntimeError) as error:  # more folders than the system watches; a closed loop
            logger.warning("changed files are not watched: %s", error)
        finally:
            self.is_watching = False


def concerning() -> Callable[[Change, str], bool]:
    """Asked of a change and a path: can the index be another one now? A folder's name has no ending."""
    from watchfiles import DefaultFilter

    usual = DefaultFilter()  # leaves out what git, environments, caches and editors write for themselves

    def concerns(change: Change, path: str) -> bool:
        place = Path(path)
        named = place.name in NAMES or (place.suffix in ("", ".py") and place.name[:1] != ".")
        return named and usual(change, path)

    return concerns
