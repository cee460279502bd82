"""What the engine costs: waiting, calls, processor time and tokens.

    python tests/bench/engine.py [--json] [--only ROW …]

The model is `tests/openai_server.py` in a process of its own, with replies that take the same time whatever
is asked. Jobs are whole ones, with their ledger and their views. Unless a row says otherwise their tests are
expressions in this process, so that what is measured is the engine and not pytest. Rows:

chain   wall over the longest chain of dependent calls: a Mother, eight Children, then a failing round
calls   model calls of a function with three helpers that have doctests, by how many of them fail at first
many    a Mother and 255 Children asked at once: wall over that of the two replies one after the other, and
        the lag of the language server's loop, whose engine it is (with the sandbox, over stdio)
cpu     processor time a call of the same job, over that of a bare `openai` client in this process
views   tokens of one agent's prompt in workspaces of a thousand, 100,000 and a million lines
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import shutil
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import openai
import soa_server
from lag import PROBED, Samples, probe_alone, told
from lsp_client import Editor
from soa_agents.jobs import explain
from soa_agents.settings import Limits
from soa_agents.swarm.events import ActionStarted, Replied
from sums import PATH, Sums, log_of, played, served, start, write

DEMO = Path(soa_server.__file__).parent / "cli" / "demo_workspace"
MODULES = (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"))
TARGETS = ("billing/invoice.py::total_due", "billing/invoice.py::is_overdue", "text/slug.py::slugify")
WIDE = Limits(calls=2_000, agents=400, tokens=50_000_000, parallel=256)
Figures = dict[str, Any]


def chain(folder: Path) -> Figures:
    """One Mother, eight Children, a failing round that goes through all of them.

    `over_replies` is the wall over the time in which replies were under way as they really came.
    """
    sums, seconds = Sums(8, wrong=8), 1.0
    longest = 7  # skeleton, code, feedback, modify; then a Child's tests, feedback, modify
    figures: Figures = {"reply_seconds": seconds, "sequential": (1 + 8 + 2 + 3 * 8) / longest}
    with served(sums.replies(seconds, chunks=4), folder) as url:
        for name in ("alone", "with_sandbox"):
            root = sums.lay(folder / name)
            laboratories = played(sums.check) if name == "alone" else None
            job = asyncio.run(write(start(root, url, "chain", Limits()), laboratories))
            assert (job.result.update.verdict, job.calls) == ("passed", 1 + 8 + 2 + 3 * 8), job.result
            figures[name] = {
                "ratio": round(job.wall / (longest * seconds), 3),
                "over_replies": round(job.wall / job.asked, 3),
            }
    return figures


def calls(folder: Path) -> Figures:
    """Three helpers with doctests, none to three of them wrong at first."""
    figures: Figures = {}
    for wrong in range(4):
        sums = Sums(3, wrong=wrong, examples=True)
        place = folder / f"calls-{wrong}"
        root = sums.lay(place)
        with served(sums.replies(0.02, 2), place) as url:
            job = asyncio.run(write(start(root, url, "calls", Limits()), played(sums.check)))
        assert job.result.update.verdict == "passed", job.result
        figures[f"{wrong}_wrong"] = {"calls": job.calls, "goal": 5 if not wrong else 5 + 2 * wrong + 2}
    return figures


def many(folder: Path) -> Figures:
    """256 agents in the engine's process of a language server."""
    sums, seconds = Sums(255), 2.0
    root = sums.lay(folder / "many")
    with served(sums.replies(seconds), folder) as url:
        job, server, idle = asyncio.run(in_editor(root, url, folder))
    events = log_of(root, job)
    began = [e.time for e in events if isinstance(e, ActionStarted) and e.messages]
    replied = [e.time for e in events if isinstance(e, Replied)]
    assert len(replied) == 256, events[-1]
    return {
        "ratio": round((replied[-1] - began[0]) / (2 * seconds), 3),
        "children_alone": round((replied[-1] - began[1]) / seconds, 3),
        "last_started_after": round(began[-1] - began[1], 3),
        "lag_ms": told(server, began[0], replied[-1]),
        "lag_of_an_idle_process_ms": told(idle, began[0], replied[-1]),
    }


