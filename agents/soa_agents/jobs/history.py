"""A job of the past, told from its events: how its agents ended, and what each of them changed when. Pure."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from soa_agents.jobs.narrate import Narrator, Note
from soa_agents.protocols import TEAMS
from soa_agents.swarm.actions import Ask
from soa_agents.swarm.code import Written
from soa_agents.swarm.events import Event, JobEnded, JobRequested, JobStarted, Replied
from soa_agents.swarm.fold import retold
from soa_agents.swarm.job import AgentUpdate, JobUpdate
from soa_agents.swarm.ledger import Ledger
from soa_agents.swarm.replies import choices
from soa_agents.swarm.state import Node

_JOBS, _ROLES = 20, 20  # how far back roles are looked for, and how many are told


@dataclass(frozen=True, slots=True)
class Revision:
    """What one reply changed in an agent's code. `round` is 0 before any repair; `diff` is a unified diff."""

    agent: str
    function: str
    step: str
    round: int
    diff: str


@dataclass(frozen=True, slots=True)
class Story:
    """A whole job: every update of its agents in order, their revisions, and the diff of the result."""

    updates: tuple[AgentUpdate, ...]
    revisions: tuple[Revision, ...]
    diff: str


def story(events: Sequence[Event]) -> Story:
    """What happened in a job, in the order it happened."""
    updates: list[AgentUpdate] = []

    def listen(update: JobUpdate | AgentUpdate | Note) -> None:
        if isinstance(update, AgentUpdate):
            updates.append(update)

    asked = next((event.start for event in events if isinstance(event, JobRequested)), None)
    if asked is not None:
        narrator = Narrator(listen, asked.job_id, asked.kind, next(iter(asked.targets), ""))
        for event, state in retold(events):
            narrator.heard(state, event)
    return Story(tuple(updates), tuple(_revisions(events)), _result(events))


def roles(ledger: Ledger) -> tuple[str, ...]:
    """The roles that members of teams took in the last jobs of a ledger, the most frequent first."""
    jobs = [entry.id for entry in ledger.entries() if entry.protocol.partition(":")[0] in TEAMS][:_JOBS]
    replies = (event.text for job in jobs for event in ledger.events(job) if isinstance(event, Replied))
    taken = Counter(role for text in replies if (role := choices.role(text)))
    return tuple(role for role, _ in taken.most_common(_ROLES))


def _revisions(events: Sequence[Event]) -> Iterator[Revision]:
    known: dict[str, int] = {}
    for event, state in retold(events):
        if not isinstance(event, Replied):
            continue
        ask = state.keys[event.key].action
        node = state.nodes[ask.agent]
        if isinstance(ask, Ask) and node.written and node.revision != known.get(node.agent, 0):
            known[node.agent] = node.revision
            number = ask.key.rpartition(":r")[2].partition(":")[0]
            made = int(number) if number.isdigit() else 0
            yield Revision(node.agent, str(node.function), ask.step, made, _diff(node, node.written))


def _diff(node: Node, written: Written) -> str:
    before = _text(node.before) if node.before else f"{node.spec}\n"
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), _text(written).splitlines(keepends=True), n=2
    )
    return "".join(list(lines)[2:])


def _text(written: Written) -> str:
    helpers = (helper.source for helper in written.helpers)
    blocks = ["\n".join(written.imports), *written.statements, written.source, *helpers]
    return "\n\n\n".join(block.rstrip() for block in blocks if block) + "\n"


def _result(events: Sequence[Event]) -> str:
    ended = [event for event in events if isinstance(event, JobEnded)]
    started = [event for event in events if isinstance(event, JobStarted)]
    return ended[-1].patch.unified(started[-1].texts) if ended and started else ""
