"""From the plugin's lines to a report: paths and functions as the workspace names them. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any, Literal

from soa_agents.verify.recorder import names_of
from soa_agents.verify.report import Frame, TestResult
from soa_agents.workspace.functions import functions, innermost
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.snapshot import is_test_file

_STACK = re.compile(r'  File "(.+)", line (\d+) in (.+)')

Text = Callable[[str], str | None]  # the text of a path below the folder, None where there is none


@dataclass(slots=True)
class Session:
    """What the plugin has told so far."""

    tests: list[dict[str, Any]] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)  # file that cannot be collected -> why
    files: Mapping[str, str] = field(default_factory=dict)  # what decided over the tests -> sha256
    collected: int = 0
    imported: list[list[Any]] = field(default_factory=list)  # functions that ran until then: (path, line)
    running: str = ""  # the test that was started and has not ended
    status: int | None = None  # pytest's exit status, once it has told it
    root: str = ""  # where the folder lies for the run
    collecting: str = ""  # the file that was read last, until all are collected
    stack: list[tuple[str, int, str]] = field(
        default_factory=list
    )  # of a hang: (file, line, name), innermost first
    after: Mapping[str, str] = field(default_factory=dict)  # `files` as they were at the end
    fails: bool = True  # whether at the end something that must fail still did
    loaded: tuple[str, ...] = ()  # files that were imported
    forged: bool = False  # something was told that the plugin does not tell

    def add(self, line: bytes) -> None:
        """Take one line; a line that is none of the plugin's is passed over."""
        try:
            told = json.loads(line)
            kind = told["kind"]
        except (ValueError, TypeError, KeyError):
            self._add_stack(line.decode("utf-8", "replace"))
            return
        try:
            self._take(kind, told)
        except (KeyError, TypeError):
            self.forged = True

    def _take(self, kind: str, told: dict[str, Any]) -> None:
        match kind:
            case "root":
                self.root = told["root"]
            case "collecting":
                self.collecting = told["path"] or ""
            case "started":
                self.running, self.stack = told["nodeid"], []
            case "test":
                self.forged = self.forged or told["nodeid"] != self.running
                self.tests.append(told)
                self.running = ""
            case "collect":
                self.broken.setdefault(told["nodeid"], told["message"])
            case "collected":
                self.collected, self.files = told["count"], told["files"]
                self.imported = told["imported"]
                self.collecting, self.stack = "", []
            case "end":
                self.status, self.after, self.fails = told["status"], told["files"], told["fails"]
                self.loaded = tuple(name for name in told["loaded"] if isinstance(name, str))

    def _add_stack(self, line: str) -> None:
        """A line of faulthandler's; it may tell the stack more than once."""
        if "most recent call first" in line:
            self.stack = []
        if found := _STACK.match(line):
            self.stack.append((found[1], int(found[2]), found[3]))

    def hung_in(self) -> list[tuple[str, int, str]]:
        """Where it hung: the folder's own frames, outermost first, with paths below the folder."""
        inside = f"{self.root}/"
        own = [frame for frame in self.stack if frame[0].startswith(inside) and "-packages/" not in frame[0]]
        return [(path.removeprefix(inside), line, name) for path, line, name in reversed(own)]


@lru_cache(maxsize=1000)
def _by_line(path: str, text: str) -> dict[int, FunctionId]:
    """A test may run functions of a hundred files, and the next run asks for the same ones."""
    return {function.line: function.id for function in functions(path, text)}


class Names:
    """Names functions by where they begin, and puts the folder's prefix before paths."""

    def __init__(self, prefix: str, text: Text) -> None:
        self.prefix = prefix
        self._text = text
        self._by_line = cache(self._read)

    def function(self, path: str, line: int) -> FunctionId | None:
        """The function whose definition (first decorator) stands at `line` of `path`."""
        return self._by_line(path).get(line)

    def _read(self, path: str) -> dict[int, FunctionId]:
        text = self._text(path)
        return _by_line(self.prefix + path, text) if text is not None else {}

    def result(self, told: dict[str, Any]) -> TestResult:
        """One finished test."""
        example = told["doctest"]
        return TestResult(
            nodeid=self.prefix + told["nodeid"],
            outcome=told["outcome"],
            seconds=told["seconds"],
            message=told["message"],
            frames=tuple(self._frame(*values) for values in told["frames"]),
            output=told["output"],
            doctest=FunctionId(self.prefix + example[0], example[1]) if example else None,
            ran=self.ran(told["ran"]),
            support=self.ran(told["ran"], of_tests=True),
            offline=told["offline"],
        )

    def _frame(self, path: str, line: int, name: str, source: str, first: int, values: list[str]) -> Frame:
        function = self.function(path, first)
        shown = function.qualname if function else name
        return Frame(self.prefix + path, line, shown, source, tuple(values))

    def ended(self, session: Session, outcome: Literal["timeout", "error"], problem: str) -> TestResult:
        """The test that was running when the run ended: of one that hung it is known where it was."""
        places = session.hung_in()
        ran = {function for path, line, _ in places if (function := self._around(path, line)) is not None}
        return TestResult(
            self.prefix + session.running,
            outcome,
            message=problem,
            frames=tuple(self._hung(*place) for place in places),
            ran=tuple(sorted(f for f in ran if not is_test_file(f.path.removeprefix(self.prefix)))),
        )

    def _hung(self, path: str, line: int, name: str) -> Frame:
        lines = (self._text(path) or "").splitlines()
        function = self._around(path, line)
        shown = function.qualname if function and function.name == name else name
        return Frame(self.prefix + path, line, shown, lines[line - 1].strip() if line <= len(lines) else "")

    def _around(self, path: str, line: int) -> FunctionId | None:
        """The innermost function that holds a line."""
        text = self._text(path) or ""
        offset = sum(map(len, text.splitlines(keepends=True)[: line - 1]))
        function = innermost(functions(self.prefix + path, text), offset + 1)
        return function.id if function else None

    def ran(self, pairs: list[list[Any]], *, of_tests: bool = False) -> tuple[FunctionId, ...]:
        """The functions outside test files, or those in test files, among (path, line)."""
        files = {path for path in {path for path, _ in pairs} if is_test_file(path) == of_tests}
        found = {self.function(path, line) for path, line in pairs if path in files}
        return tuple(sorted(f for f in found if f is not None))


def results(session: Session, names: Names) -> list[TestResult]:
    """Every test and every file that told something, in order, and the test that was running at the end."""
    found: dict[str, TestResult] = {}
    for told in session.tests:
        try:
            found[told["nodeid"]] = names.result(told)
        except (KeyError, TypeError, ValueError):
            session.forged = True
    for path, message in session.broken.items():
        found[path] = TestResult(names.prefix + path, "error", message=message)
    return list(found.values())


def missing(asked: tuple[str, ...], found: list[TestResult]) -> list[TestResult]:
    """A result for each node id or file that was asked for and of which nothing was heard."""
    heard = {name for result in found for name in names_of(result.nodeid)}
    return [TestResult(name, "missing") for name in dict.fromkeys(asked) if name not in heard]