async def in_editor(root: Path, url: str, folder: Path) -> tuple[str, Samples, Samples]:
    """One job over the protocol: its id, how late the server's loop was, and that of a process that idles."""
    lags = folder / "lags.json"
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "SOA_"))}
    env = {**keep, "OPENAI_API_KEY": "sk-bench", "OPENAI_BASE_URL": url, "SOA_MODEL": "test-model"}
    limits = {"calls": 2_000, "agents": 400, "tokens": 50_000_000, "parallel": 256}
    command = [sys.executable, "-c", PROBED, str(lags)]
    async with Editor([root], command=command, env=env, options={"limits": limits}) as editor:
        await editor.open(root / PATH)
        job = await editor.act(root / PATH, "def total", "Generate with SoA")
        with probe_alone() as alone:
            end = await editor.end(job, 180)
        assert end["verdict"] == "passed", end
    return job, json.loads(lags.read_text()), alone()


def cpu(folder: Path) -> Figures:
    """The same conversations, once by a job and once by a client that does nothing else."""
    sums, seconds = Sums(255), 2.0
    root = sums.lay(folder / "cpu")
    with served(sums.replies(seconds), folder) as url:
        job = asyncio.run(write(start(root, url, "cpu", WIDE), played(sums.check)))
        assert (job.result.update.verdict, job.calls) == ("passed", 256), job.result
        asked = [[vars_of(m) for m in e.messages] for e in job.started if e.messages]
        bare = asyncio.run(bare_client(url, asked))
    ours, bare_ms = 1000 * job.cpu / job.calls, 1000 * bare / len(asked)
    return {"ms_a_call": round(ours, 2), "bare_ms": round(bare_ms, 2), "ratio": round(ours / bare_ms, 2)}


def vars_of(message: Any) -> Mapping[str, str]:
    """A message as the API takes it."""
    return {"role": message.role, "content": message.content}


async def bare_client(url: str, asked: Sequence[Any]) -> float:
    """Processor seconds of asking all that with the SDK: the first alone, the others at once."""

    async def one(client: openai.AsyncOpenAI, messages: Any) -> str:
        options = {"include_usage": True}
        stream = await client.chat.completions.create(
            model="test-model", messages=messages, stream=True, stream_options=options
        )
        parts = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
        return "".join(parts)

    began = time.process_time()
    async with openai.AsyncOpenAI(api_key="sk-bench", base_url=url) as client:
        await one(client, asked[0])
        await asyncio.gather(*(one(client, messages) for messages in asked[1:]))
    return time.process_time() - began


def views(folder: Path) -> Figures:
    """The demo's project among ever more of the modules that come with Python and its packages."""
    sizes: dict[int, dict[str, int]] = {}
    for lines in (1_000, 100_000, 1_000_000):
        root = folder / f"of-{lines}"
        shutil.copytree(DEMO, root)
        have = filled(root, lines)
        sizes[have] = {}
        for target in TARGETS:
            rows = asyncio.run(explain(start(root, "", "views", Limits()), target, "skeleton"))
            sizes[have][target] = sum(row.tokens for row in rows)
        shutil.rmtree(root)
    least, *more = sizes.values()
    ratio = max(each[target] / least[target] for each in more for target in TARGETS)
    return {"tokens_by_lines": sizes, "ratio": round(ratio, 3)}


def filled(root: Path, lines: int) -> int:
    """Copy modules into the workspace until it has that many lines; how many it has."""
    have = sum(text.count("\n") for text in map(read, sorted(root.rglob("*.py"))))
    found = sorted(path for place in MODULES for path in Path(place).rglob("*.py"))
    random.Random(0).shuffle(found)
    for number, path in enumerate(itertools.cycle(found)):
        text = read(path)
        if have + text.count("\n") > lines * 1.05 or not text.strip():
            continue
        copy = root / f"more{number // 200}" / f"{path.stem}_{number}.py"
        copy.parent.mkdir(exist_ok=True)
        copy.write_text(text, encoding="utf-8")
        have += text.count("\n")
        if have >= lines:
            break
    return have


def read(path: Path) -> str:
    """A file's text, or nothing where it is none."""
    try:
        return path.read_text(encoding="utf-8")
    except ValueError:
        return ""


ROWS: dict[str, Callable[[Path], Figures]] = {
    "chain": chain,
    "calls": calls,
    "many": many,
    "cpu": cpu,
    "views": views,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", nargs="*", choices=ROWS, default=list(ROWS))
    options = parser.parse_args()
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_STATE_HOME"] = f"{folder}/state"
        for name in options.only:
            place = Path(folder) / name
            place.mkdir()
            figures[name] = ROWS[name](place)
            if not options.json:
                print(f"{name:<8} {json.dumps(figures[name])}", flush=True)
    figures["load"] = round(os.getloadavg()[0], 1)
    print(json.dumps(figures) if options.json else f"load     {figures['load']}")


if __name__ == "__main__":
    main()
