"""How quickly language servers answer: ours beside ruff, ty, pyright and python-lsp-server, in one run.

    python tests/bench/lsp.py [--json] [--servers soa ruff] [--trees django] [--cache FOLDER]

The servers and the trees come from PyPI, once, into the cache folder. Wall times are in milliseconds unless a
name says otherwise, memory in MB, proportional, of the server and all its children.

initialize  processor time until it is answered, the servers of a pair taking turns; `ratio` to bare pygls
first       opening a file of 3,000 lines and the first code action in it, right after `initialized`
starting    code actions up and down that file, right after that; `warm` the same when the server is at rest
keys        `    x = f([1])` typed at several places of a file, a code action asked for after each key; half
            of the time the text is broken. `cpu` is the server's own
index       the indexer alone, on a cache that is empty
breaks      the share of functions elsewhere that are listed after each break of `breaks.py` (Django)
symbols     `workspace/symbol`, first and second
map         our map of agents: seconds until it is complete, and processor seconds by then; the second start's
            by a session that asks for nothing else
busy        code actions while 64 agents of one job write, the model being a local server that answers in 2 s

Without --json the table of what was aimed at is printed at the end.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import queue
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from breaks import broken
from lsp_servers import BARE, COMMANDS, PATIENCE, Json, Server, counted, long_files, servers, trees
from lsp_table import table
from sums import PATH, Sums, served

STARTS = 9  # of each of the two servers whose `initialize` is compared
WARM = 200  # requests
GLANCE = 1.0  # seconds for which a person looks at a file before typing in it
TIMES = ("starting", "warm", "keys_3000", "keys_6000")
TYPED, PLACES = "    x = f([1])", 12
CHILDREN = 63


def timed(action: Callable[[], Any]) -> float:
    start = time.perf_counter()
    action()
    return (time.perf_counter() - start) * 1000


def spread(server: Server, times: Iterator[float]) -> Json:
    """Percentiles of wall times, and the server's own processor time in the mean."""
    before = server.ps.cpu_times()
    ordered = sorted(times)
    after = server.ps.cpu_times()
    cpu = (after.user + after.system - before.user - before.system) / len(ordered)
    parts = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    found = {name: round(ordered[int(len(ordered) * part)], 2) for name, part in parts.items()}
    return {**found, "cpu": round(cpu * 1000, 2)}


