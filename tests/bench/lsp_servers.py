"""Language servers as a benchmark sees them: a client that waits, how they come, what they are given."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import threading
import time
import venv
from collections.abc import Callable, Iterator, Mapping
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
PATIENCE = 60.0  # seconds for one answer
REST = 30.0  # seconds after which a server that is still at work is measured all the same
_TOP = re.compile(r"^(?=(?:def|class|@|async )\S*)", re.MULTILINE)


class Server:
    """A server and a client that waits for each answer; requests of the server are answered with null."""

    def __init__(
        self, command: list[str], root: Path, home: Path, more: Mapping[str, str] | None = None
    ) -> None:
        own = {"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache")}
        self.root = root
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **own, **(more or {})},
        )
        self.ps = psutil.Process(self.process.pid)
        self.answers: queue.Queue[Json] = queue.Queue()
        self.told: list[Json] = []  # notifications of our own
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
                asked = message["method"] == "workspace/configuration"
                many = len(message["params"]["items"]) if asked else 0
                self.write({"id": message["id"], "result": [None] * many if many else None})
            elif message["method"].startswith("soa/"):
                self.told.append(message)

    def write(self, message: Json) -> None:
        data = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self.process.stdin is not None
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(data) + data)
        self.process.stdin.flush()

    def tell(self, method: str, params: Json) -> None:
        self.write({"method": method, "params": params})

    def ask(self, method: str, params: Json | None) -> Any:
        """The result; raises `queue.Empty` when none comes in time."""
        number = next(self.numbers)
        self.write({"id": number, "method": method, "params": params})
        while True:
            answer = self.answers.get(timeout=PATIENCE)
            if answer.get("id") == number:
                return answer.get("result")

    def initialize(self, options: Json | None = None) -> None:
        folder = {"uri": self.root.as_uri(), "name": self.root.name}
        literals = {"codeActionLiteralSupport": {"codeActionKind": {"valueSet": [""]}}}
        capabilities = {
            "workspace": {"workspaceFolders": True, "didChangeWatchedFiles": {"dynamicRegistration": True}},
            "textDocument": {"codeAction": literals},
        }
        params = {"processId": None, "rootUri": folder["uri"], "workspaceFolders": [folder]}
        more = {"capabilities": capabilities, "initializationOptions": options or {}}
        self.ask("initialize", {**params, **more})

    def open(self, path: Path) -> str:
        text = path.read_text("utf-8")
        document = {"uri": path.as_uri(), "languageId": "python", "version": 1, "text": text}
        self.tell("textDocument/didOpen", {"textDocument": document})
        return text

    def close(self, path: Path) -> None:
        self.tell("textDocument/didClose", {"textDocument": {"uri": path.as_uri()}})

    def action(self, path: Path, line: int) -> Any:
        place = {"line": line, "character": 4}
        where = {"textDocument": {"uri": path.as_uri()}, "range": {"start": place, "end": place}}
        return self.ask("textDocument/codeAction", {**where, "context": {"diagnostics": []}})

    def insert(self, path: Path, version: int, place: tuple[int, int], text: str) -> None:
        at = {"line": place[0], "character": place[1]}
        document = {"uri": path.as_uri(), "version": version}
        change = {"range": {"start": at, "end": at}, "text": text}
        self.tell("textDocument/didChange", {"textDocument": document, "contentChanges": [change]})

    def tree(self) -> list[psutil.Process]:
        return [self.ps, *self.ps.children(recursive=True)]

    def cpu(self) -> float:
        """Seconds of the server and its children, those that have ended included."""
        own = self.ps.cpu_times()
        found = own.children_user + own.children_system
        for each in self.tree():
            with contextlib.suppress(psutil.Error):
                times = each.cpu_times()
                found += times.user + times.system
        return float(found)

    def memory(self) -> float:
        """MB, proportional, of the server and its children."""
        found = 0.0
        for each in self.tree():
            with contextlib.suppress(psutil.Error):  # it has just ended
                found += each.memory_full_info().pss / 1e6
        self.peak = max(self.peak, found)
        return found

    def settle(self) -> None:
        """Wait until the server is at rest, within reason."""
        deadline = time.perf_counter() + REST
        while time.perf_counter() < deadline:
            before = self.cpu()
            time.sleep(1)
            self.memory()
            if self.cpu() - before < 0.05:
                return

    def end(self) -> None:
        for each in self.tree():
            with contextlib.suppress(psutil.Error):
                each.kill()
        self.process.wait()


def servers(cache: Path, wanted: list[str]) -> Iterator[tuple[str, list[str]]]:
    """The command of each server; those of others are installed."""
    peers = cache / "peers"
    if set(wanted) - {"soa"} and not peers.exists():
        venv.create(peers, with_pip=True)
        subprocess.run([peers / "bin/pip", "install", "-q", *PEERS], check=True)
    for name in wanted:
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
    """Files of about 3,000 and 6,000 lines in the tree, made of its own definitions."""
    sources = sorted(root.rglob("*.py"), key=lambda path: (-path.stat().st_size, path))
    texts = [path.read_text("utf-8", errors="replace") for path in sources[:60]]
    pieces = [piece for text in texts for piece in _TOP.split(text)[1:] if piece.count("\n") < 400]
    found = {}
    for lines in (3000, 6000):
        kept: list[str] = []
        have = 0
        for piece in itertools.cycle(pieces):
            kept.append(piece)
            have += piece.count("\n")
            if have >= lines:
                break
        found[str(lines)] = root / f"soa_long_{lines}.py"
        found[str(lines)].write_text("".join(kept), "utf-8")
    return found


def counted(root: Path) -> Json:
    texts = [path.read_bytes() for path in root.rglob("*.py")]
    return {"files": len(texts), "lines": sum(text.count(b"\n") for text in texts)}
