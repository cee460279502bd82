"""JSON of the engine's values (cattrs): camelCase names, unions tagged by their class.

One converter serves the ledger, the engine process's lines and the notifications' parameters.
"""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, TypeVar

import cattrs
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override
from cattrs.strategies import configure_tagged_union

from soa_agents.swarm.actions import Action
from soa_agents.swarm.events import Event
from soa_agents.swarm.job import AgentUpdate, JobResult, JobUpdate, StartJob

T = TypeVar("T")


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)


@cache
def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(omit_if_default=False)

    def names(cls: type) -> dict[str, Any]:
        return {f.name: override(rename=_camel(f.name)) for f in fields(cls)}

    converter.register_unstructure_hook_factory(
        is_dataclass, lambda cls: make_dict_unstructure_fn(cls, converter, **names(cls))
    )
    converter.register_structure_hook_factory(
        is_dataclass, lambda cls: make_dict_structure_fn(cls, converter, **names(cls))
    )
    configure_tagged_union(Action, converter, tag_name="type")
    configure_tagged_union(Event, converter, tag_name="type")
    return converter


def to_json(value: Any, as_type: Any = None) -> Any:
    """Plain JSON data of a value; `as_type` names the union it is a member of, so that it carries its tag."""
    return _converter().unstructure(value, unstructure_as=as_type)


def from_json(data: Any, as_type: type[T]) -> T:
    """The value of that type; raises `cattrs.BaseValidationError` for data of another shape."""
    return _converter().structure(data, as_type)


def event_line(event: Event) -> str:
    """One event as a line of JSON in ASCII: a reply may hold half a surrogate pair, which UTF-8 cannot."""
    return json.dumps(to_json(event, Event), separators=(",", ":"))


def event_of(line: str) -> Event:
    """The event of a line."""
    return _converter().structure(json.loads(line), Event)  # type: ignore[arg-type]  # a union type


def params(update: JobUpdate | AgentUpdate) -> dict[str, Any]:
    """`soa/job` or `soa/agent` parameters: members that say nothing are left out, as optional members are."""
    return {k: v for k, v in _lean(to_json(update)).items() if v not in (None, "", []) or k == "state"}


def _lean(data: Any) -> Any:
    if isinstance(data, dict):
        return {k: _lean(v) for k, v in data.items() if v is not None}
    return data


def start_job(data: Any) -> StartJob:
    """A `StartJob` from its JSON."""
    return from_json(data, StartJob)


def job_result(data: Any) -> JobResult:
    """A `JobResult` from its JSON."""
    return from_json(data, JobResult)