def measure(command: list[str], root: Path, home: Path, files: dict[str, Path], ours: bool) -> Json:
    """One session: the start, the first answer, warm answers, answers after keys, memory at the end."""
    server = Server(command, root, home)
    try:
        found: Json = {"initialize": round(timed(server.initialize), 1)}
        server.tell("initialized", {})
        begun = time.perf_counter()
        first = next(iter(files.values()))
        lines = first.read_text("utf-8").count("\n")
        found["first"] = round(timed(lambda: (server.open(first), server.action(first, lines // 2))), 1)

        def asked() -> Iterator[float]:
            return (timed(lambda n=n: server.action(first, n * 37 % lines)) for n in range(WARM))

        found["starting"] = spread(server, asked())
        for name, path in files.items():
            if path != first:
                server.open(path)
                server.action(path, 0)
                time.sleep(GLANCE)
            found[f"keys_{name}"] = spread(server, keys(server, path))
        if ours:
            found["map"] = complete(server, first, begun)
        found["symbols"] = [symbols(server), symbols(server)]
        server.settle()
        server.close(first)
        server.open(first)
        server.action(first, 0)
        time.sleep(GLANCE)
        found["warm"] = spread(server, asked())
        found["memory"], found["memory_peak"] = round(server.memory(), 1), round(server.peak, 1)
        found["cpu_seconds"] = round(server.cpu(), 2)
        return found
    except queue.Empty:
        return {**found, "gave_up": f"no answer within {PATIENCE:g} s"}
    finally:
        server.end()


def keys(server: Server, path: Path) -> Iterator[float]:
    """Types at empty lines of the file, from its beginning to its end."""
    blank = [n for n, line in enumerate(path.read_text("utf-8").split("\n")[:-1]) if not line]
    version = itertools.count(2)
    for place in range(PLACES):
        line = blank[(2 * place + 1) * len(blank) // (2 * PLACES)]
        for at, key in enumerate(TYPED):

            def typed(at: int = at, key: str = key, line: int = line) -> None:
                server.insert(path, next(version), (line, at), key)
                server.action(path, line + 2)

            yield timed(typed)


def symbols(server: Server) -> float | None:
    """None of a server that knows no symbols."""
    start = time.perf_counter()
    answer = server.ask("workspace/symbol", {"query": "get"})
    return None if answer is None else round((time.perf_counter() - start) * 1000, 1)


def complete(server: Server, path: Path, begun: float) -> Json:
    while not server.ask("soa/agents", {"uri": path.as_uri()})["complete"]:
        server.memory()
        time.sleep(0.05)
        if time.perf_counter() - begun > 4 * PATIENCE:
            return {"seconds": None}
    return {"seconds": round(time.perf_counter() - begun, 2), "cpu": round(server.cpu(), 2)}


def mapped(command: list[str], root: Path, home: Path, path: Path) -> Json:
    """A session that asks for nothing but the map, at once."""
    server = Server(command, root, home)
    try:
        server.initialize()
        begun = time.perf_counter()
        server.tell("initialized", {})
        return complete(server, path, begun)
    finally:
        server.end()


def starts(root: Path, soa: list[str]) -> Json:
    """Processor seconds until `initialize` is answered, of bare pygls and of ours."""
    commands = {"bare": [sys.executable, "-c", BARE], "soa": soa}
    spent: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(STARTS):
        for name, command in commands.items():
            with tempfile.TemporaryDirectory() as home:
                server = Server(command, root, Path(home))
                try:
                    server.initialize()
                    spent[name].append(server.cpu())
                finally:
                    server.end()
    cpu = {name: round(statistics.median(each), 3) for name, each in spent.items()}
    return {**cpu, "ratio": round(cpu["soa"] / cpu["bare"], 2)}


def indexed(root: Path, lines: int) -> Json:
    """The indexer's process: seconds, and processor seconds for 100,000 lines."""
    with tempfile.TemporaryDirectory() as scratch:
        cache = Path(scratch) / "index.sqlite3"
        command = [sys.executable, "-m", "soa_agents.workspace.mapping", "--cache", str(cache), str(root)]
        before, begun = os.times(), time.perf_counter()
        subprocess.run(command, check=True)
        after, seconds = os.times(), time.perf_counter() - begun
    cpu = sum(after[2:4]) - sum(before[2:4])
    return {"seconds": round(seconds, 2), "cpu_100k": round(cpu / lines * 1e5, 3)}


def busy(soa: list[str]) -> Json:
    """One job with a Mother and 63 Children, its engine and its tests real; only the model is a stand-in."""
    sums = Sums(CHILDREN)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        root = sums.lay(folder / "shop")
        with served(sums.replies(2.0), folder) as url:
            model = {"OPENAI_API_KEY": "sk-bench", "OPENAI_BASE_URL": url, "SOA_MODEL": "test-model"}
            server = Server(soa, root, folder / "home", model)
            try:
                return asked_meanwhile(server, root / PATH)
            finally:
                server.end()


def asked_meanwhile(server: Server, path: Path) -> Json:
    server.initialize({"limits": {"calls": 500, "agents": 100, "tokens": 50_000_000, "parallel": 64}})
    server.tell("initialized", {})
    server.open(path)
    place = {"uri": path.as_uri(), "qualname": "total", "version": 1}
    server.ask("workspace/executeCommand", {"command": "soa.generate", "arguments": [place]})
    asking: set[str] = set()
    most = 0

    def until_the_end() -> Iterator[float]:
        nonlocal most
        seen = 0
        while True:
            for message in server.told[seen:]:
                seen += 1
                params = message["params"]
                if message["method"] == "soa/agent":
                    change = asking.add if params["state"] == "asking" else asking.discard
                    change(params["agentId"])
                    most = max(most, len(asking))
                elif params["state"] != "running":
                    return
            yield timed(lambda: server.action(path, 4))
            time.sleep(0.02)

    found = spread(server, until_the_end())
    return {**found, "agents_at_once": most, "verdict": server.told[-1]["params"].get("verdict")}


def ratios(found: dict[str, Json]) -> Json:
    """Ours over each of the others, wherever both were measured."""
    own = found.get("soa", {})
    rows = {"first": lambda each: each["first"]}
    rows |= {name: lambda each, name=name: each[name]["p95"] for name in TIMES}
    rows |= {"memory": lambda each: each["memory"]}
    return {
        row: {
            name: round(value(own) / value(each), 2)
            for name, each in found.items()
            if not name.startswith("soa") and "gave_up" not in each
        }
        for row, value in rows.items()
        if "gave_up" not in own and own
    }


TREES = ("more-itertools", "django", "large")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--servers", nargs="+", choices=COMMANDS, default=[*COMMANDS])
    parser.add_argument("--trees", nargs="+", choices=TREES, default=[*TREES])
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/soa-bench").expanduser())
    options = parser.parse_args()
    commands = dict(servers(options.cache, options.servers))
    places = dict(trees(options.cache, options.trees))
    result: Json = {"cpus": os.cpu_count(), "load": os.getloadavg(), "trees": {}}

    def say(name: str, figures: Json) -> None:
        if not options.json:
            print(f"{name}: {json.dumps(figures)}", flush=True)

    if soa := commands.get("soa"):
        result["initialize"] = starts(next(iter(places.values())), soa)
        say("initialize", result["initialize"])
        result["busy"] = busy(soa)
        say("busy", result["busy"])
    for tree, root in places.items():
        found: dict[str, Json] = {}
        files = long_files(root)
        for name, command in commands.items():
            with tempfile.TemporaryDirectory() as home:
                found[name] = measure(command, root, Path(home), files, name == "soa")
                say(f"{tree} {name}", found[name])
                if name == "soa":
                    again = measure(command, root, Path(home), files, True)
                    again["map"] = mapped(command, root, Path(home), files["3000"])
                    found["soa, second start"] = again
                    say(f"{tree} soa, second start", again)
        measured = {**counted(root), "servers": found, "ratios": ratios(found)}
        result["trees"][tree] = measured
        if soa:
            measured["index"] = indexed(root, measured["lines"])
            say(f"{tree} index", measured["index"])
        if soa and tree == "django":
            means, _ = broken(root / "django")
            measured["breaks"] = {**means["typed"], "least": min(means["typed"].values())}
            say(f"{tree} breaks", measured["breaks"])
        say(f"{tree} ours over others", result["trees"][tree]["ratios"])
    result["load_after"] = os.getloadavg()
    print(json.dumps(result, indent=1) if options.json else table(result))


if __name__ == "__main__":
    main()
