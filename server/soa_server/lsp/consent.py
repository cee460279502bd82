"""What a person allowed for a workspace, kept in the state folder and never in the workspace."""

from __future__ import annotations

import json
from pathlib import Path

from soa_agents.settings import state_folder


def allowed(root: Path) -> bool:
    """Whether running without a sandbox was allowed for this folder."""
    return _read().get(str(root)) is True


def allow(root: Path) -> None:
    """Remember that running without a sandbox is allowed for this folder; not being able to is no failure."""
    path = _file()
    consents = {**_read(), str(root): True}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".tmp")
        partial.write_text(json.dumps(consents, indent=1), encoding="utf-8")
        partial.replace(path)
    except OSError:
        return  # the person is asked again next time


def _file() -> Path:
    return state_folder() / "without-sandbox.json"


def _read() -> dict[str, object]:
    try:
        found = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
