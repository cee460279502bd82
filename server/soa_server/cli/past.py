"""A job of the past by the name a person gave it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from soa_agents.errors import UsageError
from soa_agents.swarm.ledger import Entry, Ledger, path_of


@contextmanager
def job_of(root: Path, name: str) -> Iterator[tuple[Ledger, Entry]]:
    """The ledger of a workspace, open, and the job in it whose id begins with `name`.

    Raises `UsageError` when that is none or several.
    """
    if not path_of(root).exists():  # asking for a job makes no ledger
        raise UsageError(f"{name} is no job of this workspace; none has run here yet.")
    ledger = Ledger.of(root)
    try:
        yield ledger, ledger.find(name)
    finally:
        ledger.close()
