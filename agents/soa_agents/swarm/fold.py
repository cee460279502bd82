"""From one state and one event to the next state. Pure: replaying a ledger gives the same state again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

from soa_agents.errors import CallFailed, HelpersWrong, ReplyError
from soa_agents.models.port import Usage
from soa_agents.swarm import candidate, judge
from soa_agents.swarm.actions import Ask, Stop, Verify
from soa_agents.swarm.budget import prompt_tokens
from soa_agents.swarm.code import Written
from soa_agents.swarm.cycles import afresh
from soa_agents.swarm.events import (
    ActionFailed,
    ActionStarted,
    Applied,
    BaselineMeasured,
    CallLost,
    Event,
    JobEnded,
    JobRequested,
    JobResumed,
    JobStarted,
    LimitReached,
    PromptRefused,
    Replied,
    Verified,
)
from soa_agents.swarm.family import adopt, expectation, source_of, with_members
from soa_agents.swarm.replies import choices
from soa_agents.swarm.replies import reply as replies
from soa_agents.swarm.state import Attempt, Candidate, Node, Progress, State
from soa_agents.verify.report import Report
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.outline import docstring_place

FORMAT_TRIES = 3  # how many replies of one key may break the format before the key fails
LENGTH_TRIES = 4  # how many prompts of one key may be too long, each shorter than the one before
STALE_TRIES = 2  # how many replies of one key may meet a specification that changed meanwhile


def replay(events: Iterable[Event]) -> State:
    """The state after these events; raises `ValueError` when the job had not started by then."""
    last = deque(retold(events), maxlen=1)
    if not last:
        raise ValueError("there is no state before the job has started")
    return last[0][1]


def retold(events: Iterable[Event]) -> Iterator[tuple[Event, State]]:
    """Each event with the state it led to, from `JobStarted` on."""
    state: State | None = None
    for event in events:
        if isinstance(event, JobStarted):
            state = begin(event)
        elif state is not None:
            state = fold(state, event)
        if state is not None:
            yield event, state


def without_lost_starts(events: Iterable[Event]) -> tuple[Event, ...]:
    """The events without starts that no end followed: what was in flight when the log broke off."""
    kept, ended = list[Event](), set[str]()
    for event in reversed(tuple(events)):
        if isinstance(event, Replied | Verified | ActionFailed | CallLost | PromptRefused):
            ended.add(event.key)
        elif isinstance(event, ActionStarted):
            if event.key not in ended:
                continue
            ended.discard(event.key)
        kept.append(event)
    return tuple(reversed(kept))


def begin(job: JobStarted) -> State:
    """The state of a job that has just started: one agent a target, nothing written."""
    nodes = {}
    for target in job.targets:
        function = FunctionId.parse(target.function)
        spec = source_of(job.texts, function)
        nodes[target.function] = Node(agent=target.function, function=function, spec=spec)
    root = job.targets[0].function if job.targets else ""
    return _marked(State(job=job, nodes=nodes, texts=job.texts, root=root, clock=job.time), job)


def fold(state: State, event: Event) -> State:
    """The state after one more event."""
    return _marked(_folded(_timed(state, event), event), event)


def _marked(state: State, event: Event) -> State:
    """The state with a new mark on the target that the event is about, or on all."""
    roots, key = [target.function for target in state.job.targets], getattr(event, "key", "")
    if key in state.keys and (action := state.keys[key].action).agent in state.nodes:
        judged = isinstance(action, Ask) and action.step == "judge"
        roots = roots if judged else [state.root_of(action.agent)]
    return replace(state, marks={**state.marks, **dict.fromkeys(roots, object())})


def _folded(state: State, event: Event) -> State:
    match event:
        case JobStarted():
            return begin(event)
        case BaselineMeasured():
            return replace(state, baseline=event.report)
        case ActionStarted():
            return _started(state, event)
        case Replied():
            return _replied(state, event)
        case Verified():
            return _verified(state, event)
        case ActionFailed():
            return _close(_billed(state, event.key, event.usage), event.key, failed=event.message)
        case CallLost():
            known = state.keys[event.key]
            lost = replace(known, lost=known.lost + 1)
            return _put(_billed(state, event.key, event.usage), event.key, lost)
        case PromptRefused():
            return _too_long(state, event)
        case LimitReached():
            return replace(state, limit=event.reason)
        case JobEnded():
            return replace(state, ended=Stop(event.update.verdict or "failed", event.update.message))
        case JobRequested() | JobResumed() | Applied():
            return state


def _timed(state: State, event: Event) -> State:
    """Time passes from event to event; that before a resumption is none of the job's."""
    now = 0.0 if isinstance(event, BaselineMeasured | JobEnded | Applied) else event.time
    if not now:
        return state
    counts = state.clock and not isinstance(event, JobResumed)
    passed = max(0.0, now - state.clock) if counts else 0.0
    return replace(state, seconds=state.seconds + passed, clock=now)


