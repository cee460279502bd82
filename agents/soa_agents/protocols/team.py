"""Several agents for one function: turns in a fixed order, each version tried, what is told of it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from soa_agents.protocols import trial
from soa_agents.swarm import judge
from soa_agents.swarm.actions import Action, Ask, Stop, Verify
from soa_agents.swarm.state import State
from soa_agents.workspace.functions import dedented, functions
from soa_agents.workspace.ids import FunctionId

SIZE = 4  # agents for one function, where nobody says how many


@dataclass(frozen=True, slots=True)
class Version:
    """What one of them wrote, as whom, and the key of its trial."""

    agent: str
    role: str
    trial: str


Told = Callable[[str, tuple[Version, ...]], str]


def members(state: State, size: int) -> tuple[str, ...]:
    """The agents of the root's team, as many as the job allows."""
    return tuple(f"{state.root}#{number}" for number in range(1, min(size, state.job.limits.agents) + 1))


def turns(
    state: State, laps: Iterable[Sequence[str]], told: Told, roles: Mapping[str, str] | None = None
) -> tuple[Action, ...] | Stop:
    """Agents write lap by lap, those of one lap at the same time; `told` is what each hears before, `roles`
    are those that they have already.

    The versions of a lap are tried in the order of their agents; the first that is accepted ends it all.
    """
    now = trial.next_round(state, patient=True)
    if not isinstance(now, trial.Round):
        return now
    before: tuple[Version, ...] = ()
    for number, lap in enumerate(laps):
        asks = [
            replace(_ask(state, agent, number, before, told), role=(roles or {}).get(agent, ""))
            for agent in lap
        ]
        wanted, before = _lap(state, asks, before)
        if wanted:
            return wanted
    return trial.give_up(state, "" if before else "Every agent abstained.")


def _lap(
    state: State, asks: Sequence[Ask], before: tuple[Version, ...]
) -> tuple[tuple[Action, ...], tuple[Version, ...]]:
    """What is still to do of a lap, and the versions tried by its end."""
    waiting: tuple[Action, ...] = tuple(ask for ask in asks if not state.finished(ask.key))
    for ask in asks:
        done = state.finished(ask.key)
        if done is None:
            break
        if done.failed:
            continue
        key = judge.trial_key(state.root, len(before))
        if not state.finished(key):
            return (*waiting, trial.trial(state, len(before), ask.agent)), before
        before = (*before, Version(ask.agent, done.text, key))
    return waiting, before


def _ask(state: State, agent: str, lap: int, before: tuple[Version, ...], told: Told) -> Ask:
    ask = Ask(f"{agent}:t{lap}:code", agent, "code", state.root)
    if state.finished(ask.key):
        return ask  # what she was told does not matter any more, and takes a look at all before her
    best = best_of(state, before)
    return replace(ask, about=best.trial if best else "", note=told(agent, before))


def best_of(state: State, versions: Sequence[Version]) -> Version | None:
    """The version that came furthest, the earliest of equal ones."""
    reports = ((state.report(each.trial), each) for each in versions)
    scored = [(judge.score(state, report), each) for report, each in reports if report is not None]
    return max(scored, key=lambda pair: pair[0])[1] if scored else None


def standing(state: State, versions: Sequence[Version]) -> str:
    """Who did what by now, and the code that came furthest."""
    if not versions:
        return "Nobody has written anything yet."
    best = best_of(state, versions)
    lines = [_line(state, number, each) for number, each in enumerate(versions, 1)]
    code = _code(state, best) if best else ""
    shown = f"\n\nThe best so far, by number {versions.index(best) + 1}:\n\n{code}" if best and code else ""
    return "What the others have done, in their order:\n\n" + "\n".join(lines) + shown


def _line(state: State, number: int, version: Version) -> str:
    report = state.report(version.trial)
    counted = judge.counted(state, report) if report else ()
    return f"{number}. {version.role or 'author'}: {judge.in_words(counted)}"


def _code(state: State, version: Version) -> str:
    """The function as that version has it, and the helpers that came with it."""
    run = state.keys[version.trial].action
    path = FunctionId.parse(state.root).path
    text = dict(run.candidate).get(path, "") if isinstance(run, Verify) else ""
    known = {each.id for each in functions(path, state.texts.get(path, ""))}
    found = [each for each in functions(path, text) if each.id not in known or str(each.id) == state.root]
    return "\n\n\n".join(dedented(text, each) for each in found)
