"""What agents decide in JSON: roles, tasks, intentions, whether to go on. Text in, checked values out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from soa_agents.errors import ReplyError
from soa_agents.swarm.replies.blocks import answer

_WORDS = 400  # characters of a role, an instruction or a reason that are kept


@dataclass(frozen=True, slots=True)
class Task:
    """One function for one worker."""

    function: str  # FunctionId as text
    instruction: str = ""


@dataclass(frozen=True, slots=True)
class Planner:
    """A part of the work for a planner of its own."""

    scope: str
    goal: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a planner hands out, or a coordinator: `roles` by the agent's number, from 1."""

    tasks: tuple[Task, ...] = ()
    planners: tuple[Planner, ...] = ()
    roles: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Intent:
    """What an agent means to do; no role when it stays out."""

    role: str = ""
    does: str = ""


def plan(text: str, finish: str = "stop") -> Plan:
    """A planner's or coordinator's reply. Raises `ReplyError`."""
    shape = '{"tasks": [{"function": …, "instruction": …}], "planners": []} or {"roles": [{"agent": 1, …}]}'
    data = _object(text, finish, shape)
    found = Plan(
        tuple(Task(_word(row, "function"), _word(row, "instruction")) for row in _rows(data, "tasks")),
        tuple(Planner(_word(row, "scope"), _word(row, "goal")) for row in _rows(data, "planners")),
        tuple((_number(row), _word(row, "role")) for row in _rows(data, "roles")),
    )
    named = all(task.function for task in found.tasks) and all(each.scope for each in found.planners)
    nothing = data.get("tasks") == [] and "roles" not in data  # also an answer: nothing need be said
    if not named or not (found.tasks or found.planners or found.roles or nothing):
        raise ReplyError(f"Your JSON hands out nothing that can be begun. Send one json block: {shape}.")
    return found


def intent(text: str, finish: str = "stop") -> Intent:
    """What an agent means to do. Raises `ReplyError`."""
    shape = '{"role": …, "does": …} or {"abstain": reason}'
    data = _object(text, finish, shape)
    if "abstain" in data:
        return Intent()
    found = Intent(_word(data, "role"), _word(data, "does"))
    if not found.role:
        raise ReplyError(f"Your JSON names no role. Send one json block: {shape}.")
    return found


def goes_on(text: str, finish: str = "stop") -> bool:
    """Whether a judge wants another cycle. Raises `ReplyError`."""
    shape = '{"decision": "go_on" or "stop", "reason": …}'
    decision = _object(text, finish, shape).get("decision")
    if decision not in ("go_on", "stop"):
        raise ReplyError(f"Your JSON decides nothing. Send one json block: {shape}.")
    return bool(decision == "go_on")


def role(text: str) -> str:
    """The role that a reply says its author took, in a line `Role: …` before the code; else nothing."""
    head = text.partition("```")[0]
    found = re.search(r"^[\s*_#>]*role[*_]*\s*:[\s*_]*(.+)$", head, re.IGNORECASE | re.MULTILINE)
    return " ".join(found[1].split()).strip(" *_")[:80] if found else ""


def _object(text: str, finish: str, shape: str) -> Mapping[str, Any]:
    """The last JSON object of a reply, fenced or bare."""
    said = answer(text, finish)
    fenced = re.findall(r"```(?:json)?\s*\n(.*?)\n\s*```", said, re.DOTALL)
    for source in (*reversed(fenced), said[said.find("{") : said.rfind("}") + 1]):
        try:
            data = json.loads(source)
        except (ValueError, RecursionError):
            continue
        if isinstance(data, dict):
            return data
    raise ReplyError(f"Your reply holds no JSON object that can be read. Send one json block: {shape}.")


def _rows(data: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    rows = data.get(name)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _word(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    return " ".join(value.split())[:_WORDS] if isinstance(value, str) else ""


def _number(row: Mapping[str, Any]) -> int:
    value = row.get("agent")
    digits = re.search(r"\d+", str(value))
    return int(digits[0][:6]) if digits else 0
