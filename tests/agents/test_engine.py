"""The loop: what is started, what is cancelled, what is paid for, and how it always ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from agents.playground import PATH, Expressions, Plain, started
from hypothesis import given, settings
from hypothesis import strategies as st
from soa_agents.errors import CallFailed, ModelUnreachable
from soa_agents.models.metered import one_call
from soa_agents.models.port import Message, Prompt, Reply, Usage
from soa_agents.settings import Limits, Price
from soa_agents.swarm import budget
from soa_agents.swarm.actions import Action, Ask, Stop, Verify
from soa_agents.swarm.engine import Engine, Ports
from soa_agents.swarm.events import ActionFailed, ActionStarted, Event, JobResumed, Replied
from soa_agents.swarm.fold import begin, fold, replay
from soa_agents.swarm.state import State
from soa_agents.verify.report import Selection

ROOT = f"{PATH}::f"
TEXT = "def f():\n    ...\n"


def ask(key: str) -> Ask:
    return Ask(key, ROOT, "feedback", ROOT)  # feedback is prose, so any reply will do


@dataclass
class Wanting:
    """A protocol that is whatever function the test gives it."""

    ready: Callable[[State], tuple[Action, ...] | Stop]
    name = "wanting"


@dataclass
class Gated:
    """A model whose every call waits until the test lets it go."""

    gates: dict[str, asyncio.Future[str]] = field(default_factory=dict)
    open: set[str] = field(default_factory=set)
    most: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    keys: list[str] = field(default_factory=list)

    async def ask(self, prompt: Prompt) -> Reply:
        key = prompt.messages[-1].content
        gate = self.gates.setdefault(key, asyncio.get_running_loop().create_future())
        self.open.add(key)
        self.keys.append(key)
        self.most = max(self.most, len(self.open))
        self.asked.set()
        try:
            text = await gate
        finally:
            self.open.discard(key)
        if text == "failed":
            raise CallFailed("This call was lost.")
        if text == "nobody":
            raise ModelUnreachable("Nobody answers. Start the server.")
        return Reply(text, usage=Usage(1, 10, 0, 5))

    def let(self, key: str, text: str = "Well.") -> None:
        gate = self.gates.setdefault(key, asyncio.get_running_loop().create_future())
        gate.set_result(text)


class ByKey(Plain):
    """Prompts that say their key."""

    def prompt(self, state: State, ask: Ask) -> Prompt:
        plain = super().prompt(state, ask)
        return replace(plain, messages=(replace(plain.messages[-1], content=ask.key),))


def engine(
    ready: Callable[[State], tuple[Action, ...] | Stop],
    model: Gated,
    events: list[Event],
    limits: Limits | None = None,
    price: Price | None = None,
) -> Engine:
    job = started(TEXT, {}, ("f",), limits or Limits(), {})
    ports = Ports(
        model, Expressions(PATH, TEXT, {}), ByKey(), events.append, lambda state, event: None, price
    )
    return Engine(Wanting(ready), ports, begin(job))


def all_of(*keys: str) -> Callable[[State], tuple[Action, ...] | Stop]:
    def ready(state: State) -> tuple[Action, ...] | Stop:
        return tuple(ask(k) for k in keys if not state.finished(k)) or Stop("failed", "all done")

    return ready


async def until(model: Gated, count: int) -> None:
    """Wait until that many calls are open."""
    while len(model.open) < count:
        model.asked.clear()
        await asyncio.wait_for(model.asked.wait(), 5)


async def test_a_slow_call_holds_up_only_what_depends_on_it() -> None:
    """`b2` needs `b1` alone, so it starts while `a` is still out."""
    model, events = Gated(), []

    def ready(state: State) -> tuple[Action, ...] | Stop:
        wanted = [k for k in ("a", "b1") if not state.finished(k)]
        if state.finished("b1") and not state.finished("b2"):
            wanted.append("b2")
        return tuple(map(ask, wanted)) or Stop("failed")

    work = asyncio.ensure_future(engine(ready, model, events).run())
    await until(model, 2)
    model.let("b1")
    while "b2" not in model.open:
        model.asked.clear()
        await model.asked.wait()
    assert model.open == {"a", "b2"}
    model.let("b2")
    model.let("a")
    assert (await work).verdict == "failed"


async def test_what_is_no_longer_named_is_cancelled() -> None:
    """Once `a` has ended the protocol stops naming `b`, whose call is closed."""
    model, events = Gated(), []

    def ready(state: State) -> tuple[Action, ...] | Stop:
        return Stop("failed", "enough") if state.finished("a") else (ask("a"), ask("b"))

    work = asyncio.ensure_future(engine(ready, model, events).run())
    await until(model, 2)
    model.let("a")
    assert await work == Stop("failed", "enough")
    assert model.open == set()


async def test_at_most_so_many_calls_at_once_and_in_the_order_named() -> None:
    model, events = Gated(), []
    work = asyncio.ensure_future(engine(all_of(*"abcde"), model, events, Limits(parallel=2)).run())
    for key in "abcde":
        while key not in model.open:
            model.asked.clear()
            await model.asked.wait()
        model.let(key)
    await work
    assert (model.keys, model.most) == (list("abcde"), 2)


LIMITS = {
    "calls": (Limits(calls=2), None, "soa.limits.calls"),
    "tokens": (Limits(tokens=2_029), None, "soa.limits.tokens"),
    "money": (Limits(cost_usd=0.0), Price(1.0, 1.0), "soa.limits.costUsd"),
}


@pytest.mark.parametrize(("limits", "price", "names"), LIMITS.values(), ids=LIMITS.keys())
async def test_a_limit_is_checked_before_the_spending(
    limits: Limits, price: Price | None, names: str
) -> None:
    """Reservations count: four calls are wanted at once, never more are under way than may be paid."""
    model, events = Gated(), []
    for key in "abcd":
        model.let(key)
    stop = await engine(all_of(*"abcd"), model, events, limits, price).run()
    assert names in stop.reason
    assert sum(isinstance(e, Replied) for e in events) <= 2
    assert sum(isinstance(e, ActionStarted) for e in events) <= 2


@dataclass
class Spending:
    """A model that replies after a few turns of the loop, with the usage that the test draws."""

    usages: list[tuple[int, int, int]]  # turns, input and output tokens
    price: Price | None
    open: int = 0
    most: int = 0

    async def ask(self, prompt: Prompt) -> Reply:
        turns, read, written = self.usages.pop()
        self.open += 1
        self.most = max(self.most, self.open)
        for _ in range(turns):
            await asyncio.sleep(0)
        self.open -= 1
        return Reply("Well.", usage=one_call(read, written, 0, self.price))


CALLS = 24


@settings(max_examples=150, deadline=None)
@given(
    limits=st.builds(
        Limits,
        calls=st.integers(0, 30),
        tokens=st.integers(0, 60_000),
        cost_usd=st.none() | st.floats(0, 0.2),
        parallel=st.integers(1, 8),
    ),
    usages=st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 9_000), st.integers(0, 9_000)),
        min_size=CALLS,
        max_size=CALLS,
    ),
    roots=st.integers(1, 4),
)
async def test_no_call_begins_that_a_limit_has_no_room_for(
    limits: Limits, usages: list[tuple[int, int, int]], roots: int
) -> None:
    """Whatever replies take: with what is in flight at its estimate, nothing begins beyond a limit."""
    price = Price(1.0, 4.0)
    names = "fghi"[:roots]
    text = "".join(f"def {name}():\n    ...\n\n\n" for name in names)
    keys = [(f"{n}", f"{PATH}::{names[n % roots]}") for n in range(CALLS)]
    state = begin(started(text, {}, tuple(names), limits, {}))
    flying: dict[str, budget.Reserved] = {}

    def ready(now: State) -> tuple[Action, ...] | Stop:
        left = (Ask(key, root, "feedback", root) for key, root in keys if not now.finished(key))
        return tuple(left) or Stop("failed", "all done")

    def record(event: Event) -> None:
        if isinstance(event, ActionStarted):
            flying[event.key] = budget.estimate(engine.state, event.messages, price)
            total = sum(flying.values(), budget.Reserved())
            assert budget.over(limits, engine.state.spent, total) == ""
        elif isinstance(event, Replied):
            del flying[event.key]

    model = Spending(list(usages), price)
    runner = Expressions(PATH, text, {})
    engine = Engine(
        Wanting(ready), Ports(model, runner, ByKey(), record, lambda state, event: None, price), state
    )
    stop = await engine.run()
    assert model.most <= limits.parallel
    assert engine.state.spent.calls <= limits.calls
    assert "soa.limits." in stop.reason or engine.state.spent.calls == CALLS


async def test_a_target_that_asks_for_much_leaves_the_others_their_share() -> None:
    """`f` wants twenty calls at once, `g` one after the other; of ten calls each gets five."""
    text = "def f():\n    ...\n\n\ndef g():\n    ...\n"
    f, g = (f"{PATH}::{name}" for name in "fg")

    def ready(state: State) -> tuple[Action, ...] | Stop:
        many = [Ask(f"f{n}", f, "feedback", f) for n in range(20) if not state.finished(f"f{n}")]
        slow = [Ask(f"g{n}", g, "feedback", g) for n in range(9) if not state.finished(f"g{n}")]
        return (*many, *slow[:1])

    state = begin(started(text, {}, ("f", "g"), Limits(calls=10), {}))
    ports = Ports(
        Spending([(0, 9, 9)] * 10, None),
        Expressions(PATH, text, {}),
        ByKey(),
        lambda event: None,
        lambda state, event: None,
    )
    made = Engine(Wanting(ready), ports, state)
    assert "soa.limits.calls" in (await made.run()).reason
    assert {agent: usage.calls for agent, usage in made.state.spent_by.items()} == {f: 5, g: 5}


async def test_estimates_learn_from_what_the_model_counts() -> None:
    """A prompt that counts twice as much as it was taken for doubles the next one's; a long reply too."""
    state = begin(started(TEXT, {}, ("f",), Limits(), {}))
    said = (Message("user", "word " * 300),)
    assert budget.estimate(state, said, None).tokens == 500 + budget.REPLY_TOKENS
    state = fold(state, ActionStarted("a", ask("a"), 1, 0, said))
    state = fold(state, Replied("a", "Well.", "stop", Usage(1, 1000, 0, 5000), "m"))
    assert budget.estimate(state, said, None).tokens == 1000 + 5000


