"""The events of every job, in SQLite, written as they happen.

The folder is the user's state folder and private to the user (0700, the file 0600). No key ever enters:
events hold prompts, replies and reports, none of which carries one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from platformdirs import user_state_path

from soa_agents import wire
from soa_agents.swarm.events import Event

_SCHEMA = """
CREATE TABLE IF NOT EXISTS event (
    job TEXT NOT NULL,
    number INTEGER NOT NULL,
    line TEXT NOT NULL,
    PRIMARY KEY (job, number)
) WITHOUT ROWID;
"""


def default_path() -> Path:
    """Where the ledger of this user lies."""
    return user_state_path("soa-language-server") / "ledger.sqlite3"


class Ledger:
    """An append-only log; `append` returns once the row is committed."""

    def __init__(self, path: Path | None = None) -> None:
        path = path or default_path()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600, exist_ok=True)
        self._connection = sqlite3.connect(path, timeout=10.0, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute(
            "PRAGMA synchronous=NORMAL"
        )  # a killed process loses nothing; a power cut may
        self._connection.executescript(_SCHEMA)

    def append(self, job_id: str, event: Event) -> None:
        """Commit one event as the job's next."""
        self._connection.execute(
            "INSERT INTO event SELECT ?, COALESCE(MAX(number), 0) + 1, ? FROM event WHERE job = ?",
            (job_id, wire.event_line(event), job_id),
        )

    def events(self, job_id: str) -> Iterator[Event]:
        """The job's events in order; none for an unknown job."""
        rows = self._connection.execute("SELECT line FROM event WHERE job = ? ORDER BY number", (job_id,))
        return (wire.event_of(line) for (line,) in rows)

    def close(self) -> None:
        """Close the database."""
        self._connection.close()
