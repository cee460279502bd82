"""The `TestRunner` over a cluster: each run goes to a node with room, and to another when that node dies."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from soa_agents.remote.cluster import Far, NodeLost
from soa_agents.remote.node import Bench, Refusal
from soa_agents.remote.parcel import Parcel
from soa_agents.remote.pool import TRIES, Pool
from soa_agents.verify import records
from soa_agents.verify.ladder import Ladder
from soa_agents.verify.report import Overlay, Report, Selection
from soa_agents.workspace.functions import functions
from soa_agents.workspace.snapshot import read_text

_numbers = itertools.count()


@dataclass(slots=True)
class RemoteRunner:
    """A TestRunner over one folder. `here` runs what no node is left for.

    `start` before the first run, `close` after the last.
    """

    pool: Pool
    parcel: Parcel
    bench: Bench
    here: Ladder
    retries: int = 0  # runs begun anew because their node died
    _number: int = field(default_factory=lambda: next(_numbers))
    _alone: bool = False
    _aside: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def at_once(self) -> int:
        """How many runs the cluster takes."""
        return self.pool.at_once

    async def start(self) -> None:
        """Return when the first node is ready; others join later. Raises `Refused` when none will be."""
        try:
            await self.pool.open(self._prepare)
        except BaseException:
            await self.close()
            raise

    async def _prepare(self, node: Far) -> str:
        """Send a node what it needs; why it takes no part, if it does not."""
        if not await node.call("has", self.parcel.digest):
            await node.call("receive", self.pool.cluster.sent(self.parcel.digest, self.parcel))
        refusal = await node.call("open", self._number, self.bench)
        return refusal.sentence.rstrip(".") if isinstance(refusal, Refusal) else ""

    async def run(self, overlay: Overlay, tests: Selection) -> Report:
        """Run `tests` on a node, with `overlay` over the files as they were sent."""
        name = _name(self.here, overlay, tests)
        for _ in range(TRIES):
            async with self.pool.node() as node:
                if node is None:
                    self._say_alone()
                    return await self.here.run(overlay, tests)
                try:
                    report = await node.call("run", self._number, overlay, tests, name, name=name)
                except NodeLost:
                    self.retries += 1
                    await self.pool.drop(node, f"{node.name} is gone; what ran there is run again")
                    continue
                if isinstance(report, Report):
                    return report
                await self.pool.drop(node, f"{node.name} takes no part any more: {report.sentence}")
        problem = f"Nodes of the cluster ended while they ran this, {TRIES} in a row."
        return Report(tuple(records.missing(tests.tests, [])), problem, fault="died")

    def _say_alone(self) -> None:
        if not self._alone:
            self._alone = True
            self.pool.say("no node of the cluster is left; tests run on this machine")

    def warm_up(self, tests: Selection) -> None:
        """Begin to start a server for `tests` on each node that is ready."""
        task = asyncio.ensure_future(self.pool.everywhere("warm_up", self._number, tests))
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)

    async def close(self) -> None:
        """Leave the cluster; return when no test server of ours is left on any node."""
        for task in self._aside:
            task.cancel()
        await asyncio.gather(*self._aside, return_exceptions=True)
        await self.pool.everywhere("done", self._number)
        await self.pool.close()
        await self.here.close()


def _name(here: Ladder, overlay: Overlay, tests: Selection) -> str:
    """What a run is called in Ray's dashboard: the functions that its candidate changes, or its tests."""
    changed = [str(each) for each in _changed(here, overlay)]
    names = changed or [*tests.tests, *map(str, tests.doctests)] or ["all tests"]
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _changed(here: Ladder, overlay: Overlay) -> Iterator[object]:
    """The functions whose text is another one in `overlay`; those that were there before come first."""
    new = []
    for path, text in overlay.items():
        old = here.base.get(path) or read_text(here.cold.root / path.removeprefix(here.cold.prefix)) or ""
        before = {each.id: old[slice(*each.span)] for each in functions(path, old)}
        for each in functions(path, text):
            if each.id not in before:
                new.append(each.id)
            elif before[each.id] != text[slice(*each.span)]:
                yield each.id
    yield from new
