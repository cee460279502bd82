"""A Ray cluster as SoA uses it, and the only module that imports Ray: one actor on each node.

Ray accounts for processors: an actor takes all that its node has, so a node that works for others joins when
they are done. Ray trusts whoever reaches it; so does SoA. No key travels: nodes ask no model themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from soa_agents.errors import Refused, UsageError
from soa_agents.verify.aside import aside

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is told to anybody
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # what Ray would print of nodes that die, on our standard output
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_gcs_rpc_server_reconnect_timeout_s": str(365 * 24 * 3600),  # else it ends us soon after its head
}
_PATIENCE = 5.0  # seconds for a cancelled run to end, and for a node to clear up


class NodeLost(Exception):
    """The node, or SoA's process on it, is no more, and what it was doing is not done. Ray's own words."""


@dataclass(frozen=True, slots=True, eq=False)
class Far:
    """A node as the driver sees it: its name for a person, and how many test runs it takes at once."""

    name: str
    slots: int
    actor: Any
    id: str

    async def lives(self) -> bool:
        """Whether the cluster still counts it, or cannot say."""
        return await aside(partial(_counted, self.id))

    async def call(self, method: str, *arguments: Any, name: str = "") -> Any:
        """What `Node.method` returns there; `name` is the task's for Ray's dashboard. Raises `NodeLost`.

        Cancelled, it cancels the work there, and returns when that has ended.
        """
        import ray

        remote = getattr(self.actor, method)
        answer = (remote.options(name=name) if name else remote).remote(*arguments)
        try:
            return await answer
        except asyncio.CancelledError:
            with contextlib.suppress(Exception):  # the cluster itself may be gone
                ray.cancel(answer)
                await asyncio.shield(asyncio.wait({asyncio.ensure_future(_ended(answer))}, timeout=_PATIENCE))
            raise
        except ray.exceptions.RayError as error:
            raise NodeLost(str(error).strip().rpartition("\n")[2]) from error


async def _ended(answer: Any) -> None:
    with contextlib.suppress(Exception):
        await answer


class Cluster:
    """A connection to a cluster. `nodes` are those that have processors.

    Ray knows one in a process: who connects while there is one shares it, and the last to close it leaves.
    """

    _current: ClassVar[Cluster | None] = None

    def __init__(self, address: str, nodes: tuple[Far, ...]) -> None:
        self.address = address
        self.nodes = nodes
        self._users = 0
        self._sent: dict[str, Any] = {}

    @classmethod
    async def connect(cls, address: str, kind: type) -> Cluster:
        """Join the cluster whose head is at `address` (HOST:PORT, or `auto` for the one of this machine).

        Each node makes a `kind` of its own, in a process for it `alone`; it is given the number of processors
        and has the methods `versions` and `close`.

        Raises `UsageError` without Ray or for an address that is none, `Refused` where nobody answers, the
        versions differ, or this process is in another cluster.
        """
        if address != "auto":
            _parted(address)
        if cls._current is None:
            cls._current = await cls._joined(address, kind)
        elif cls._current.address != address:
            raise Refused(
                f"The cluster at {address} cannot be joined beside the one at {cls._current.address}. "
                "Let the jobs there end first."
            )
        cls._current._users += 1
        return cls._current

    @classmethod
    async def _joined(cls, address: str, kind: type) -> Cluster:
        quiet()
        try:
            await aside(_import)
        except ImportError as error:
            raise UsageError(
                "--ray needs Ray, which is not installed here. "
                "Install it with: pip install 'soa-language-server[ray]'."
            ) from error
        if address != "auto":
            await _reach(address)
        try:
            nodes = await aside(partial(_joined, address, kind))
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise Refused(_sentence(address, str(error))) from error
        return cls(address, nodes)

    def sent(self, digest: str, value: object) -> Any:
        """A value in the cluster's object store, under a name; each node fetches it once."""
        import ray

        if digest not in self._sent:
            self._sent[digest] = ray.put(value)
        return self._sent[digest]

    async def close(self) -> None:
        """Let every node clear up, and leave, when nobody else uses it."""
        self._users -= 1
        if self._users:
            return
        Cluster._current = None
        closing = [asyncio.ensure_future(_closed(node)) for node in self.nodes]
        if closing:
            await asyncio.wait(closing, timeout=_PATIENCE)
        await aside(_leave)


async def _closed(node: Far) -> None:
    with contextlib.suppress(NodeLost):
        await node.call("close")


def quiet() -> None:
    """What Ray reads in the environment when it is imported and begun."""
    os.environ.update(_QUIET)


def _import() -> None:
    import ray  # noqa: F401 - takes a second, so beside the loop


def _parted(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        raise UsageError(f"--ray must be HOST:PORT of the cluster's head, or auto; {address!r} is neither.")
    return host, int(port)


async def _reach(address: str) -> None:
    """Raises unless somebody listens there: Ray itself waits for minutes, or ends the process."""
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(*_parted(address)), _PATIENCE)
    except (OSError, TimeoutError) as error:
        raise Refused(_sentence(address, "nobody answers")) from error
    writer.close()


def _joined(address: str, kind: type) -> tuple[Far, ...]:
    """Connect, and begin an actor on each node. Blocks; outside the main thread Ray leaves signals alone."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    logging.getLogger("ray").setLevel(logging.CRITICAL)
    ray.init(address, namespace="soa", log_to_driver=False, configure_logging=False)
    remote: Any = ray.remote(kind)
    found = []
    for each in ray.nodes():  # type: ignore[no-untyped-call]
        slots = int(each["Resources"].get("CPU", 0))
        if each["Alive"] and slots:
            place = NodeAffinitySchedulingStrategy(each["NodeID"], soft=False)
            made = remote.options(num_cpus=slots, max_concurrency=1000, scheduling_strategy=place)
            name = f"{each['NodeManagerHostname']} ({each['NodeID'][:6]})"
            found.append(Far(name, slots, made.remote(slots, alone=True), each["NodeID"]))
    return tuple(found)


def _counted(node: str) -> bool:
    import ray

    try:
        return any(each["NodeID"] == node and each["Alive"] for each in ray.nodes())  # type: ignore[no-untyped-call]
    except Exception:
        return True


def _leave() -> None:
    import ray

    ray.shutdown()


def _sentence(address: str, problem: str) -> str:
    if "ersion mismatch" in problem:
        told = " ".join(problem.split())
        return f"The cluster at {address} runs another version of Ray or Python. Use the same here. {told}"
    return (
        f"No Ray cluster can be joined at {address} ({' '.join(problem.split())[:200]}). Start one with "
        "`ray start --head`, and join it on this machine with `ray start --address=HOST:PORT`."
    )
