"""Random messages, valid and not, to a real server; then it still answers rightly and has not grown.

python tests/soak.py [COUNT]        100,000 by default
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import random
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import psutil

Json = dict[str, Any]
TEXT = '"""A shop."""\n\n\ndef total(prices):\n    ...\n\n\ndef rate(x):\n    return x\n'
BITS = (
    "x",
    "\n",
    "    ",
    '"""',
    "(",
    ")",
    "é😀",
    "\r",
    "\u2028",
    "def f():\n    pass\n",
    "class A:\n",
    "# ",
    "",
)
EVERY = 100  # messages between two answers that are waited for
PATIENCE = 120.0  # seconds for one answer
SETTLED = 0.2  # of the messages, after which memory is first looked at: caches are filled by then


class Line:
    """A server's streams: messages out, answers to our requests in."""

    def __init__(self, folder: Path) -> None:
        home = {"HOME": str(folder), "XDG_CACHE_HOME": str(folder / ".cache")}
        keep = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "SOA_"))}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "soa_server.cli", "serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**keep, **home},
        )
        self.answers: queue.Queue[Json] = queue.Queue()
        self.number = 0
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self) -> None:
        out = self.process.stdout
        assert out is not None
        while head := out.readline():
            if head.lower().startswith(b"content-length:"):
                while out.readline().strip():
                    pass
                message = json.loads(out.read(int(head.split(b":")[1])))
                if "method" not in message:
                    self.answers.put(message)

    def send(self, body: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.process.stdin.flush()

    def tell(self, method: str, params: Any) -> None:
        self.send(json.dumps({"jsonrpc": "2.0", "method": method, "params": params}).encode())

    def ask(self, method: str, params: Any, *, wait: bool = True) -> Json:
        self.number += 1
        message = {"jsonrpc": "2.0", "id": self.number, "method": method, "params": params}
        self.send(json.dumps(message).encode())
        while wait:
            answer = self.answers.get(timeout=PATIENCE)
            if answer.get("id") == self.number:
                return answer
        return {}

    def close(self) -> None:
        """End the server, however it stands."""
        self.process.kill()
        self.reader.join(PATIENCE)
        with self.process, contextlib.suppress(BrokenPipeError):
            pass

    def memory(self) -> float:
        """MB of the server's own process that no other shares."""
        return float(psutil.Process(self.process.pid).memory_full_info().uss) / 1e6


class Soak:
    """One session. `documents` are versions by URI; what stands in them only the server knows."""

    def __init__(self, line: Line, folder: Path, seed: int) -> None:
        self.line = line
        self.chance = random.Random(seed)
        self.uris = [(folder / f"shop {n}.py").as_uri() for n in range(4)]
        self.version = 1
        line.ask("initialize", {"processId": None, "rootUri": folder.as_uri(), "capabilities": {}})
        line.tell("initialized", {})
        for uri in self.uris:
            self.open(uri)

    def open(self, uri: str, text: str = TEXT) -> None:
        document = {"uri": uri, "languageId": "python", "version": self.version, "text": text}
        self.line.tell("textDocument/didOpen", {"textDocument": document})

    def run(self, count: int) -> tuple[float, float]:
        """Send `count` messages; memory early on and at the end, both with the same small texts open."""
        early = 0.0
        for number in range(count):
            self.chance.choices(KINDS, WEIGHTS)[0](self)
            if number % EVERY == 0:
                self.line.ask("textDocument/codeAction", self.place(self.uris[0]))
            if number in (int(count * SETTLED), count - 1):
                self.rest()
                early = early or self.line.memory()
        return early, self.line.memory()

    def rest(self) -> None:
        for uri in self.uris:
            self.open(uri)
            answer = self.line.ask("textDocument/codeAction", self.place(uri, {"line": 3, "character": 5}))
            titles = [action["title"] for action in answer["result"]]
            assert "Generate with SoA" in titles, titles

    def place(self, uri: str, at: Json | None = None) -> Json:
        at = at or self.position()
        context: Json = {"diagnostics": []}
        return {"textDocument": {"uri": uri}, "range": {"start": at, "end": at}, "context": context}

    def position(self) -> Json:
        return {"line": self.chance.randrange(0, 14), "character": self.chance.choice((0, 0, 4, 9, 200))}

    def change(self) -> None:
        """Often a proper edit, now and then a range that runs backwards or lies outside, or a whole text."""
        self.version += 1
        start, end = self.position(), self.position()
        if self.chance.random() < 0.6:
            end = start
        change: Json = {"range": {"start": start, "end": end}, "text": self.chance.choice(BITS)}
        if self.chance.random() < 0.1:
            change = {"text": TEXT}
        if self.chance.random() < 0.01:
            change["text"] = "x" * 200_000
        uri = self.chance.choice([*self.uris, "file:///nowhere.py"])
        document = {"uri": uri, "version": self.version}
        self.line.tell("textDocument/didChange", {"textDocument": document, "contentChanges": [change]})

    def request(self) -> None:
        uri = self.chance.choice([*self.uris, "file:///nowhere.py", "untitled:1", "::"])
        method = self.chance.choice(("codeAction", "codeLens", "hover", "documentSymbol", "nonsense"))
        params = self.place(uri)
        if method == "hover":
            params = {"textDocument": {"uri": uri}, "position": self.position()}
        self.line.ask(f"textDocument/{method}", params, wait=False)

    def nonsense(self) -> None:
        """No JSON, no message, no such method, wrong types."""
        bodies: tuple[Any, ...] = (b"{", b"[]", b"null", b"\xff\xfe", b'{"jsonrpc":"2.0"}', b'{"id":1}')
        wrong = {"textDocument": {"uri": 5}, "range": "here"}
        told = {"jsonrpc": "2.0", "method": "textDocument/didChange", "params": wrong}
        asked = {"jsonrpc": "2.0", "id": "n", "method": "textDocument/codeAction", "params": wrong}
        command = {"jsonrpc": "2.0", "id": "c", "method": "workspace/executeCommand"}
        run = {**command, "params": {"command": "soa.generate", "arguments": [{"uri": 1}]}}
        self.line.send(
            self.chance.choice([*bodies, *(json.dumps(each).encode() for each in (told, asked, run))])
        )

    def reopen(self) -> None:
        uri = self.chance.choice(self.uris)
        self.line.tell("textDocument/didClose", {"textDocument": {"uri": uri}})
        if self.chance.random() < 0.2:
            self.line.tell("textDocument/didSave", {"textDocument": {"uri": uri}})
        self.open(uri, self.chance.choice((TEXT, "", "\ufeff" + TEXT, TEXT.replace("\n", "\r\n"))))


KINDS = (Soak.change, Soak.request, Soak.nonsense, Soak.reopen)
WEIGHTS = (60, 30, 5, 5)


def soak(folder: Path, count: int, seed: int = 1) -> tuple[float, float]:
    """Memory of the server early on and at the end; raises `AssertionError` when it answers wrongly."""
    line = Line(folder)
    try:
        found = Soak(line, folder, seed).run(count)
        assert line.ask("shutdown", None)["result"] is None
        line.tell("exit", None)
        assert line.process.wait(PATIENCE) == 0
        return found
    finally:
        line.close()


if __name__ == "__main__":
    messages = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as scratch:
        first, last = soak(Path(scratch), messages)
    print(f"{messages} messages: {first:.1f} MB early on, {last:.1f} MB at the end ({last / first - 1:+.1%})")
