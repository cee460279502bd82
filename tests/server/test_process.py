"""Holds: how the server's process begins and ends, and that nothing of it stays behind.

`initialize` is answered without the slow libraries; standard output belongs to the protocol; shutdown, the
end of input, a signal and the client's death all end the server and its engine.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from lsp_bench import FAKE, Bench
from lsp_client import Editor

# What an answer to `initialize` and a first code action do without: each would cost 5 ms and more.
SLOW = frozenset({"openai", "git", "pytest", "_pytest", "httpx", "click", "psutil", "pathspec", "sqlite3"})
LATER = ("soa_agents.models", "soa_agents.swarm", "soa_agents.verify", "soa_server.lsp.controller")

# A whole session in one turn of the loop, so that what a server loads in its leisure is not loaded.
SESSION = """
import asyncio, json, sys
from soa_server.lsp.running import create_server

class Sink:
    def write(self, data):
        sys.stderr.write(data.decode())

uri = sys.argv[1]
place = {"line": 1, "character": 5}
document = {"uri": uri, "languageId": "python", "version": 1, "text": "def total(prices):\\n    ...\\n"}
params = {"textDocument": {"uri": uri}, "range": {"start": place, "end": place}}
literals = {"codeActionLiteralSupport": {"codeActionKind": {"valueSet": [""]}}}
root = {"uri": uri.rpartition("/")[0], "name": "shop"}
messages = [
    {"id": 1, "method": "initialize", "params": {
        "processId": None, "rootUri": root["uri"], "workspaceFolders": [root],
        "capabilities": {"textDocument": {"codeAction": literals}},
    }},
    {"method": "initialized", "params": {}},
    {"method": "textDocument/didOpen", "params": {"textDocument": document}},
    {"id": 2, "method": "textDocument/codeAction", "params": {**params, "context": {"diagnostics": []}}},
]

async def main():
    server = create_server()
    server.protocol.set_writer(Sink())
    for message in messages:
        data = json.dumps({"jsonrpc": "2.0", **message})
        server.protocol.handle_message(json.loads(data, object_hook=server.protocol.structure_message))
    print(*sys.modules)

asyncio.run(main())
"""

NOISY = """
import os
from soa_server.lsp import running

create = running.create_server

def noisy(engine):
    print("stray")
    os.write(1, b"stray")
    return create(engine)

running.create_server = noisy
"""


def start_client() -> subprocess.Popen[bytes]:
    """A process to be taken for the editor's; it ends with its input."""
    return subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    )


def end_client(client: subprocess.Popen[bytes]) -> None:
    assert client.stdin is not None
    client.stdin.close()
    client.wait()


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True)


async def running(bench: Bench) -> tuple[Editor, str, psutil.Process]:
    """An editor with a job that will not end by itself, and the engine's process."""
    bench.plan({"total": {"hold": True}})
    editor = bench.editor()
    await editor.start()
    await editor.initialize()
    await editor.open(bench.shop)
    job = await editor.act(bench.shop, "def total", "Generate with SoA")
    await editor.until(
        lambda: [p for p in editor.progress if p["value"].get("message") == "asking the Mother"]
    )
    return editor, job, engine_of(editor)


def engine_of(editor: Editor) -> psutil.Process:
    """The engine's process; an indexer may be at work beside it."""
    found = list[psutil.Process]()
    for child in psutil.Process(editor.process.pid).children():
        with contextlib.suppress(psutil.Error):  # an indexer that has just ended
            found += [child] if FAKE.name in " ".join(child.cmdline()) else []
    (engine,) = found
    return engine


def gone(process: psutil.Process) -> bool:
    try:
        process.wait(10)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return False
    return True


@pytest.mark.parametrize("way", ["shutdown", "end of input", "SIGTERM", "exit alone"])
async def test_every_exit_ends_the_engine_too(bench: Bench, way: str) -> None:
    editor, job, engine = await running(bench)
    if way == "shutdown":
        assert await editor.shutdown() == 0
        assert (await editor.end(job))["state"] == "cancelled"
    elif way == "end of input":
        assert await editor.hang_up() == 1
    elif way == "SIGTERM":
        editor.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(editor.process.wait(), 20) == 1
    else:
        editor.tell("exit", None)
        assert await asyncio.wait_for(editor.process.wait(), 20) == 1
    await editor.stop()
    assert gone(engine)
    assert {m["type"] for m in bench.received()} >= {"start", "secret", "cancel"}