async def test_a_lost_call_is_an_event_that_the_protocol_sees() -> None:
    model, events = Gated(), []
    model.let("a", "failed")

    def ready(state: State) -> tuple[Action, ...] | Stop:
        done = state.finished("a")
        return Stop("failed", done.failed) if done else (ask("a"),)

    assert (await engine(ready, model, events).run()).reason == "This call was lost."
    assert [type(e) for e in events] == [ActionStarted, ActionFailed]


async def test_when_nobody_answers_the_other_replies_are_kept() -> None:
    """`a` and `b` end at the same moment; the reply to `b` was paid and is in the log."""
    model, events = Gated(), []
    model.let("a", "nobody")
    model.let("b")
    with pytest.raises(ModelUnreachable):
        await engine(all_of("a", "b"), model, events).run()
    assert [e.key for e in events if isinstance(e, Replied)] == ["b"]


async def test_cancelling_leaves_nothing_in_flight() -> None:
    model, events = Gated(), []
    work = asyncio.ensure_future(engine(all_of("a", "b"), model, events).run())
    await until(model, 2)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert model.open == set()


async def test_out_of_time() -> None:
    model, events = Gated(), []
    stop = await engine(all_of("a"), model, events, Limits(seconds=0.05)).run()
    assert "soa.limits.seconds" in stop.reason
    assert model.open == set()