def _started(state: State, event: ActionStarted) -> State:
    if isinstance(event.action, Ask):
        state = with_members(state, (event.action,))
    known = state.keys.get(event.key) or Progress(event.action)
    foreseen = prompt_tokens(event.messages)
    return _put(
        state,
        event.key,
        replace(known, action=event.action, revision=event.revision, foreseen=foreseen),
    )


def _billed(state: State, key: str, usage: Usage) -> State:
    """What a call has used, whatever came of it."""
    if not usage.calls:
        return state
    agent, counted = state.keys[key].action.agent, bool(usage.input_tokens)
    return replace(
        state,
        spent=state.spent + usage,
        spent_by={**state.spent_by, agent: state.spent_by.get(agent, Usage()) + usage},
        foreseen=state.foreseen + (state.keys[key].foreseen if counted else 0),
        longest=max(state.longest, usage.output_tokens),
    )


def _replied(state: State, event: Replied) -> State:
    state = _billed(state, event.key, event.usage)
    progress = state.keys[event.key]
    ask = progress.action
    assert isinstance(ask, Ask)  # noqa: S101 - only asks are replied to
    node = state.nodes[ask.agent]
    if ask.step in ("skeleton", "code", "modify") and node.brief != progress.revision:
        return _too_late(state, event.key, progress)
    try:
        return _taken(state, ask, node, event)
    except ReplyError as complaint:
        return _malformed(state, event, progress, complaint)
    except CallFailed as error:
        return _close(state, event.key, failed=str(error))


def _taken(state: State, ask: Ask, node: Node, event: Replied) -> State:
    match ask.step:
        case "skeleton" | "code" | "modify":
            written = replies.read_code(event.text, event.finish, expectation(state, node, ask))
            if written.abstained:
                return _close(state, ask.key, failed=f"{node.agent} abstained: {written.abstained}")
            if node.is_member:
                node = replace(node, role=choices.role(event.text) or node.role)
            return _close(adopt(state, node, written), ask.key, text=node.role)
        case "plan" | "intent" | "judge":
            return _decided(state, ask, event)
        case "tests":
            module = state.job.modules.get(node.function.path, "")
            tests = replies.read_tests(event.text, event.finish, node.function, module)
            return _close(state, ask.key, text=tests)
        case "stubs":
            nodes = {**state.nodes, node.agent: replace(node, written=_stubs(state, node, event), revision=1)}
            return _close(replace(state, nodes=nodes), ask.key)
        case _:
            return _close(state, ask.key, text=replies.read_prose(event.text, event.finish))


def _decided(state: State, ask: Ask, event: Replied) -> State:
    match ask.step:
        case "plan":
            choices.plan(event.text, event.finish)
        case "intent":
            node = state.nodes[ask.agent]
            node = replace(node, role=choices.intent(event.text, event.finish).role)
            state = replace(state, nodes={**state.nodes, ask.agent: node})
        case _:
            if choices.goes_on(event.text, event.finish):
                state = afresh(state)
    return _close(state, ask.key, text=event.text)


def _stubs(state: State, node: Node, event: Replied) -> Written:
    text = state.texts[node.function.path]
    place = docstring_place(node.function.path, text, node.function.qualname)
    owner = node.function.qualname if place and place.kind == "class" else None
    stubs = replies.read_stubs(event.text, event.finish, text, owner)
    return Written("", helpers=stubs.definitions, imports=stubs.imports)


