"""What a test run says, and the TestRunner port."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

from soa_agents.workspace.ids import FunctionId

Overlay = Mapping[str, str]  # path as in FunctionId -> text laid over the disk; new files may be added

_INSIDE = ".<locals>."

Outcome = Literal["passed", "failed", "error", "skipped", "xfailed", "xpassed", "missing", "timeout"]


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a traceback inside the workspace, outermost first in its tuple."""

    path: str  # as in FunctionId
    line: int  # 1-based
    function: str  # qualified name where known, else the code's name
    source: str = ""  # the line's text
    values: tuple[str, ...] = ()  # `name = value`, cut short; of the innermost frames


@dataclass(frozen=True, slots=True)
class TestResult:
    """One test. `nodeid` is pytest's, with the path as in FunctionId."""

    __test__ = False  # not a test class, whatever pytest thinks of its name

    nodeid: str
    outcome: Outcome
    seconds: float = 0.0
    message: str = ""  # the assertion or exception, capped, with both values where pytest shows them
    frames: tuple[Frame, ...] = ()
    output: str = ""  # captured output, capped
    doctest: FunctionId | None = None  # set when this is the docstring example of that function
    ran: tuple[FunctionId, ...] = ()  # workspace functions (outside test files) that ran during it
    offline: bool = False  # skipped, because it needs the network
    flaky: bool = False  # it failed on this candidate before, and passed when it was run once more
    support: tuple[FunctionId, ...] = ()  # those of test files: itself, fixtures, helpers

    @property
    def passed(self) -> bool:
        """Green as pytest counts it: passed, failed as expected, or passed although that was not demanded."""
        return self.outcome in ("passed", "xfailed", "xpassed")

    def runs(self, function: FunctionId) -> bool:
        """Whether it was seen to run that function, or one inside it: what a decorator returns."""
        path, name = function.path, function.qualname  # texts: asked of every test for every agent
        for ran in self.ran:
            if ran.path == path and (ran.qualname == name or ran.qualname.startswith(f"{name}{_INSIDE}")):
                return True
        return False


@dataclass(frozen=True, slots=True)
class Selection:
    """What to run: node ids or files (parameters may be left out), docstring examples, or everything."""

    tests: tuple[str, ...] = ()
    doctests: tuple[FunctionId, ...] = ()
    everything: bool = False
    cold: bool = False  # in a new process, whatever quicker way there is: what is about to be offered
    recorded: bool = True  # what each test ran is wanted; it is told in any case where that costs nothing
    without: tuple[str, ...] = ()  # node ids that are left out of all that


# Why a run as a whole went wrong. `no_tests`: the workspace has none; `nothing_collected`: it has test files,
# but pytest finds no test; `refused`: pytest did not start (its arguments, a conftest); `died`: the test
# process ended by itself; `hang`: one test had to be killed and the run with it; `tampered`: a test file or
# pytest's configuration was changed before it was read.
Killed = Literal["memory", "processes", "time", "hang"]
Fault = Literal["", "no_tests", "nothing_collected", "no_pytest", "refused", "died", "tampered", Killed]


# How a candidate was run: put into a process that had collected, in a new one with the libraries loaded, or
# as `python -m pytest` would.
Rung = Literal["swap", "fresh", "cold"]


@dataclass(frozen=True)
class Report:
    """Per-test outcomes of one run on one overlay.

    A file that cannot be collected is a result too: outcome `error`, the path as its node id.
    """

    results: tuple[TestResult, ...] = ()
    problem: str = ""  # one sentence when the run as a whole went wrong (nothing collected, killed, …)
    seconds: float = 0.0
    fault: Fault = ""  # the kind of `problem`
    rung: Rung = "cold"
    refused: str = ""  # why it took no quicker rung
    imported: tuple[FunctionId, ...] = ()  # functions that ran before the first test, while modules loaded

    @cached_property
    def tests(self) -> tuple[TestResult, ...]:
        """The results that are no docstring examples."""
        return tuple(r for r in self.results if r.doctest is None)

    @cached_property
    def doctests(self) -> tuple[TestResult, ...]:
        """The results of docstring examples."""
        return tuple(r for r in self.results if r.doctest is not None)

    def running(self, function: FunctionId) -> frozenset[str]:
        """The node ids of the tests that were seen to run that function: those whose result `runs` it."""
        return self._running.get((function.path, function.qualname), frozenset())

    @cached_property
    def _running(self) -> Mapping[tuple[str, str], frozenset[str]]:
        found = defaultdict[tuple[str, str], set[str]](set)
        for result in self.tests:
            for ran in result.ran:
                outer = ran.qualname
                found[ran.path, outer].add(result.nodeid)
                while inside := outer.rpartition(_INSIDE)[0]:
                    found[ran.path, inside].add(result.nodeid)
                    outer = inside
        return {function: frozenset(names) for function, names in found.items()}


class TestRunner(Protocol):
    """What passes."""

    async def run(self, overlay: Overlay, tests: Selection) -> Report:
        """Run `tests` on the disk with `overlay` over it. A red or hanging test is a value in the report."""
        ...
