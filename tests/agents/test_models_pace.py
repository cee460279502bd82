"""Holds: how calls are let through: no more than the server bears, in fair shares, after the pauses it asks
for, and no place is ever lost, whatever is refused or cancelled."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from email.utils import formatdate
from time import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from soa_agents.models import pace
from soa_agents.models.pace import Pace, Share, Turn, asked_pause


@dataclass
class Calls:
    """Calls of several jobs through one pace; each waits until it is let go."""

    pace: Pace = field(default_factory=Pace)
    order: list[str] = field(default_factory=list)
    turns: dict[str, Turn] = field(default_factory=dict)
    gates: dict[str, asyncio.Event] = field(default_factory=dict)
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    entered: asyncio.Event = field(default_factory=asyncio.Event)

    def begin(self, share: Share, *names: str) -> None:
        for name in names:
            self.gates[name] = asyncio.Event()
            self.tasks[name] = asyncio.ensure_future(self._call(share, name))

    async def _call(self, share: Share, name: str) -> None:
        async with share.turn() as turn:
            self.order.append(name)
            self.turns[name] = turn
            self.entered.set()
            try:
                await self.gates[name].wait()
            finally:
                del self.turns[name]

    async def settled(self) -> set[str]:
        """The calls under way, once nothing moves any more."""
        for _ in range(5):
            await asyncio.sleep(0)
        return set(self.turns)

    async def end(self, names: Iterable[str], answered: bool = True) -> None:
        for name in names:
            if answered:
                self.turns[name].answered()
            self.gates[name].set()
            await self.tasks[name]


async def test_a_place_goes_to_the_job_with_the_fewest_calls_under_way() -> None:
    """The greedy job came first and wants six; the two others still get their share."""
    calls = Calls()
    greedy, second, third = (Share(calls.pace, 3) for _ in range(3))
    calls.begin(greedy, *(f"g{n}" for n in range(6)))
    await calls.settled()
    calls.begin(second, "s0", "s1")
    calls.begin(third, "t0", "t1")
    assert await calls.settled() == {"g0", "g1", "g2"}
    await calls.end(["g0"])
    await calls.settled()
    await calls.end(["g1"])
    assert await calls.settled() == {"g2", "s0", "t0"}
    for share in (greedy, second, third):
        share.leave()
    for task in calls.tasks.values():
        task.cancel()
    await asyncio.gather(*calls.tasks.values(), return_exceptions=True)


async def test_refusals_halve_and_answers_raise_what_goes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight at once are refused together: that counts once. Four answers later five go at once."""
    monkeypatch.setattr(pace, "FIRST_PAUSE", 0.0)
    calls = Calls()
    share = Share(calls.pace, 8)
    calls.begin(share, *(f"a{n}" for n in range(8)))
    burst = await calls.settled()
    assert len(burst) == 8
    for name in burst:
        calls.turns[name].refused(None)
    await calls.end(burst, answered=False)
    calls.begin(share, *(f"b{n}" for n in range(12)))
    four = await calls.settled()
    assert len(four) == 4
    await calls.end(four)
    five = await calls.settled()
    assert len(five) == 5
    await calls.end(five)
    await calls.end(await calls.settled())


async def test_nobody_goes_before_the_pause_is_over_and_everybody_is_told() -> None:
    calls, told = Calls(), list[str]()
    first, second = Share(calls.pace, 4), Share(calls.pace, 4, told.append)
    calls.begin(first, "a")
    await calls.settled()
    began = asyncio.get_running_loop().time()
    calls.turns["a"].refused(0.1)
    await calls.end(["a"], answered=False)
    calls.begin(second, "b")
    assert await calls.settled() == set()
    assert told == ["waiting for the model's rate limit"]
    calls.entered.clear()
    await asyncio.wait_for(calls.entered.wait(), 10)
    assert asyncio.get_running_loop().time() - began >= 0.1
    assert told[1:] == [""]
    await calls.end(["b"])


async def test_a_job_behind_others_is_told_so() -> None:
    calls, told = Calls(), list[str]()
    calls.begin(Share(calls.pace, 1), "a")
    await calls.settled()
    calls.begin(Share(calls.pace, 1, told.append), "b")
    await calls.settled()
    assert told == ["waiting for the calls of other jobs"]
    await calls.end(["a"])
    assert await calls.settled() == {"b"}
    await calls.end(["b"])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.integers(0, 2**16))
def test_no_place_is_lost_and_none_given_twice(parallel: int, seed: int) -> None:
    """Calls end, are refused and are cancelled at random, before, while and after they get their place."""

    async def play() -> None:
        chance, here = random.Random(seed), Pace()
        shares = [Share(here, parallel) for _ in range(3)]
        under_way = most = 0

        async def call(share: Share) -> None:
            nonlocal under_way, most
            async with share.turn() as turn:
                under_way += 1
                most = max(most, under_way)
                try:
                    for _ in range(chance.randrange(4)):
                        await asyncio.sleep(0)
                    if chance.random() < 0.3:
                        turn.refused(0.0)
                    else:
                        turn.answered()
                finally:
                    under_way -= 1

        tasks = [asyncio.ensure_future(call(chance.choice(shares))) for _ in range(40)]
        while not all(task.done() for task in tasks):
            chance.choice(tasks).cancel()
            for _ in range(chance.randrange(6)):
                await asyncio.sleep(0)
            await asyncio.sleep(0.0001)
        assert most <= parallel
        assert [share.open for share in shares] == [0, 0, 0]
        last = asyncio.ensure_future(call(shares[0]))
        await asyncio.wait_for(last, 5)

    asyncio.run(play())


HEADERS = {
    "seconds": ({"retry-after": "7"}, 7.0),
    "a fraction": ({"retry-after": "0.5"}, 0.5),
    "milliseconds": ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
    "nothing": ({}, None),
    "nonsense": ({"retry-after": "soon"}, None),
    "no end": ({"retry-after": "inf"}, None),
    "the past": ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
}


@pytest.mark.parametrize(("headers", "pause"), HEADERS.values(), ids=HEADERS)
def test_what_a_server_asks_to_wait(headers: dict[str, str], pause: float | None) -> None:
    assert asked_pause(headers) == pause


def test_a_date_to_wait_for() -> None:
    pause = asked_pause({"retry-after": formatdate(time() + 60, usegmt=True)})
    assert pause is not None and 50 < pause <= 60
