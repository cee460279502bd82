"""The ladder: each candidate is run in the cheapest way that gives what a cold run would give.

swap   put into a process that has collected the tests; where that provably equals a cold run
fresh  a new pytest in a process that has the libraries loaded
cold   `python -m pytest` in a new process: what is there without a candidate, what is about to be offered,
       tests that start processes, and whatever the others refuse or do not come back from
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from soa_agents.verify import records
from soa_agents.verify.cold import Asked, ColdRunner
from soa_agents.verify.guard import changes_tests
from soa_agents.verify.report import Overlay, Report, Selection
from soa_agents.verify.sandbox import Ended
from soa_agents.verify.warm import Kind, Setup, TestServer, Unfit

_PATIENCE = 60.0  # seconds that a server may take to collect before candidates are run cold instead

_Files = tuple[tuple[str, ...], tuple[str, ...]]  # those given to pytest; those of them with examples
_Key = tuple[Kind, _Files]
_ANY: _Files = ((), ())


@dataclass(slots=True)
class Ladder:
    """A TestRunner over one folder. `base` is what lies over the disk in every run: the open buffers.

    Up to `workers` candidates are run at once in servers. `close` ends them; nothing of them stays.
    """

    cold: ColdRunner
    base: Overlay = field(default_factory=dict)
    workers: int = 2
    idle: int = 4  # servers kept for later
    _idle: dict[_Key, list[TestServer]] = field(default_factory=dict)
    _unfit: dict[_Key, str] = field(default_factory=dict)
    _starts_processes: set[str] = field(default_factory=set)
    _modules: tuple[str, ...] = ()
    _slots: asyncio.Semaphore | None = None
    _warming: asyncio.Future[None] | None = None

    @property
    def at_once(self) -> int:
        """How many runs go at once."""
        return self.workers

    async def run(self, overlay: Overlay, tests: Selection) -> Report:
        """Run `tests` on the disk with the base and `overlay` over it. Raises `NoSandbox`."""
        whole = {**self.base, **overlay}
        asked = self.cold.asked(tests)
        files = self._candidate(whole)
        named = self.cold.named_files(asked, self.cold.files(whole))
        why = self._only_cold(tests, asked, named) if overlay else "nothing is changed"
        if not why:
            self._slots = self._slots or asyncio.Semaphore(self.workers)
            start, refused = time.perf_counter(), ""
            if self._warming is not None:
                await asyncio.wait({self._warming})
            async with self._slots:
                for kind in self._rungs(files):
                    report, why = await self._run_on(kind, files, (named, asked), tests)
                    if report is not None:
                        return replace(report, seconds=time.perf_counter() - start, refused=refused)
                    refused = why
        report = await self.cold.run(whole, tests)
        return replace(report, refused=why)

    def warm_up(self, tests: Selection) -> None:
        """Begin to start a server for `tests`, so that the first candidate does not wait for it."""
        asked = self.cold.asked(tests)
        named = self.cold.named_files(asked, self.cold.files(self.base))
        if not self._only_cold(tests, asked, named):
            self._warming = asyncio.ensure_future(self._warm_up((named, tuple(asked.doctests))))

    async def _warm_up(self, files: _Files) -> None:
        server = await self._take("swap", files)
        if isinstance(server, TestServer):
            await self._give_back(server)

    async def close(self) -> None:
        """End every server."""
        if self._warming is not None:
            self._warming.cancel()
            await asyncio.gather(self._warming, return_exceptions=True)
        servers = [server for same in self._idle.values() for server in same]
        self._idle.clear()
        await asyncio.gather(*(server.close() for server in servers))

    def _candidate(self, whole: Overlay) -> dict[str, bytes]:
        """What a run lays over the disk beyond the base."""
        base = self.cold.files(self.base)
        return {path: data for path, data in self.cold.files(whole).items() if base.get(path) != data}

    def _only_cold(self, tests: Selection, asked: Asked, named: tuple[str, ...]) -> str:
        """Why no server may run this; empty when one may."""
        if tests.cold or tests.everything or tests.without or not named:
            return "asked for"
        if self.cold.level != "namespaces" or sys.platform != "linux":
            return "without namespaces a candidate could leave something to the next"
        if any(name in self._starts_processes for name in (*tests.tests, *map(str, tests.doctests))):
            return "the tests start processes"
        return ""

    def _rungs(self, files: Mapping[str, bytes]) -> tuple[Kind, ...]:
        return ("fresh",) if changes_tests(files) else ("swap", "fresh")

    async def _run_on(
        self, kind: Kind, files: dict[str, bytes], what: tuple[tuple[str, ...], Asked], tests: Selection
    ) -> tuple[Report | None, str]:
        """The report of one rung, or None and why there is none. A server that died is started again once."""
        named, asked = what
        why = ""
        for _ in range(2):
            server = await self._take(kind, (named, tuple(asked.doctests)))
            if isinstance(server, str):
                return None, server
            try:
                answer = await server.ask(files, asked)
            except BaseException:
                await server.close()
                raise
            if answer is None:
                await server.close()
                why = "the test server ended"
                continue
            await self._give_back(server)
            if answer.end == "process":
                self._starts_processes |= {*tests.tests, *map(str, tests.doctests)}
            if answer.end != "done":
                return None, answer.why or answer.end
            return self._report(server, answer.lines, tests, files), ""
        return None, why

    def _report(
        self, server: TestServer, lines: tuple[str, ...], tests: Selection, files: dict[str, bytes]
    ) -> Report:
        session = records.Session(files=server.collected.files, collected=server.collected.collected)
        for line in lines:
            session.add(line.encode())
        laid = {**self.cold.files(self.base), **files}
        report = self.cold.report(session, Ended(0, ""), tests, laid)
        return replace(report, rung=server.setup.kind)

    async def _take(self, kind: Kind, files: _Files) -> TestServer | str:
        """A server for these files that is up to date, or why there is none."""
        key = (kind, files if kind == "swap" else _ANY)
        named, examples = files
        idle = self._idle.get(key, [])
        while idle:
            server = idle.pop()
            if not server.stale:
                if kind == "fresh":
                    server.setup = replace(server.setup, named=named, examples=examples)
                return server
            await server.close()
        if key in self._unfit:
            return self._unfit[key]
        server = TestServer(
            Setup(self.cold, kind, self.cold.files(self.base), named, examples, self._modules)
        )
        try:
            await asyncio.wait_for(server.start(), _PATIENCE)
            if kind == "swap":
                self._modules = server.modules
            if server.collected.broken:
                raise Unfit("a test file cannot be collected")
        except BaseException as problem:
            await server.close()
            if not isinstance(problem, Unfit | TimeoutError):
                raise
            self._unfit[key] = str(problem) or "collecting takes too long"
            return self._unfit[key]
        return server

    async def _give_back(self, server: TestServer) -> None:
        setup = server.setup
        key = (setup.kind, (setup.named, setup.examples) if setup.kind == "swap" else _ANY)
        self._idle.setdefault(key, []).append(server)
        while sum(map(len, self._idle.values())) > self.idle:
            oldest = next(same for same in self._idle.values() if same)
            await oldest.pop(0).close()
