"""Runs one command where it can harm nobody: starting, watching and ending the jail.

namespaces  only what is shown exists, no network but its own loopback, nothing survives, memory is watched;
            behind that Landlock and seccomp
landlock    a private copy of the tree, only what is listed can be opened, no sockets at all
scrubbed    a private copy, a clean environment, an end to what it started; only when a person agreed to it
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from soa_agents.errors import NoSandbox
from soa_agents.verify import environment
from soa_agents.verify.aside import abandonable
from soa_agents.verify.plan import (
    CHILDREN,
    CLOCK,
    CROWDED,
    FAILURES,
    GROUND,
    KERNEL,
    LAYERS,
    LISTING,
    OWN,
    PLUGIN,
    PRIVATE_TMP,
    RECORDER,
    REQUEST,
    SERVER,
    SOUNDNESS,
    SWAPPING,
    Layer,
    Plan,
)
from soa_agents.verify.tree import linked
from soa_agents.verify.visible import interpreter_files, surroundings
from soa_agents.verify.watch import Watch

Killed = Literal["", "memory", "processes", "files", "time", "stuck", "stopped"]
_OURS = (
    *(("plugin", PLUGIN), ("failures", FAILURES), ("clock", CLOCK)),
    *(("recorder", RECORDER), ("startup", "sitecustomize")),
)
_OF_SERVERS = (
    *(("server", SERVER), ("children", CHILDREN), ("soundness", SOUNDNESS), ("swapping", SWAPPING)),
    *(("kernel", KERNEL), ("layers", LAYERS), ("listing", LISTING), ("ground", GROUND)),
)
OUTPUT_CAP = 64_000  # bytes of terminal output kept, the end of it
_POLL = 0.1  # seconds between two looks at memory
_HERE = Path(__file__).parent
_BOOT = (
    "import sys; sys.path.insert(0, sys.argv[1]); from soa_agents.verify.jail import main; main(sys.argv[2])"
)


@dataclass(frozen=True, slots=True)
class Command:
    """What to run: `arguments` for `interpreter` in `folder`, with `files` (path -> bytes) laid over it.

    `variables` are added to the environment; `request` is what the plugin is told, in a file: the names of
    thousands of tests may be in it. `memory_mb` bounds all processes together, `seconds` the run.
    `requests` is the end of the pipe that a test server reads from, `bytecode` a folder that lies below
    `folder`. Where `folder` is a copy, `copy_of` is the folder in whose place it stands: import paths of the
    environment may lead there.
    """

    interpreter: Path
    arguments: tuple[str, ...]
    folder: Path
    files: Mapping[str, bytes] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    request: str = ""
    memory_mb: int = 4096
    seconds: float = 900.0
    requests: int = -1
    copy_of: Path | None = None
    bytecode: Path | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: its exit status, the end of its output, and why it was killed if it was."""

    status: int
    output: str
    killed: Killed = ""


