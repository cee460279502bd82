"""Test runs on the nodes of a Ray cluster: a `TestRunner` like the local one. Nothing else knows of Ray.

The driver, where the job runs, keeps the model, its key, the ledger and the budget. A node gets the
workspace's files once, runs tests on them in its own sandbox, and is forgotten when it dies.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from soa_agents.remote.cluster import Cluster
from soa_agents.remote.node import Bench, Node
from soa_agents.remote.parcel import pack
from soa_agents.remote.pool import Pool
from soa_agents.remote.runner import RemoteRunner
from soa_agents.verify.aside import aside
from soa_agents.verify.ladder import Ladder


async def on_cluster(address: str, here: Ladder, say: Callable[[str], None]) -> RemoteRunner:
    """What `here` runs on this machine, on the nodes of the cluster at `address`; `close` leaves it.

    Raises `UsageError` or `Refused` with the sentence that says what is missing.
    """
    say(f"joining the cluster at {address}")
    cluster = await Cluster.connect(address, Node)
    cold = here.cold
    parcel = await aside(partial(pack, cold.root))
    bench = Bench(
        parcel.digest, cold.root, cold.interpreter, cold.settings, cold.limits, cold.prefix, dict(here.base)
    )
    runner = RemoteRunner(Pool(cluster, say), parcel, bench, here)
    await runner.start()
    return runner