def _malformed(state: State, event: Replied, progress: Progress, error: ReplyError) -> State:
    complaint = str(error)
    attempt = Attempt(event.text, complaint, isinstance(error, HelpersWrong))
    attempts = (*progress.attempts, attempt)
    state = _put(state, event.key, replace(progress, attempts=attempts))
    if len(attempts) < FORMAT_TRIES:
        return state
    # What the model is to send instead is not for the person.
    problem = " ".join(complaint.partition(" Send ")[0].split()).rstrip(".")
    failed = f'The model\'s replies were not usable; to the last it was told "{problem}". Try another model.'
    return _close(state, event.key, failed=failed)


def _too_long(state: State, event: PromptRefused) -> State:
    """The next prompts take what the server names, or else two thirds of what was refused."""
    progress = state.keys[event.key]
    limit = min(event.limit, event.tokens) or event.tokens * 2 // 3
    refused = progress.refused + 1
    state = _put(replace(state, room=limit), event.key, replace(progress, refused=refused))
    return _close(state, event.key, failed=event.message) if refused == LENGTH_TRIES else state


def _too_late(state: State, key: str, progress: Progress) -> State:
    stale = progress.stale + 1
    state = _put(state, key, replace(progress, stale=stale))
    if stale < STALE_TRIES:
        return state
    return _close(state, key, failed="The task changed while it was being written.")


def _verified(state: State, event: Verified) -> State:
    progress = state.keys[event.key]
    verify = progress.action
    assert isinstance(verify, Verify)  # noqa: S101 - only test runs are verified
    state = _put(state, event.key, replace(progress, done=True, report=event.report))
    key = event.key
    if verify.purpose == "again":
        key, state = _run_again(state, event)
        verify = state.keys[key].action
        assert isinstance(verify, Verify)  # noqa: S101 - as above
    report = state.report(key)
    if verify.roots:
        return _prove_together(state, key.removesuffix(judge.before_key("")))
    if report is None or verify.agent not in state.nodes:
        return state
    if verify.purpose == "candidate":
        return _keep_best(state, state.scope(verify.agent), report, verify.author or verify.agent)
    if verify.purpose == "final":
        return _prove_best(state, verify.agent, key.removesuffix(judge.before_key("")))
    return state


def _run_again(state: State, event: Verified) -> tuple[str, State]:
    """What was red once is green now or stays red: the first run's report says so from here on."""
    key = judge.run_of(event.key)
    first = state.keys[key]
    assert first.report is not None  # noqa: S101 - it is what was run again
    return key, _put(state, key, replace(first, report=judge.settled(first.report, event.report)))


def _prove_best(state: State, root: str, final: str) -> State:
    """The best candidate, once everything affected was run: proven, or refuted by what it breaks."""
    whole = state.report(final)
    unknown, broken = judge.newly_red(state, final)
    if unknown or whole is None:
        return state
    best = state.best[root]
    confirmed = judge.confirms(state.scope(root), best.report, whole)
    good = not judge.spoilt(whole) and not broken and confirmed
    settled = replace(
        best, proven=good and best.verdict == "passed", verdict=best.verdict if good else "failed"
    )
    return replace(state, best={**state.best, root: settled})


def _prove_together(state: State, key: str) -> State:
    """The best candidates of several targets, once all they may break was run with all of them in place."""
    run = state.keys[key].action
    assert isinstance(run, Verify)  # noqa: S101 - the key of a run
    unknown, _ = judge.newly_red(state, key)
    if unknown or judge.blamed(state, run):
        return state
    proven = {root: replace(state.best[root], proven=True) for root in run.roots}
    return replace(state, best={**state.best, **proven})


def _keep_best(state: State, scope: State, report: Report, author: str) -> State:
    verdict = judge.verdict(scope, report)
    new = Candidate(
        root=scope.root,
        pieces=candidate.pieces(state, author),
        report=report,
        verdict=verdict,
        score=judge.score(scope, report),
        proven=verdict == "passed" and not judge.owes_final(scope, report),
    )
    best = state.best.get(scope.root)
    better = best is None or (new.verdict == "passed", new.score) > (best.verdict == "passed", best.score)
    return replace(state, best={**state.best, scope.root: new}) if better else state


def _close(state: State, key: str, failed: str = "", text: str = "") -> State:
    progress = state.keys[key]
    return _put(state, key, replace(progress, done=True, failed=failed, text=text))


def _put(state: State, key: str, progress: Progress) -> State:
    return replace(state, keys={**state.keys, key: progress})
