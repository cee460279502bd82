"""How late an event loop is while something else goes on: probed from a thread of its process."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator

Samples = list[tuple[float, float]]  # seconds since the epoch, seconds late

PROBE = """
import asyncio, json, threading, time

late = []

def watch(loop):
    # From a thread: what is late here is the loop, or a machine that lets nobody run.
    def stamp(due):
        late.append((time.time(), time.perf_counter() - due))
    while True:
        time.sleep(0.005)
        try:
            loop.call_soon_threadsafe(stamp, time.perf_counter())
        except RuntimeError:
            return
"""
PROBED = (
    PROBE
    + """
import sys
from pathlib import Path

forever = asyncio.BaseEventLoop.run_forever

def run_forever(loop):
    threading.Thread(target=watch, args=(loop,), daemon=True).start()
    try:
        forever(loop)
    finally:
        Path(sys.argv[1]).write_text(json.dumps(late))

asyncio.BaseEventLoop.run_forever = run_forever
from soa_server.lsp.serve import serve_stdio
sys.exit(serve_stdio())
"""
)
ALONE = (
    PROBE
    + """
import sys

async def main():
    loop = asyncio.get_running_loop()
    threading.Thread(target=watch, args=(loop,), daemon=True).start()
    await loop.run_in_executor(None, sys.stdin.read)
    print(json.dumps(late))

asyncio.run(main())
"""
)


@contextlib.contextmanager
def probe_alone() -> Iterator[Callable[[], Samples]]:
    """A process that does nothing while the block runs: how late it was is the machine's own part."""
    process = subprocess.Popen([sys.executable, "-c", ALONE], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    said = b"[]"
    yield lambda: json.loads(said)
    said = process.communicate()[0]


def told(samples: Samples, since: float, until: float) -> dict[str, float]:
    """Percentiles of the lag between two moments, in milliseconds."""
    found = sorted(late for when, late in samples if since <= when <= until) or [0.0]
    parts = {"p50": 0.5, "p99": 0.99, "worst": 1.0}
    return {
        name: round(1000 * found[min(len(found) - 1, int(len(found) * part))], 2)
        for name, part in parts.items()
    }
