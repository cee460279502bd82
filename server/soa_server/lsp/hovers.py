"""A hover over a function's name: its agent's role, tests and status, how its last job ended. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from soa_agents.workspace.functions import Function
from soa_agents.workspace.ids import FunctionId

NAMED_AT_MOST = 4

_STATUS = {
    "stub": "not written yet",
    "passing": "its tests pass",
    "untested": "no test exercises it",
}


class Known(NamedTuple):
    """What is known of a function: its entry of `soa/agents`, its failing tests, its last job's sentence."""

    agent: Mapping[str, Any] | None = None
    failing: tuple[str, ...] = ()
    last: str = ""


def text(function: Function, known: Known) -> str:
    """A few lines of Markdown."""
    agent = known.agent or {}
    parts = [_role(agent), _tests(agent, known.failing), _status(function, agent, known.failing)]
    lines = ["**SoA** " + " · ".join(part for part in parts if part)]
    if known.failing:
        lines.append(f"Failing: {_listed([nodeid.rpartition('::')[2] for nodeid in known.failing])}")
    if known.last:
        lines.append(f"Last: {known.last}")
    return "\n\n".join(lines)


def plain(markdown: str) -> str:
    """The same for a client that shows no Markdown."""
    return markdown.replace("**", "").replace("`", "").replace("\n\n", "\n")


def _role(agent: Mapping[str, Any]) -> str:
    if not agent:
        return ""
    children = [FunctionId.parse(child).name for child in agent.get("children") or ()]
    return f"Mother of {_listed(children)}" if children else "Child"


def _tests(agent: Mapping[str, Any], failing: Sequence[str]) -> str:
    count = max(len(agent.get("tests") or ()), len(failing))
    return f"{count} {'test' if count == 1 else 'tests'}" if count else ""


def _status(function: Function, agent: Mapping[str, Any], failing: Sequence[str]) -> str:
    if failing:
        return f"{len(failing)} failing"
    status = "stub" if function.is_stub else str(agent.get("status") or "unknown")
    return _STATUS.get(status, "not run yet" if agent.get("tests") else "")


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:NAMED_AT_MOST])
    more = len(names) - NAMED_AT_MOST
    return f"{shown} and {more} more" if more > 0 else shown
