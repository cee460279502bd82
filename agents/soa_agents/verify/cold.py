"""The cold run: `python -m pytest` in the folder, in a new process, as the person would start it.

The candidate lies there as real files, so that processes started by tests see it too.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from soa_agents.errors import NoSandbox
from soa_agents.settings import Limits, TestSettings
from soa_agents.verify import records
from soa_agents.verify.bytecode import ByteCode
from soa_agents.verify.clock import LEAST
from soa_agents.verify.diagnosis import Run, diagnose
from soa_agents.verify.guard import tampered
from soa_agents.verify.interpreter import Interpreter
from soa_agents.verify.plan import PLUGIN, REFUSED, Layer
from soa_agents.verify.probe import choose
from soa_agents.verify.report import Overlay, Report, Selection
from soa_agents.verify.sandbox import Command, Ended, Jailed, jailed
from soa_agents.workspace.snapshot import encode_like, read_text

TEXT_CAP = 4000  # characters of one message, and of one test's output
COLLECTING = 4  # times as long as one test is what collecting all of them may take, as in the plugin
_GRACE = 4.0  # seconds that the plugin has to interrupt a test before the whole run is killed
_TOLD_ALL = (0, 1)  # pytest's exit statuses when every test has reported: all passed, some failed


@dataclass(frozen=True, slots=True)
class ColdRunner:
    """Runs the tests of one folder; any number of runs may be under way.

    `prefix` is what the folder's paths begin with in a workspace of several folders ("name/"), else "".
    `copy_of` is the person's folder where `root` is a copy of it.
    """

    root: Path
    interpreter: Interpreter
    settings: TestSettings
    limits: Limits
    level: Layer
    prefix: str = ""
    copy_of: Path | None = None
    bytecode: ByteCode | None = None

    @classmethod
    def open(
        cls, root: Path, interpreter: Interpreter, settings: TestSettings, limits: Limits, prefix: str = ""
    ) -> ColdRunner:
        """A runner at the strongest level this machine has; raises `NoSandbox`."""
        root, level = root.resolve(), choose(settings.sandbox)
        bytecode = ByteCode.of(root, interpreter, level)
        return cls(root, interpreter, settings, limits, level, prefix, bytecode=bytecode)

    async def run(self, overlay: Overlay, tests: Selection) -> Report:
        """Run `tests` on the disk with `overlay` over it. A red or hanging test is a value in the report.

        Cancelling ends every process of the run at once. Raises `NoSandbox` when the jail cannot be built.
        """
        start = time.perf_counter()
        files = self.files(overlay)
        asked = self.asked(tests)
        named = self.named_files(asked, files)
        if not (tests.everything or named):
            return Report(tuple(records.missing(tests.tests, [])))
        session = records.Session()
        command = self._command(files, asked, named if not tests.everything else (), tests.recorded)
        command = replace(command, bytecode=await self.kept_bytecode())
        async with jailed(command, self.level) as running:
            await self._listen(running, session)
            ended = await running.ended()
        if ended.status == REFUSED and not session.tests:
            raise NoSandbox(
                f"The sandbox could not be built: {_last_line(ended.output)} `soa doctor` says more."
            )
        report = self.report(session, ended, tests, files)
        if self.bytecode is not None:
            self.bytecode.notice(session.loaded)
        return replace(report, seconds=time.perf_counter() - start)

    async def kept_bytecode(self) -> Path | None:
        """The folder of byte code that lies below the tree in every run."""
        return await self.bytecode.ready() if self.bytecode is not None else None

    def files(self, overlay: Overlay) -> dict[str, bytes]:
        """What is laid over this folder, by the folder's own paths, encoded as the files there are."""
        texts = {self._inner(path): text for path, text in overlay.items() if self._is_here(path)}
        return {path: encode_like(self.root / path, text) for path, text in texts.items()}

    def _is_here(self, path: str) -> bool:
        return path.startswith(self.prefix)

    def _inner(self, path: str) -> str:
        return path.removeprefix(self.prefix)

    def asked(self, tests: Selection) -> Asked:
        """The selection in the folder's own paths."""
        doctests: dict[str, list[str]] = {}
        for function in tests.doctests:
            if self._is_here(function.path):
                doctests.setdefault(self._inner(function.path), []).append(function.qualname)
        wanted = None if tests.everything else tuple(self._inner(t) for t in tests.tests if self._is_here(t))
        without = tuple(self._inner(name) for name in tests.without)
        return Asked(wanted, doctests, without, tests.recorded)

    def named_files(self, asked: Asked, files: Mapping[str, bytes]) -> tuple[str, ...]:
        """The files to give to pytest: those that are there, lest one missing stops the others."""
        names = dict.fromkeys(name.partition("::")[0] for name in (*(asked.wanted or ()), *asked.doctests))
        return tuple(name for name in names if name in files or (self.root / name).exists())

    def request(self, asked: Asked, *, loaded: bool = False) -> dict[str, Any]:
        """What the plugin is told; with `loaded` it tells which files were imported."""
        return {
            "root": ".",
            "wanted": asked.wanted,
            "without": asked.without,
            "doctests": asked.doctests,
            "seconds": self.settings.timeout_seconds,
            "cap": TEXT_CAP,
            "loaded": loaded,
        }

    def arguments(self, named: tuple[str, ...] = ()) -> tuple[str, ...]:
        """pytest's arguments, for these files."""
        return ("-p", PLUGIN, *self.settings.args, *(f"./{name}" for name in named))

    def _command(
        self, files: Mapping[str, bytes], asked: Asked, named: tuple[str, ...], recorded: bool
    ) -> Command:
        request = self.request(asked, loaded=True)
        return Command(
            interpreter=self.interpreter.path,
            arguments=("-m", "pytest", *self.arguments(named)),
            folder=self.root,
            files=files,
            variables={} if recorded or self.interpreter.records_freely else {"SOA_RAN": ""},
            request=json.dumps(request),
            memory_mb=self.limits.memory_mb,
            seconds=self.limits.seconds,
            copy_of=self.copy_of,
        )

    async def _listen(self, running: Jailed, session: records.Session) -> None:
        """Take the plugin's lines; kill the run when a test does not even end when it is interrupted."""
        lines = running.results()
        loop = asyncio.get_running_loop()
        end, waited = self._end(session, loop.time()), running.waited
        reading = asyncio.ensure_future(anext(lines, b""))
        try:
            while True:
                await asyncio.wait({reading}, timeout=None if end is None else max(0.0, end - loop.time()))
                if not reading.done():
                    late, waited = running.waited - waited, running.waited
                    if late < LEAST:
                        running.kill("stuck")
                        return
                    end = loop.time() + late
                    continue
                line = reading.result()
                session.add(line)
                if line.startswith(b"{"):  # where a hanging test is does not say that it goes on
                    end, waited = self._end(session, loop.time()), running.waited
                elif not session.running and end is not None:  # it tells that the time for collecting is up
                    end = min(end, loop.time() + 1)
                if session.status in _TOLD_ALL:
                    running.kill()  # what pytest still does is for a terminal
                if not line or session.status in _TOLD_ALL:
                    return
                reading = asyncio.ensure_future(anext(lines, b""))
        finally:
            reading.cancel()

    def _end(self, session: records.Session, now: float) -> float | None:
        """When the next line must have come: a test ends, or all are collected."""
        if session.running:
            return now + self.settings.timeout_seconds + _GRACE
        if session.tests or session.files or session.collected:
            return None
        return now + COLLECTING * self.settings.timeout_seconds + _GRACE

    def report(
        self, session: records.Session, ended: Ended, tests: Selection, files: Mapping[str, bytes]
    ) -> Report:
        """What a run has told, and how it ended, as a report; `files` are those that were laid over."""

        def true_bytes(path: str) -> bytes | None:
            place = self.root / path
            return files[path] if path in files else place.read_bytes() if place.is_file() else None

        def text(path: str) -> str | None:
            return files[path].decode("utf-8", "replace") if path in files else read_text(self.root / path)

        names = records.Names(self.prefix, text)
        found = records.results(session, names)
        everything = tests.everything and not tests.without
        run = Run(self.root, self.prefix, self.interpreter.path, self.settings, self.limits, everything)
        changed = tampered(session.files, true_bytes) or tampered(session.after, true_bytes)
        fault, problem = diagnose(run, session, ended, changed)
        if session.running:
            outcome: Literal["timeout", "error"] = "timeout" if fault in ("hang", "time") else "error"
            found.append(names.ended(session, outcome, problem))
        found += records.missing(tests.tests, found)
        return Report(tuple(found), problem, 0.0, fault, imported=names.ran(session.imported))


@dataclass(frozen=True, slots=True)
class Asked:
    """A selection in the folder's own paths; `wanted` is None for everything."""

    wanted: tuple[str, ...] | None
    doctests: Mapping[str, list[str]]
    without: tuple[str, ...] = ()
    recorded: bool = True


def _last_line(output: str) -> str:
    return output.strip().rpartition("\n")[2]