async def test_the_time_before_an_interruption_counts() -> None:
    """Two spells of work of 40 and 30 seconds, nights between them: with 70 seconds there is none left."""
    events: list[Event] = [
        replace(started(TEXT, {}, ("f",), Limits(seconds=70.0), {}), time=1_000.0),
        ActionStarted("a", ask("a"), 1, 0, time=1_010.0),
        Replied("a", "Well.", "stop", Usage(), "m", 1_040.0),
        JobResumed(50_000.0),
        ActionStarted("b", ask("b"), 1, 0, time=50_000.0),
        ActionFailed("b", "Lost.", 50_030.0),
        JobResumed(90_000.0),
    ]
    late = replay(events)
    assert late.seconds == 70.0
    model = Gated()
    ports = Ports(model, Expressions(PATH, TEXT, {}), ByKey(), lambda e: None, lambda state, event: None)
    stop = await Engine(Wanting(all_of("c")), ports, late).run()
    assert "soa.limits.seconds" in stop.reason and model.open == set()


async def test_nothing_wanted_and_nothing_running_ends_it() -> None:
    stop = await engine(lambda state: (), Gated(), []).run()
    assert stop.verdict == "failed"
    assert stop.reason


async def test_the_same_run_is_not_made_twice() -> None:
    """Two keys, one candidate and one selection: the second takes the first one's report."""
    model, events = Gated(), []
    runs = [Verify(f"v{n}", ((PATH, TEXT),), Selection(("t",)), "advice") for n in (1, 2)]

    def ready(state: State) -> tuple[Action, ...] | Stop:
        return tuple(r for r in runs if not state.finished(r.key))[:1] or Stop("failed")

    job = started(TEXT, {}, ("f",), Limits(), {})
    runner = Expressions(PATH, TEXT, {"t": "f() is None"})
    ports = Ports(model, runner, ByKey(), events.append, lambda state, event: None)
    made = Engine(Wanting(ready), ports, begin(job))
    await made.run()
    assert runner.runs == 1
    assert made.state.report("v1") == made.state.report("v2")
