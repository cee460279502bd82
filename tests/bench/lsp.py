"""How quickly language servers answer: ours beside ruff, ty, pyright and python-lsp-server, in one run.

    python tests/bench/lsp.py --json [--servers soa ruff] [--trees django] [--cache FOLDER]

The servers and the trees come from PyPI, once, into the cache folder. Wall times are in milliseconds, CPU
times in seconds of the server and all its children, memory in MB, proportional, of the same.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import queue
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import threading
import time
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

Json = dict[str, Any]
PEERS = ("ruff", "ty", "pyright", "python-lsp-server")
LARGE = ("sympy==1.13.3", "moto==5.2.5", "networkx==3.6.1")  # beside the standard library
COMMANDS = {
    "soa": ["soa", "serve"],
    "ruff": ["ruff", "server"],
    "ty": ["ty", "server"],
    "pyright": ["pyright-langserver", "--stdio"],
    "pylsp": ["pylsp"],
}
BARE = "from pygls.lsp.server import LanguageServer; LanguageServer('bare', '0').start_io()"
WARM, EDITS = 60, 60  # requests of a kind
PATIENCE = 180.0  # seconds


class Server:
    """A server and a client that waits for each answer; requests of the server are answered with null."""

    def __init__(self, command: list[str], root: Path, home: Path) -> None:
        environment = {**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache")}
        self.root = root
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
        )
        self.ps = psutil.Process(self.process.pid)
        self.answers: queue.Queue[Json] = queue.Queue()
        self.numbers = itertools.count(1)
        self.peak = 0.0
        threading.Thread(target=self.read, daemon=True).start()

    def read(self) -> None:
        out = self.process.stdout
        assert out is not None
        while line := out.readline():
            size = 0
            while line.strip():
                name, _, value = line.partition(b":")
                size = int(value) if name.lower() == b"content-length" else size
                line = out.readline()
            message = json.loads(out.read(size))
            if "method" not in message:
                self.answers.put(message)
            elif "id" in message:
                many = (
                    len(message["params"]["items"]) if message["method"] == "workspace/configuration" else 0
                )
                self.write({"id": message["id"], "result": [None] * many if many else None})

    def write(self, message: Json) -> None:
        data = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self.process.stdin is not None
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(data) + data)
        self.process.stdin.flush()

    def tell(self, method: str, params: Json) -> None:
        self.write({"method": method, "params": params})

    def ask(self, method: str, params: Json | None) -> Any:
        number = next(self.numbers)
        self.write({"id": number, "method": method, "params": params})
        while True:
            answer = self.answers.get(timeout=PATIENCE)
            if answer.get("id") == number:
                return answer.get("result")

    def initialize(self) -> None:
        folder = {"uri": self.root.as_uri(), "name": self.root.name}
        capabilities = {
            "workspace": {"workspaceFolders": True, "didChangeWatchedFiles": {"dynamicRegistration": True}},
            "textDocument": {
                "codeAction": {"codeActionLiteralSupport": {"codeActionKind": {"valueSet": [""]}}}
            },
        }
        params = {"processId": None, "rootUri": folder["uri"], "workspaceFolders": [folder]}
        self.ask("initialize", {**params, "capabilities": capabilities})
        self.tell("initialized", {})

    def open(self, path: Path) -> str:
        text = path.read_text("utf-8")
        document = {"uri": path.as_uri(), "languageId": "python", "version": 1, "text": text}
        self.tell("textDocument/didOpen", {"textDocument": document})
        return text

    def action(self, path: Path, line: int) -> Any:
        place = {"line": line, "character": 4}
        where = {"textDocument": {"uri": path.as_uri()}, "range": {"start": place, "end": place}}
        return self.ask("textDocument/codeAction", {**where, "context": {"diagnostics": []}})

    def insert(self, path: Path, version: int, line: int, text: str) -> None:
        place = {"line": line, "character": 0}
        document = {"uri": path.as_uri(), "version": version}
        change = {"range": {"start": place, "end": place}, "text": text}
        self.tell("textDocument/didChange", {"textDocument": document, "contentChanges": [change]})

    def tree(self) -> list[psutil.Process]:
        return [self.ps, *self.ps.children(recursive=True)]

    def cpu(self) -> float:
        """Of the server and its children, those that have ended included."""
        own = self.ps.cpu_times()
        found = own.children_user + own.children_system
        for each in self.tree():
            with contextlib.suppress(psutil.Error):
                times = each.cpu_times()
                found += times.user + times.system
        return found

    def memory(self) -> float:
        found = 0.0
        for each in self.tree():
            with contextlib.suppress(psutil.Error):  # it has just ended
                found += each.memory_full_info().pss / 1e6
        self.peak = max(self.peak, found)
        return found

    def end(self) -> None:
        for each in self.tree():
            each.kill()
        self.process.wait()


def timed(action: Callable[[], Any]) -> float:
    start = time.perf_counter()
    action()
    return round((time.perf_counter() - start) * 1000, 3)


def spread(server: Server, count: int, once: Callable[[int], float]) -> Json:
    """Wall times, and the server's own CPU time in the mean, which a busy machine blurs less."""
    before = server.ps.cpu_times()
    ordered = sorted(once(n) for n in range(count))
    after = server.ps.cpu_times()
    cpu = (after.user + after.system - before.user - before.system) / count
    return {"p50": ordered[count // 2], "p95": ordered[int(count * 0.95)], "cpu": round(cpu * 1000, 2)}


def measure(command: list[str], root: Path, home: Path, files: dict[str, Path], ours: bool) -> Json:
    """One session: the start, the first answer, warm answers, answers after keys, memory at the end."""
    server = Server(command, root, home)
    try:
        found: Json = {"initialize": timed(server.initialize), "initialize_cpu": round(server.cpu(), 3)}
        begun = time.perf_counter()
        first = next(iter(files.values()))
        lines = server.open(first).count("\n")
        found["first"] = timed(lambda: server.action(first, lines // 2))
        found["warm"] = spread(server, WARM, lambda n: timed(lambda: server.action(first, n * 7 % lines)))
        for name, path in files.items():
            found[f"edited_{name}"] = keys(server, path)
        if ours:
            found["map"] = complete(server, first, begun)
        settle(server)
        found["memory"], found["memory_peak"] = round(server.memory(), 1), round(server.peak, 1)
        found["cpu"] = round(server.cpu(), 2)
        return found
    finally:
        server.end()


def keys(server: Server, path: Path) -> Json:
    """A key is typed in a comment, then code actions are asked for, up and down the file."""
    lines = server.open(path).count("\n")
    server.action(path, 0)
    version = itertools.count(2)

    def once(turn: int) -> float:
        line = turn * 131 % lines

        def key() -> None:
            server.insert(path, next(version), line, "#" if turn % 2 else "#\n")
            server.action(path, line + 2)

        return timed(key)

    found = spread(server, EDITS, once)
    server.tell("textDocument/didClose", {"textDocument": {"uri": path.as_uri()}})
    return found


def complete(server: Server, path: Path, begun: float) -> Json:
    """Until our map of agents is complete: seconds since `initialized`, CPU seconds spent by then."""
    while not server.ask("soa/agents", {"uri": path.as_uri()})["complete"]:
        server.memory()
        time.sleep(0.05)
        if time.perf_counter() - begun > PATIENCE:
            return {"seconds": None}
    return {"seconds": round(time.perf_counter() - begun, 2), "cpu": round(server.cpu(), 2)}


def settle(server: Server) -> None:
    """Wait until the server is at rest."""
    deadline = time.perf_counter() + PATIENCE
    while time.perf_counter() < deadline:
        before, _ = server.cpu(), time.sleep(1.5)
        server.memory()
        if server.cpu() - before < 0.1:
            return


# -- what is measured, and on what


def servers(cache: Path, wanted: list[str]) -> Iterator[tuple[str, list[str]]]:
    """The command of each server; those of others are installed."""
    peers = cache / "peers"
    if set(wanted) - {"soa", "bare"} and not peers.exists():
        venv.create(peers, with_pip=True)
        subprocess.run([peers / "bin/pip", "install", "-q", *PEERS], check=True)
    for name in wanted:
        if name == "bare":
            yield name, [sys.executable, "-c", BARE]
            continue
        folder = Path(sys.executable).parent if name == "soa" else peers / "bin"
        yield name, [str(folder / COMMANDS[name][0]), *COMMANDS[name][1:]]


def trees(cache: Path, wanted: list[str]) -> Iterator[tuple[str, Path]]:
    """The folders that are indexed."""
    makers: dict[str, Callable[[Path], None]] = {
        "more-itertools": lambda place: unpacked("more-itertools", place),
        "django": lambda place: unpacked("django==5.2.*", place),
        "large": large,
    }
    for name in wanted:
        place = cache / "trees" / name
        if not place.exists():
            makers[name](place)
        yield name, place


def unpacked(project: str, place: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        download = ["download", "-q", "--no-deps", "--no-binary", ":all:", "-d", scratch, project]
        subprocess.run([sys.executable, "-m", "pip", *download], check=True)
        with tarfile.open(next(Path(scratch).glob("*.tar.gz"))) as archive:
            archive.extractall(Path(scratch) / "out", filter="data")
        shutil.move(next((Path(scratch) / "out").iterdir()), place)


def large(place: Path) -> None:
    """The standard library and large packages side by side."""
    ignore = shutil.ignore_patterns("site-packages", "__pycache__", "*.so")
    shutil.copytree(sysconfig.get_path("stdlib"), place / "stdlib", ignore=ignore)
    install = ["install", "-q", "--no-deps", "--no-compile", "--target", str(place / "packages"), *LARGE]
    subprocess.run([sys.executable, "-m", "pip", *install], check=True)


def long_files(root: Path) -> dict[str, Path]:
    """Files of about 3,000 and 6,000 lines in the tree, made of its own."""
    sources = sorted(root.rglob("*.py"), key=lambda path: (-path.stat().st_size, path))
    sources = [path for path in sources if path.stat().st_size < 60_000 and not path.name.startswith("soa_")][
        :200
    ]
    found = {}
    for lines in (3000, 6000):
        text = ""
        for source in sources:
            more = source.read_text("utf-8", errors="replace")
            if text.count("\n") + more.count("\n") <= lines and "from __future__" not in more:
                text += more + "\n"
        found[str(lines)] = root / f"soa_long_{lines}.py"
        found[str(lines)].write_text(text, "utf-8")
    return found


def counted(root: Path) -> Json:
    texts = [path.read_bytes() for path in root.rglob("*.py")]
    return {"files": len(texts), "lines": sum(text.count(b"\n") for text in texts)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--servers", nargs="+", default=["bare", *COMMANDS])
    parser.add_argument("--trees", nargs="+", default=["more-itertools", "django", "large"])
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/soa-bench").expanduser())
    options = parser.parse_args()
    result: Json = {"cpus": os.cpu_count(), "load": os.getloadavg(), "trees": {}}
    for tree, root in trees(options.cache, options.trees):
        found: Json = {**counted(root), "servers": {}}
        for name, command in servers(options.cache, options.servers):
            with tempfile.TemporaryDirectory() as home:
                if name == "bare":
                    found["servers"][name] = started(command, root, Path(home))
                    continue
                files = long_files(root)
                found["servers"][name] = measure(command, root, Path(home), files, name == "soa")
                if name == "soa":
                    found["servers"]["soa, second start"] = measure(command, root, Path(home), files, True)
            if not options.json:
                print(tree, name, json.dumps(found["servers"]), flush=True)
        result["trees"][tree] = found
    result["load_after"] = os.getloadavg()
    if options.json:
        print(json.dumps(result, indent=1))


def started(command: list[str], root: Path, home: Path) -> Json:
    server = Server(command, root, home)
    try:
        return {"initialize": timed(server.initialize), "initialize_cpu": round(server.cpu(), 3)}
    finally:
        server.end()


if __name__ == "__main__":
    main()
