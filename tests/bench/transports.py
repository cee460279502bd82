"""What many model calls at once cost: the SDK on each of its transports, and ours on the one it uses.

    python tests/bench/transports.py [--calls N] [--chunks N] [--rounds N] [--json]

N streamed replies at once, each of two seconds, from a server in a process of its own. For each client the
processor time of a call, the wall time against the two seconds, and how late the event loop is.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import openai
from soa_agents.models.openai_chat import OpenAIChat
from soa_agents.models.port import Message, Prompt
from soa_agents.settings import ModelSettings

SERVER = Path(__file__).parents[1] / "openai_server.py"
SECONDS = 2.0  # that a reply takes
PROMPT = Prompt((Message("user", "Write it.\n\nTarget: a.py::f\nStep: code"),), "a.py::f", "code")
TICK = 0.005  # seconds between two looks at the loop

Ask = Callable[[], Awaitable[object]]


@contextlib.contextmanager
def served(chunks: int) -> Iterator[str]:
    """The server; its address."""
    reply = {
        "text": "word " * chunks,
        "chunks": chunks,
        "delay": 0.1,
        "chunk_delay": (SECONDS - 0.1) / chunks,
    }
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "replies.json"
        script.write_text(json.dumps({"*": {"*": [reply]}}))
        command = [sys.executable, str(SERVER), str(script)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["base_url"]
            process.stdin.close()


@contextlib.asynccontextmanager
async def bare(url: str, http: type[openai.DefaultAsyncHttpxClient]):
    """A call of the SDK alone, streamed and read to its end."""
    client = openai.AsyncOpenAI(api_key="sk-x", base_url=url, http_client=http())
    messages = [{"role": message.role, "content": message.content} for message in PROMPT.messages]

    async def ask() -> None:
        async for _ in await client.chat.completions.create(model="m", messages=messages, stream=True):
            pass

    yield ask
    await client.close()


@contextlib.asynccontextmanager
async def ours(url: str):
    """A call of ours."""
    model = OpenAIChat(ModelSettings("m", url), "sk-x")
    yield lambda: model.ask(PROMPT)
    await model.aclose()


CLIENTS = {
    "openai, httpx": lambda url: bare(url, openai.DefaultAsyncHttpxClient),
    "openai, aiohttp": lambda url: bare(url, openai.DefaultAioHttpClient),
    "ours": ours,
}


async def lateness(late: list[float]) -> None:
    """Note how much later than asked the loop comes back, again and again."""
    while True:
        before = time.monotonic()
        await asyncio.sleep(TICK)
        late.append(time.monotonic() - before - TICK)


async def measured(ask: Ask, calls: int) -> dict[str, float]:
    """One round of so many calls at once."""
    await ask()
    late: list[float] = []
    looking = asyncio.ensure_future(lateness(late))
    wall, cpu = time.monotonic(), time.process_time()
    await asyncio.gather(*(ask() for _ in range(calls)))
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    looking.cancel()
    return {
        "cpu_ms_a_call": round(cpu / calls * 1000, 2),
        "wall_to_ideal": round(wall / SECONDS, 2),
        "lag_ms_p99": round(sorted(late)[len(late) * 99 // 100] * 1000, 1),
    }


async def measure(calls: int, chunks: int, rounds: int) -> list[dict[str, object]]:
    """The clients take turns, so that each meets the same load of the machine."""
    rows: list[dict[str, object]] = []
    with served(chunks) as url:
        for _ in range(rounds):
            for name, open_client in CLIENTS.items():
                async with open_client(url) as ask:
                    rows.append({"client": name, **await measured(ask, calls)})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--calls", type=int, default=256)
    parser.add_argument("--chunks", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = asyncio.run(measure(options.calls, options.chunks, options.rounds))
    if options.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print("  ".join(f"{value!s:<16}" for value in row.values()).rstrip())


if __name__ == "__main__":
    main()