def run_briefly(command: Command, level: Layer) -> Ended:
    """Run a short, harmless command in the jail and wait for it, without an event loop."""
    scratch = _scratch()
    try:
        _prepare(scratch, command, level, -1)
        process = subprocess.Popen(  # noqa: S603 - our own launcher
            _launch(scratch),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={},
            start_new_session=True,
        )
        why: Killed = ""
        with abandonable(process):
            try:
                output, _ = process.communicate(timeout=command.seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                output, _ = process.communicate()
                why = "time"
        return Ended(process.returncode, output.decode("utf-8", "replace"), why)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _launch(scratch: Path) -> list[str]:
    package = str(_HERE.parents[1])
    return [sys.executable, "-I", "-S", "-c", _BOOT, package, str(scratch / "plan.json")]


def _scratch() -> Path:
    return Path(tempfile.mkdtemp(prefix="soa-")).resolve()


def no_room(problem: OSError) -> NoSandbox:
    """The refusal when what a run needs cannot be written."""
    said = f"SoA cannot write to {tempfile.gettempdir()}: {problem.strerror or problem}."
    return NoSandbox(f"{said} Make room there, or set TMPDIR to another folder.")


def _prepare(scratch: Path, command: Command, level: Layer, results: int) -> None:
    """Put everything that the launcher needs into the scratch directory."""
    lib = scratch / "lib"
    lib.mkdir()
    for source, name in _OURS + (_OF_SERVERS if command.requests >= 0 else ()):
        shutil.copyfile(_HERE / f"{source}.py", lib / f"{name}.py")
    (lib / REQUEST).write_text(command.request, encoding="utf-8")
    for name, data in command.files.items():
        place = scratch / "candidate" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    _plan(command, level, results, scratch).save(scratch / "plan.json")


def _plan(command: Command, level: Layer, results: int, scratch: Path) -> Plan:
    home = Path.home()
    needed = interpreter_files(command.interpreter, home)
    own = OWN if level == "namespaces" else str(scratch)
    real = str(command.copy_of or command.folder)
    tree = real if level == "namespaces" else f"{scratch}/tree"
    env = environment.for_tests(os.environ, command.interpreter, own, needed.user_base)
    env["TMPDIR"] = PRIVATE_TMP if level == "namespaces" else str(scratch / "tmp")
    if results >= 0:
        env |= {"SOA_RESULTS": str(results), "SOA_ROOT": tree, "SOA_RAN": f"{own}/ran/functions"}
    if command.requests >= 0:
        env["SOA_REQUESTS"] = str(command.requests)
    if tree != real:
        env["SOA_MOVED"] = f"{real}\n{tree}"
    readable = [*needed.paths, *surroundings(command.folder, home)]
    if level != "namespaces":
        readable += [str(path) for path in linked(command.folder)]
    return Plan(
        layer=level,
        argv=(str(command.interpreter), *command.arguments),
        env={**env, **command.variables},
        tree=real if level == "namespaces" else str(command.folder),
        scratch=str(scratch),
        readable=tuple(readable),
        links=needed.links,
        files=tuple(command.files),
        results=results,
        requests=command.requests,
        bytecode=str(command.bytecode or ""),
        memory_mb=command.memory_mb,
        engine=os.getpid(),
        source=str(command.folder) if command.copy_of and level == "namespaces" else "",
    )


class Jailed:
    """One running command. `results` yields what it writes to its pipe, line by line; then ask `ended`."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        results: asyncio.StreamReader,
        command: Command,
        level: Layer,
        scratch: Path,
    ):
        self._process = process
        self._results = results
        self._command = command
        self._level = level
        self._killed: Killed = ""
        self._at_work = asyncio.Event()  # a test server between two requests uses nothing worth looking at
        self._at_work.set()
        self._looking = Watch(process.pid, command.memory_mb, scratch)
        self._output = asyncio.create_task(_tail(process))
        self._watch = asyncio.create_task(self._keep_watch())

    async def results(self) -> AsyncIterator[bytes]:
        """Lines as they come, until the command has ended."""
        while line := await self._results.readline():
            yield line

    def rest(self) -> None:
        """Nobody looks at it until it is to `work` again."""
        self._at_work.clear()

    def work(self) -> None:
        """It is asked for something: what it uses is looked at from now on."""
        self._at_work.set()

    @property
    def waited(self) -> float:
        """Seconds in which it could not go on because others had the processors, until now."""
        return self._looking.waited

    async def ended(self) -> Ended:
        """Wait for the end."""
        status = await self._process.wait()
        killed = self._killed or ("processes" if status == CROWDED else "")
        return Ended(status, (await self._output).decode("utf-8", "replace"), killed)

    def kill(self, why: Killed = "stopped") -> None:
        """End the command and everything it has started."""
        self._killed = self._killed or why
        if self._level == "namespaces":  # the kernel then ends everything inside them
            self._signal_group()
        else:  # the launcher has gathered its descendants and ends them
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGTERM)

    def _signal_group(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    async def close(self) -> None:
        """Return only when nothing of it runs any more."""
        if self._process.returncode is None:
            self.kill()
            try:
                await asyncio.wait_for(self._process.wait(), 3)
            except TimeoutError:
                self._signal_group()
        await self._process.wait()
        for task in (self._watch, self._output):
            task.cancel()
        await asyncio.gather(self._watch, self._output, return_exceptions=True)

    async def _keep_watch(self) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._command.seconds
        self._looking.begin()
        while loop.time() < end:
            await asyncio.sleep(_POLL)
            if not self._at_work.is_set():
                await self._at_work.wait()
                self._looking.begin()
                continue
            found = await asyncio.to_thread(self._looking.look)
            if found:
                self.kill(found)
                return
        self.kill("time")


@contextlib.asynccontextmanager
async def jailed(command: Command, level: Layer) -> AsyncIterator[Jailed]:
    """Start `command` at `level`; when the block is left nothing of it remains, neither process nor file."""
    reading, writing = os.pipe()
    scratch: Path | None = None
    try:
        try:
            scratch = _scratch()
            _prepare(scratch, command, level, writing)
        except OSError as problem:
            raise no_room(problem) from problem
        opened, reading = os.fdopen(reading, "rb", buffering=0), -1  # from here on the transport closes it
        reader, transport = await _reader(opened)
        try:
            process = await asyncio.create_subprocess_exec(
                *_launch(scratch),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env={},
                pass_fds=(writing, *((command.requests,) if command.requests >= 0 else ())),
                start_new_session=True,
            )
            running = Jailed(process, reader, command, level, scratch)  # nothing is awaited in between
            try:
                os.close(writing)
                writing = -1
                yield running
            finally:
                await _to_its_end(running.close())
        finally:
            transport.close()
    finally:
        for number in (reading, writing):
            if number >= 0:
                os.close(number)
        if scratch is not None:
            await _to_its_end(asyncio.to_thread(shutil.rmtree, scratch, True))


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Wait for `work` also when this is cancelled meanwhile, however often, and be cancelled only then."""
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError


async def _reader(opened: io.FileIO) -> tuple[asyncio.StreamReader, asyncio.ReadTransport]:
    reader = asyncio.StreamReader(limit=1 << 26)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), opened
    )
    return reader, transport


async def _tail(process: asyncio.subprocess.Process) -> bytes:
    """The end of what the command prints; it may print without end."""
    kept = b""
    assert process.stdout is not None  # noqa: S101 - asked for when it was started
    while data := await process.stdout.read(1 << 16):
        kept = (kept + data)[-OUTPUT_CAP:]
    return kept