async def test_the_clients_death_ends_the_server(bench: Bench) -> None:
    client = start_client()
    editor = bench.editor()
    editor.process_id = client.pid
    await editor.start()
    await editor.initialize()
    end_client(client)
    assert await asyncio.wait_for(editor.process.wait(), 20) == 1
    await editor.stop()


async def test_a_killed_server_leaves_no_engine(bench: Bench) -> None:
    editor, _, engine = await running(bench)
    editor.process.kill()
    await editor.stop()
    assert gone(engine)


def test_the_editor_is_answered_without_slow_libraries(bench: Bench) -> None:
    """From `initialize` to the first code action nothing is loaded that only later answers need."""
    done = subprocess.run(
        [sys.executable, "-c", SESSION, bench.shop.as_uri()], env=bench.env, capture_output=True, text=True
    )
    loaded, answered = set(done.stdout.split()), done.stderr
    assert "Generate with SoA" in answered, answered
    slow = {name for name in loaded if name.partition(".")[0] in SLOW}
    assert not slow | {name for name in loaded if name.startswith(LATER)}


def test_an_editors_start_parses_no_command_line(bench: Bench) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "soa_server.cli", "serve"]
    done = subprocess.run(command, env=bench.env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    loaded = set(re.findall(r"\|\s+([\w.]+)$", done.stderr, re.MULTILINE))
    assert "soa_server.lsp.running" in loaded, done.stderr[-500:]
    assert not loaded & {"click", "soa_server.cli.table"}


async def test_a_stray_print_does_not_reach_the_protocol(bench: Bench) -> None:
    editor = bench.editor()
    editor.command[2] = NOISY + editor.command[2]
    async with editor:
        assert editor.server_info["name"] == "soa-language-server"
    assert editor.stderr.count(b"stray") == 2


async def test_the_log_holds_no_texts(bench: Bench) -> None:
    async with bench.editor() as editor:
        editor.tell("textDocument/didChange", {"textDocument": {"uri": "file:///x.py"}, "contentChanges": 3})
        editor.tell("textDocument/didOpen", {"textDocument": "text of a person"})
        await editor.open(bench.shop, "x = 'text of a person'\n")
        await editor.actions(bench.shop, "x")
    assert b"text of a person" not in editor.stderr


async def test_an_engine_that_does_not_answer_a_cancel_is_ended(bench: Bench) -> None:
    bench.plan({"total": {"hold": True, "deaf": True}})
    async with bench.editor() as editor:
        await editor.open(bench.shop)
        job = await editor.act(bench.shop, "def total", "Generate with SoA")
        await editor.until(
            lambda: [p for p in editor.progress if p["value"].get("message") == "asking the Mother"]
        )
        engine = engine_of(editor)
        await editor.run("soa.cancel", {"jobId": job})
        assert (await editor.end(job))["state"] == "cancelled"
        assert gone(engine)


async def test_one_client_over_a_socket(bench: Bench) -> None:
    code = "import sys; from soa_server.lsp.serve import serve_tcp; sys.exit(serve_tcp('127.0.0.1', 0))"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stderr=asyncio.subprocess.PIPE, env=bench.env
    )
    assert process.stderr is not None
    port = int((await process.stderr.readline()).rpartition(b":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    initialize = {"processId": None, "rootUri": None, "capabilities": {}}
    try:
        write(writer, {"id": 1, "method": "initialize", "params": initialize})
        await asyncio.wait_for(reader.readuntil(b"soa-language-server"), 20)
        write(writer, {"id": 2, "method": "shutdown", "params": None})
        await asyncio.wait_for(reader.readuntil(b'"id": 2'), 20)
        write(writer, {"method": "exit", "params": None})
        assert await asyncio.wait_for(process.wait(), 20) == 0
    finally:
        writer.close()
        await process.stderr.read()


def write(writer: asyncio.StreamWriter, message: dict[str, object]) -> None:
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))


async def test_nothing_of_the_workspace_is_executed_before_a_command(bench: Bench, tmp_path: Path) -> None:
    planted = tmp_path / "planted"
    program = f"#!/bin/sh\ntouch '{planted}'\n"
    python = bench.root / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    monitor = bench.root / "monitor.sh"
    for path in (python, monitor):
        path.write_text(program)
        path.chmod(0o755)
    git(bench.root, "init", "-q")
    git(bench.root, "config", "core.fsmonitor", str(monitor))
    async with bench.editor() as editor:
        await editor.open(bench.shop)
        await editor.actions(bench.shop, "def total")
        while not (await editor.ask("soa/agents", {}))["complete"]:
            pass
    assert not planted.exists()
