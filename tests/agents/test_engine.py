"""The loop: what is started, what is cancelled, what is paid for, and how it always ends."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from unittest import mock

import pytest
from agents.playground import PATH, Expressions, Plain, started
from hypothesis import given, settings
from hypothesis import strategies as st
from soa_agents.errors import CallFailed, ModelUnreachable
from soa_agents.models.metered import one_call
from soa_agents.models.port import CallDropped, Message, Prompt, Reply, ReplyLost, Usage
from soa_agents.settings import Limits, Price
from soa_agents.swarm import budget
from soa_agents.swarm import engine as engine_module
from soa_agents.swarm.actions import Action, Ask, Stop, Verify
from soa_agents.swarm.engine import Engine, Ports
from soa_agents.swarm.events import ActionFailed, ActionStarted, CallLost, Event, JobResumed, Replied
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


@dataclass(frozen=True)
class Turn:
    """What one call takes: turns of the loop, tokens for each that its prompt is estimated at, and tokens
    that it would reply if nothing bounded it; whether the reply breaks off.
    """

    turns: int = 0
    ratio: float = 1.0
    written: int = 9
    breaks_off: bool = False


@dataclass
class Spending:
    """A model that takes what the test draws, and no more for its reply than it has room for."""

    taken: Iterator[Turn]
    price: Price | None = None
    open: int = 0
    most: int = 0

    async def ask(self, prompt: Prompt) -> Reply:
        turn = next(self.taken)
        read = math.floor(budget.prompt_tokens(prompt.messages) * turn.ratio)
        assert prompt.room is not None
        usage = one_call(read, min(turn.written, prompt.room), 0, self.price)
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            for _ in range(turn.turns):
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            raise CallDropped(usage) from None
        finally:
            self.open -= 1
        if turn.breaks_off:
            raise ReplyLost("It broke off.", usage)
        return Reply("Well.", usage=usage)


class OfSize(Plain):
    """Prompts as long as their keys say."""

    def prompt(self, state: State, ask: Ask) -> Prompt:
        plain = super().prompt(state, ask)
        return replace(plain, messages=(Message("user", "word " * int(ask.key.partition(":")[2])),))


TURNS = st.lists(
    st.builds(
        Turn,
        st.integers(0, 5),
        st.sampled_from((1.0, 0.7)),
        st.sampled_from((60_000, 5_000, 9)),
        st.sampled_from((False, False, True)),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
async def test_no_limit_is_ever_passed(data: st.DataObject) -> None:
    """Whatever replies take, break off or are no longer wanted: what is spent stays within every limit."""
    limits = data.draw(
        st.builds(
            Limits,
            calls=st.integers(0, 40),
            tokens=st.integers(0, 80_000),
            cost_usd=st.none() | st.floats(0, 0.2),
            parallel=st.integers(1, 8),
        )
    )
    price = Price(1.0, data.draw(st.sampled_from((4.0, 0.0))))
    names = "fghi"[: data.draw(st.integers(1, 4))]
    sizes = data.draw(st.lists(st.sampled_from((0, 2_000, 9_000)), min_size=1, max_size=16))
    keys = [(f"{n:02}:{size}", f"{PATH}::{names[n % len(names)]}") for n, size in enumerate(sizes)]
    text = "".join(f"def {name}():\n    ...\n\n\n" for name in names)
    gone = data.draw(st.dictionaries(st.sampled_from(keys), st.integers(1, 12)))  # after so many others

    def ready(now: State) -> tuple[Action, ...] | Stop:
        done = sum(progress.done for progress in now.keys.values())
        left = [k for k in keys if not now.finished(k[0]) and done < gone.get(k, len(keys) + 1)]
        return tuple(Ask(key, root, "feedback", root) for key, root in left) or Stop("failed", "all done")

    def heard(now: State, event: Event) -> None:
        spent = now.spent
        assert spent.calls <= limits.calls and spent.tokens <= limits.tokens
        assert limits.cost_usd is None or (spent.cost_usd or 0.0) <= limits.cost_usd + 1e-9

    model = Spending(itertools.cycle(data.draw(TURNS)), price)
    state = begin(started(text, {}, tuple(names), limits, {}))
    ports = Ports(model, Expressions(PATH, text, {}), OfSize(), lambda event: None, heard, price)
    with mock.patch.object(engine_module, "FIRST_PAUSE", 0.0):
        made = Engine(Wanting(ready), ports, state)
        stop = await made.run()
    assert model.most <= limits.parallel
    assert "soa.limits." in stop.reason or stop.reason == "all done"


async def test_what_nobody_waits_for_any_more_is_paid() -> None:
    """`a` ends the job; `b` was sent by then, so it counts, and its key is open for who resumes the job."""
    events: list[Event] = []

    def ready(state: State) -> tuple[Action, ...] | Stop:
        return Stop("failed", "enough") if state.finished("a") else (ask("a"), ask("b"))

    model = Spending(iter([Turn(2), Turn(9)]))
    ports = Ports(
        model, Expressions(PATH, TEXT, {}), ByKey(), events.append, lambda state, event: None, retries=0
    )
    made = Engine(Wanting(ready), ports, begin(started(TEXT, {}, ("f",), Limits(), {})))
    await made.run()
    assert made.state.spent.calls == 2
    assert [type(e) for e in events] == [ActionStarted, ActionStarted, Replied, CallLost]
    assert made.state.finished("b") is None


async def test_a_call_that_broke_off_is_asked_again_while_a_limit_allows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine_module, "FIRST_PAUSE", 0.0)
    for calls, says in ((9, "It broke off."), (2, "soa.limits.calls")):
        events: list[Event] = []

        def ready(state: State) -> tuple[Action, ...] | Stop:
            done = state.finished("a")
            return Stop("failed", done.failed) if done else (ask("a"),)

        ports = Ports(
            Spending(itertools.repeat(Turn(breaks_off=True))),
            Expressions(PATH, TEXT, {}),
            ByKey(),
            events.append,
            lambda state, event: None,
        )
        job = begin(started(TEXT, {}, ("f",), Limits(calls=calls), {}))
        made = Engine(Wanting(ready), ports, job)
        assert says in (await made.run()).reason
        assert made.state.spent.calls == min(calls, 4)
        attempts = [e.attempt for e in events if isinstance(e, ActionStarted)]
        assert attempts == list(range(1, min(calls, 4) + 1))


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
        Spending(itertools.repeat(Turn())),
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

    def expected(now: State) -> int:
        return budget.reserve(now, said, None, budget.Reserved(), 1).likely.tokens

    assert expected(state) == 500 + budget.REPLY_TOKENS
    state = fold(state, ActionStarted("a", ask("a"), 1, 0, said))
    state = fold(state, Replied("a", "Well.", "stop", Usage(1, 1000, 0, 5000), "m"))
    assert expected(state) == 1000 + 5000


def test_calls_that_begin_together_share_what_is_left() -> None:
    """Each of eight calls may take an eighth of what is left, and less where others are under way."""
    state = begin(started(TEXT, {}, ("f",), Limits(tokens=80_000), {}))
    said = (Message("user", "word " * 1_200),)  # 2,000 tokens, surely fewer than 3,000
    none, some = budget.Reserved(), budget.Reserved(2, 40_000)
    assert budget.reserve(state, said, None, none, 8).reply == 7_000
    assert budget.reserve(state, said, None, some, 4).reply == 7_000
    assert budget.reserve(state, said, None, none, 1).reply == budget.LONG_REPLY
    assert budget.reserve(state, said, None, some, 40).reply == budget.REPLY_TOKENS
    assert (
        budget.over(state.job.limits, state.spent, none + budget.reserve(state, said, None, none, 8).most)
        == ""
    )


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
