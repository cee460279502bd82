"""The nodes of a cluster as a queue's workers: who is ready, who has room, who is lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from soa_agents.errors import Refused
from soa_agents.remote.cluster import Cluster, Far, NodeLost
from soa_agents.remote.node import versions

TRIES = 3  # nodes that one piece of work may cost before it is the work that is blamed
_PATIENCE = 60.0  # seconds for the first node to be free and ready


@dataclass(slots=True)
class Pool:
    """Nodes that were made ready; `say` hears of those that are not, and of those that are lost."""

    cluster: Cluster
    say: Callable[[str], None]
    ready: dict[Far, int] = field(default_factory=dict)  # node -> what it could take now
    _joining: dict[Far, asyncio.Task[None]] = field(default_factory=dict)
    _refused: list[str] = field(default_factory=list)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def at_once(self) -> int:
        """How much work the cluster takes."""
        return sum(node.slots for node in self.cluster.nodes)

    async def open(self, prepare: Callable[[Far], Awaitable[str]]) -> None:
        """Return when the first node is ready; others join later.

        `prepare` makes one ready, or says why it cannot be. Raises `Refused` when none will be.
        """
        for node in self.cluster.nodes:
            self._joining[node] = asyncio.ensure_future(self._join(node, prepare))
        try:
            async with asyncio.timeout(_PATIENCE), self._changed:
                await self._changed.wait_for(lambda: self.ready or not self._joining)
        except TimeoutError:
            self._refused.append(f"none of its nodes was free within {_PATIENCE:.0f} s")
        if not self.ready:
            why = "; ".join(self._refused) or "it has no node with processors"
            raise Refused(f"The cluster at {self.cluster.address} cannot do this: {why}.")

    async def _join(self, node: Far, prepare: Callable[[Far], Awaitable[str]]) -> None:
        try:
            there = await node.call("versions")
            same = there == versions()
            why = await prepare(node) if same else f"it has {there}, here it is {versions()}"
        except NodeLost as lost:
            why = "it is gone"
            if await node.lives():
                why = f"SoA did not start there, is soa-language-server[ray] installed? ({lost})"
        async with self._changed:
            self._joining.pop(node, None)
            if why:
                self._refused.append(f"{node.name}: {why}")
                self.say(f"{node.name} takes no part: {why}")
            else:
                self.ready[node] = node.slots
            self._changed.notify_all()

    @asynccontextmanager
    async def node(self) -> AsyncIterator[Far | None]:
        """A place on the node with most room, once there is one; None when no node is left."""
        async with self._changed:
            await self._changed.wait_for(
                lambda: any(self.ready.values()) or not (self.ready or self._joining)
            )
            node = max(self.ready, key=lambda each: self.ready[each], default=None)
            if node is not None:
                self.ready[node] -= 1
        try:
            yield node
        finally:
            async with self._changed:
                if node in self.ready:
                    self.ready[node] += 1
                self._changed.notify_all()

    async def drop(self, node: Far, why: str) -> None:
        """That node gets nothing more; `why` is told once."""
        async with self._changed:
            if self.ready.pop(node, None) is not None:
                self.say(why)
            self._changed.notify_all()

    async def everywhere(self, method: str, *arguments: object) -> None:
        """Call a method on every node that is ready; those that are lost meanwhile are passed over."""
        await asyncio.gather(*(_quietly(node, method, *arguments) for node in list(self.ready)))

    async def close(self) -> None:
        """Leave the cluster."""
        joining = list(self._joining.values())
        for task in joining:
            task.cancel()
        await asyncio.gather(*joining, return_exceptions=True)
        self.ready.clear()
        await self.cluster.close()


async def _quietly(node: Far, method: str, *arguments: object) -> None:
    with contextlib.suppress(NodeLost):
        await node.call(method, *arguments)
