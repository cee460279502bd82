"""How fast a model's server may be asked: shared by all jobs of a process, learnt from the server's refusals.

As many calls are under way as the jobs allow, until the server refuses one for its rate (429). Then half as
many, after the pause that it asks for; and with each round of answers one more. Whose turn is next is the job
with the fewest calls under way.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from time import time

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds after a refusal that names none, doubled with each in a row

Waits = Callable[[str], None]  # hears what a job waits for, and an empty text when it goes on


def asked_pause(headers: Mapping[str, str]) -> float | None:
    """The seconds that `Retry-After` (or its kin in milliseconds) asks for; None when it says nothing."""
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        with contextlib.suppress(ValueError):
            seconds = float(headers.get(name, "")) / unit
            if math.isfinite(seconds):
                return max(0.0, seconds)
    with contextlib.suppress(ValueError):
        return max(0.0, parsedate_to_datetime(headers.get("retry-after", "")).timestamp() - time())
    return None


@dataclass(eq=False)
class Share:
    """One job's part of a pace, until it leaves."""

    pace: Pace
    parallel: int  # how many calls the job allows at once
    waits: Waits = lambda what: None
    open: int = 0  # calls under way
    waiting: int = 0

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[Turn]:
        """Wait for a place and hold it while the block runs. Cancelled, it gives the place to the next."""
        await self.pace.enter(self)
        try:
            yield Turn(self.pace)
        finally:
            self.pace.exit(self)

    def leave(self) -> None:
        """Count no longer: the job has ended."""
        self.pace.leave(self)


@dataclass(slots=True)
class Turn:
    """One call under way; says how the server took it."""

    pace: Pace
    began: float = field(default_factory=lambda: asyncio.get_running_loop().time())

    def answered(self) -> None:
        """The server answered."""
        self.pace.answered()

    def refused(self, pause: float | None) -> None:
        """The server refused it for its rate, and asked for `pause` seconds if it said so."""
        self.pace.refused(self.began, pause)


class Pace:
    """The calls under way at one server, and who waits. Belongs to one event loop."""

    def __init__(self) -> None:
        self._shares: set[Share] = set()  # of jobs that have asked
        self._queue: list[tuple[Share, asyncio.Future[None]]] = []
        self._learnt = math.inf  # how many calls at once the server bears
        self._answers = 0  # since that was changed
        self._in_a_row = 0  # refusals without an answer between them
        self._cut_at = -math.inf  # when it was last lowered
        self._opens_at = -math.inf  # before that nothing is asked
        self._alarm: asyncio.TimerHandle | None = None

    def leave(self, share: Share) -> None:
        """Forget a job."""
        self._shares.discard(share)
        if not self._shares and self._alarm is not None:
            self._alarm.cancel()
        self._admit()

    async def enter(self, share: Share) -> None:
        """Wait until it is the share's turn, and take the place."""
        place = asyncio.get_running_loop().create_future()
        self._shares.add(share)
        self._queue.append((share, place))
        self._admit()
        if place.done():
            return
        share.waiting += 1
        share.waits(self._reason())
        try:
            await place
        except asyncio.CancelledError:
            if not place.cancelled():
                self.exit(share)  # it had just been given the place
            raise
        finally:
            share.waiting -= 1
            if not share.waiting:
                share.waits("")

    def exit(self, share: Share) -> None:
        """Give a place back."""
        share.open -= 1
        self._admit()

    def answered(self) -> None:
        """One more answer: a round of them raises by one what the server is taken to bear."""
        self._in_a_row = 0
        self._answers += 1
        if self._answers >= self._learnt:
            self._learnt, self._answers = self._learnt + 1, 0
            self._admit()

    def refused(self, began: float, pause: float | None) -> None:
        """Halve what the server is taken to bear, once for all calls that were under way together."""
        now = asyncio.get_running_loop().time()
        if began >= self._cut_at:
            self._learnt = max(1, sum(share.open for share in self._shares) // 2)
            self._answers, self._cut_at = 0, now
            self._in_a_row += 1
            if pause is None:
                pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (self._in_a_row - 1))
                pause *= 1 - random.random() / 4  # noqa: S311 - other clients shall not all come back at once
        self._opens_at = max(self._opens_at, now + (pause or 0.0))

    def _admit(self) -> None:
        """Let in whoever may go now; look again when the pause is over."""
        now = asyncio.get_running_loop().time()
        if self._queue and self._opens_at > now:
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm = asyncio.get_running_loop().call_at(self._opens_at, self._admit)
            return
        allowed = min(self._learnt, max((share.parallel for share in self._shares), default=1))
        self._queue = [(share, place) for share, place in self._queue if not place.cancelled()]
        while self._queue and sum(share.open for share in self._shares) < allowed:
            share, place = entry = min(self._queue, key=lambda waiting: waiting[0].open)
            self._queue.remove(entry)
            share.open += 1
            place.set_result(None)

    def _reason(self) -> str:
        """What a call waits for, in words for a person."""
        most = max(share.parallel for share in self._shares)
        limited = self._learnt < most or self._opens_at > asyncio.get_running_loop().time()
        return "waiting for the model's rate limit" if limited else "waiting for the calls of other jobs"
