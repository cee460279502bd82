"""How late an event loop is while something else goes on: probed from a thread of its process."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

PROBE = """
import asyncio, json, threading, time

late = []

def watch(loop):
    # From a thread: what is late here is the loop, or a machine that lets nobody run.
    def stamp(due):
        late.append(time.perf_counter() - due)
    while True:
        time.sleep(0.005)
        try:
            loop.call_soon_threadsafe(stamp, time.perf_counter())
        except RuntimeError:
            return

def told():
    found = sorted(late) or [0.0]
    at = lambda part: round(1000 * found[min(len(found) - 1, int(len(found) * part))], 2)
    return {"p50": at(0.5), "p99": at(0.99), "worst": at(1.0)}
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
        Path(sys.argv[1]).write_text(json.dumps(told()))

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
    print(json.dumps(told()))

asyncio.run(main())
"""
)


@contextlib.contextmanager
def probe_alone() -> Iterator[Callable[[], dict[str, Any]]]:
    """A process that does nothing while the block runs: how late it was is the machine's own part."""
    process = subprocess.Popen([sys.executable, "-c", ALONE], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    said = b"{}"
    yield lambda: json.loads(said)
    said = process.communicate()[0]
