"""The one loop: start what the protocol wants, fold what finishes first, ask the protocol again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, Protocol

from soa_agents.errors import CallFailed, PromptTooLong
from soa_agents.models.pace import FIRST_PAUSE
from soa_agents.models.port import CallDropped, Model, Prompt, ReplyLost
from soa_agents.settings import Price
from soa_agents.swarm import budget
from soa_agents.swarm.actions import Action, Ask, Stop, Verify
from soa_agents.swarm.events import (
    ActionFailed,
    ActionStarted,
    CallLost,
    Event,
    LimitReached,
    PromptRefused,
    Replied,
    Verified,
)
from soa_agents.swarm.family import with_members
from soa_agents.swarm.fold import fold
from soa_agents.swarm.port import CoordinationProtocol
from soa_agents.swarm.state import State
from soa_agents.verify.report import Report, Selection, TestRunner

GRACE = 120.0  # seconds in which several targets are still proven together when the time is over


class Prompter(Protocol):
    """Who renders what an agent sees."""

    def prompt(self, state: State, ask: Ask) -> Prompt:
        """The conversation for one ask, earlier attempts of its key included."""
        ...


@dataclass(frozen=True)
class Ports:
    """What the engine reaches the world through; `record` commits an event before it is acted on."""

    model: Model
    runner: TestRunner
    prompter: Prompter
    record: Callable[[Event], None]
    heard: Callable[[State, Event], None]  # after each event, with the state it led to
    price: Price | None = None
    test_runs: int = 2  # how many test runs may go at once
    retries: int = 3  # how often a call is sent again whose reply broke off


class Engine:
    """Runs one job. After `run` returns, raises or is cancelled, nothing of it is in flight."""

    def __init__(self, protocol: CoordinationProtocol, ports: Ports, state: State) -> None:
        self._protocol = protocol
        self._ports = ports
        self.state = state
        self._running: dict[str, asyncio.Task[Event]] = {}
        self._reserved: dict[str, budget.Call] = {}
        seconds = state.job.limits.seconds + (GRACE if state.limit else 0.0)
        self._deadline = time.monotonic() + max(0.0, seconds - state.seconds)

    async def run(self) -> Stop:
        """Until the protocol stops, a limit is reached, or nothing can go on.

        Raises `ModelError` when nobody answers.
        """
        try:
            while True:
                wanted = self._protocol.ready(self.state)
                if isinstance(wanted, Stop):
                    return wanted
                await self._drop_unwanted(wanted)
                reason = await self._start(wanted)
                if not self._running:
                    if self._ends_asking(reason):
                        continue
                    return self._standing(reason or "The agents had nothing left to do.")
                await self._wait()
                late = budget.late(self.state.job.limits)
                if time.monotonic() >= self._deadline and not self._ends_asking(late, GRACE):
                    return self._standing(late)
        finally:
            await self._drop_unwanted(())

    def _ends_asking(self, limit: str, grace: float = 0.0) -> bool:
        """At a limit nobody is asked any more. Whether the job goes on: once, with several targets."""
        if not limit or self.state.limit or len(self.state.job.targets) == 1:
            return False
        self._deadline += grace
        self._take(LimitReached(limit, time.time()))
        return True

    def _standing(self, reason: str) -> Stop:
        """The end that the engine decides: what is proven by now is kept, the best of the rest is shown."""
        roots = [target.function for target in self.state.job.targets]
        proven = tuple(root for root in roots if (best := self.state.best.get(root)) and best.proven)
        return Stop("passed" if len(proven) == len(roots) else "failed", reason, proven)

    async def _drop_unwanted(self, wanted: tuple[Action, ...]) -> None:
        named = {action.key for action in wanted}
        gone = {key: task for key, task in self._running.items() if key not in named}
        for task in gone.values():
            task.cancel()
        if gone:
            await asyncio.wait(gone.values())
        for key in gone:
            del self._running[key]
            self._reserved.pop(key, None)
        for task in gone.values():
            if not task.cancelled() and task.exception() is None:
                self._take(task.result())  # what was sent is paid; what came before the cancelling is kept

    async def _start(self, wanted: tuple[Action, ...]) -> str:
        """Start new keys as limits allow; returns the limit that held one back.

        What belongs to other targets is touched only when nothing else is left to do.
        """
        new = [action for action in wanted if action.key not in self._running]
        for run in new:
            if isinstance(run, Verify):
                self._start_run(run)
        asks = budget.in_turn(self.state, [action for action in new if isinstance(action, Ask)])
        asking = {self.state.root_for(action) for action in wanted if isinstance(action, Ask)}
        held_back = await self._start_calls(asks, asking)
        if asks and not self._running:
            held_back = await self._start_calls(asks, set())
        return held_back

    async def _start_calls(self, asks: Sequence[Ask], asking: Set[str]) -> str:
        """Start calls in this order. Between two the loop goes round: the first request leaves at once."""
        held_back, free = "", self.state.job.limits.parallel - self._count(Ask)
        flying = sum((call.most for call in self._reserved.values()), budget.Reserved())
        for number, ask in enumerate(asks):
            if not free:
                break
            if self._is_others(ask, asking):
                continue
            begun = self._start_call(ask, flying, min(free, len(asks) - number))
            if isinstance(begun, str):
                held_back = begun
            else:
                flying, free = flying + begun.most, free - 1
            await asyncio.sleep(0)
        return held_back

    def _is_others(self, ask: Ask, asking: Set[str]) -> bool:
        """Whether targets that are `asking`, or have not asked yet, have a right to what this would use."""
        limits, targets = self.state.job.limits, self.state.job.targets
        if len(targets) == 1 or not asking:
            return False
        used = budget.used(self.state, {key: call.likely for key, call in self._reserved.items()})
        claiming = {root for root, amount in used.items() if root in asking or not amount.calls}
        return budget.held(limits, used, claiming, self.state.root_for(ask))

    def _start_run(self, verify: Verify) -> None:
        if self._count(Verify) < self._ports.test_runs:
            self._begin(
                verify, ActionStarted(verify.key, verify, 1, 0, time=time.time()), self._verify(verify)
            )

    def _start_call(self, ask: Ask, flying: budget.Reserved, wanted: int) -> budget.Call | str:
        """Start one call of those `wanted`, beside what is `flying`, or say which limit is in the way."""
        joined = with_members(self.state, (ask,))
        prompt = self._ports.prompter.prompt(joined, ask)
        call = budget.reserve(self.state, prompt.messages, self._ports.price, flying, wanted)
        if reason := budget.over(self.state.job.limits, self.state.spent, flying + call.most):
            return reason
        self._reserved[ask.key] = call
        known = self.state.keys.get(ask.key)
        attempt = known.tries + 1 if known else 1
        brief = joined.nodes[ask.agent].brief
        started = ActionStarted(ask.key, ask, attempt, brief, prompt.messages, time.time())
        self._begin(ask, started, self._ask(ask, replace(prompt, room=call.reply)))
        return call

    def _begin(self, action: Action, started: Event, work: Coroutine[Any, Any, Event]) -> None:
        try:
            self._take(started)
        except BaseException:
            work.close()  # what could not be written down is not begun
            raise
        self._running[action.key] = asyncio.ensure_future(work)

    def _count(self, kind: type[Ask] | type[Verify]) -> int:
        return sum(isinstance(self.state.keys[key].action, kind) for key in self._running)

    async def _wait(self) -> None:
        """Wait for the first to finish and fold what came; several at once in the order of their keys."""
        left = max(0.0, self._deadline - time.monotonic())
        await asyncio.wait(self._running.values(), timeout=left, return_when=asyncio.FIRST_COMPLETED)
        ended = sorted(((k, t) for k, t in self._running.items() if t.done()), key=lambda pair: pair[0])
        for key, task in ended:
            del self._running[key]
            self._reserved.pop(key, None)
            if task.exception() is None:
                self._take(task.result())
        for _, task in ended:
            task.result()  # raises a `ModelError` once the other replies are kept

    def _take(self, event: Event) -> None:
        self._ports.record(event)
        self.state = fold(self.state, event)
        self._ports.heard(self.state, event)

    async def _ask(self, ask: Ask, prompt: Prompt) -> Event:
        lost = self.state.keys[ask.key].lost
        if lost:
            await asyncio.sleep(FIRST_PAUSE * 2 ** (lost - 1))
        try:
            reply = await self._ports.model.ask(prompt)
        except CallDropped as dropped:
            return CallLost(ask.key, dropped.usage, time.time())
        except PromptTooLong as error:
            tokens = budget.prompt_tokens(prompt.messages)
            return PromptRefused(ask.key, tokens, error.limit, str(error), time.time())
        except ReplyLost as error:
            if error.again and lost < self._ports.retries:
                return CallLost(ask.key, error.usage, time.time(), str(error))
            return ActionFailed(ask.key, str(error), time.time(), error.usage)
        except CallFailed as error:
            return ActionFailed(ask.key, str(error), time.time())
        return Replied(ask.key, reply.text, reply.finish, reply.usage, reply.model, time.time())

    async def _verify(self, verify: Verify) -> Event:
        known = self._known(verify)
        if known is None:
            known = await self._ports.runner.run(dict(verify.candidate), verify.selection)
        return Verified(verify.key, known, time.time())

    def _known(self, verify: Verify) -> Report | None:
        """The report of the same run made before, or of one that has nothing to run."""
        if verify.selection in (Selection(), Selection(cold=True)):
            return Report()
        if verify.purpose == "again":
            return None  # made to see whether the same run ends otherwise
        same = (verify.candidate, verify.selection)
        runs = ((p.action, p.report) for p in self.state.keys.values() if isinstance(p.action, Verify))
        return next(
            (report for run, report in runs if report and (run.candidate, run.selection) == same), None
        )
